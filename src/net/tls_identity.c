/* tls_identity.c owns what one identity loads: its certificates with their chains and keys, and the policy for their names.
 * It must never use a key that does not belong to the certificate, choose between identities, nor build a context around
 * tls_context_new(). */
#include "net/tls_identity.h"

#include "base/mem.h"
#include "net/tls_context.h"
#include "net/tls_reason.h"

#include <assert.h>
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

/* A certificate and its key. */
struct pair {
	const struct tls_where *where; /* for complaints, as are the files: the configuration's, only there while it is loaded */
	const char *file, *key_file;   /* key_file NULL: the key is in the certificate's */
	X509 *leaf;
	EVP_PKEY *key;
};

static bool contains(FILE *file, const char *text)
{
	char line[128];
	bool found = false;

	rewind(file);
	while (!found && fgets(line, sizeof(line), file) != NULL)
		found = strstr(line, text) != NULL;
	return found;
}

static const char *why_no_key(FILE *file, bool of_its_own)
{
	if (!of_its_own)
		return "no private key in PEM form in it; is it in a file of its own? Name that with key = FILE";
	return contains(file, "-----BEGIN CERTIFICATE-----")
	               ? "there is no private key in it, but a certificate: are certificate and key swapped?"
	               : "no private key in PEM form in it";
}

static void warn_dates(const struct pair *pair, struct err *warnings)
{
	const ASN1_TIME *begin = X509_get0_notBefore(pair->leaf), *end = X509_get0_notAfter(pair->leaf);
	bool expired = X509_cmp_current_time(end) < 0;
	bool early = X509_cmp_current_time(begin) > 0;
	struct tm day;
	char date[32] = "?", place[TLS_PLACE_MAX];

	if (!expired && !early)
		return;
	if (ASN1_TIME_to_tm(expired ? end : begin, &day) == 1)
		(void)strftime(date, sizeof(date), "%Y-%m-%d", &day);
	err_add(warnings, "%s certificate %s: certificate %s %s", tls_place(pair->where, "certificate", place), pair->file,
	        expired ? "has expired on" : "is not valid before", date);
}

/* As SSL_CTX_use_certificate_chain_file() does, which would open the file itself. */
static bool use_chain(SSL_CTX *ctx, FILE *file)
{
	X509 *leaf = PEM_read_X509_AUX(file, NULL, tls_refuse_passphrase, NULL), *next;
	bool good = leaf != NULL && SSL_CTX_use_certificate(ctx, leaf) == 1;

	X509_free(leaf);
	while (good && (next = PEM_read_X509(file, NULL, tls_refuse_passphrase, NULL)) != NULL) {
		good = SSL_CTX_add0_chain_cert(ctx, next) == 1;
		if (!good)
			X509_free(next);
	}
	return good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE; /* the end of the file */
}

static int load_certificate(struct pair *pair, SSL_CTX *ctx, struct err *err)
{
	FILE *file = tls_pem_open(pair->where, "certificate", pair->file, err);
	int result = 0;

	if (file == NULL)
		return -1;
	ERR_clear_error();
	if (use_chain(ctx, file)) {
		pair->leaf = SSL_CTX_get0_certificate(ctx);
		X509_up_ref(pair->leaf);
	} else {
		const char *why = tls_queued_cause("not a PEM certificate");
		if (contains(file, "PRIVATE KEY-----") && !contains(file, "-----BEGIN CERTIFICATE-----"))
			why = "there is no certificate in it, but a private key: are certificate and key swapped?";
		result = tls_complain(pair->where, "certificate", pair->file, why, err);
	}
	ERR_clear_error();
	fclose(file);
	return result;
}

