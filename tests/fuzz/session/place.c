/* place.c owns the files and the configuration that fuzzed sessions meet.
 * It must never make anything that depends on when or where it is made, but the directory's name and the keys. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the engine of chance is replaced */
#include "place.h"

#include "../check.h"
#include "sys/beneath.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LEN 70000

static char dir[256];
static const char *const names[] = {
	"cert.pem",     "tokens",          "www/index.html", "www/big.bin",        "www/empty.txt",
	"www/page.css", "www/page.css.gz", "conf",           "www/sub/index.html", "www/sub",
	"www"
};

static const char configuration[] =
        "[server]\naccess_log = on\nlog_level = debug\n"
        "[listen plain]\naddress = 127.0.0.1:1\nhandshake_timeout = 10s\n"
        "[listen auto]\naddress = 127.0.0.1:2\ntls = auto\nhandshake_timeout = 3s\nlinger_timeout = 1s\n"
        "[listen tls]\naddress = 127.0.0.1:3\ntls = on\n"
        "[listen proxied]\naddress = 127.0.0.1:4\nproxy_protocol = on\ntrusted_proxy = 127.0.0.0/8\n"
        "[tls one]\ncertificate = cert.pem\n"
        "[route binary]\npath = /b\ntarget = 127.0.0.1:7000\nclose_timeout = 2s\n"
        "[route text]\npath = /t\ntarget = unix:@x\naccept = text\nsend = text\nidle_timeout = 20s\nping_interval = "
        "4s\n"
        "[route named]\npath = /n\ntarget = name.example:7000\nprofile = interactive\nlifetime = 1m\n"
        "[route echo]\npath = /e\ntarget = echo:\nsend = text\n"
        "[route limits]\npath = /l\ntarget = [::1]:7000\naccept = binary\nmax_message = 1000\nmax_frame_rate = 40\n"
        "connect_error = http\nstall_timeout = 3s\nhigh_water = 2k\nlow_water = 1k\nmax_read = 1k\nping_interval = 1s\n"
        "pong_timeout = 1s\n"
        "[route words]\npath = /w\ntarget = 127.0.0.1:7000\naccept = text\nconnect_error = close\nsubprotocol = "
        "binary, chat\n"
        "require_subprotocol = yes\norigin = *\nlow_water = 0\nhigh_water = 1k\nmax_message = 100000\n"
        "[route token]\npath = /k\ntoken_file = %s/tokens\nconnect_timeout = 1s\n"
        "[route lost]\npath = /o\ntoken_file = %s/nowhere\n"
        "[route safe]\npath = /s\ntarget = tls:127.0.0.1:7000\ntarget_verify = no\nconnect_timeout = 2s\n"
        "[route paced]\npath = /p\ntarget = 127.0.0.1:7000\nmax_rate_up = 20k\nmax_rate_down = 30k\nmax_sessions = 1\n"
        "max_session_rate = 1000\n"
        "[route other]\npath = /h\nhost = other.example\ntarget = 127.0.0.1:7000\n"
        "[route web]\npath = /*\nroot = www\nstall_timeout = 5s\n";

static FILE *create(const char *name)
{
	FILE *file = fopen(name, "w");

	CHECK(file != NULL);
	return file;
}

static void write_text(const char *name, const char *text)
{
	FILE *file = create(name);

	fputs(text, file);
	CHECK(fclose(file) == 0);
}

static void write_big(struct bytes *bytes)
{
	FILE *file = create("www/big.bin");
	uint32_t x = 1;

	*bytes = (struct bytes){ malloc(FILE_LEN), 0, FILE_LEN };
	CHECK(bytes->at != NULL);
	for (; bytes->len < FILE_LEN; x = x * 1664525 + 1013904223)
		bytes->at[bytes->len++] = (uint8_t)(x >> 24);
	CHECK(fwrite(bytes->at, 1, bytes->len, file) == FILE_LEN && fclose(file) == 0);
}

