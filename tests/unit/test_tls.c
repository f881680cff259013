/* TLS contexts as a peer meets them: each test does handshakes through memory against clients and servers made here.
 * The certificates are made anew for every run. */
#include "net/tls.h"
#include "net/tls_reason.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- certificates ------------------------------------------------------------------------------------------------- */

enum { KEY_EC, KEY_RSA, KEY_SHORT, KEY_P384 };

static const struct {
	const char *name;   /* of the files: NAME.pem, NAME.key */
	const char *signer; /* NULL: itself */
	const char *names;  /* subjectAltName */
	int begin, end;     /* days from now */
	int key;
} wanted[] = {
	{ "ca", NULL, NULL, -1, 10, KEY_EC },
	{ "otherca", NULL, NULL, -1, 10, KEY_EC },
	{ "a", "ca", "DNS:a.test", -1, 10, KEY_EC },
	{ "b", "ca", "DNS:b.test,DNS:bb.test", -1, 10, KEY_EC },
	{ "wild", "ca", "DNS:*.w.test", -1, 10, KEY_EC },
	{ "exact", "ca", "DNS:c.w.test", -1, 10, KEY_EC },
	{ "rsa", "ca", "DNS:a.test", -1, 10, KEY_RSA },
	{ "short", "ca", "DNS:a.test", -1, 10, KEY_SHORT },
	{ "expired", "ca", "DNS:a.test", -9, -2, KEY_EC },
	{ "early", "ca", "DNS:a.test", 2, 9, KEY_EC },
	{ "self", NULL, "DNS:a.test", -1, 10, KEY_EC },
	{ "ip", "ca", "IP:192.0.2.1,IP:2001:db8::1", -1, 10, KEY_EC },
	{ "user", "ca", "email:user@test", -1, 10, KEY_EC },
	{ "user384", "ca", "email:user@test", -1, 10, KEY_P384 },
	{ "stranger", "otherca", "email:user@test", -1, 10, KEY_EC },
};
#define MADE ARRAY_LEN(wanted)

static char dir[64];
static EVP_PKEY *keys[MADE];
static X509 *certs[MADE];

/* The path of a file in the test's directory; good for the next eight calls. */
static const char *at(const char *name)
{
	static char paths[8][128];
	static size_t next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static FILE *create(const char *name)
{
	FILE *file = fopen(at(name), "w");
	assert_non_null(file);
	return file;
}

static size_t made(const char *name)
{
	size_t i = 0;
	while (strcmp(wanted[i].name, name) != 0)
		i++;
	return i;
}

static EVP_PKEY *make_key(int kind)
{
	if (kind == KEY_P384)
		return EVP_EC_gen("P-384");
	return kind == KEY_EC ? EVP_EC_gen("P-256") : EVP_RSA_gen(kind == KEY_RSA ? 2048u : 1024u);
}

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(extension);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
}

static void make_cert(size_t i)
{
	X509 *cert = certs[i] = X509_new();
	size_t signer = wanted[i].signer != NULL ? made(wanted[i].signer) : i;
	X509_NAME *name = X509_get_subject_name(cert);

	keys[i] = make_key(wanted[i].key);
	assert_non_null(keys[i]);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)i + 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), wanted[i].begin * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(cert), wanted[i].end * 86400L);
	X509_set_pubkey(cert, keys[i]);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wanted[i].name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(certs[signer]));
	add_extension(cert, NID_basic_constraints, wanted[i].names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (wanted[i].names != NULL)
		add_extension(cert, NID_subject_alt_name, wanted[i].names);
	assert_true(X509_sign(cert, keys[signer], EVP_sha256()) > 0);
}

static void write_files(size_t i)
{
	char name[32];

	snprintf(name, sizeof(name), "%s.pem", wanted[i].name);
	FILE *file = create(name);
	PEM_write_X509(file, certs[i]);
	fclose(file);
	snprintf(name, sizeof(name), "%s.key", wanted[i].name);
	file = create(name);
	PEM_write_PrivateKey(file, keys[i], NULL, NULL, 0, NULL, NULL);
	fclose(file);
}

static int make_all(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/sallyport-tls-XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < MADE; i++) {
		make_cert(i);
		write_files(i);
	}
	size_t a = made("a");
	FILE *file = create("both.pem");
	PEM_write_X509(file, certs[a]);
	PEM_write_PrivateKey(file, keys[a], NULL, NULL, 0, NULL, NULL);
	fclose(file);
	file = create("locked.key");
	PEM_write_PrivateKey(file, keys[a], EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
	fclose(file);
	file = create("junk.pem");
	fputs("-----BEGIN CERTIFICATE-----\nAAAA!!!!\n-----END CERTIFICATE-----\n", file);
	fclose(file);
	fclose(create("empty.pem"));
	assert_int_equal(mkdir(at("folder"), 0700), 0);
	return 0;
}

