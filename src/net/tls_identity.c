/* tls_identity.c owns what one identity loads: its certificates, and the policy for their names.
 * It must never choose between identities, nor build a context around tls_context_new(). */
#include "net/tls_identity.h"

#include "base/mem.h"
#include "net/tls_context.h"
#include "net/tls_reason.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* What every client has. P-384 and the larger cost us ten times as much, and a client asks for them for nothing. */
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
#define GROUPS "X25519MLKEM768:X25519:P-256"
#else
#define GROUPS "X25519:P-256"
#endif

/* A context has one certificate for each kind of key. */
static int check_kind(const struct identity *identity, const struct pair *pair, const struct tls_where *where, struct err *err)
{
	for (const struct pair *other = identity->pair; other != pair; other++) {
		if (EVP_PKEY_get_base_id(other->key) != EVP_PKEY_get_base_id(pair->key))
			continue;
		char place[TLS_PLACE_MAX];
		return err_add(err, "%s certificate %s: has the same kind of key as %s (%s); list one certificate for each kind",
		               tls_place(where, "certificate", place), pair->file, other->file,
		               EVP_PKEY_get0_type_name(pair->key));
	}
	return 0;
}

/* Which of them a client gets depends on what it can use, and not on the name it asks for. */
static void warn_names(const struct pair *a, const struct pair *b, const struct tls_where *where, struct err *warnings)
{
	char *name = pair_lacking_name(a, b), place[TLS_PLACE_MAX];

	if (name != NULL)
		err_add(warnings, "%s certificate %s: is not for %s, as %s is: some clients that ask for it will refuse this one",
		        tls_place(where, "certificate", place), b->file, name, a->file);
	free(name);
}

static int load_pairs(struct identity *identity, const struct tls_identity *id, struct err *err, struct err *warnings)
{
	int result = 0;

	assert(id->keys.count == 0 || id->keys.count == id->certificates.count);
	identity->pair = mem_zalloc(id->certificates.count * sizeof(*identity->pair));
	for (size_t i = 0; i < id->certificates.count; i++) {
		struct pair *pair = &identity->pair[identity->pairs];
		const struct pair_files files = { &id->where, id->certificates.item[i],
			                          id->keys.count > 0 ? id->keys.item[i] : NULL };
		if (pair_load(pair, identity->ctx, &files, err, warnings) != 0) {
			result = -1;
			continue;
		}
		identity->pairs++;
		if (check_kind(identity, pair, &id->where, err) != 0)
			result = -1;
		warn_names(&identity->pair[0], pair, &id->where, warnings);
		warn_names(pair, &identity->pair[0], &id->where, warnings);
	}
	return result;
}

/* To clients, who choose a certificate by it. */
static void name_authorities(SSL_CTX *ctx)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));

	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		X509 *one = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
		if (one != NULL)
			(void)SSL_CTX_add_client_CA(ctx, one);
	}
}

static int load_client_policy(SSL_CTX *ctx, const struct tls_identity *id, struct err *err)
{
	static const int modes[] = {
		[TLS_CLIENT_CERT_OFF] = SSL_VERIFY_NONE,
		[TLS_CLIENT_CERT_OPTIONAL] = SSL_VERIFY_PEER,
		[TLS_CLIENT_CERT_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};

	char place[TLS_PLACE_MAX];

	SSL_CTX_set_verify(ctx, modes[id->client_certificate], NULL);
	if (id->client_certificate == TLS_CLIENT_CERT_OFF)
		return 0;
	if (!tls_given(id->client_ca))
		return err_add(err, "%s client_ca: needed to check client certificates",
		               tls_place(&id->where, "client_certificate", place));
	if (tls_context_trust(ctx, &id->where, "client_ca", id->client_ca, err) != 0)
		return -1;
	name_authorities(ctx);
	return 0;
}

/* Rewrites the cipher list without suites that are not AEAD; what the operator meant by "HIGH" stays usable. */
static int keep_aead(SSL_CTX *ctx, const struct tls_identity *id, struct err *err, struct err *warnings)
{
	STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(ctx);
	char *kept = mem_strdup("");
	const char *dropped = NULL;
	char place[TLS_PLACE_MAX];

	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
		const char *name = SSL_CIPHER_get_name(suite);
		if (!SSL_CIPHER_is_aead(suite)) {
			dropped = name;
		} else if (strcmp(SSL_CIPHER_get_version(suite), "TLSv1.3") != 0) {
			char *longer = mem_printf("%s%s%s", kept, kept[0] != '\0' ? ":" : "", name);
			free(kept);
			kept = longer;
		}
	}
	int result = 0;
	if (kept[0] == '\0')
		result = err_add(err, "%s ciphers: no AEAD suite among \"%s\"", tls_place(&id->where, "ciphers", place),
		                 id->ciphers);
	else if (dropped != NULL && SSL_CTX_set_cipher_list(ctx, kept) == 1)
		err_add(warnings, "%s ciphers: suites that are not AEAD are left out, such as %s",
		        tls_place(&id->where, "ciphers", place), dropped);
	free(kept);
	return result;
}

