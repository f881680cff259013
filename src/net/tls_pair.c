/* tls_pair.c owns the loading of one certificate with its chain and key, and what names it is for.
 * It must never use a key that does not belong to the certificate, nor forget one that can be read no more. */
#include "net/tls_pair.h"

#include "base/mem.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"
#include "net/tls_reason.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool is_closed_to_us(const char *path)
{
	FILE *file = fopen(path, "re");

	if (file != NULL)
		fclose(file);
	return file == NULL && errno == EACCES;
}

/* The pair for which fits() says so; NULL: there is none. */
static const struct pair *pair_of(const struct tls_server *before, bool (*fits)(const struct pair *, const void *),
                                  const void *what)
{
	for (size_t i = 0; before != NULL && i < before->count; i++)
		for (size_t k = 0; k < before->identity[i].pairs; k++)
			if (fits(&before->identity[i].pair[k], what))
				return &before->identity[i].pair[k];
	return NULL;
}

static bool has_key_for(const struct pair *pair, const void *leaf)
{
	return X509_check_private_key(leaf, pair->key) == 1;
}

static bool is_of_file(const struct pair *pair, const void *path)
{
	return strcmp(pair->file, path) == 0;
}

static bool contains(const char *path, const char *text)
{
	char line[128];
	bool found = false;
	FILE *file = fopen(path, "re");

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = strstr(line, text) != NULL;
	if (file != NULL)
		fclose(file);
	return found;
}

static const char *why_no_certificate(const char *path, const char *otherwise)
{
	bool swapped = contains(path, "PRIVATE KEY-----") && !contains(path, "-----BEGIN CERTIFICATE-----");
	return swapped ? "there is no certificate in it, but a private key: are certificate and key swapped?" : otherwise;
}

static const char *why_no_key(const struct pair_files *files, const char *path)
{
	if (files->key == NULL)
		return "no private key in PEM form in it; is it in a file of its own? Name that with key = FILE";
	return contains(path, "-----BEGIN CERTIFICATE-----")
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
	err_add(warnings, "%s certificate %s: certificate %s %s", tls_place(files->where, "certificate", place), files->certificate,
	        expired ? "has expired on" : "is not valid before", date);
}

static int load_certificate(SSL_CTX *ctx, const struct pair_files *files, struct err *err)
{
	if (tls_pem_check(files->where, "certificate", files->certificate, err) != 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) == 1)
		return 0;
	return tls_complain(files->where, "certificate", files->certificate,
	                    why_no_certificate(files->certificate, tls_queued_cause("not a PEM certificate")), err);
}

static EVP_PKEY *read_key(const struct pair_files *files, const char *path, struct err *err)
{
	bool asked = false;
	FILE *file = tls_pem_open(files->where, "key", path, err);

	if (file == NULL)
		return NULL;
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, tls_refuse_passphrase, &asked);
	fclose(file);
	if (key == NULL && asked)
		tls_complain(files->where, "key", path,
		             "is protected by a passphrase, which a daemon cannot ask for; store it without one", err);
	else if (key == NULL)
		tls_complain(files->where, "key", path, why_no_key(files, path), err);
	ERR_clear_error();
	return key;
}

/* One that was read while there were rights to is as good. The caller's. */
static EVP_PKEY *key_for(const X509 *leaf, const struct pair_files *files, const char *path, const struct tls_server *before,
                         struct err *err)
{
	bool closed = before != NULL && is_closed_to_us(path);
	const struct pair *kept = closed ? pair_of(before, has_key_for, leaf) : NULL;

	ERR_clear_error();
	if (kept != NULL && EVP_PKEY_up_ref(kept->key) == 1)
		return kept->key;
	if (!closed)
		return read_key(files, path, err);
	tls_complain(files->where, "key", path,
	             "permission denied: the certificate has a new key. Give the user the permission (chgrp, chmod 640), or restart", err);
	return NULL;
}

static int load_key(SSL_CTX *ctx, const struct pair_files *files, const struct tls_server *before, struct err *err)
{
	const X509 *leaf = SSL_CTX_get0_certificate(ctx);
	const char *path = files->key != NULL ? files->key : files->certificate;
	EVP_PKEY *key = key_for(leaf, files, path, before, err);
	char place[TLS_PLACE_MAX];
	int result = 0;

	if (key == NULL)
		return -1;
	if (X509_check_private_key(leaf, key) != 1)
		result = err_add(err, "%s key %s: key does not belong to the certificate %s", tls_place(files->where, "key", place), path,
		                 files->certificate);
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		result = tls_complain(files->where, "key", path, tls_queued_cause("unusable"), err);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return result;
}

/* What was loaded goes on as a whole: a key that is new would not belong to the certificate. */
static int load_kept(SSL_CTX *ctx, const struct pair *kept, const struct pair_files *files, struct err *err,
                     struct err *warnings)
{
	if (SSL_CTX_use_cert_and_key(ctx, kept->leaf, kept->key, kept->chain, 1) != 1)
		return tls_complain(files->where, "certificate", files->certificate, tls_queued_cause("unusable"), err);
	tls_complain(files->where, "certificate", files->certificate,
	             "permission denied: the certificate and key that are loaded stay in use; give the permission, or restart", warnings);
	return 0;
}

static int load_files(SSL_CTX *ctx, const struct pair_files *files, const struct tls_server *before, struct err *err,
                      struct err *warnings)
{
	const struct pair *kept = is_closed_to_us(files->certificate) ? pair_of(before, is_of_file, files->certificate) : NULL;

	if (kept != NULL)
		return load_kept(ctx, kept, files, err, warnings);
	return load_certificate(ctx, files, err) != 0 ? -1 : load_key(ctx, files, before, err);
}

int pair_load(struct pair *pair, SSL_CTX *ctx, const struct pair_files *files, const struct tls_server *before,
              struct err *err, struct err *warnings)
{
	STACK_OF(X509) *chain = NULL;

	if (load_files(ctx, files, before, err, warnings) != 0)
		return -1;
	(void)SSL_CTX_get0_chain_certs(ctx, &chain);
	*pair = (struct pair){
		.file = mem_strdup(files->certificate),
		.leaf = SSL_CTX_get0_certificate(ctx),
		.chain = chain != NULL ? X509_chain_up_ref(chain) : NULL,
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
	sk_X509_pop_free(pair->chain, X509_free);
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