static int remove_all(void **state)
{
	static const char *const others[] = { "both.pem", "locked.key", "junk.pem", "empty.pem", "folder" };
	char name[32];
	(void)state;

	for (size_t i = 0; i < MADE; i++) {
		X509_free(certs[i]);
		EVP_PKEY_free(keys[i]);
		snprintf(name, sizeof(name), "%s.pem", wanted[i].name);
		remove(at(name));
		snprintf(name, sizeof(name), "%s.key", wanted[i].name);
		remove(at(name));
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		remove(at(others[i]));
	return rmdir(dir);
}

/* --- handshakes through memory ------------------------------------------------------------------------------------ */

/* What the client of one handshake does; zero is what any browser would. */
struct client {
	int version;             /* the only one; 0: all */
	const char *ciphers;     /* of TLS 1.2 */
	const char *groups;      /* of key exchange */
	const char *sni;
	const char *alpn;        /* as on the wire */
	const char *certificate; /* NAME of the files */
	SSL_SESSION *session;
	SSL_CTX *ctx;            /* NULL: one is made and freed */
};

struct meeting {
	SSL *server, *client;
	SSL_CTX *ctx;            /* the client's, when it was made for this meeting */
	bool server_failed, client_failed;
	char server_why[200], client_why[200];
	bool ok;                 /* both are through, and a byte came across in each direction */
};

/* By the oldest error of the queue; the rest only says who called whom. */
static void explain(const SSL *ssl, char *why, size_t cap)
{
	tls_reason(ssl, ERR_get_error(), why, cap);
	ERR_clear_error();
}

static bool step(SSL *ssl, char *why, size_t cap)
{
	ERR_clear_error();
	int n = SSL_do_handshake(ssl);
	int error = SSL_get_error(ssl, n);
	if (n == 1 || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return true;
	explain(ssl, why, cap);
	return false;
}

static bool crosses(SSL *from, SSL *to, char *why, size_t cap)
{
	char byte = 'x';

	ERR_clear_error();
	if (SSL_write(from, &byte, 1) == 1 && SSL_read(to, &byte, 1) == 1)
		return true;
	explain(to, why, cap);
	return false;
}

static void connect_bios(struct meeting *m)
{
	BIO *a, *b;
	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(m->server, a, a);
	SSL_set_bio(m->client, b, b);
}

static void shake(struct meeting *m)
{
	connect_bios(m);
	for (int i = 0; i < 20 && !(m->server_failed && m->client_failed); i++) {
		m->client_failed = m->client_failed || !step(m->client, m->client_why, sizeof(m->client_why));
		m->server_failed = m->server_failed || !step(m->server, m->server_why, sizeof(m->server_why));
	}
	m->ok = !m->server_failed && !m->client_failed &&
	        crosses(m->client, m->server, m->server_why, sizeof(m->server_why)) &&
	        crosses(m->server, m->client, m->client_why, sizeof(m->client_why));
	ERR_clear_error();
}

static SSL_CTX *client_context(const struct client *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(ctx, c->version);
	SSL_CTX_set_max_proto_version(ctx, c->version);
	SSL_CTX_set_security_level(ctx, 0);
	if (c->ciphers != NULL)
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, c->ciphers), 1);
	if (c->groups != NULL)
		assert_int_equal(SSL_CTX_set1_groups_list(ctx, c->groups), 1);
	if (c->certificate != NULL) {
		SSL_CTX_use_certificate(ctx, certs[made(c->certificate)]);
		SSL_CTX_use_PrivateKey(ctx, keys[made(c->certificate)]);
	}
	return ctx;
}

static struct meeting meet(const struct tls_server *server, const struct client *c)
{
	struct meeting m = { .server = tls_server_ssl(server), .ctx = c->ctx == NULL ? client_context(c) : NULL };

	m.client = SSL_new(c->ctx != NULL ? c->ctx : m.ctx);
	SSL_set_connect_state(m.client);
	if (c->sni != NULL)
		SSL_set_tlsext_host_name(m.client, c->sni);
	if (c->alpn != NULL)
		SSL_set_alpn_protos(m.client, (const unsigned char *)c->alpn, (unsigned)strlen(c->alpn));
	if (c->session != NULL)
		SSL_set_session(m.client, c->session);
	shake(&m);
	return m;
}

static void part(struct meeting *m)
{
	SSL_set_shutdown(m->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or SSL_free spoils the session */
	SSL_free(m->server);
	SSL_free(m->client);
	SSL_CTX_free(m->ctx);
}

/* Meets, parts, and says whether it went well. */
static bool passes(const struct tls_server *server, const struct client *c)
{
	struct meeting m = meet(server, c);
	part(&m);
	return m.ok;
}

/* --- servers ------------------------------------------------------------------------------------------------------ */

static struct err err, warnings;

static struct tls_server *serve(const struct tls_identity *ids, size_t count)
{
	err_init(&err);
	err_init(&warnings);
	struct tls_server *server = tls_server_new(ids, count, &err, &warnings);
	assert_string_equal(err.text, "");
	assert_non_null(server);
	return server;
}

/* The name stands for the section. */
static void say_section(const void *section, const char *option, char *out, size_t cap)
{
	(void)option;
	snprintf(out, cap, "%s", (const char *)section);
}

static const struct tls_where route_r = { say_section, "[route r]", NULL };

/* A list of one. */
static struct str_list list(char **item)
{
	return (struct str_list){ item, *item != NULL && (*item)[0] != '\0' ? 1 : 0 };
}

/* Paths that live as long as the program, unlike those of at(). */
static struct tls_identity identity(const char *name)
{
	static char files[MADE][2][128];
	static char *item[MADE][2];
	size_t i = made(name);

	snprintf(files[i][0], sizeof(files[i][0]), "%s/%s.pem", dir, name);
	snprintf(files[i][1], sizeof(files[i][1]), "%s/%s.key", dir, name);
	item[i][0] = files[i][0];
	item[i][1] = files[i][1];
	return (struct tls_identity){ .where = { say_section, "[tls x]", NULL }, .certificates = list(&item[i][0]), .keys = list(&item[i][1]) };
}

static struct tls_server *serve_one(const char *name)
{
	struct tls_identity id = identity(name);
	return serve(&id, 1);
}

static const char *certificate_seen(const struct meeting *m)
{
	static char cn[64];
	const X509 *cert = SSL_get0_peer_certificate(m->client);

	cn[0] = '\0';
	if (cert != NULL)
		X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn));
	return cn;
}

/* --- versions, ciphers, ALPN -------------------------------------------------------------------------------------- */

static void versions(void **state)
{
	static const struct {
		int version;
		bool usual, strict;
	} cases[] = {
		{ TLS1_VERSION, false, false },
		{ TLS1_1_VERSION, false, false },
		{ TLS1_2_VERSION, true, false },
		{ TLS1_3_VERSION, true, true },
		{ 0, true, true },
	};
	struct tls_identity id = identity("a");
	(void)state;

	struct tls_server *usual = serve(&id, 1);
	id.tls13_only = true;
	struct tls_server *strict = serve(&id, 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client c = { .version = cases[i].version };
		assert_int_equal(passes(usual, &c), cases[i].usual);
		assert_int_equal(passes(strict, &c), cases[i].strict);
	}
	struct meeting m = meet(strict, &(struct client){ .version = TLS1_2_VERSION });
	assert_string_equal(m.server_why, "peer's TLS version is not allowed");
	assert_string_equal(m.client_why, "peer does not allow our TLS version");
	part(&m);
	tls_server_free(usual);
	tls_server_free(strict);
}

