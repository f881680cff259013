/* tls.c owns the TLS contexts: what an identity loads, which one a server name gets, and what a backend must prove.
 * It must never touch a descriptor or an event, and never build a context around tls_context_new(). */
#include "net/tls.h"

#include "base/mem.h"
#include "net/tls_context.h"
#include "net/tls_reason.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tls_server {
	SSL_CTX **ctx; /* one an identity; each carries the whole policy of it */
	size_t count;
};

struct tls_client {
	SSL_CTX *ctx;
	char *server_name; /* for SNI; NULL when the backend is named by its IP address */
};

void tls_prepare(void)
{
	(void)OPENSSL_init_ssl(0, NULL);
}

/* --- one identity ------------------------------------------------------------------------------------------------- */

static bool given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

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
		             given(id->key) ? "no private key in PEM form in it"
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
		EVP_PKEY *key = SSL_CTX_get0_privatekey(before->ctx[i]);
		if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) == 1 && EVP_PKEY_up_ref(key) == 1)
			return key;
	}
	ERR_clear_error();
	return NULL;
}

static int load_key(SSL_CTX *ctx, const struct tls_identity *id, struct err *err)
{
	const char *path = given(id->key) ? id->key : id->certificate;
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
	if (!given(id->client_ca))
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

	if (given(id->ciphersuites) && SSL_CTX_set_ciphersuites(ctx, id->ciphersuites) != 1)
		result = tls_complain(id->where, "ciphersuites", id->ciphersuites, tls_queued_cause(unknown), err);
	if (!given(id->ciphers))
		return result;
	if (SSL_CTX_set_cipher_list(ctx, id->ciphers) != 1)
		return tls_complain(id->where, "ciphers", id->ciphers, tls_queued_cause(unknown), err);
	return keep_aead(ctx, id, err, warnings) != 0 ? -1 : result;
}

/* Offering h2 alone is no reason to refuse: such a client may well speak HTTP/1.1 when nothing was chosen. */
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
	return SSL_TLSEXT_ERR_NOACK;
}

/* index becomes the session id context: a ticket of one identity is nothing to another, which may ask for more. */
static SSL_CTX *identity_new(const struct tls_identity *id, size_t index, struct err *err, struct err *warnings)
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

	bool failed = load_certificate(ctx, id, err, warnings) != 0 || load_key(ctx, id, err) != 0;
	failed |= load_client_policy(ctx, id, err) != 0;
	failed |= load_ciphers(ctx, id, err, warnings) != 0;
	if (!failed)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* --- the server, and SNI ------------------------------------------------------------------------------------------ */

/* Takes a number of two bytes off the front; what it counts must then be there as well. */
static bool take_length(struct span *in, size_t *n)
{
	if (in->n < 2)
		return false;
	*n = (size_t)(unsigned char)in->p[0] << 8 | (unsigned char)in->p[1];
	in->p += 2;
	in->n -= 2;
	return *n <= in->n;
}

/* RFC 6066 section 3: a list, in which only the type 0, host_name, exists. Malformed ones OpenSSL refuses later. */
static struct span requested_name(SSL *ssl)
{
	struct span in, none = { NULL, 0 };
	const unsigned char *bytes;
	size_t n;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &in.n) != 1)
		return none;
	in.p = (const char *)bytes;
	if (!take_length(&in, &n) || in.n < 1 || in.p[0] != TLSEXT_NAMETYPE_host_name)
		return none;
	in.p++;
	in.n--;
	return take_length(&in, &n) && n > 0 ? (struct span){ in.p, n } : none;
}

/* A certificate for exactly this name goes before one for a wildcard, in whatever order they are configured. */
static SSL_CTX *context_for(const struct tls_server *server, struct span name)
{
	static const unsigned flags[] = { X509_CHECK_FLAG_NO_WILDCARDS, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS };

	for (size_t pass = 0; pass < ARRAY_LEN(flags); pass++)
		for (size_t i = 0; i < server->count; i++)
			if (X509_check_host(SSL_CTX_get0_certificate(server->ctx[i]), name.p, name.n, flags[pass],
			                    NULL) == 1)
				return server->ctx[i];
	return server->ctx[0];
}

