/* tls_identity.c owns what one identity loads: certificate, key, and the policy for its names.
 * It must never choose between identities, nor build a context around tls_context_new(). */
#include "net/tls_identity.h"

#include "base/mem.h"
#include "net/tls_context.h"
#include "net/tls_reason.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What every client has. P-384 and the larger cost us ten times as much, and a client asks for them for nothing. */
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
#define GROUPS "X25519MLKEM768:X25519:P-256"
#else
#define GROUPS "X25519:P-256"
#endif

static void warn_dates(const X509 *leaf, const struct tls_identity *id, struct err *warnings)
{
	const ASN1_TIME *begin = X509_get0_notBefore(leaf), *end = X509_get0_notAfter(leaf);
	bool expired = X509_cmp_current_time(end) < 0;
	bool early = X509_cmp_current_time(begin) > 0;
	struct tm day;
	char date[32] = "?";

	if (!expired && !early)
		return;
	if (ASN1_TIME_to_tm(expired ? end : begin, &day) == 1)
		(void)strftime(date, sizeof(date), "%Y-%m-%d", &day);
	err_add(warnings, "%s certificate %s: certificate %s %s", id->where, id->certificate,
	        expired ? "has expired on" : "is not valid before", date);
}

static int load_certificate(SSL_CTX *ctx, const struct tls_identity *id, struct err *err, struct err *warnings)
{
	if (tls_pem_check(id->where, "certificate", id->certificate, err) != 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(ctx, id->certificate) != 1)
		return tls_complain(id->where, "certificate", id->certificate,
		                    tls_queued_cause("not a PEM certificate"), err);
	warn_dates(SSL_CTX_get0_certificate(ctx), id, warnings);
	return 0;
}

static EVP_PKEY *read_key(const struct tls_identity *id, const char *path, struct err *err)
{
	bool asked = false;
	FILE *file = tls_pem_open(id->where, "key", path, err);

	if (file == NULL)
		return NULL;
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, tls_refuse_passphrase, &asked);
	fclose(file);
	if (key == NULL && asked)
		tls_complain(id->where, "key", path,
		             "is protected by a passphrase, and there is nobody to ask; store it without", err);
	else if (key == NULL)
		tls_complain(id->where, "key", path,
		             tls_given(id->key) ? "no private key in PEM form in it"
		                            : "no private key in PEM form in it; is it in a file of its own?",
		             err);
	ERR_clear_error();
	return key;
}

static bool is_closed_to_us(const char *path)
{
	FILE *file = fopen(path, "re");

	if (file != NULL)
		fclose(file);
	return file == NULL && errno == EACCES;
}

/* A key that was read while there were rights to; the caller's, NULL if none fits. */
static EVP_PKEY *kept_key(const SSL_CTX *ctx, const struct tls_server *before)
{
	for (size_t i = 0; before != NULL && i < before->count; i++) {
		EVP_PKEY *key = SSL_CTX_get0_privatekey(before->identity[i].ctx);
		if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) == 1 && EVP_PKEY_up_ref(key) == 1)
			return key;
	}
	ERR_clear_error();
	return NULL;
}

static int load_key(SSL_CTX *ctx, const struct tls_identity *id, struct err *err)
{
	const char *path = tls_given(id->key) ? id->key : id->certificate;
	EVP_PKEY *key = is_closed_to_us(path) ? kept_key(ctx, id->before) : NULL;
	int result = 0;

	if (key == NULL)
		key = read_key(id, path, err);
	if (key == NULL)
		return -1;
	if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
		result = tls_complain(id->where, "key", path, "key does not belong to the certificate", err);
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		result = tls_complain(id->where, "key", path, tls_queued_cause("unusable"), err);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return result;
}