/* What each suite comes to: by default, and with a cipher list of the operator's that means everything. */
static const struct {
	const char *certificate, *suite;
	bool by_default, by_all;
} suites[] = {
	{ "a", "ECDHE-ECDSA-AES128-GCM-SHA256", true, true },
	{ "a", "ECDHE-ECDSA-AES256-GCM-SHA384", true, true },
	{ "a", "ECDHE-ECDSA-CHACHA20-POLY1305", true, true },
	{ "a", "ECDHE-ECDSA-AES128-SHA", false, false },
	{ "a", "ECDHE-ECDSA-AES256-SHA384", false, false },
	{ "rsa", "ECDHE-RSA-AES128-GCM-SHA256", true, true },
	{ "rsa", "ECDHE-RSA-AES128-SHA256", false, false },
	{ "rsa", "AES128-GCM-SHA256", false, true }, /* no forward secrecy, but then it was asked for */
	{ "rsa", "AES128-SHA", false, false },
};

static void only_aead_suites(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct client c = { .version = TLS1_2_VERSION, .ciphers = suites[i].suite };
		struct tls_identity id = identity(suites[i].certificate);
		struct tls_server *server = serve(&id, 1);
		assert_int_equal(passes(server, &c), suites[i].by_default);
		tls_server_free(server);

		id.ciphers = "ALL";
		server = serve(&id, 1);
		assert_int_equal(passes(server, &c), suites[i].by_all);
		assert_int_equal(warnings.count, 1);
		assert_non_null(strstr(warnings.text, "[tls x] ciphers: suites that are not AEAD are left out, such as "));
		tls_server_free(server);
	}
}

/* A large curve, or a finite field, costs a peer nothing to ask for, and us milliseconds. */
static void only_cheap_groups(void **state)
{
	static const struct {
		const char *groups;
		bool by_default, named;
	} cases[] = {
		{ "X25519", true, false },      { "P-256", true, true },        { "P-384", false, true },
		{ "P-521", false, false },      { "X448", false, false },       { "P-521:P-256", true, true },
		{ "ffdhe2048", false, false },  { "ffdhe8192", false, false },  { "ffdhe2048:P-256", true, true },
	};
	struct tls_identity ids[] = { identity("a"), identity("b") };
	(void)state;

	ids[1].groups = "P-256:P-384";
	struct tls_server *server = serve(ids, 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client c = { .version = TLS1_3_VERSION, .groups = cases[i].groups, .sni = "a.test" };
		assert_int_equal(passes(server, &c), cases[i].by_default);
		c.sni = "b.test";
		assert_int_equal(passes(server, &c), cases[i].named);
	}
	struct meeting m = meet(server, &(struct client){ .version = TLS1_3_VERSION, .groups = "P-384" });
	assert_string_equal(m.server_why, "no key exchange group in common");
	part(&m);
	m = meet(server, &(struct client){ .version = TLS1_3_VERSION, .groups = "P-256:X25519" });
	assert_int_equal(SSL_get_negotiated_group(m.client), NID_X9_62_prime256v1); /* what it has sent a share of */
	part(&m);
	tls_server_free(server);
}

static void configured_suites(void **state)
{
	struct tls_identity id = identity("a");
	(void)state;

	id.ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305";
	id.ciphersuites = "TLS_AES_128_GCM_SHA256";
	struct tls_server *server = serve(&id, 1);
	assert_int_equal(warnings.count, 0);
	struct meeting m = meet(server, &(struct client){ .version = TLS1_2_VERSION });
	assert_string_equal(SSL_get_cipher(m.client), "ECDHE-ECDSA-CHACHA20-POLY1305");
	part(&m);
	m = meet(server, &(struct client){ .version = TLS1_3_VERSION });
	assert_string_equal(SSL_get_cipher(m.client), "TLS_AES_128_GCM_SHA256");
	part(&m);
	tls_server_free(server);
}

static void alpn_selects_http11_or_ends(void **state) /* h2_off */
{
	static const struct {
		const char *offer, *want; /* NULL: no handshake */
	} cases[] = {
		{ NULL, "" },
		{ "\x02h2", NULL },
		{ "\x08http/1.1", "http/1.1" },
		{ "\x02h2\x08http/1.1", "http/1.1" },
		{ "\x08http/1.1\x02h2", "http/1.1" },
		{ "\x08http/1.0", NULL },
		{ "\x08HTTP/1.1", NULL },
		{ "\x09http/1.1x\x02h3", NULL },
	};
	const struct tls_identity ids[] = { identity("a"), identity("b") };
	(void)state;
	struct tls_server *server = serve(ids, 2);
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		const char *offer = cases[i / 2].offer, *want = cases[i / 2].want;
		struct meeting m = meet(server, &(struct client){ .alpn = offer, .sni = i % 2 == 0 ? "a.test" : "b.test" });
		const unsigned char *got;
		unsigned n;
		assert_int_equal(m.ok, want != NULL);
		SSL_get0_alpn_selected(m.client, &got, &n);
		assert_int_equal(n, want != NULL ? strlen(want) : 0);
		assert_memory_equal(got != NULL ? (const char *)got : "", want != NULL ? want : "", n);
		assert_string_equal(m.client_why, want != NULL ? "" : "tlsv1 alert no application protocol");
		assert_string_equal(m.server_why, want != NULL ? "" : "no application protocol (ALPN) in common");
		part(&m);
	}
	tls_server_free(server);
}

static void renegotiation_is_refused(void **state) /* ev_renegotiate */
{
	char byte;
	(void)state;

	struct tls_server *server = serve_one("a");
	struct meeting m = meet(server, &(struct client){ .version = TLS1_2_VERSION });
	assert_true(m.ok);
	assert_int_equal(SSL_renegotiate(m.client), 1);
	assert_true(step(m.client, m.client_why, sizeof(m.client_why)));
	int n = SSL_read(m.server, &byte, 1);
	assert_int_equal(SSL_get_error(m.server, n), SSL_ERROR_WANT_READ);
	assert_int_equal(SSL_num_renegotiations(m.server), 0);
	assert_true(SSL_is_init_finished(m.server));
	assert_int_equal(SSL_write(m.server, "x", 1), 1); /* to us nothing has happened */
	assert_false(step(m.client, m.client_why, sizeof(m.client_why)));
	assert_string_equal(m.client_why, "no renegotiation");
	assert_int_equal(SSL_renegotiate(m.server), 0); /* nor is it us who begins one */
	part(&m);
	tls_server_free(server);
	ERR_clear_error();
}