/* Ed25519: its signatures are all of one length, so a handshake is the same each time. */
static void write_certificate(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *cert = X509_new();
	FILE *file = create("cert.pem");

	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * 1000);
	X509_set_pubkey(cert, key);
	CHECK(X509_sign(cert, key, NULL) > 0);
	PEM_write_X509(file, cert);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	CHECK(fclose(file) == 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void write_files(struct place *place)
{
	char text[sizeof(configuration) + 2 * sizeof(dir)];

	CHECK(mkdir("www", 0700) == 0 && mkdir("www/sub", 0700) == 0);
	snprintf(text, sizeof(text), configuration, dir, dir);
	write_text("conf", text);
	write_text("tokens", "one: 127.0.0.1:7000\ntwo: unix:/run/none\nthree: name.example:7000\nfour: ::1:7000\n");
	write_text("www/index.html", "<p>A page.\n");
	write_text("www/sub/index.html", "<p>Another.\n");
	write_text("www/empty.txt", "");
	write_text("www/page.css", "body { color: black }\n");
	write_text("www/page.css.gz", "not really");
	write_big(&place->file);
	write_certificate();
}

static void place_remove(void)
{
	char path[512];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		remove(path);
	}
	rmdir(dir);
}

static SSL_CTX *context_of_targets(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	CHECK(SSL_CTX_use_certificate_file(context, "cert.pem", SSL_FILETYPE_PEM) == 1);
	CHECK(SSL_CTX_use_PrivateKey_file(context, "cert.pem", SSL_FILETYPE_PEM) == 1);
	return context;
}

/* Relative paths of a configuration are taken from where the process is: there, for as long as it is read. */
static void read_configuration(struct place *place)
{
	struct err err, warnings;

	err_init(&err);
	err_init(&warnings);
	struct settings *settings = settings_read("conf", NULL, &err);
	place->generation = settings != NULL ? generation_build(settings, NULL, &err, &warnings) : NULL;
	if (place->generation == NULL)
		fprintf(stderr, "%s\n", err.text);
	CHECK(place->generation != NULL);
	routes_check_gates(&place->generation->routes, &beneath_opener, &warnings);
	int next = dup(0); /* what the log will get */
	kernel.log_fd = next;
	close(next);
	place->log = log_open("file:/dev/null", &err);
	CHECK(place->log != NULL);
	log_configure(place->log, LEVEL_DEBUG, LOG_TEXT);
}

/* Bytes that are the same in each run: not even the length of a handshake may depend on chance. */
static uint32_t chance;

static int bytes_of_chance(unsigned char *out, int n)
{
	for (int i = 0; i < n; i++) {
		chance = chance * 1664525 + 1013904223;
		out[i] = (unsigned char)(chance >> 24);
	}
	return 1;
}

static int chance_is_fine(void)
{
	return 1;
}

void place_reset_chance(void)
{
	static const RAND_METHOD method = { .bytes = bytes_of_chance,
		                            .pseudorand = bytes_of_chance,
		                            .status = chance_is_fine };

	chance = 7;
	CHECK(RAND_set_rand_method(&method) == 1);
}

static void place_make(struct place *place)
{
	const char *parent = getenv("TMPDIR");
	int back = open(".", O_RDONLY | O_DIRECTORY);

	kernel_use_allocator();
	snprintf(dir, sizeof(dir), "%s/fuzz-session-XXXXXX", parent != NULL ? parent : "/tmp");
	CHECK(mkdtemp(dir) != NULL && back >= 0 && chdir(dir) == 0);
	atexit(place_remove);
	write_files(place);
	read_configuration(place);
	place->admission = admission_new(1024, 1024);
	CHECK(place->admission != NULL);
	place->clients = SSL_CTX_new(TLS_client_method());
	place->targets = context_of_targets();
	CHECK(fchdir(back) == 0);
	close(back);
}

const struct place *place_get(void)
{
	static struct place place;

	if (place.generation == NULL)
		place_make(&place);
	return &place;
}