static int load_ciphers(SSL_CTX *ctx, const struct tls_identity *id, struct err *err, struct err *warnings)
{
	static const char unknown[] = "no such cipher suite";
	int result = 0;

	if (tls_given(id->ciphersuites) && SSL_CTX_set_ciphersuites(ctx, id->ciphersuites) != 1)
		result = tls_complain(&id->where, "ciphersuites", id->ciphersuites, tls_queued_cause(unknown), err);
	if (!tls_given(id->ciphers))
		return result;
	if (SSL_CTX_set_cipher_list(ctx, id->ciphers) != 1)
		return tls_complain(&id->where, "ciphers", id->ciphers, tls_queued_cause(unknown), err);
	return keep_aead(ctx, id, err, warnings) != 0 ? -1 : result;
}

static int load_groups(SSL_CTX *ctx, const struct tls_identity *id, struct err *err)
{
	const char *groups = tls_given(id->groups) ? id->groups : GROUPS;

	if (strcasestr(groups, "ffdhe") != NULL)
		return tls_complain(&id->where, "groups", groups, "finite field groups are not supported; list elliptic curves",
		                    err);
	if (SSL_CTX_set1_groups_list(ctx, groups) == 1)
		return 0;
	ERR_clear_error();
	return tls_complain(&id->where, "groups", groups, "not a list such as X25519:P-256:P-384, each group once", err);
}

/* RFC 7301 section 3.2: who offers protocols, and not ours, is told so now and not by an answer it cannot read. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "\x08"
	                                    "http/1.1";
	unsigned char *chosen;
	int found = SSL_select_next_proto(&chosen, outlen, ours, sizeof(ours) - 1, in, inlen);

	*out = chosen;
	return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context_new(const struct tls_identity *id, size_t index, struct err *err)
{
	SSL_CTX *ctx = tls_context_new(TLS_server_method(), &id->where, err);
	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)&index, sizeof(index));
	SSL_CTX_set_num_tickets(ctx, id->tickets ? 1 : 0);
	if (!id->tickets)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (id->tls13_only)
		SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	return ctx;
}

/* index becomes the session id context: a ticket of one identity is nothing to another, which may ask for more. */
int identity_load(struct identity *identity, const struct tls_identity *id, size_t index, struct err *err, struct err *warnings)
{
	*identity = (struct identity){ .ctx = context_new(id, index, err), .client_certificate = id->client_certificate };
	if (identity->ctx == NULL)
		return -1;
	identity->client_ca = mem_strdup(tls_given(id->client_ca) ? id->client_ca : "");
	identity->groups = mem_strdup(tls_given(id->groups) ? id->groups : GROUPS);
	bool failed = load_pairs(identity, id, err, warnings) != 0;
	failed |= load_client_policy(identity->ctx, id, err) != 0;
	failed |= load_ciphers(identity->ctx, id, err, warnings) != 0;
	failed |= load_groups(identity->ctx, id, err) != 0;
	if (!failed)
		return 0;
	identity_clear(identity);
	return -1;
}

void identity_clear(struct identity *identity)
{
	for (size_t i = 0; i < identity->pairs; i++)
		pair_clear(&identity->pair[i]);
	free(identity->pair);
	SSL_CTX_free(identity->ctx);
	free(identity->client_ca);
	free(identity->groups);
}

bool identity_is_for(const struct identity *identity, struct span name, unsigned flags)
{
	for (size_t i = 0; i < identity->pairs; i++)
		if (pair_is_for(&identity->pair[i], name, flags))
			return true;
	return false;
}

char *identity_common_name(const struct identity *a, const struct identity *b)
{
	char *name = NULL;

	for (size_t i = 0; i < a->pairs * b->pairs && name == NULL; i++)
		name = pair_common_name(&a->pair[i / b->pairs], &b->pair[i % b->pairs]);
	return name;
}

bool identity_asks_the_same(const struct identity *a, const struct identity *b)
{
	return a->client_certificate == b->client_certificate && strcmp(a->client_ca, b->client_ca) == 0;
}