static void modes(void **state)
{
	(void)state;
	struct tls_server *server = serve_one("a");
	SSL *ssl = tls_server_ssl(server);
	long set = SSL_get_mode(ssl);
	assert_int_equal(set & SSL_MODE_ENABLE_PARTIAL_WRITE, 0);
	assert_int_not_equal(set & SSL_MODE_RELEASE_BUFFERS, 0);
	assert_int_not_equal(set & SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, 0);
	assert_int_equal(SSL_get_read_ahead(ssl), 0);
	SSL_free(ssl);
	tls_server_free(server);
}

/* --- SNI ---------------------------------------------------------------------------------------------------------- */

static void names_choose_certificates(void **state)
{
	static const struct {
		const char *sni, *want;
	} cases[] = {
		{ NULL, "a" },          { "a.test", "a" },       { "b.test", "b" },          { "bb.test", "b" },
		{ "B.Test", "b" },      { "x.w.test", "wild" },  { "c.w.test", "exact" },    { "X.W.TEST", "wild" },
		{ "w.test", "a" },      { "x.y.w.test", "a" },   { "unknown.test", "a" },    { "bb.test.evil", "a" },
		{ "xb.test", "a" },     { "b.test.", "b" },      { "test", "a" },            { "192.0.2.1", "a" },
		{ "BB.test.", "b" },    { "x.w.test.", "wild" }, { "c.w.test.", "exact" },   { "b.test..", "a" },
		{ ".", "a" },
	};
	const struct tls_identity ids[] = { identity("a"), identity("b"), identity("wild"), identity("exact") };
	(void)state;

	struct tls_server *server = serve(ids, ARRAY_LEN(ids));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			struct meeting m = meet(server, &(struct client){ .version = version, .sni = cases[i].sni });
			assert_true(m.ok);
			assert_string_equal(certificate_seen(&m), cases[i].want);
			part(&m);
		}
	}
	tls_server_free(server);
}

static void names_choose_versions_and_suites(void **state)
{
	struct tls_identity ids[] = { identity("a"), identity("b") };
	const struct client old_a = { .version = TLS1_2_VERSION, .sni = "a.test" };
	const struct client old_b = { .version = TLS1_2_VERSION, .sni = "b.test" };
	(void)state;

	for (size_t strict = 0; strict < 2; strict++) {
		ids[strict].tls13_only = true;
		ids[1 - strict].tls13_only = false;
		struct tls_server *server = serve(ids, 2);
		assert_int_equal(passes(server, &old_a), strict == 1);
		assert_int_equal(passes(server, &old_b), strict == 0);
		assert_true(passes(server, &(struct client){ .sni = ids[strict].where.section }));
		tls_server_free(server);
	}
	ids[0].tls13_only = ids[1].tls13_only = false;
	ids[1].ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305";
	ids[1].ciphersuites = "TLS_AES_128_GCM_SHA256";
	struct tls_server *server = serve(ids, 2);
	struct meeting m = meet(server, &old_b);
	assert_string_equal(SSL_get_cipher(m.client), "ECDHE-ECDSA-CHACHA20-POLY1305");
	part(&m);
	m = meet(server, &(struct client){ .version = TLS1_3_VERSION, .sni = "b.test" });
	assert_string_equal(SSL_get_cipher(m.client), "TLS_AES_128_GCM_SHA256");
	part(&m);
	tls_server_free(server);
}

/* --- several certificates, and one name ---------------------------------------------------------------------------- */

static struct tls_identity both_kinds(const char *first, const char *second)
{
	static char *pem[2][2];
	struct tls_identity id = identity(first), other = identity(second);

	pem[0][0] = id.certificates.item[0];
	pem[0][1] = other.certificates.item[0];
	pem[1][0] = id.keys.item[0];
	pem[1][1] = other.keys.item[0];
	id.certificates = (struct str_list){ pem[0], 2 };
	id.keys = (struct str_list){ pem[1], 2 };
	return id;
}

static void each_client_gets_what_it_can_use(void **state)
{
	static const struct {
		int version;
		const char *ciphers, *want;
	} cases[] = {
		{ TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "rsa" },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "a" },
		{ TLS1_2_VERSION, NULL, "a" }, /* the cheaper one for us */
		{ TLS1_3_VERSION, NULL, "a" },
	};
	(void)state;

	for (size_t order = 0; order < 4; order++) {
		struct tls_identity ids[] = { identity("b"), order % 2 == 0 ? both_kinds("a", "rsa") : both_kinds("rsa", "a") };
		struct tls_server *server = order < 2 ? serve(&ids[1], 1) : serve(ids, 2);
		assert_int_equal(warnings.count, 0);
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			const struct client c = { .version = cases[i].version, .ciphers = cases[i].ciphers, .sni = "a.test" };
			struct meeting m = meet(server, &c);
			assert_true(m.ok);
			assert_string_equal(certificate_seen(&m), cases[i].want);
			part(&m);
		}
		tls_server_free(server);
	}
}

static void complains(const struct tls_identity *ids, size_t count, const char *words)
{
	err_init(&err);
	err_init(&warnings);
	assert_null(tls_server_new(ids, count, &err, &warnings));
	assert_int_equal(err.count, 1);
	if (strstr(err.text, words) == NULL)
		assert_string_equal(err.text, words);
}

