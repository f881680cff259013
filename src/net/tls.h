/* TLS contexts: for our listeners a set of certificates chosen by SNI, with ALPN http/1.1 or none, for backends one verifying
 * client context. Both have the policy of net/tls_context.h, are immutable once built, and belong to a generation. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "net/tls_reason.h"

#include <openssl/ssl.h>
#include <stdbool.h>

#define TLS_HANDSHAKE_BYTE 0x16 /* the content type every TLS connection begins with, RFC 8446 section 5.1 */

enum tls_client_certificate { TLS_CLIENT_CERT_OFF, TLS_CLIENT_CERT_OPTIONAL, TLS_CLIENT_CERT_REQUIRED };

/* Reads what the library reads but once (its own configuration, and what that names), so that nothing but the files named
 * below is opened later. May be called again. */
void tls_prepare(void);

struct tls_server; /* immutable; shared by all threads */

/* The certificates for some names, and the policy for these names. */
struct tls_identity {
	struct tls_where where; /* of its section */
	/* PEM, leaf first, then the chain; one for each kind of key: a client gets what it can use. */
	struct str_list certificates;
	struct str_list keys;  /* PEM, in their order; none: each is in its certificate's file */
	const char *client_ca; /* PEM; needed unless client_certificate is off */
	enum tls_client_certificate client_certificate;
	bool tls13_only;
	const char *ciphers;      /* TLS 1.2 cipher list, NULL or "": the AEAD suites with forward secrecy */
	const char *ciphersuites; /* TLS 1.3, NULL or "": the library's */
	const char *groups;       /* of the key exchange, NULL or "": X25519 and P-256 */
	bool tickets;             /* stateless session resumption */
};

/* Loads everything and checks that key and certificate fit. The first identity is the default; SNI chooses the first whose
 * certificate is for exactly that name, else the first with a fitting wildcard (as in X509_check_host); a final dot of the name is
 * no part of it. A name for which two identities have a certificate is an error, as the second would never be used. A TLS 1.2
 * suite that is not AEAD is left out of a configured list with a warning; that a certificate has expired is one, too. Every
 * complaint names the section, the file and the cause. NULL on failure. */
struct tls_server *tls_server_new(const struct tls_identity *identities, size_t count, struct err *err,
                                  struct err *warnings) must_check;
void tls_server_free(struct tls_server *server); /* every SSL made from it must be gone; NULL is allowed */

/* A new connection's SSL, accept state set; NULL: out of memory. */
SSL *tls_server_ssl(const struct tls_server *server) must_check;

/* Whether its peer sent what no implementation of TLS sends, as the alert says that it got for it. Having nothing in common,
 * a certificate that either side refuses, a connection that is lost and bytes that are no TLS at all are no violations: they
 * happen to browsers, or a page makes them happen. */
bool tls_was_violated(const SSL *ssl);

/* Whether who has shaken hands on this SSL of the server's has shown what the identity for host asks of clients: that identity
 * was the one, or it asks the same. SNI and the request's Host are two names, and a client may say what it likes in each.
 * host: without port; none is for the default identity, as no SNI is. */
bool tls_server_admits(const struct tls_server *server, const SSL *ssl, struct span host);

/* Whether its handshake asks the client for a certificate, which a browser may have to ask its user for. */
bool tls_asks_for_certificate(const SSL *ssl);

/* Whether who asks for host (as above) has to show a certificate. */
bool tls_server_requires(const struct tls_server *server, struct span host);

struct tls_client; /* for backends */

/* ca: PEM file, NULL or "": the system's; each certificate in a file is trusted by itself, also one that is no root.
 * name: what the certificate must be for and what SNI asks for (a number is checked as an IP address and sends no SNI).
 * verify = false skips the check of chain and name. */
struct tls_client *tls_client_new(const struct tls_where *where, const char *ca, const char *name, bool verify,
                                  struct err *err) must_check;
void tls_client_free(struct tls_client *client);
SSL *tls_client_ssl(const struct tls_client *client) must_check; /* connect state set */
