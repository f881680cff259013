/* test_split.c owns the promise for a whole client's side of a session, request and frames: what is made of it does not
 * depend on how it is cut. It must never ask what the bytes mean; it only sees to it that all kinds of ends occur. */
#include "proto/http.h"
#include "proto/upgrade.h"
#include "proto/ws.h"

#include "../fuzz/ws_feed.h"

#include <openssl/evp.h>

#define HEAD_LIMIT 8192

#define STREAMS        10000
#define STREAM_LEN_MAX 20000
#define RANDOM_SPLITS  3

enum end { REFUSED, UNFINISHED, FINE, VIOLATED };

struct side {
	char head[HEAD_LIMIT];
	size_t len, scanned;
	enum end end;
	struct ws_rx rx;
};

static struct side whole, cut;
static struct bytes once; /* what came of the stream in one piece */
static EVP_MD_CTX *sha1;
static const struct http_stamp stamp = { .now = 0 };

/* --- what the gateway does with its input --- */

static void side_init(struct side *side, uint8_t flags, uint64_t max_message)
{
	side->len = side->scanned = 0;
	side->end = UNFINISHED;
	ws_rx_init(&side->rx, flags, max_message);
	got.len = 0;
}

static void refuse(struct side *side, int status)
{
	log_bad(&got, (unsigned)status);
	side->end = REFUSED;
}

static void answer(struct side *side, size_t length)
{
	static struct http_head head;
	char response[UPGRADE_RESPONSE_MAX];
	struct span key;
	int status = http_parse_head(&head, side->head, length);

	if (status == 0)
		status = upgrade_check(&head, &key);
	if (status != 0) {
		refuse(side, status);
		return;
	}
	char *name = (char[]){ "chat" };
	const struct str_list ours = { .item = &name, .count = 1 };
	put(&got, response, upgrade_response(response, sizeof(response), sha1, key, upgrade_subprotocol(&head, &ours),
	                                   &stamp));
	side->end = FINE;
}

static void feed_frames(struct side *side, const uint8_t *bytes, size_t len)
{
	static uint8_t buffer[STREAM_LEN_MAX + HEAD_LIMIT];
	uint8_t *at = buffer;
	struct ws_run run;

	if (len > 0)
		memcpy(buffer, bytes, len);
	while (len > 0) {
		enum ws_status status = ws_decode(&side->rx, at, len, &run);
		feed_log(&side->rx, status, &run);
		if (status == WS_BAD) {
			log_bad(&got, run.close_code);
			side->end = VIOLATED;
			return;
		}
		at += run.used;
		len -= run.used;
	}
}

static void feed_side(struct side *side, const uint8_t *bytes, size_t len)
{
	if (side->end == UNFINISHED) {
		size_t room = sizeof(side->head) - side->len, n = len < room ? len : room;
		memcpy(side->head + side->len, bytes, n);
		side->len += n;
		int length = http_head_length(side->head, side->len, HEAD_LIMIT, &side->scanned);
		if (length < 0)
			refuse(side, -length);
		if (length <= 0)
			return;
		answer(side, (size_t)length);
		if (side->end == FINE)
			feed_frames(side, (const uint8_t *)side->head + length, side->len - (size_t)length);
		bytes += n;
		len -= n;
	}
	if (side->end == FINE)
		feed_frames(side, bytes, len);
}

static void feed_pieces(struct side *side, size_t largest)
{
	for (size_t at = 0, n; at < in.len; at += n) {
		n = largest == 1 ? 1 : 1 + random_below(largest);
		n = n < in.len - at ? n : in.len - at;
		feed_side(side, in.at + at, n);
	}
}

/* --- a client --- */