static void a_name_belongs_to_one_identity(void **state)
{
	struct tls_identity ids[] = { identity("a"), identity("rsa") };
	(void)state;

	ids[1].where.section = "[tls y]";
	complains(ids, 2, "/rsa.pem: is for a.test, as is that of [tls x], which is always used first; put both certificates in one section");
	ids[0] = identity("wild"); /* one wildcard twice is too much, but a name that it covers is not */
	ids[1] = identity("wild");
	complains(ids, 2, "/wild.pem: is for *.w.test, as is that of [tls x]");
	ids[1] = identity("exact");
	tls_server_free(serve(ids, 2));
	ids[0] = both_kinds("a", "b");
	complains(ids, 1, "/b.pem: has the same kind of key as ");
	ids[0] = both_kinds("b", "rsa");
	struct tls_server *server = serve(ids, 1); /* it may be what the operator wants, so it is a warning */
	assert_int_equal(warnings.count, 2);
	assert_non_null(strstr(warnings.text, "/rsa.pem: is not for b.test, as "));
	tls_server_free(server);
}

/* --- one name in SNI, another in the request ----------------------------------------------------------------------- */

static struct tls_identity asking(const char *name, enum tls_client_certificate policy);

static void a_host_is_judged_by_what_it_asks(void **state)
{
	static const struct {
		const char *sni, *host;
		bool admits;
	} cases[] = {
		{ "b.test", "b.test", true },     { "b.test", "B.TEST.", true },    { "b.test", "bb.test", true },
		{ "a.test", "b.test", false },    { "a.test", "B.test.", false },   { NULL, "b.test", false },
		{ "unknown", "b.test", false },   { "b.test", "a.test", false },    { "b.test", "unknown", false },
		{ "b.test", NULL, false },        { "b.test", "", false },          { NULL, NULL, true },
		{ "a.test", "unknown", true },    { "a.test", "127.0.0.1", true },  { "a.test", "x.w.test", true },
		{ "x.w.test", "a.test", true },   { "x.w.test", "b.test", false },  { "c.w.test", "b.test", false },
		{ "b.test", "c.w.test", false },  { "c.w.test", "a.test", false },
	};
	const struct tls_identity ids[] = {
		identity("a"), asking("b", TLS_CLIENT_CERT_REQUIRED), identity("wild"), asking("exact", TLS_CLIENT_CERT_OPTIONAL),
	};
	(void)state;

	struct tls_server *server = serve(ids, ARRAY_LEN(ids));
	assert_true(tls_server_requires(server, SPAN("BB.test.")));
	assert_false(tls_server_requires(server, SPAN("c.w.test")));
	assert_false(tls_server_requires(server, (struct span){ NULL, 0 }));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span host = { cases[i].host, cases[i].host != NULL ? strlen(cases[i].host) : 0 };
		struct meeting m = meet(server, &(struct client){ .sni = cases[i].sni, .certificate = "user" });
		assert_true(m.ok);
		assert_int_equal(tls_server_admits(server, m.server, host), cases[i].admits);
		part(&m);
	}
	tls_server_free(server);
}

/* Who asks the same of clients may answer for each other; another authority is not the same. */
static void identities_that_ask_the_same(void **state)
{
	struct tls_identity ids[] = { asking("a", TLS_CLIENT_CERT_REQUIRED), asking("b", TLS_CLIENT_CERT_REQUIRED) };
	(void)state;

	for (int same = 1; same >= 0; same--) {
		ids[1].client_ca = same ? ids[0].client_ca : at("user.pem");
		struct tls_server *server = serve(ids, 2);
		struct meeting m = meet(server, &(struct client){ .sni = "a.test", .certificate = "user" });
		assert_true(m.ok);
		assert_int_equal(tls_server_admits(server, m.server, SPAN("b.test")), same);
		part(&m);
		tls_server_free(server);
	}
}

/* --- client certificates ------------------------------------------------------------------------------------------ */

static struct tls_identity asking(const char *name, enum tls_client_certificate policy)
{
	static char ca[128];
	struct tls_identity id = identity(name);

	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	id.client_certificate = policy;
	id.client_ca = ca;
	return id;
}

static const struct {
	enum tls_client_certificate policy;
	const char *certificate;
	bool ok;
	const char *why;
} client_cases[] = {
	{ TLS_CLIENT_CERT_OFF, NULL, true, "" },
	{ TLS_CLIENT_CERT_OFF, "stranger", true, "" },
	{ TLS_CLIENT_CERT_OPTIONAL, NULL, true, "" },
	{ TLS_CLIENT_CERT_OPTIONAL, "user", true, "" },
	{ TLS_CLIENT_CERT_OPTIONAL, "stranger", false, "peer's certificate: unable to get local issuer certificate" },
	{ TLS_CLIENT_CERT_REQUIRED, NULL, false, "client sent no certificate" },
	{ TLS_CLIENT_CERT_REQUIRED, "user", true, "" },
	{ TLS_CLIENT_CERT_REQUIRED, "stranger", false, "peer's certificate: unable to get local issuer certificate" },
	{ TLS_CLIENT_CERT_REQUIRED, "expired", false, "peer's certificate: certificate has expired" },
};

/* Once with the policy on the only identity, once on the second of two whose first asks for the opposite. */
static void client_certificates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(client_cases); i++) {
		bool off = client_cases[i].policy == TLS_CLIENT_CERT_OFF;
		struct tls_identity ids[] = {
			asking("a", off ? TLS_CLIENT_CERT_REQUIRED : TLS_CLIENT_CERT_OFF), asking("b", client_cases[i].policy),
		};
		struct tls_server *alone = serve(&ids[1], 1), *second = serve(ids, 2);
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			struct client c = { .version = version, .sni = "b.test", .certificate = client_cases[i].certificate };
			struct meeting m = meet(alone, &c);
			assert_int_equal(m.ok, client_cases[i].ok);
			assert_string_equal(m.server_why, client_cases[i].why);
			part(&m);
			assert_int_equal(passes(second, &c), client_cases[i].ok);
		}
		tls_server_free(alone);
		tls_server_free(second);
	}
}

/* A client's own certificate in the file of authorities lets that client in, and no other of the same authority. */
static void client_certificates_may_be_pinned(void **state)
{
	struct tls_identity ids[] = { identity("a"), asking("b", TLS_CLIENT_CERT_REQUIRED) };
	(void)state;

	ids[1].client_ca = at("user.pem");
	struct tls_server *alone = serve(&ids[1], 1), *second = serve(ids, 2);
	struct client c = { .sni = "b.test", .certificate = "user" };
	assert_true(passes(alone, &c));
	assert_true(passes(second, &c));
	c.certificate = "exact";
	assert_false(passes(alone, &c));
	assert_false(passes(second, &c));
	tls_server_free(alone);
	tls_server_free(second);
}