static int load_client_policy(SSL_CTX *ctx, const struct tls_identity *id, struct err *err)
{
	static const int modes[] = {
		[TLS_CLIENT_CERT_OFF] = SSL_VERIFY_NONE,
		[TLS_CLIENT_CERT_OPTIONAL] = SSL_VERIFY_PEER,
		[TLS_CLIENT_CERT_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};

	SSL_CTX_set_verify(ctx, modes[id->client_certificate], NULL);
	if (id->client_certificate == TLS_CLIENT_CERT_OFF)
		return 0;
	if (!tls_given(id->client_ca))
		return err_add(err, "%s client_ca: needed to check client certificates", id->where);
	if (tls_context_trust(ctx, id->where, "client_ca", id->client_ca, err) != 0)
		return -1;
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(id->client_ca);
	if (names == NULL)
		return tls_complain(id->where, "client_ca", id->client_ca,
		                    tls_queued_cause("not a PEM file of certificates"), err);
	SSL_CTX_set_client_CA_list(ctx, names);
	return 0;
}

/* Rewrites the cipher list without suites that are not AEAD; what the operator meant by "HIGH" stays usable. */
static int keep_aead(SSL_CTX *ctx, const struct tls_identity *id, struct err *err, struct err *warnings)
{
	STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(ctx);
	char *kept = mem_strdup("");
	const char *dropped = NULL;

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
		result = err_add(err, "%s ciphers: no AEAD suite among \"%s\"", id->where, id->ciphers);
	else if (dropped != NULL && SSL_CTX_set_cipher_list(ctx, kept) == 1)
		err_add(warnings, "%s ciphers: suites that are not AEAD are left out, such as %s", id->where, dropped);
	free(kept);
	return result;
}

static int load_ciphers(SSL_CTX *ctx, const struct tls_identity *id, struct err *err, struct err *warnings)
{
	static const char unknown[] = "no such cipher suite";
	int result = 0;

	if (tls_given(id->ciphersuites) && SSL_CTX_set_ciphersuites(ctx, id->ciphersuites) != 1)
		result = tls_complain(id->where, "ciphersuites", id->ciphersuites, tls_queued_cause(unknown), err);
	if (!tls_given(id->ciphers))
		return result;
	if (SSL_CTX_set_cipher_list(ctx, id->ciphers) != 1)
		return tls_complain(id->where, "ciphers", id->ciphers, tls_queued_cause(unknown), err);
	return keep_aead(ctx, id, err, warnings) != 0 ? -1 : result;
}

static int load_groups(SSL_CTX *ctx, const struct tls_identity *id, struct err *err)
{
	const char *groups = tls_given(id->groups) ? id->groups : GROUPS;

	if (strcasestr(groups, "ffdhe") != NULL)
		return tls_complain(id->where, "groups", groups, "finite fields are not spoken; name elliptic curves", err);
	if (SSL_CTX_set1_groups_list(ctx, groups) == 1)
		return 0;
	ERR_clear_error();
	return tls_complain(id->where, "groups", groups, "not a list such as X25519:P-256:P-384, each group once", err);
}

/* RFC 7301 section 3.2: who offers protocols, and not ours, is told so now and not by an answer it cannot read. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen,
                   void *arg)
{
	static const char wanted[] = "http/1.1";

	(void)ssl;
	(void)arg;
	for (unsigned i = 0; i < inlen && in[i] < inlen - i; i += 1u + in[i]) {
		if (in[i] == sizeof(wanted) - 1 && memcmp(in + i + 1, wanted, sizeof(wanted) - 1) == 0) {
			*out = in + i + 1;
			*outlen = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context_new(const struct tls_identity *id, size_t index, struct err *err)
{
	SSL_CTX *ctx = tls_context_new(TLS_server_method(), id->where, err);
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
int identity_load(struct identity *identity, const struct tls_identity *id, size_t index, struct err *err,
                  struct err *warnings)
{
	SSL_CTX *ctx = context_new(id, index, err);
	if (ctx == NULL)
		return -1;
	bool failed = load_certificate(ctx, id, err, warnings) != 0 || load_key(ctx, id, err) != 0;
	failed |= load_client_policy(ctx, id, err) != 0;
	failed |= load_ciphers(ctx, id, err, warnings) != 0;
	failed |= load_groups(ctx, id, err) != 0;
	if (failed) {
		SSL_CTX_free(ctx);
		return -1;
	}
	identity->ctx = ctx;
	identity->client_certificate = id->client_certificate;
	identity->client_ca = mem_strdup(tls_given(id->client_ca) ? id->client_ca : "");
	identity->groups = mem_strdup(tls_given(id->groups) ? id->groups : GROUPS);
	return 0;
}

void identity_clear(struct identity *identity)
{
	SSL_CTX_free(identity->ctx);
	free(identity->client_ca);
	free(identity->groups);
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

bool identity_is_for(const struct identity *identity, struct span name, unsigned flags)
{
	return X509_check_host(SSL_CTX_get0_certificate(identity->ctx), name.p, name.n, flags, NULL) == 1;
}

bool identity_asks_the_same(const struct identity *a, const struct identity *b)
{
	return a->client_certificate == b->client_certificate && strcmp(a->client_ca, b->client_ca) == 0;
}
