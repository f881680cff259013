/* tls_pair.c owns the loading of one certificate with its chain and key, and what names it is for.
 * It must never use a key that does not belong to the certificate. */
#include "net/tls_pair.h"

#include "base/mem.h"
#include "net/tls_context.h"
#include "net/tls_reason.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool contains(FILE *file, const char *text)
{
	char line[128];
	bool found = false;

	rewind(file);
	while (!found && fgets(line, sizeof(line), file) != NULL)
		found = strstr(line, text) != NULL;
	return found;
}

static const char *why_no_certificate(FILE *file, const char *otherwise)
{
	bool swapped = contains(file, "PRIVATE KEY-----") && !contains(file, "-----BEGIN CERTIFICATE-----");
	return swapped ? "there is no certificate in it, but a private key: are certificate and key swapped?" : otherwise;
}

static const char *why_no_key(FILE *file, bool of_its_own)
{
	if (!of_its_own)
		return "no private key in PEM form in it; is it in a file of its own? Name that with key = FILE";
	return contains(file, "-----BEGIN CERTIFICATE-----")
	               ? "there is no private key in it, but a certificate: are certificate and key swapped?"
	               : "no private key in PEM form in it";
}

static void warn_dates(const X509 *leaf, const struct pair_files *files, struct err *warnings)
{
	const ASN1_TIME *begin = X509_get0_notBefore(leaf), *end = X509_get0_notAfter(leaf);
	bool expired = X509_cmp_current_time(end) < 0;
	bool early = X509_cmp_current_time(begin) > 0;
	struct tm day;
	char date[32] = "?", place[TLS_PLACE_MAX];

	if (!expired && !early)
		return;
	if (ASN1_TIME_to_tm(expired ? end : begin, &day) == 1)
		(void)strftime(date, sizeof(date), "%Y-%m-%d", &day);
	err_add(warnings, "%s certificate %s: certificate %s %s", tls_place(files->where, "certificate", place),
	        files->certificate, expired ? "has expired on" : "is not valid before", date);
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

static int load_certificate(SSL_CTX *ctx, const struct pair_files *files, struct err *err)
{
	FILE *file = tls_pem_open(files->where, "certificate", files->certificate, err);
	int result = 0;

	if (file == NULL)
		return -1;
	ERR_clear_error();
	if (!use_chain(ctx, file))
		result = tls_complain(files->where, "certificate", files->certificate,
		                      why_no_certificate(file, tls_queued_cause("not a PEM certificate")), err);
	ERR_clear_error();
	fclose(file);
	return result;
}

static EVP_PKEY *read_key(const struct pair_files *files, const char *path, struct err *err)
{
	bool asked = false;
	FILE *file = tls_pem_open(files->where, "key", path, err);

	if (file == NULL)
		return NULL;
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, tls_refuse_passphrase, &asked);
	if (key == NULL && asked)
		tls_complain(files->where, "key", path,
		             "is protected by a passphrase, which a daemon cannot ask for; store it without one", err);
	else if (key == NULL)
		tls_complain(files->where, "key", path, why_no_key(file, files->key != NULL), err);
	fclose(file);
	ERR_clear_error();
	return key;
}

static int load_key(SSL_CTX *ctx, const struct pair_files *files, struct err *err)
{
	const char *path = files->key != NULL ? files->key : files->certificate;
	EVP_PKEY *key = read_key(files, path, err);
	char place[TLS_PLACE_MAX];
	int result = 0;

	if (key == NULL)
		return -1;
	if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
		result = err_add(err, "%s key %s: key does not belong to the certificate %s",
		                 tls_place(files->where, "key", place), path, files->certificate);
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		result = tls_complain(files->where, "key", path, tls_queued_cause("unusable"), err);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return result;
}

int pair_load(struct pair *pair, SSL_CTX *ctx, const struct pair_files *files, struct err *err, struct err *warnings)
{
	if (load_certificate(ctx, files, err) != 0 || load_key(ctx, files, err) != 0)
		return -1;
	*pair = (struct pair){
		.file = mem_strdup(files->certificate),
		.leaf = SSL_CTX_get0_certificate(ctx),
		.key = SSL_CTX_get0_privatekey(ctx),
	};
	X509_up_ref(pair->leaf);
	EVP_PKEY_up_ref(pair->key);
	warn_dates(pair->leaf, files, warnings);
	return 0;
}

void pair_clear(struct pair *pair)
{
	free(pair->file);
	X509_free(pair->leaf);
	EVP_PKEY_free(pair->key);
}

bool pair_is_for(const struct pair *pair, struct span name, unsigned flags)
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

static bool has(const struct pair *pair, struct span name)
{
	return name.n > 0 && pair_is_for(pair, name, X509_CHECK_FLAG_NO_WILDCARDS);
}

static bool lacks(const struct pair *pair, struct span name)
{
	return name.n > 0 && !has(pair, name) && !pair_is_for(pair, name, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
}

static char *first_name(const struct pair *a, const struct pair *b, bool (*wanted)(const struct pair *, struct span))
{
	struct str_list names = names_of(a->leaf);
	char *found = NULL;

	for (size_t i = 0; i < names.count && found == NULL; i++)
		if (wanted(b, span_of(names.item[i])))
			found = mem_strdup(names.item[i]);
	str_list_clear(&names);
	ERR_clear_error();
	return found;
}

char *pair_common_name(const struct pair *a, const struct pair *b)
{
	return first_name(a, b, has);
}

char *pair_lacking_name(const struct pair *a, const struct pair *b)
{
	return first_name(a, b, lacks);
}
