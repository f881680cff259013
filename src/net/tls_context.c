/* tls_context.c owns the policy of every TLS context, and the reading of files in PEM form as far as both sides do it.
 * It must never ask anybody for a passphrase, nor know what a context is for. */
#include "net/tls_context.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/tls_reason.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AEAD_SUITES "ECDHE+AESGCM:ECDHE+CHACHA20"
/* The library's own groups but for the finite fields: a peer names ffdhe8192 for nothing, and we compute for 130 ms. A server
 * has fewer. */
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
#define GROUPS "X25519MLKEM768:X25519:P-256:X448:P-521:P-384"
#else
#define GROUPS "X25519:P-256:X448:P-521:P-384"
#endif
#define OPTIONS (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA)
#define MODES   (SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER)

const char *tls_place(const struct tls_where *where, const char *option, char out[static TLS_PLACE_MAX])
{
	where->place(where->section, option, out, TLS_PLACE_MAX);
	return out;
}

int tls_complain(const struct tls_where *where, const char *option, const char *file, const char *cause, struct err *err)
{
	char place[TLS_PLACE_MAX];

	return err_add(err, "%s %s %s: %s", tls_place(where, option, place), option, file, cause);
}

/* Thousands of certificates take seconds to read, and nothing else is done meanwhile. */
#define PEM_MAX (1 << 20)

/* Also NULL: why not is in words then. */
static FILE *open_pem(struct opener *opener, const char *path, const char **why)
{
	struct stat st;
	int fd = file_open_to_read(path, opener, why);

	if (fd < 0) {
		*why = errno == ENOENT ? "no such file" : errno == EACCES ? "permission denied" : *why;
		return NULL;
	}
	*why = fstat(fd, &st) != 0    ? strerror(errno)
	       : S_ISDIR(st.st_mode)  ? "is a directory"
	       : st.st_size > PEM_MAX ? "is larger than 1 MiB"
	                              : NULL;
	FILE *file = *why == NULL ? fdopen(fd, "r") : NULL;
	if (file == NULL)
		close(fd);
	return file;
}

/* OpenSSL's own words for a file it can't open would name neither the file nor the option. */
FILE *tls_pem_open(const struct tls_where *where, const char *option, const char *path, struct err *err)
{
	const char *why;
	FILE *file = open_pem(where->opener, path, &why);

	if (file == NULL)
		tls_complain(where, option, path, why, err);
	return file;
}

int tls_refuse_passphrase(char *buf, int size, int writing, void *asked)
{
	if (asked != NULL)
		*(bool *)asked = true;
	return -1;
}

SSL_CTX *tls_context_new(const SSL_METHOD *method, const struct tls_where *where, struct err *err)
{
	char place[TLS_PLACE_MAX];

	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(method);
	if (ctx == NULL || SSL_CTX_set_cipher_list(ctx, AEAD_SUITES) != 1 || SSL_CTX_set1_groups_list(ctx, GROUPS) != 1) {
		const char *otherwise = ctx == NULL ? "out of memory" : "no cipher suites or no groups";
		err_add(err, "%s: %s", tls_place(where, NULL, place), tls_queued_cause(otherwise));
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, OPTIONS);
	SSL_CTX_set_mode(ctx, MODES);
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY); /* or one SSL_read takes records without data for as long as they come */
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_default_passwd_cb(ctx, tls_refuse_passphrase);
	return ctx;
}

/* Those that a file has, and revocations; returns how many, and closes it. What comes again is kept once. */
static int trust_all_in(SSL_CTX *ctx, FILE *file)
{
	STACK_OF(X509_INFO) *all = PEM_X509_INFO_read(file, NULL, tls_refuse_passphrase, NULL);
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	int count = 0;

	for (int i = 0; i < sk_X509_INFO_num(all); i++) {
		const X509_INFO *one = sk_X509_INFO_value(all, i);
		count += one->x509 != NULL && X509_STORE_add_cert(store, one->x509) == 1;
		count += one->crl != NULL && X509_STORE_add_crl(store, one->crl) == 1;
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	fclose(file);
	return count;
}

int tls_context_trust(SSL_CTX *ctx, const struct tls_where *where, const char *option, const char *path, struct err *err)
{
	FILE *file = tls_pem_open(where, option, path, err);

	if (file == NULL)
		return -1;
	if (trust_all_in(ctx, file) == 0)
		return tls_complain(where, option, path, tls_queued_cause("contains no PEM block of the expected type"), err);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

/* A link that c_rehash(1) makes, of which each certificate has one. */
static bool is_hash_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] >= '0' && name[9] <= '9';
}

static void trust_directory(SSL_CTX *ctx, struct opener *opener, const char *directory)
{
	struct opener *at_once = opener != NULL ? opener : &file_opener;
	struct str_list names = { NULL, 0 };
	int fd = at_once->open(at_once, directory);
	const char *why;

	if (fd < 0 || file_list(fd, is_hash_name, SIZE_MAX, &names) != 0)
		return;
	for (size_t i = 0; i < names.count; i++) {
		char *path = mem_printf("%s/%s", directory, names.item[i]);
		FILE *file = open_pem(opener, path, &why);
		if (file != NULL)
			(void)trust_all_in(ctx, file);
		free(path);
	}
	str_list_clear(&names);
}

/* OpenSSL would read the directory while it checks a certificate, when there is no file left that could be opened. */
void tls_context_trust_system(SSL_CTX *ctx, struct opener *opener)
{
	const char *why;
	FILE *file = open_pem(opener, tls_system_file(), &why);

	if (file == NULL || trust_all_in(ctx, file) == 0)
		trust_directory(ctx, opener, tls_system_directory());
	ERR_clear_error();
}

const char *tls_system_file(void)
{
	const char *given = secure_getenv(X509_get_default_cert_file_env());
	return given != NULL ? given : X509_get_default_cert_file();
}

const char *tls_system_directory(void)
{
	const char *given = secure_getenv(X509_get_default_cert_dir_env());
	return given != NULL ? given : X509_get_default_cert_dir();
}
