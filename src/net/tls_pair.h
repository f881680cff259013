/* A certificate and its key, as an identity of the server has one or several. For tls_identity.c only. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "net/tls.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct pair {
	char *file; /* of the certificate */
	X509 *leaf;
	EVP_PKEY *key;
};

struct pair_files {
	const struct tls_where *where; /* for complaints */
	const char *certificate, *key; /* key NULL: in the certificate's file */
};

/* Loads them into the context, beside what it has of another kind of key. -1: complained, and there is nothing to clear. */
must_check int pair_load(struct pair *pair, SSL_CTX *ctx, const struct pair_files *files, struct err *err, struct err *warnings);
void pair_clear(struct pair *pair);

/* Whether the certificate is for that name (n > 0): flags as in X509_check_host(3). */
bool pair_is_for(const struct pair *pair, struct span name, unsigned flags);

/* The first name of a's that b has as well, or that b is not for; the caller's, NULL: there is none. */
char *pair_common_name(const struct pair *a, const struct pair *b);
char *pair_lacking_name(const struct pair *a, const struct pair *b);
