/* tls.c owns the TLS contexts: which identity a server name gets, and what a backend must prove.
 * It must never touch a descriptor or an event, and never build a context around tls_context_new(). */
#include "net/tls.h"

#include "base/mem.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"
#include "net/tls_reason.h"
#include "proto/ip.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct tls_client {
	SSL_CTX *ctx;
	char *name;    /* of the backend, without a final dot; "" if it has none */
	bool send_sni; /* there is a name, and it is no IP address */
};

void tls_prepare(void)
{
	(void)OPENSSL_init_ssl(0, NULL);
}

/* Takes a number of two bytes off the front; what it counts must then be there as well. */
static bool take_length(struct span *in, size_t *n)
{
	if (in->n < 2)
		return false;
	*n = (size_t)(unsigned char)in->p[0] << 8 | (unsigned char)in->p[1];
	*in = span_skip(*in, 2);
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
	in = span_skip(in, 1);
	return take_length(&in, &n) && n > 0 ? (struct span){ in.p, n } : none;
}

/* A certificate for exactly this name goes before one for a wildcard, in whatever order they are configured. */
static const struct identity *identity_for(const struct tls_server *server, struct span name)
{
	static const unsigned flags[] = { X509_CHECK_FLAG_NO_WILDCARDS, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS };

	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--; /* a name that is said to be complete, as certificates never say it */
	for (size_t pass = 0; pass < ARRAY_LEN(flags) && name.n > 0; pass++)
		for (size_t i = 0; i < server->count; i++)
			if (identity_is_for(&server->identity[i], name, flags[pass]))
				return &server->identity[i];
	return &server->identity[0];
}

/* Everything that SSL_set_SSL_CTX leaves as the first context had it. */
static bool adopt(SSL *ssl, const struct identity *identity)
{
	SSL_CTX *ctx = identity->ctx;
	SSL_set_SSL_CTX(ssl, ctx);
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), NULL);
	SSL_set_min_proto_version(ssl, (int)SSL_CTX_get_min_proto_version(ctx));
	SSL_clear_options(ssl, SSL_OP_NO_TICKET);
	SSL_set_options(ssl, SSL_CTX_get_options(ctx));
	SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(ctx));
	X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl), X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(ctx)));
	return SSL_set1_groups_list(ssl, identity->groups) == 1;
}

/* The servername callback would come too late: by then the version is chosen and tickets have been looked at. */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *server = arg;
	const struct identity *identity = identity_for(server, requested_name(ssl));
	bool adopted = identity == &server->identity[0] || adopt(ssl, identity);

	ERR_clear_error();
	*alert = SSL_AD_INTERNAL_ERROR;
	return adopted ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

/* The first section would be chosen always. */
static int check_names(const struct tls_server *server, const struct tls_identity *identities, struct err *err)
{
	int result = 0;

	for (size_t i = 0; i < server->count; i++) {
		for (size_t k = 0; k < i; k++) {
			char *name = identity_common_name(&server->identity[i], &server->identity[k]);
			char place[TLS_PLACE_MAX], first[TLS_PLACE_MAX];
			if (name != NULL)
				result = err_add(
				        err,
				        "%s certificate %s: is for %s, as is that of %s, which is always used first; put both "
				        "certificates in one section, or remove one",
				        tls_place(&identities[i].where, "certificate", place), identities[i].certificates.item[0],
				        name, tls_place(&identities[k].where, "certificate", first));
			free(name);
		}
	}
	return result;
}

struct tls_server *tls_server_new(const struct tls_identity *identities, size_t count, struct err *err, struct err *warnings)
{
	if (count == 0) {
		err_add(err, "TLS needs a certificate");
		return NULL;
	}
	struct tls_server *server = mem_zalloc(sizeof(*server));
	server->identity = mem_zalloc(count * sizeof(*server->identity));
	for (size_t i = 0; i < count; i++)
		server->count += identity_load(&server->identity[server->count], &identities[i], i, err, warnings) == 0;
	if (server->count < count || check_names(server, identities, err) != 0) {
		tls_server_free(server);
		return NULL;
	}
	server->alike = true;
	for (size_t i = 1; i < count; i++)
		server->alike = server->alike && identity_asks_the_same(&server->identity[0], &server->identity[i]);
	if (count > 1)
		SSL_CTX_set_client_hello_cb(server->identity[0].ctx, on_client_hello, server);
	return server;
}