/* TLS 1.2 has one list for curves of keys and of certificates. */
static void client_certificates_on_large_curves(void **state)
{
	struct tls_identity id = asking("a", TLS_CLIENT_CERT_REQUIRED);
	const struct client old = { .version = TLS1_2_VERSION, .certificate = "user384" };
	(void)state;

	struct tls_server *server = serve(&id, 1);
	assert_true(passes(server, &(struct client){ .version = TLS1_3_VERSION, .certificate = "user384" }));
	struct meeting m = meet(server, &old);
	assert_string_equal(m.server_why, "curve of the client's certificate is not among groups, as TLS 1.2 wants it");
	assert_false(tls_was_violated(m.server));
	part(&m);
	tls_server_free(server);
	id.groups = "X25519:P-256:P-384";
	server = serve(&id, 1);
	assert_true(passes(server, &old));
	tls_server_free(server);
}

/* --- resumption --------------------------------------------------------------------------------------------------- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **kept = SSL_get_app_data(ssl);

	if (kept == NULL)
		return 0;
	SSL_SESSION_free(*kept);
	*kept = session;
	return 1;
}

/* The last session that the server gave out in a meeting; NULL: none that could be resumed. */
static SSL_SESSION *obtain(const struct tls_server *server, SSL_CTX *ctx, struct client c)
{
	SSL_SESSION *kept = NULL;
	struct meeting m = { .server = tls_server_ssl(server), .client = SSL_new(ctx) };

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	SSL_set_app_data(m.client, &kept);
	SSL_set_connect_state(m.client);
	SSL_set_tlsext_host_name(m.client, c.sni);
	shake(&m);
	assert_true(m.ok);
	part(&m);
	if (kept != NULL && !SSL_SESSION_is_resumable(kept)) {
		SSL_SESSION_free(kept);
		kept = NULL;
	}
	return kept;
}

static bool resumes(const struct tls_server *server, struct client c)
{
	struct meeting m = meet(server, &c);
	bool reused = m.ok && SSL_session_reused(m.client) && SSL_session_reused(m.server);
	part(&m);
	return reused;
}

static void tickets_resume_on_their_own_identity_only(void **state)
{
	struct tls_identity ids[] = { identity("a"), asking("b", TLS_CLIENT_CERT_REQUIRED), identity("exact") };
	(void)state;

	ids[0].tickets = ids[1].tickets = true;
	struct tls_server *server = serve(ids, ARRAY_LEN(ids));
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct client c = { .version = version, .certificate = "user" };
		SSL_CTX *ctx = c.ctx = client_context(&c);
		c.sni = "b.test";
		SSL_SESSION *b = obtain(server, ctx, c);
		c.sni = "a.test";
		SSL_SESSION *a = obtain(server, ctx, c);
		assert_non_null(a);
		assert_non_null(b);

		c.session = a;
		assert_true(resumes(server, c));
		c.sni = "b.test";
		assert_false(resumes(server, c));
		/* the hole this is about: a ticket of the open identity, and no certificate, to the one that asks for it */
		SSL_CTX *bare = client_context(&(struct client){ .version = version });
		assert_false(passes(server, &(struct client){ .version = version, .sni = "b.test", .session = a, .ctx = bare }));
		SSL_CTX_free(bare);

		c.session = b;
		assert_true(resumes(server, c));
		c.sni = "a.test";
		assert_false(resumes(server, c));

		c.sni = "c.w.test";
		assert_null(obtain(server, ctx, c)); /* the first has tickets, this one does not */
		SSL_SESSION_free(a);
		SSL_SESSION_free(b);
		SSL_CTX_free(ctx);
	}
	tls_server_free(server);
}

static void no_tickets_when_off(void **state)
{
	struct tls_identity ids[] = { identity("a"), identity("b") };
	(void)state;

	ids[1].tickets = true;
	struct tls_server *server = serve(ids, 2);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct client c = { .version = version, .sni = "a.test" };
		SSL_CTX *ctx = client_context(&c);
		assert_null(obtain(server, ctx, c));
		c.sni = "b.test"; /* the other way round: the first has none, this one does */
		SSL_SESSION *b = obtain(server, ctx, c);
		assert_non_null(b);
		SSL_SESSION_free(b);
		SSL_CTX_free(ctx);
	}
	tls_server_free(server);
}

/* --- what can't be loaded ----------------------------------------------------------------------------------------- */