static int load_key(struct pair *pair, SSL_CTX *ctx, struct err *err)
{
	const char *path = pair->key_file != NULL ? pair->key_file : pair->file;
	FILE *file = tls_pem_open(pair->where, "key", path, err);
	char place[TLS_PLACE_MAX];
	bool asked = false;
	int result = 0;

	if (file == NULL)
		return -1;
	pair->key = PEM_read_PrivateKey(file, NULL, tls_refuse_passphrase, &asked);
	ERR_clear_error();
	if (pair->key == NULL)
		result = tls_complain(pair->where, "key", path,
		                      asked ? "is protected by a passphrase, which a daemon cannot ask for; store it without one"
		                            : why_no_key(file, pair->key_file != NULL),
		                      err);
	else if (X509_check_private_key(pair->leaf, pair->key) != 1)
		result = err_add(err, "%s key %s: key does not belong to the certificate %s",
		                 tls_place(pair->where, "key", place), path, pair->file);
	else if (SSL_CTX_use_PrivateKey(ctx, pair->key) != 1)
		result = tls_complain(pair->where, "key", path, tls_queued_cause("unusable"), err);
	fclose(file);
	ERR_clear_error();
	return result;
}

static void pair_clear(struct pair *pair)
{
	X509_free(pair->leaf);
	EVP_PKEY_free(pair->key);
}

/* Whether the certificate is for that name (n > 0): flags as in X509_check_host(3). */
static bool pair_is_for(const struct pair *pair, struct span name, unsigned flags)
{
	return X509_check_host(pair->leaf, name.p, name.n, flags, NULL) == 1;
}

/* As X509_check_host() takes them: the subject's only if the certificate has none of its own. */
static struct str_list names_of(const X509 *leaf)
{
	struct str_list names = { NULL, 0 };
	GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	char subject[256];

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);
		if (one->type == GEN_DNS)
			str_list_add(&names, (struct span){ (const char *)ASN1_STRING_get0_data(one->d.dNSName),
			                                    (size_t)ASN1_STRING_length(one->d.dNSName) });
	}
	GENERAL_NAMES_free(all);
	if (names.count == 0 &&
	    X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, subject, sizeof(subject)) > 0)
		str_list_add(&names, span_of(subject));
	return names;
}

/* The first name of a's that b has as well, or, lacking, that b is not for; the caller's, NULL: there is none. */
static char *first_name(const struct pair *a, const struct pair *b, bool lacking)
{
	struct str_list names = names_of(a->leaf);
	char *found = NULL;

	for (size_t i = 0; i < names.count && found == NULL; i++) {
		struct span name = span_of(names.item[i]);
		if (name.n == 0)
			continue;
		bool has = pair_is_for(b, name, X509_CHECK_FLAG_NO_WILDCARDS);
		bool wanted = lacking ? !has && !pair_is_for(b, name, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS) : has;
		found = wanted ? mem_strdup(names.item[i]) : NULL;
	}
	str_list_clear(&names);
	ERR_clear_error();
	return found;
}

/* A context has one certificate for each kind of key. */
static int check_kind(const struct identity *identity, const struct pair *pair, struct err *err)
{
	for (const struct pair *other = identity->pair; other != pair; other++) {
		if (EVP_PKEY_get_base_id(other->key) != EVP_PKEY_get_base_id(pair->key))
			continue;
		char place[TLS_PLACE_MAX];
		return err_add(err, "%s certificate %s: has the same kind of key as %s (%s); list one certificate for each kind",
		               tls_place(pair->where, "certificate", place), pair->file, other->file,
		               EVP_PKEY_get0_type_name(pair->key));
	}
	return 0;
}

/* Which of them a client gets depends on what it can use, and not on the name it asks for. */
static void warn_names(const struct pair *a, const struct pair *b, struct err *warnings)
{
	char *name = first_name(a, b, true), place[TLS_PLACE_MAX];

	if (name != NULL)
		err_add(warnings, "%s certificate %s: is not for %s, as %s is: some clients that ask for it will refuse this one",
		        tls_place(b->where, "certificate", place), b->file, name, a->file);
	free(name);
}

