/* What the TLS contexts of both sides have in common: the policy that nobody can configure away, and files in PEM form
 * with complaints that name the section, the option, the file and the cause. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "net/tls_reason.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>

static inline bool tls_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* TLS 1.2 and 1.3, AEAD suites with forward secrecy, key exchange by elliptic curves only, no renegotiation, no compression, no
 * session cache, no early data, no passphrase asked; released buffers for idle connections, and the other modes that net/stream.h
 * needs: SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER and never SSL_MODE_ENABLE_PARTIAL_WRITE. NULL: complained. */
must_check SSL_CTX *tls_context_new(const SSL_METHOD *method, const struct tls_where *where, struct err *err);

/* Trusts each certificate in the file by itself, also one that is no root: whoever names it means that one. -1: complained. */
must_check int tls_context_trust(SSL_CTX *ctx, const struct tls_where *where, const char *option, const char *path,
                                 struct err *err);

/* Trusts the system's authorities: those of a file of all, or else of a directory of each; and where these are. */
void tls_context_trust_system(SSL_CTX *ctx, struct opener *opener);
const char *tls_system_file(void);
const char *tls_system_directory(void);

/* Opens a file, or complains in words that OpenSSL would not have. */
must_check FILE *tls_pem_open(const struct tls_where *where, const char *option, const char *path, struct err *err);

/* A passphrase callback: a daemon has nobody to ask. asked (a bool, or NULL) remembers that one would have been needed. */
int tls_refuse_passphrase(char *buf, int size, int writing, void *asked);

/* The place of an option, of the section if it is NULL; in out. */
#define TLS_PLACE_MAX 512
const char *tls_place(const struct tls_where *where, const char *option, char out[static TLS_PLACE_MAX]);

int tls_complain(const struct tls_where *where, const char *option, const char *file, const char *cause,
                 struct err *err); /* -1 */