static const struct {
	const char *certificate, *key, *ciphers, *ciphersuites, *groups, *client_ca;
	enum tls_client_certificate policy;
	const char *complaint; /* DIR stands for the directory */
} faults[] = {
	{ .certificate = "nofile.pem", .key = "a.key", .complaint = "[tls x] certificate DIR/nofile.pem: no such file" },
	{ .certificate = "a.pem", .key = "nofile.key", .complaint = "[tls x] key DIR/nofile.key: no such file" },
	{ .certificate = "folder", .key = "a.key", .complaint = "[tls x] certificate DIR/folder: is a directory" },
	{ .certificate = "a.pem", .key = "b.key",
	  .complaint = "[tls x] key DIR/b.key: key does not belong to the certificate DIR/a.pem" },
	{ .certificate = "a.pem", .key = "rsa.key",
	  .complaint = "[tls x] key DIR/rsa.key: key does not belong to the certificate DIR/a.pem" },
	{ .certificate = "a.pem", .key = "locked.key",
	  .complaint = "[tls x] key DIR/locked.key: is protected by a passphrase" },
	{ .certificate = "a.pem", .complaint = "[tls x] key DIR/a.pem: no private key in PEM form in it; is it in a file" },
	{ .certificate = "a.pem", .key = "b.pem", .complaint = "[tls x] key DIR/b.pem: there is no private key in it, but a certificate: are certificate and key swapped?" },
	{ .certificate = "a.key", .key = "a.key",
	  .complaint = "[tls x] certificate DIR/a.key: there is no certificate in it, but a private key: are certificate and key swapped?" },
	{ .certificate = "empty.pem", .key = "a.key",
	  .complaint = "[tls x] certificate DIR/empty.pem: contains no PEM block of the expected type" },
	{ .certificate = "junk.pem", .key = "a.key", .complaint = "[tls x] certificate DIR/junk.pem: damaged PEM block" },
	{ .certificate = "short.pem", .key = "short.key",
	  .complaint = "[tls x] certificate DIR/short.pem: the certificate's key is too short to be secure" },
	{ .certificate = "a.pem", .key = "a.key", .ciphers = "nonsense",
	  .complaint = "[tls x] ciphers nonsense: no such cipher" },
	{ .certificate = "a.pem", .key = "a.key", .ciphers = "AES128-SHA",
	  .complaint = "[tls x] ciphers: no AEAD suite among \"AES128-SHA\"" },
	{ .certificate = "a.pem", .key = "a.key", .ciphersuites = "TLS_NONSENSE",
	  .complaint = "[tls x] ciphersuites TLS_NONSENSE: no such cipher suite" },
	{ .certificate = "a.pem", .key = "a.key", .groups = "X25519:P-257",
	  .complaint = "[tls x] groups X25519:P-257: not a list such as X25519:P-256:P-384, each group once" },
	{ .certificate = "a.pem", .key = "a.key", .groups = "P-256:P-256", .complaint = "[tls x] groups P-256:P-256: not a list" },
	{ .certificate = "a.pem", .key = "a.key", .groups = "X25519:ffdhe2048",
	  .complaint = "[tls x] groups X25519:ffdhe2048: finite field groups are not supported; list elliptic curves" },
	{ .certificate = "a.pem", .key = "a.key", .policy = TLS_CLIENT_CERT_OPTIONAL,
	  .complaint = "[tls x] client_ca: needed to check client certificates" },
	{ .certificate = "a.pem", .key = "a.key", .policy = TLS_CLIENT_CERT_REQUIRED, .client_ca = "nofile.pem",
	  .complaint = "[tls x] client_ca DIR/nofile.pem: no such file" },
	{ .certificate = "a.pem", .key = "a.key", .policy = TLS_CLIENT_CERT_REQUIRED, .client_ca = "empty.pem",
	  .complaint = "[tls x] client_ca DIR/empty.pem: contains no PEM block of the expected type" },
};

static void faults_are_told_in_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		char want[256];
		const char *text = faults[i].complaint, *place = strstr(text, "DIR");
		char *files[] = { (char *)(uintptr_t)at(faults[i].certificate), faults[i].key ? (char *)(uintptr_t)at(faults[i].key) : NULL };
		struct tls_identity id = {
			.where = { say_section, "[tls x]", NULL }, .certificates = list(&files[0]), .keys = list(&files[1]),
			.client_ca = faults[i].client_ca ? at(faults[i].client_ca) : NULL, .client_certificate = faults[i].policy,
			.ciphers = faults[i].ciphers, .ciphersuites = faults[i].ciphersuites,
			.groups = faults[i].groups,
		};
		want[0] = '\0';
		for (; place != NULL; place = strstr(text = place + 3, "DIR"))
			snprintf(want + strlen(want), sizeof(want) - strlen(want), "%.*s%s", (int)(place - text), text, dir);
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s", text);
		err_init(&err);
		err_init(&warnings);
		assert_null(tls_server_new(&id, 1, &err, &warnings));
		assert_int_equal(err.count, 1);
		if (strstr(err.text, want) != err.text)
			assert_string_equal(err.text, want);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

static void all_faults_are_told_at_once(void **state)
{
	struct tls_identity ids[] = { identity("a"), identity("b"), identity("exact") };
	(void)state;

	char *empty = (char *)(uintptr_t)at("empty.pem");
	ids[0].keys = ids[1].keys; /* the fault of one hides neither that of another nor its own second */
	ids[0].ciphers = "nonsense";
	ids[2].certificates = list(&empty);
	err_init(&err);
	assert_null(tls_server_new(ids, ARRAY_LEN(ids), &err, &warnings));
	assert_int_equal(err.count, 3);
	err_init(&err);
	assert_null(tls_server_new(ids, 0, &err, &warnings));
	assert_int_equal(err.count, 1);
	tls_server_free(NULL);
}

static void files_that_may_not_be_read(void **state)
{
	struct tls_identity id = identity("a");
	(void)state;

	if (geteuid() == 0)
		skip(); /* root may read everything */
	assert_int_equal(chmod(id.keys.item[0], 0), 0);
	err_init(&err);
	assert_null(tls_server_new(&id, 1, &err, &warnings));
	assert_non_null(strstr(err.text, "permission denied"));
	assert_int_equal(chmod(id.keys.item[0], 0600), 0);
}

static void key_in_the_certificates_file(void **state)
{
	char *both = (char *)(uintptr_t)at("both.pem");
	struct tls_identity id = { .where = { say_section, "[tls x]", NULL }, .certificates = list(&both) };
	(void)state;

	struct tls_server *server = serve(&id, 1);
	assert_true(passes(server, &(struct client){ .sni = "a.test" }));
	tls_server_free(server);
}

