/* An identity of the server when it is loaded: a context that carries its whole policy, and what it asks of clients. For
 * tls.c only. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "net/tls.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct identity {
	SSL_CTX *ctx;
	struct pair *pair; /* certificates with their keys */
	size_t pairs;
	enum tls_client_certificate client_certificate;
	char *client_ca; /* as it was configured; "" without */
	char *groups;    /* of its context, which does not tell them */
};

struct tls_server {
	struct identity *identity; /* the first is the default */
	size_t count;
	bool alike; /* all of them ask the same of clients */
};

/* index: a number of its own. -1: complained, and there is nothing to clear. */
must_check int identity_load(struct identity *identity, const struct tls_identity *from, size_t index, struct err *err,
                             struct err *warnings);
void identity_clear(struct identity *identity);

/* Whether one of its certificates is for that name (n > 0): flags as in X509_check_host(3). */
bool identity_is_for(const struct identity *identity, struct span name, unsigned flags);

/* A name for which both have a certificate; the caller's, NULL: there is none. */
char *identity_common_name(const struct identity *a, const struct identity *b);

/* Whether who may pass here may pass there. */
bool identity_asks_the_same(const struct identity *a, const struct identity *b);