void tls_server_free(struct tls_server *server)
{
	if (server == NULL)
		return;
	for (size_t i = 0; i < server->count; i++)
		identity_clear(&server->identity[i]);
	free(server->identity);
	free(server);
}

/* Keeps the alert that the library found fit for what went wrong. It finds one for a connection that is lost, too, and for a
 * certificate on a curve that groups does not name. */
static void on_alert(const SSL *ssl, int where, int alert)
{
	int reason = ERR_GET_REASON(ERR_peek_last_error());
	bool innocent = reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || reason == SSL_R_WRONG_CURVE;
	if (where == SSL_CB_WRITE_ALERT && !innocent)
		SSL_set_app_data((SSL *)ssl, (void *)(intptr_t)(alert & 0xff));
}

SSL *tls_server_ssl(const struct tls_server *server)
{
	SSL *ssl = SSL_new(server->identity[0].ctx);
	if (ssl == NULL)
		return NULL;
	SSL_set_accept_state(ssl);
	SSL_set_info_callback(ssl, on_alert);
	return ssl;
}

bool tls_was_violated(const SSL *ssl)
{
	switch ((int)(intptr_t)SSL_get_app_data(ssl)) {
	case SSL_AD_UNEXPECTED_MESSAGE:
	case SSL_AD_BAD_RECORD_MAC:
	case SSL_AD_RECORD_OVERFLOW:
	case SSL_AD_ILLEGAL_PARAMETER:
	case SSL_AD_DECODE_ERROR:
	case SSL_AD_DECRYPT_ERROR:
	case SSL_AD_MISSING_EXTENSION:
		return true;
	default:
		return false;
	}
}

bool tls_server_admits(const struct tls_server *server, const SSL *ssl, struct span host)
{
	if (server->alike)
		return true; /* to look for the name costs microseconds a certificate */
	const struct identity *met = server->identity, *meant = identity_for(server, host);
	while (met->ctx != SSL_get_SSL_CTX(ssl))
		met++;
	ERR_clear_error();
	return met == meant || identity_asks_the_same(met, meant);
}

bool tls_server_requires(const struct tls_server *server, struct span host)
{
	const struct identity *meant = identity_for(server, host);

	ERR_clear_error();
	return meant->client_certificate == TLS_CLIENT_CERT_REQUIRED;
}

bool tls_asks_for_certificate(const SSL *ssl)
{
	return SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
}

static int client_verify(SSL_CTX *ctx, const struct tls_where *where, const char *ca, const char *name, struct err *err)
{
	char place[TLS_PLACE_MAX];
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	int named = ip_is_number(span_of(name)) ? X509_VERIFY_PARAM_set1_ip_asc(param, name)
	                                        : X509_VERIFY_PARAM_set1_host(param, name, 0);

	if (name[0] == '\0' || named != 1)
		return err_add(err, "%s: \"%s\" is not a name that a certificate can be checked against",
		               tls_place(where, "target_name", place), name);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (tls_given(ca))
		return tls_context_trust(ctx, where, "target_ca", ca, err);
	tls_context_trust_system(ctx, where->opener);
	return 0;
}

struct tls_client *tls_client_new(const struct tls_where *where, const char *ca, const char *name, bool verify, struct err *err)
{
	struct tls_client *client = mem_zalloc(sizeof(*client));
	size_t n = name != NULL ? strlen(name) : 0;

	client->name = mem_strndup(n > 0 ? name : "", n > 0 && name[n - 1] == '.' ? n - 1 : n);
	client->send_sni = client->name[0] != '\0' && !ip_is_number(span_of(client->name));
	client->ctx = tls_context_new(TLS_client_method(), where, err);
	if (client->ctx != NULL && (!verify || client_verify(client->ctx, where, ca, client->name, err) == 0))
		return client;
	tls_client_free(client);
	return NULL;
}

void tls_client_free(struct tls_client *client)
{
	if (client == NULL)
		return;
	SSL_CTX_free(client->ctx);
	free(client->name);
	free(client);
}

SSL *tls_client_ssl(const struct tls_client *client)
{
	SSL *ssl = SSL_new(client->ctx);
	if (ssl == NULL)
		return NULL;
	SSL_set_connect_state(ssl);
	if (client->send_sni && SSL_set_tlsext_host_name(ssl, client->name) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}
