/* tls_context.c owns the policy of every TLS context, and the reading of files in PEM form as far as both sides do it.
 * It must never ask anybody for a passphrase, nor know what a context is for. */
#include "net/tls_context.h"

#include "net/tls_reason.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define AEAD_SUITES "ECDHE+AESGCM:ECDHE+CHACHA20"
/* The library's own groups but for the finite fields: a peer names ffdhe8192 for nothing, and we compute for 130 ms. A server
 * has fewer. */
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
#define GROUPS "X25519MLKEM768:X25519:P-256:X448:P-521:P-384"
#else
#define GROUPS "X25519:P-256:X448:P-521:P-384"
#endif
#define OPTIONS                                                                                                        \
	(SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA)
#define MODES (SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER)

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

/* OpenSSL's own words for a file it can't open would name neither the file nor the option. */
FILE *tls_pem_open(const struct tls_where *where, const char *option, const char *path, struct err *err)
{
	struct stat st;
	FILE *file = fopen(path, "re");

	if (file == NULL) {
		tls_complain(where, option, path, errno == ENOENT ? "no such file" : errno == EACCES ? "permission denied" : strerror(errno), err);
		return NULL;
	}
	const char *wrong = fstat(fileno(file), &st) != 0 ? strerror(errno) : S_ISDIR(st.st_mode) ? "is a directory" :
	                    st.st_size > PEM_MAX ? "is larger than 1 MiB" : NULL;
	if (wrong == NULL)
		return file;
	tls_complain(where, option, path, wrong, err);
	fclose(file);
	return NULL;
}

int tls_pem_check(const struct tls_where *where, const char *option, const char *path, struct err *err)
{
	FILE *file = tls_pem_open(where, option, path, err);

	if (file == NULL)
		return -1;
	fclose(file);
	return 0;
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
	if (ctx == NULL) {
		err_add(err, "%s: %s", tls_place(where, NULL, place), tls_queued_cause("out of memory"));
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
	if (SSL_CTX_set_cipher_list(ctx, AEAD_SUITES) != 1 || SSL_CTX_set1_groups_list(ctx, GROUPS) != 1) {
		err_add(err, "%s: %s", tls_place(where, NULL, place), tls_queued_cause("no cipher suites or no groups"));
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

int tls_context_trust(SSL_CTX *ctx, const struct tls_where *where, const char *option, const char *path, struct err *err)
{
	if (tls_pem_check(where, option, path, err) != 0)
		return -1;
	if (SSL_CTX_load_verify_file(ctx, path) != 1)
		return tls_complain(where, option, path, tls_queued_cause("not a PEM file of certificates"), err);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}