static int load_pairs(struct identity *identity, const struct tls_identity *id, struct err *err, struct err *warnings)
{
	int result = 0;

	assert(id->keys.count == 0 || id->keys.count == id->certificates.count);
	identity->pair = mem_zalloc(id->certificates.count * sizeof(*identity->pair));
	for (size_t i = 0; i < id->certificates.count; i++) {
		struct pair *pair = &identity->pair[identity->pairs];
		*pair = (struct pair){
			.where = &id->where,
			.file = id->certificates.item[i],
			.key_file = id->keys.count > 0 ? id->keys.item[i] : NULL,
		};
		if (load_certificate(pair, identity->ctx, err) != 0 || load_key(pair, identity->ctx, err) != 0) {
			pair_clear(pair);
			result = -1;
			continue;
		}
		identity->pairs++;
		warn_dates(pair, warnings);
		if (check_kind(identity, pair, err) != 0)
			result = -1;
		warn_names(&identity->pair[0], pair, warnings);
		warn_names(pair, &identity->pair[0], warnings);
	}
	return result;
}

static int load_client_policy(SSL_CTX *ctx, const struct tls_identity *id, struct err *err)
{
	static const int modes[] = {
		[TLS_CLIENT_CERT_OFF] = SSL_VERIFY_NONE,
		[TLS_CLIENT_CERT_OPTIONAL] = SSL_VERIFY_PEER,
		[TLS_CLIENT_CERT_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};

	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	char place[TLS_PLACE_MAX];

	SSL_CTX_set_verify(ctx, modes[id->client_certificate], NULL);
	if (id->client_certificate == TLS_CLIENT_CERT_OFF)
		return 0;
	if (!tls_given(id->client_ca))
		return err_add(err, "%s client_ca: needed to check client certificates",
		               tls_place(&id->where, "client_certificate", place));
	if (tls_context_trust(ctx, &id->where, "client_ca", id->client_ca, err) != 0)
		return -1;
	for (int i = 0; i < sk_X509_OBJECT_num(X509_STORE_get0_objects(store)); i++) {
		X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(X509_STORE_get0_objects(store), i));
		if (authority != NULL)
			(void)SSL_CTX_add_client_CA(ctx, authority); /* clients are told, who choose a certificate by it */
	}
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

static int load_groups(const struct identity *identity, const struct tls_where *where, struct err *err)
{
	if (strcasestr(identity->groups, "ffdhe") != NULL)
		return tls_complain(where, "groups", identity->groups,
		                    "finite field groups are not supported; list elliptic curves", err);
	if (SSL_CTX_set1_groups_list(identity->ctx, identity->groups) == 1)
		return 0;
	ERR_clear_error();
	return tls_complain(where, "groups", identity->groups, "not a list such as X25519:P-256:P-384, each group once", err);
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

/* index becomes the session id context: a ticket of one identity is nothing to another, which may ask for more. */
int identity_load(struct identity *identity, const struct tls_identity *id, size_t index, struct err *err, struct err *warnings)
{
	SSL_CTX *ctx = tls_context_new(TLS_server_method(), &id->where, err);

	*identity = (struct identity){ .ctx = ctx, .client_certificate = id->client_certificate };
	if (ctx == NULL)
		return -1;
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)&index, sizeof(index));
	SSL_CTX_set_num_tickets(ctx, id->tickets ? 1 : 0);
	if (!id->tickets)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (id->tls13_only)
		SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	identity->client_ca = mem_strdup(tls_given(id->client_ca) ? id->client_ca : "");
	identity->groups = mem_strdup(tls_given(id->groups) ? id->groups : GROUPS);
	bool failed = load_pairs(identity, id, err, warnings) != 0;
	failed |= load_client_policy(ctx, id, err) != 0;
	failed |= load_ciphers(ctx, id, err, warnings) != 0;
	failed |= load_groups(identity, &id->where, err) != 0;
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
		name = first_name(&a->pair[i / b->pairs], &b->pair[i % b->pairs], false);
	return name;
}

bool identity_asks_the_same(const struct identity *a, const struct identity *b)
{
	return a->client_certificate == b->client_certificate && strcmp(a->client_ca, b->client_ca) == 0;
}