static void dates_are_warnings(void **state)
{
	static const struct {
		const char *name, *warning;
	} cases[] = {
		{ "a", NULL },
		{ "expired", "/expired.pem: certificate has expired on 2" },
		{ "early", "/early.pem: certificate is not valid before 2" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_server *server = serve_one(cases[i].name);
		assert_int_equal(warnings.count, cases[i].warning != NULL ? 1 : 0);
		if (cases[i].warning != NULL)
			assert_non_null(strstr(warnings.text, cases[i].warning));
		assert_true(passes(server, &(struct client){ .sni = "a.test" }));
		tls_server_free(server);
	}
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static const struct {
	const char *server, *ca, *name;
	bool verify, ok;
	const char *sni, *why;
} client_checks[] = {
	{ "a", "ca", "a.test", true, true, "a.test", "" },
	{ "a", "ca", "A.TEST", true, true, "A.TEST", "" },
	{ "a", "ca", "a.test.", true, true, "a.test", "" },
	{ "a", "a", "a.test", true, true, "a.test", "" }, /* pinned */
	{ "self", "self", "a.test", true, true, "a.test", "" },
	{ "wild", "ca", "x.w.test", true, true, "x.w.test", "" },
	{ "ip", "ca", "192.0.2.1", true, true, NULL, "" },
	{ "ip", "ca", "2001:db8::1", true, true, NULL, "" },
	{ "ip", "ca", "2001:DB8:0::1", true, true, NULL, "" },
	{ "a", "ca", "b.test", true, false, "b.test", "peer's certificate: hostname mismatch" },
	{ "a", "ca", "x.a.test", true, false, "x.a.test", "peer's certificate: hostname mismatch" },
	{ "wild", "ca", "w.test", true, false, "w.test", "peer's certificate: hostname mismatch" },
	{ "ip", "ca", "192.0.2.2", true, false, NULL, "peer's certificate: IP address mismatch" },
	{ "a", "ca", "192.0.2.1", true, false, NULL, "peer's certificate: IP address mismatch" },
	{ "a", "otherca", "a.test", true, false, "a.test", "peer's certificate: unable to get local issuer certificate" },
	{ "a", NULL, "a.test", true, false, "a.test", "peer's certificate: unable to get local issuer certificate" },
	{ "self", "ca", "a.test", true, false, "a.test", "peer's certificate: self-signed certificate" },
	{ "expired", "ca", "a.test", true, false, "a.test", "peer's certificate: certificate has expired" },
	{ "early", "ca", "a.test", true, false, "a.test", "peer's certificate: certificate is not yet valid" },
	{ "self", NULL, "b.test", false, true, "b.test", "" },
	{ "expired", NULL, "192.0.2.1", false, true, NULL, "" },
};

static void clients_check_servers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(client_checks); i++) {
		char ca[32];
		struct tls_server *server = serve_one(client_checks[i].server);
		snprintf(ca, sizeof(ca), "%s.pem", client_checks[i].ca != NULL ? client_checks[i].ca : "");
		struct tls_client *client = tls_client_new(&route_r, client_checks[i].ca != NULL ? at(ca) : NULL,
		                                           client_checks[i].name, client_checks[i].verify, &err);
		assert_non_null(client);
		struct meeting m = { .server = tls_server_ssl(server), .client = tls_client_ssl(client) };
		shake(&m);
		assert_string_equal(m.client_why, client_checks[i].why);
		assert_int_equal(m.ok, client_checks[i].ok);
		const char *sni = SSL_get_servername(m.server, TLSEXT_NAMETYPE_host_name);
		assert_string_equal(sni != NULL ? sni : "none", client_checks[i].sni != NULL ? client_checks[i].sni : "none");
		part(&m);
		tls_client_free(client);
		tls_server_free(server);
	}
}

static void clients_that_cannot_be(void **state)
{
	(void)state;
	err_init(&err);
	assert_null(tls_client_new(&route_r, at("nofile.pem"), "a.test", true, &err));
	assert_null(tls_client_new(&route_r, at("empty.pem"), "a.test", true, &err));
	assert_null(tls_client_new(&route_r, NULL, "", true, &err));
	assert_null(tls_client_new(&route_r, NULL, NULL, true, &err));
	assert_int_equal(err.count, 4);
	assert_non_null(strstr(err.text, "[route r] target_ca "));
	assert_non_null(strstr(err.text, "/nofile.pem: no such file\n"));
	tls_client_free(NULL);
}

/* --- reasons ------------------------------------------------------------------------------------------------------ */

static void reasons_for_other_protocols(void **state)
{
	static const struct {
		const char *bytes, *why;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "peer speaks plain HTTP instead of TLS" },
		{ "SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "peer does not speak TLS" },
	};
	(void)state;
	struct tls_server *server = serve_one("a");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[200] = "";
		SSL *ssl = tls_server_ssl(server);
		SSL_set_bio(ssl, BIO_new_mem_buf(cases[i].bytes, -1), BIO_new(BIO_s_null()));
		assert_false(step(ssl, why, sizeof(why)));
		assert_string_equal(why, cases[i].why);
		assert_int_equal(ERR_peek_error(), 0);
		SSL_free(ssl);
	}
	tls_server_free(server);
}

static void reasons_are_never_empty(void **state)
{
	char why[16];
	(void)state;

	explain(NULL, why, sizeof(why));
	assert_string_equal(why, "connection lost");
	ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
	ERR_raise(ERR_LIB_SSL, ERR_R_INTERNAL_ERROR);
	explain(NULL, why, sizeof(why));
	assert_string_equal(why, "no cipher suite");
	assert_int_equal(ERR_peek_error(), 0);
	ERR_raise_data(ERR_LIB_SYS, ECONNRESET, "write");
	explain(NULL, why, sizeof(why));
	assert_memory_equal(why, "Connection rese", 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),
		cmocka_unit_test(only_aead_suites),
		cmocka_unit_test(only_cheap_groups),
		cmocka_unit_test(configured_suites),
		cmocka_unit_test(alpn_selects_http11_or_ends),
		cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(modes),
		cmocka_unit_test(names_choose_certificates),
		cmocka_unit_test(names_choose_versions_and_suites),
		cmocka_unit_test(each_client_gets_what_it_can_use),
		cmocka_unit_test(a_name_belongs_to_one_identity),
		cmocka_unit_test(a_host_is_judged_by_what_it_asks),
		cmocka_unit_test(identities_that_ask_the_same),
		cmocka_unit_test(client_certificates),
		cmocka_unit_test(client_certificates_on_large_curves),
		cmocka_unit_test(client_certificates_may_be_pinned),
		cmocka_unit_test(tickets_resume_on_their_own_identity_only),
		cmocka_unit_test(no_tickets_when_off),
		cmocka_unit_test(faults_are_told_in_words),
		cmocka_unit_test(all_faults_are_told_at_once),
		cmocka_unit_test(files_that_may_not_be_read),
		cmocka_unit_test(key_in_the_certificates_file),
		cmocka_unit_test(dates_are_warnings),
		cmocka_unit_test(clients_check_servers),
		cmocka_unit_test(clients_that_cannot_be),
		cmocka_unit_test(reasons_for_other_protocols),
		cmocka_unit_test(reasons_are_never_empty),
	};
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