static void put_random_head(struct bytes *head)
{
	put_text(head, chance(20) ? "POST" : "GET");
	put_text(head, chance(20) ? " http://a/x HTTP/1.1\r\n" : " /path?query HTTP/1.1\r\n");
	put_text(head, "Host: gateway.test\r\nUpgrade: h2c, websocket\r\nConnection: keep-alive, Upgrade\r\n");
	put_text(head, chance(20) ? "Sec-WebSocket-Key: short\r\n" : "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
	put_text(head, chance(20) ? "Sec-WebSocket-Version: 8\r\n" : "Sec-WebSocket-Version: 13\r\n");
	if (chance(3))
		put_text(head, "Sec-WebSocket-Protocol: talk, chat\r\n");
	for (size_t n = chance(30) ? 120 : random_below(8); n > 0; n--)
		put_text(head, "X-Field: some text of no meaning\r\n");
	if (chance(50))
		for (size_t n = 0; n < HEAD_LIMIT; n++)
			put_text(head, "x");
	put_text(head, "\r\n");
	if (chance(12))
		head->at[random_below(head->len)] = (uint8_t)random_below(256);
}

static void put_random_session(void)
{
	static struct bytes head;

	put_random_stream();
	if (in.len > STREAM_LEN_MAX / 2)
		in.len = STREAM_LEN_MAX / 2;
	head.len = 0;
	put_random_head(&head);
	memmove(in.at + head.len, in.at, in.len);
	memcpy(in.at, head.at, head.len);
	in.len += head.len;
	if (chance(40))
		in.len = random_below(head.len);
}

/* --- the promise --- */

/* A decoder that met the violation in the middle of a piece has not delivered that piece's beginning. */
static void compare_violations(void)
{
	size_t a = once.len - VIOLATION_LEN, b = got.len - VIOLATION_LEN;

	assert_memory_equal(once.at + a, got.at + b, VIOLATION_LEN);
	assert_memory_equal(once.at, got.at, a < b ? a : b);
	assert_true(a == b || memcmp(once.at + a, "{1007}", VIOLATION_LEN) == 0);
}

static void compare(void)
{
	assert_int_equal(cut.end, whole.end);
	if (whole.end == VIOLATED) {
		compare_violations();
		return;
	}
	assert_int_equal(got.len, once.len);
	assert_memory_equal(got.at, once.at, once.len);
	assert_true(whole.rx.left == cut.rx.left && whole.rx.frames == cut.rx.frames);
	assert_int_equal(whole.rx.message_opcode, cut.rx.message_opcode);
}

static void check_stream(uint8_t flags, uint64_t max_message)
{
	static const size_t largest[RANDOM_SPLITS] = { 4, 60, 4000 };

	side_init(&whole, flags, max_message);
	feed_side(&whole, in.at, in.len);
	set(&once, &got);
	for (size_t i = 0; i <= RANDOM_SPLITS; i++) {
		side_init(&cut, flags, max_message);
		feed_pieces(&cut, i == 0 ? 1 : largest[i - 1]);
		compare();
	}
}

static void test_sessions(void **state)
{
	size_t ends[VIOLATED + 1] = { 0 }, codes[20] = { 0 };

	(void)state;
	sha1 = upgrade_sha1_new();
	assert_non_null(sha1);
	for (size_t seed = 1; seed <= STREAMS; seed++) {
		random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
		put_random_session();
		uint8_t flags = WS_RX_MASKED | (chance(8) ? WS_RX_TEXT : chance(8) ? WS_RX_BINARY : WS_RX_TEXT | WS_RX_BINARY);
		check_stream(flags | (chance(2) ? WS_RX_MERGE : 0), chance(6) ? 200 : 0);
		ends[whole.end]++;
		codes[whole.end == VIOLATED ? whole.rx.failed - 1000 : 0]++;
	}
	EVP_MD_CTX_free(sha1);
	print_message("%d streams: %zu refused, %zu unfinished, %zu fine, %zu violated\n", STREAMS, ends[REFUSED],
	              ends[UNFINISHED], ends[FINE], ends[VIOLATED]);
	assert_true(ends[REFUSED] > 500 && ends[UNFINISHED] > 50 && ends[FINE] > 500);
	assert_true(codes[2] > 100 && codes[3] > 100 && codes[7] > 100 && codes[9] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sessions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