/* Everything that SSL_set_SSL_CTX leaves as the first context had it. */
static void adopt(SSL *ssl, SSL_CTX *ctx)
{
	SSL_set_SSL_CTX(ssl, ctx);
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), NULL);
	SSL_set_min_proto_version(ssl, (int)SSL_CTX_get_min_proto_version(ctx));
	SSL_clear_options(ssl, SSL_OP_NO_TICKET);
	SSL_set_options(ssl, SSL_CTX_get_options(ctx));
	SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(ctx));
	X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl), X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(ctx)));
}

/* The servername callback would come too late: by then the version is chosen and tickets have been looked at. */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *server = arg;
	struct span name = requested_name(ssl);
	SSL_CTX *ctx = name.p != NULL ? context_for(server, name) : server->ctx[0];

	(void)alert;
	if (ctx != server->ctx[0])
		adopt(ssl, ctx);
	ERR_clear_error();
	return SSL_CLIENT_HELLO_SUCCESS;
}

struct tls_server *tls_server_new(const struct tls_identity *identities, size_t count, struct err *err,
                                  struct err *warnings)
{
	bool failed = false;

	if (count == 0) {
		err_add(err, "TLS needs a certificate");
		return NULL;
	}
	struct tls_server *server = mem_zalloc(sizeof(*server));
	server->ctx = mem_resize(NULL, count, sizeof(SSL_CTX *));
	for (size_t i = 0; i < count; i++) {
		SSL_CTX *ctx = identity_new(&identities[i], i, err, warnings);
		if (ctx != NULL)
			server->ctx[server->count++] = ctx;
		else
			failed = true;
	}
	if (failed) {
		tls_server_free(server);
		return NULL;
	}
	if (count > 1)
		SSL_CTX_set_client_hello_cb(server->ctx[0], on_client_hello, server);
	return server;
}

void tls_server_free(struct tls_server *server)
{
	if (server == NULL)
		return;
	for (size_t i = 0; i < server->count; i++)
		SSL_CTX_free(server->ctx[i]);
	free(server->ctx);
	free(server);
}

SSL *tls_server_ssl(const struct tls_server *server)
{
	SSL *ssl = SSL_new(server->ctx[0]);
	if (ssl != NULL)
		SSL_set_accept_state(ssl);
	return ssl;
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static bool is_ip(const char *name)
{
	unsigned char any[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, name, any) == 1 || inet_pton(AF_INET6, name, any) == 1;
}

static int client_verify(SSL_CTX *ctx, const char *where, const char *ca, const char *name, struct err *err)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	int named =
	        is_ip(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name) : X509_VERIFY_PARAM_set1_host(param, name, 0);

	if (name[0] == '\0' || named != 1)
		return err_add(err, "%s: \"%s\" is no name that a certificate could be checked against", where, name);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (given(ca))
		return tls_context_trust(ctx, where, "target_ca", ca, err);
	if (SSL_CTX_set_default_verify_paths(ctx) != 1)
		return err_add(err, "%s: the system's certificates: %s", where, tls_queued_cause("can't be loaded"));
	return 0;
}

struct tls_client *tls_client_new(const char *where, const char *ca, const char *name, bool verify, struct err *err)
{
	struct tls_client *client = mem_zalloc(sizeof(*client));
	size_t n = name != NULL ? strlen(name) : 0;
	char *bare = n > 0 && name[n - 1] == '.' ? mem_strndup(name, n - 1) : mem_strndup(n > 0 ? name : "", n);

	if (bare[0] != '\0' && !is_ip(bare))
		client->server_name = mem_strdup(bare);
	client->ctx = tls_context_new(TLS_client_method(), where, err);
	if (client->ctx == NULL || (verify && client_verify(client->ctx, where, ca, bare, err) != 0)) {
		tls_client_free(client);
		client = NULL;
	}
	free(bare);
	return client;
}

void tls_client_free(struct tls_client *client)
{
	if (client == NULL)
		return;
	SSL_CTX_free(client->ctx);
	free(client->server_name);
	free(client);
}

SSL *tls_client_ssl(const struct tls_client *client)
{
	SSL *ssl = SSL_new(client->ctx);
	if (ssl == NULL)
		return NULL;
	SSL_set_connect_state(ssl);
	if (client->server_name != NULL && SSL_set_tlsext_host_name(ssl, client->server_name) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}
