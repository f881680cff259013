/* test_stream_turn.c lets a peer have much ready, and sees how much of it one turn of the loop takes: in reads, in records, in
 * bytes of a file; and what is counted of that which it then holds. It must never measure a time. */
#include "net/stream.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY       1000
#define MOST       64 /* records a turn, and reads */
#define HEADER     5
#define FILE_PIECE (256 * 1024)

struct world {
	struct event_base *base;
	struct stream stream;
	SSL_CTX *server, *client;
	SSL *peer_ssl;
	int peer;
	bool ready, broken;
	size_t got; /* bytes read */
	size_t last;
	bool failed;
	uint8_t next; /* what the next byte must be */
};

static void check_order(struct world *world, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], world->next++);
}

static void on_event(void *owner, struct stream *stream, enum stream_event event)
{
	struct world *world = owner;
	uint8_t bytes[4096];

	world->ready |= event == STREAM_READY;
	world->broken |= event == STREAM_BROKEN;
	if (event != STREAM_READABLE)
		return;
	ssize_t n = stream_read(stream, bytes, sizeof(bytes));
	world->failed |= n == STREAM_FAILED;
	world->last = n > 0 ? (size_t)n : 0;
	world->got += world->last;
	check_order(world, bytes, world->last);
}

static void use_certificate(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	int pair[2], large = 4 << 20;

	world->base = event_base_new();
	world->server = SSL_CTX_new(TLS_server_method());
	world->client = SSL_CTX_new(TLS_client_method());
	SSL_CTX_clear_mode(world->server, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_num_tickets(world->server, 0);
	use_certificate(world->server);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	world->peer = pair[1];
	stream_open(&world->stream, world->base, pair[0], on_event, world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	SSL_free(world->peer_ssl);
	stream_close(&world->stream, false);
	close(world->peer);
	event_base_free(world->base);
	SSL_CTX_free(world->server);
	SSL_CTX_free(world->client);
	free(world);
	return 0;
}

/* Without EVLOOP_ONCE it would be as many as there are events for. */
static void turn(struct world *world)
{
	world->last = 0;
	event_base_loop(world->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static size_t unread(const struct world *world)
{
	int n = 0;

	assert_int_equal(ioctl(world->stream.fd, FIONREAD, &n), 0);
	return (size_t)n;
}

static void start_tls(struct world *world)
{
	assert_int_equal(stream_start_tls(&world->stream, SSL_new(world->server)), 0);
}

static void connect_tls(struct world *world)
{
	start_tls(world);
	world->peer_ssl = SSL_new(world->client);
	SSL_set_fd(world->peer_ssl, world->peer);
	SSL_set_connect_state(world->peer_ssl);
	for (int i = 0; i < 100 && !world->ready; i++) {
		SSL_do_handshake(world->peer_ssl);
		turn(world);
	}
	assert_true(world->ready);
	stream_release(&world->stream, HOLD_STATE);
	turn(world); /* the look that follows a handshake */
}

static void send_bytes_in_records(struct world *world)
{
	for (int i = 0; i < MANY; i++) {
		uint8_t byte = (uint8_t)i;
		assert_int_equal(SSL_write(world->peer_ssl, &byte, 1), 1);
	}
}

/* --- what it takes -------------------------------------------------------------------------------------------------- */

static void a_turn_takes_so_many_records_of_data(void **state)
{
	struct world *world = *state;

	connect_tls(world);
	send_bytes_in_records(world);
	for (int turns = 0; turns < MANY && world->got < MANY; turns++) {
		turn(world);
		assert_true(world->last > 0 && world->last <= MOST);
	}
	assert_int_equal(world->got, MANY);
	turn(world);
	assert_int_equal(world->last, 0);
	assert_false(world->failed);
}

static void records_without_data_end_the_reading(void **state)
{
	struct world *world = *state;
	char text[64];

	connect_tls(world);
	assert_int_equal(SSL_version(world->peer_ssl), TLS1_3_VERSION);
	for (int i = 0; i < 3 * MANY; i++) {
		assert_int_equal(SSL_key_update(world->peer_ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(world->peer_ssl), 1);
	}
	size_t all = unread(world);
	turn(world);
	assert_true(world->failed);
	assert_true(unread(world) > all / 2); /* one buffer of the SSL's and no more */
	stream_error_text(&world->stream, text, sizeof(text));
	assert_string_equal(text, "too many TLS records without data");
}

/* A ClientHello of which each byte is a record: none is refused, but they take many turns. */
static void a_handshake_takes_so_many_reads(void **state)
{
	struct world *world = *state;
	static const uint8_t header[] = { 22, 3, 1, 0, 1 }, hello[] = { 1, 0, 64, 0 };

	start_tls(world);
	for (size_t i = 0; i < MANY; i++) {
		uint8_t record[HEADER + 1] = { 0 };
		memcpy(record, header, HEADER);
		record[HEADER] = i < sizeof(hello) ? hello[i] : 3;
		assert_int_equal(write(world->peer, record, sizeof(record)), sizeof(record));
	}
	for (size_t before = unread(world), turns = 0; before > 0 && turns < MANY; turns++) {
		turn(world);
		assert_in_range(before - unread(world), 1, MOST / 2 * (HEADER + 1) + HEADER);
		before = unread(world);
	}
	assert_int_equal(unread(world), 0);
	assert_false(world->broken || world->ready);
}

static void send_hello_in_part(struct world *world, size_t records)
{
	static uint8_t record[HEADER + 0x4000] = { 22, 3, 1, 0x40, 0, 1, 1, 0x80, 0 };

	for (size_t i = 0; i < records; i++) {
		assert_int_equal(write(world->peer, record, sizeof(record)), sizeof(record));
		turn(world);
		turn(world);
	}
}

/* Up to 16 KiB in any case. */
static void what_a_handshake_holds_is_counted(void **state)
{
	struct world *world = *state;
	struct stream_pool pool = { .held = 1000, .most = 40000 };

	assert_int_equal(stream_join_pool(&world->stream, &pool), 0);
	start_tls(world);
	send_hello_in_part(world, 2);
	assert_int_equal(pool.held, 1000 + 2 * (HEADER + 0x4000));
	assert_false(world->broken);
	send_hello_in_part(world, 2);
	assert_true(world->broken && world->stream.crowded);
	stream_close(&world->stream, false);
	assert_int_equal(pool.held, 1000);
}

static void a_small_handshake_is_made_in_any_case(void **state)
{
	struct world *world = *state;
	struct stream_pool pool = { .held = 1000, .most = 1 };

	assert_int_equal(stream_join_pool(&world->stream, &pool), 0);
	connect_tls(world);
	assert_int_equal(pool.held, 1000);
}

static void a_record_that_came_in_part_is_counted(void **state)
{
	struct world *world = *state;
	struct stream_pool pool = { .held = 0 };
	uint8_t record[100] = { 23, 3, 3, 0x40, 0 };

	connect_tls(world);
	assert_int_equal(stream_join_pool(&world->stream, &pool), 0);
	assert_int_equal(write(world->peer, record, sizeof(record)), sizeof(record));
	turn(world);
	assert_true(pool.held >= 0x4000);
	stream_close(&world->stream, false);
	assert_int_equal(pool.held, 0);
}

static void a_turn_takes_a_piece_of_a_file(void **state)
{
	struct world *world = *state;
	int file = memfd_create("file", MFD_CLOEXEC), n = 0;

	assert_int_equal(ftruncate(file, 8 * FILE_PIECE), 0);
	assert_int_equal(stream_write_file(&world->stream, file, 0, 8 * FILE_PIECE, NULL, 0), FILE_PIECE);
	turn(world);
	assert_int_equal(ioctl(world->peer, FIONREAD, &n), 0);
	assert_in_range(n, 1, FILE_PIECE);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_turn_takes_so_many_records_of_data, setup, teardown),
		cmocka_unit_test_setup_teardown(records_without_data_end_the_reading, setup, teardown),
		cmocka_unit_test_setup_teardown(a_handshake_takes_so_many_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_handshake_holds_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_small_handshake_is_made_in_any_case, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_that_came_in_part_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_turn_takes_a_piece_of_a_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
