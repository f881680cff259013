/* test_ws.c proves the frame codec against the rules of RFC 6455, one test a rule, and against an oracle that decodes
 * one byte at a time from the complete stream. It must never depend on where the codec happens to cut its runs. */
#include "proto/ws.h"
#include "guard.h"
#include "ws_oracle.h"
#include "ws_stream.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SERVER (WS_RX_MASKED | WS_RX_TEXT | WS_RX_BINARY)

/* --- what comes out --- */

static void log_run(const struct ws_rx *rx, const struct ws_run *run)
{
	bool borders = !(rx->flags & WS_RX_MERGE);

	if (borders && run->message_start)
		put_text(&got, run->opcode == WS_TEXT ? "(t" : "(b");
	put(&got, run->payload, run->len);
	if (borders && run->message_end)
		put_text(&got, ")");
	if (!borders)
		assert_true(run->len > 0);
}

/* Returns false after WS_BAD, having checked that it is final. */
static bool feed(struct ws_rx *rx, const uint8_t *bytes, size_t len)
{
	uint8_t *buf = guard_copy(bytes, len);

	while (len > 0) {
		struct ws_run run;
		enum ws_status status = ws_decode(rx, buf, len, &run);
		if (status == WS_BAD) {
			uint16_t code = run.close_code;
			assert_int_equal(ws_decode(rx, buf, len, &run), WS_BAD);
			assert_int_equal(run.close_code, code);
			log_bad(&got, code);
			return false;
		}
		assert_true(run.used <= len);
		if (status == WS_MORE)
			assert_true(run.used == len);
		if (status == WS_CONTROL)
			log_control(&got, run.opcode, run.payload, run.len);
		if (status == WS_DATA) {
			assert_true(run.payload >= buf && run.payload + run.len <= buf + run.used);
			log_run(rx, &run);
		}
		buf += run.used;
		len -= run.used;
	}
	return true;
}

/* --- every way to cut --- */

typedef void check_fn(void);

static void check_exact(void)
{
	if (got.len != full.len || memcmp(got.at, full.at, got.len) != 0)
		fail_msg("got \"%.*s\", want \"%.*s\"", (int)(got.len < 200 ? got.len : 200), (char *)got.at,
			 (int)(full.len < 200 ? full.len : 200), (char *)full.at);
}

/* Of a frame with a violation inside, the codec may deliver as much as it likes, from nothing to all that was valid. */
static void check_between(void)
{
	size_t bad = got.len < 6 ? 0 : got.len - 6, want_bad = full.len - 6;

	assert_true(bad >= sure.len && bad <= want_bad);
	assert_memory_equal(got.at, full.at, bad);
	assert_memory_equal(got.at + bad, full.at + want_bad, 6);
}

static void decode_pieces(unsigned flags, uint64_t max, const size_t *cuts, size_t count)
{
	struct ws_rx rx;
	size_t from = 0;

	got.len = 0;
	ws_rx_init(&rx, (uint8_t)flags, max);
	for (size_t i = 0; i <= count; i++) {
		size_t to = i < count ? cuts[i] : in.len;
		if (!feed(&rx, in.at + from, to - from))
			return;
		from = to;
	}
}

static void decode_bytewise(unsigned flags, uint64_t max)
{
	struct ws_rx rx;

	got.len = 0;
	ws_rx_init(&rx, (uint8_t)flags, max);
	for (size_t i = 0; i < in.len && feed(&rx, in.at + i, 1); i++)
		;
}

static void decode_every_way(unsigned flags, uint64_t max, check_fn *check)
{
	decode_pieces(flags, max, NULL, 0);
	check();
	decode_bytewise(flags, max);
	check();
	for (size_t cut = 0; cut <= in.len; cut++) {
		if (in.len > 1500 && cut > 40 && cut < in.len - 40 && cut % 4099 != 0)
			continue;
		decode_pieces(flags, max, &cut, 1);
		check();
	}
}

/* The stream so far gives exactly this, in both modes; without_borders is what WS_RX_MERGE gives. */
static void expect(unsigned flags, uint64_t max, const char *with_borders, const char *without_borders)
{
	full.len = 0;
	put_text(&full, with_borders);
	decode_every_way(flags, max, check_exact);
	full.len = 0;
	put_text(&full, without_borders);
	decode_every_way(flags | WS_RX_MERGE, max, check_exact);
	in.len = 0;
}

/* The stream is nothing but a violation. */
static void expect_bad(unsigned code)
{
	char verdict[16];
	snprintf(verdict, sizeof(verdict), "{%u}", code);
	expect(SERVER, 0, verdict, verdict);
}

/* --- the rules, by their names --- */

static void fr_unmasked(void **state)
{
	(void)state;
	reset();
	put_frame(FIN_BINARY, "abc", 3, false);
	expect_bad(1002);
	put_frame(FIN_PING, "", 0, false);
	expect_bad(1002);
	frame(FIN_BINARY, "before");
	put_frame(FIN_BINARY, "abc", 3, false);
	expect(SERVER, 0, "(bbefore){1002}", "before{1002}");
}

static void fr_server_unmasked(void **state)
{
	static const struct {
		uint64_t len;
		size_t header;
		const char *bytes;
	} rows[] = {
		{ 0, 2, "\x82\x00" },
		{ 125, 2, "\x82\x7d" },
		{ 126, 4, "\x82\x7e\x00\x7e" },
		{ 127, 4, "\x82\x7e\x00\x7f" },
		{ 65535, 4, "\x82\x7e\xff\xff" },
		{ 65536, 10, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" },
		{ INT64_MAX, 10, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" },
	};
	uint8_t room[WS_SERVER_HEADER_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		room[WS_SERVER_HEADER_MAX] = 0x5a;
		assert_int_equal(ws_push_header(room + WS_SERVER_HEADER_MAX, FIN_BINARY, rows[i].len), rows[i].header);
		assert_memory_equal(room + WS_SERVER_HEADER_MAX - rows[i].header, rows[i].bytes, rows[i].header);
		assert_int_equal(room[WS_SERVER_HEADER_MAX], 0x5a);
	}
}

static void fr_rsv(void **state)
{
	(void)state;
	reset();
	for (unsigned rsv = 0x10; rsv <= 0x70; rsv += 0x10) {
		frame(rsv | FIN_BINARY, "abc");
		expect_bad(1002);
		frame(rsv | FIN_PING, "");
		expect_bad(1002);
	}
	frame(WS_BINARY, "ab");
	frame(0x40 | FIN_CONT, "c");
	expect(SERVER, 0, "(bab{1002}", "ab{1002}");
}

static void fr_opcode(void **state)
{
	(void)state;
	reset();
	for (unsigned opcode = 0; opcode < 16; opcode++) {
		if (opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG))
			continue;
		frame(WS_FIN | opcode, "");
		expect_bad(1002);
		frame(FIN_BINARY, "data");
		frame(WS_FIN | opcode, "x");
		expect(SERVER, 0, "(bdata){1002}", "data{1002}");
	}
}

static void fr_len_minimal(void **state)
{
	static const struct {
		uint64_t len;
		unsigned extra;
	} rows[] = { { 0, 2 }, { 125, 2 }, { 0, 8 }, { 125, 8 }, { 126, 8 }, { 65535, 8 } };

	(void)state;
	reset();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_header(FIN_BINARY, rows[i].len, rows[i].extra, true);
		expect_bad(1002);
	}
}

static void fr_len_msb(void **state)
{
	(void)state;
	reset();
	put_header(FIN_BINARY, UINT64_C(1) << 63, 8, true);
	expect_bad(1002);
	put_header(FIN_BINARY, UINT64_MAX, 8, true);
	expect_bad(1002);
}

/* Lengths around powers of two are carried through, not cut to 32 bits or made negative. */
static void fr_len_huge(void **state)
{
	static const uint64_t lens[] = { INT32_MAX, UINT64_C(1) << 31, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX };

	(void)state;
	reset();
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		put_header(WS_BINARY, lens[i], 8, true);
		for (size_t n = 0; n < 200; n++)
			put_byte(&in, (unsigned)('x' ^ some_key[n & 3]));
		full.len = 0;
		put_text(&full, "(b");
		for (size_t n = 0; n < 200; n++)
			put_byte(&full, 'x');
		decode_every_way(SERVER, 0, check_exact);
		decode_every_way(SERVER, lens[i], check_exact);
		full.len = 0;
		put_text(&full, "{1009}");
		decode_every_way(SERVER, lens[i] - 1, check_exact);
		in.len = 0;
	}
}

/* A frame of each length, moved by the merging of a frame of `shift` bytes in front, at each alignment of the input. */
static void check_length(size_t len, size_t shift, size_t alignment)
{
	static uint8_t payload[65536 + 8];
	uint8_t *room = (uint8_t *)guard_map + alignment;
	struct ws_rx rx;
	struct ws_run run;

	pattern(payload, shift + len);
	in.len = 0;
	put_frame(FIN_BINARY, payload, shift, true);
	put_frame(FIN_BINARY, payload + shift, len, true);
	memcpy(room, in.at, in.len);
	ws_rx_init(&rx, SERVER | WS_RX_MERGE, 0);
	assert_int_equal(ws_decode(&rx, room, in.len, &run), len + shift > 0 ? WS_DATA : WS_MORE);
	assert_int_equal(run.used, in.len);
	assert_int_equal(run.len, len + shift);
	assert_memory_equal(run.payload, payload, len + shift);
	assert_int_equal(rx.frames, 2);
}

static void fr_len_bounds(void **state)
{
	static const size_t lens[] = { 0, 125, 126, 127, 65535, 65536 };
	static uint8_t payload[65536];

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (size_t at = 0; at < 64; at++)
			check_length(lens[i], at / 8, at % 8);
		reset();
		pattern(payload, lens[i]);
		put_frame(FIN_BINARY, payload, lens[i], true);
		put_text(&full, "(b");
		put(&full, payload, lens[i]);
		put_text(&full, ")");
		decode_every_way(SERVER, 0, check_exact);
	}
}

static void fr_cont_orphan(void **state)
{
	(void)state;
	reset();
	frame(FIN_CONT, "abc");
	expect_bad(1002);
	frame(WS_CONTINUATION, "");
	expect_bad(1002);
	frame(FIN_TEXT, "abc");
	frame(FIN_CONT, "d");
	expect(SERVER, 0, "(tabc){1002}", "abc{1002}");
}

static void fr_data_in_msg(void **state)
{
	(void)state;
	reset();
	frame(WS_TEXT, "abc");
	frame(FIN_TEXT, "d");
	expect(SERVER, 0, "(tabc{1002}", "abc{1002}");
	frame(WS_BINARY, "");
	frame(WS_BINARY, "d");
	expect_bad(1002);
}

static void fr_fragments(void **state)
{
	(void)state;
	reset();
	frame(WS_TEXT, "");
	frame(WS_CONTINUATION, "ab");
	frame(WS_CONTINUATION, "");
	frame(WS_CONTINUATION, "cd");
	frame(FIN_CONT, "");
	frame(FIN_BINARY, "next");
	frame(FIN_BINARY, "");
	frame(WS_TEXT, "");
	frame(FIN_CONT, "");
	expect(SERVER, 0, "(tabcd)(bnext)(b)(t)", "abcdnext");
}

static void fr_ctl_interleaved(void **state)
{
	(void)state;
	reset();
	frame(WS_TEXT, "ab");
	frame(FIN_PING, "p");
	frame(WS_CONTINUATION, "\xc3");
	frame(FIN_PONG, "");
	frame(FIN_CONT, "\xa4z");
	frame(FIN_CLOSE, "\x03\xe8");
	expect(SERVER, 0, "(tab[9:p]\xc3[10:]\xa4z)[8:\x03\xe8]", "ab[9:p]\xc3[10:]\xa4z[8:\x03\xe8]");
}

static void fr_ctl_form(void **state)
{
	uint8_t payload[126] = { 'x' };

	(void)state;
	reset();
	for (unsigned opcode = WS_CLOSE; opcode <= WS_PONG; opcode++) {
		frame(opcode, "");
		expect_bad(1002);
		put_frame(WS_FIN | opcode, payload, sizeof(payload), true);
		expect_bad(1002);
		put_header(WS_FIN | opcode, 5, 2, true);
		expect_bad(1002);
		put_header(WS_FIN | opcode, 70000, 8, true);
		expect_bad(1002);
	}
}

static void fr_close_1byte(void **state)
{
	(void)state;
	reset();
	frame(FIN_CLOSE, "\x03");
	expect_bad(1002);
	frame(FIN_PING, "\x03\xe8"); /* leaves behind what would make the byte a code */
	frame(FIN_CLOSE, "\x03");
	expect(SERVER, 0, "[9:\x03\xe8]{1002}", "[9:\x03\xe8]{1002}");
	frame(FIN_CLOSE, "");
	expect(SERVER, 0, "[8:]", "[8:]");
}

static void fr_close_utf8(void **state)
{
	(void)state;
	reset();
	frame(FIN_CLOSE, "\x03\xe8" "bye\xff");
	expect_bad(1007);
	frame(FIN_CLOSE, "\x03\xe8" "cut\xe2\x82");
	expect_bad(1007);
	frame(FIN_CLOSE, "\x03\xe8" "\xed\xa0\x80");
	expect_bad(1007);
	frame(FIN_CLOSE, "\x03\xe8" "ok \xe2\x82\xac");
	expect(SERVER, 0, "[8:\x03\xe8ok \xe2\x82\xac]", "[8:\x03\xe8ok \xe2\x82\xac]");
}

/* The answer to a Close of each code there is. */
static void check_close_codes(bool ok)
{
	for (unsigned code = 0; code <= UINT16_MAX; code++) {
		struct ws_rx rx;
		struct ws_run run;
		uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };

		assert_int_equal(ws_close_code_valid((uint16_t)code), code_may_be_sent(code));
		if (code_may_be_sent(code) != ok)
			continue;
		reset();
		put_frame(FIN_CLOSE, payload, 2, true);
		ws_rx_init(&rx, SERVER, 0);
		assert_int_equal(ws_decode(&rx, in.at, in.len, &run), ok ? WS_CONTROL : WS_BAD);
		assert_int_equal(run.close_code, ok ? code : 1002);
	}
}

static void fr_close_code_bad(void **state)
{
	(void)state;
	check_close_codes(false);
}

static void fr_close_code_ok(void **state)
{
	(void)state;
	check_close_codes(true);
}

static void fr_close_empty_has_no_code(void **state)
{
	struct ws_rx rx;
	struct ws_run run;

	(void)state;
	reset();
	frame(FIN_CLOSE, "");
	ws_rx_init(&rx, SERVER, 0);
	assert_int_equal(ws_decode(&rx, in.at, in.len, &run), WS_CONTROL);
	assert_int_equal(run.opcode, WS_CLOSE);
	assert_int_equal(run.close_code, 0);
	assert_int_equal(run.len, 0);
}

static void fr_fail_stops(void **state)
{
	(void)state;
	reset();
	frame(FIN_BINARY, "a");
	frame(WS_FIN | 3, "");
	frame(FIN_BINARY, "never");
	frame(FIN_PING, "never");
	expect(SERVER, 0, "(ba){1002}", "a{1002}");
}

static void fr_ping(void **state)
{
	char longest[126] = "";

	(void)state;
	reset();
	memset(longest, 'p', 125);
	frame(FIN_PING, "");
	frame(FIN_PING, longest);
	put_text(&sure, "[9:][9:");
	put_text(&sure, longest);
	put_text(&sure, "]");
	put_byte(&sure, 0);
	expect(SERVER, 0, (char *)sure.at, (char *)sure.at);
}

static void fr_pong_unasked(void **state)
{
	(void)state;
	reset();
	frame(FIN_PONG, "who asked");
	frame(FIN_BINARY, "x");
	expect(SERVER, 0, "[10:who asked](bx)", "[10:who asked]x");
}

/* The first frame is whole and must come; of the second, what is valid may come. */
static void expect_not_utf8(const char *whole, const char *valid_rest)
{
	for (unsigned merge = 0; merge <= WS_RX_MERGE; merge += WS_RX_MERGE) {
		sure.len = full.len = 0;
		if (!merge)
			put_text(&sure, "(t");
		put_text(&sure, whole);
		put(&full, sure.at, sure.len);
		put_text(&full, valid_rest);
		put_text(&full, "{1007}");
		decode_every_way(SERVER | merge, 0, check_between);
	}
	in.len = 0;
}

static void fr_text_utf8(void **state)
{
	static const struct {
		const char *second, *valid;
		bool fin;
	} rows[] = {
		{ "b\xff" "c", "b", true },     /* never a part of UTF-8 */
		{ "b\xc0\xaf", "b", true },     /* overlong */
		{ "\xed\xa0\x80", "\xed", true }, /* surrogate: told by its second byte */
		{ "\xf4\x90", "\xf4", false },  /* above U+10FFFF, with more to come */
		{ "\x80", "", false },          /* out of nowhere */
		{ "bc\xe2\x82", "bc\xe2\x82", true }, /* ends inside a character */
	};

	(void)state;
	reset();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		frame(WS_TEXT, "good");
		frame((rows[i].fin ? WS_FIN : 0u) | WS_CONTINUATION, rows[i].second);
		expect_not_utf8("good", rows[i].valid);
	}
	frame(WS_TEXT, "half \xe2\x82");
	frame(FIN_CONT, "");
	expect_not_utf8("half \xe2\x82", "");
	frame(WS_TEXT, "\xf0\x9f");
	frame(FIN_CONT, "\x98\x80");
	frame(FIN_TEXT, "next");
	frame(FIN_BINARY, "\xff\xfe");
	expect(SERVER, 0, "(t\xf0\x9f\x98\x80)(tnext)(b\xff\xfe)", "\xf0\x9f\x98\x80next\xff\xfe");
}

/* A violation is told by the byte that makes it one, whatever is still to come. */
static void fr_text_utf8_at_once(void **state)
{
	struct ws_rx rx;
	struct ws_run run;

	(void)state;
	reset();
	put_header(FIN_TEXT, 60000, 2, true);
	put_byte(&in, 0xe2u ^ some_key[0]);
	put_byte(&in, 0x28u ^ some_key[1]);
	ws_rx_init(&rx, SERVER | WS_RX_MERGE, 0);
	assert_int_equal(ws_decode(&rx, in.at, in.len - 1, &run), WS_DATA);
	assert_int_equal(ws_decode(&rx, in.at + in.len - 1, 1, &run), WS_BAD);
	assert_int_equal(run.close_code, 1007);
}

static void fr_bad_start_at_once(void **state)
{
	static const uint8_t starts[][2] = { { 0xc2, 0xfe }, { 0x83, 0xff }, { 0x89, 0xfe }, { 0x80, 0x81 }, { 0x82, 0x7f } };

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct ws_rx rx;
		struct ws_run run;
		uint8_t start[2] = { starts[i][0], starts[i][1] };
		ws_rx_init(&rx, SERVER, 0);
		assert_int_equal(ws_decode(&rx, start, 2, &run), WS_BAD);
		assert_int_equal(run.close_code, 1002);
	}
}

static void fr_text_refused(void **state)
{
	(void)state;
	reset();
	frame(FIN_BINARY, "b");
	frame(FIN_TEXT, "t");
	expect(WS_RX_MASKED | WS_RX_BINARY, 0, "(bb){1003}", "b{1003}");
	frame(FIN_TEXT, "t");
	frame(WS_BINARY, "");
	expect(WS_RX_MASKED | WS_RX_TEXT, 0, "(tt){1003}", "t{1003}");
	put_header(WS_TEXT, 70000, 8, true); /* at the header: no payload is waited for */
	expect(WS_RX_MASKED | WS_RX_BINARY, 0, "{1003}", "{1003}");
	frame(FIN_PING, "x");
	expect(WS_RX_MASKED, 0, "[9:x]", "[9:x]");
}

static void fr_limit(void **state)
{
	(void)state;
	reset();
	frame(FIN_BINARY, "12345");
	frame(WS_BINARY, "123");
	frame(FIN_PING, "not counted");
	frame(FIN_CONT, "45");
	frame(FIN_BINARY, "123456");
	expect(SERVER, 5, "(b12345)(b123[9:not counted]45){1009}", "12345123[9:not counted]45{1009}");
	frame(WS_BINARY, "12345");
	frame(WS_CONTINUATION, "");
	put_header(FIN_CONT, 1, 0, true);
	expect(SERVER, 5, "(b12345{1009}", "12345{1009}");
	frame(WS_BINARY, "1");
	put_header(FIN_CONT, INT64_MAX, 8, true);
	expect(SERVER, 5, "(b1{1009}", "1{1009}");
}

static void fr_empty_counted(void **state)
{
	struct ws_rx rx;

	(void)state;
	reset();
	frame(WS_BINARY, "");
	frame(WS_CONTINUATION, "");
	frame(FIN_PONG, "");
	frame(FIN_CONT, "");
	ws_rx_init(&rx, SERVER | WS_RX_MERGE, 0);
	for (size_t i = 0; i < in.len; i++)
		assert_true(feed(&rx, in.at + i, 1));
	assert_int_equal(rx.frames, 4);
	assert_int_equal(got.len, strlen("[10:]"));
}

/* --- beyond the rules --- */

static void merging_makes_one_run(void **state)
{
	struct ws_rx rx;
	struct ws_run run;

	(void)state;
	reset();
	for (int i = 0; i < 100; i++)
		frame(i % 2 ? FIN_TEXT : FIN_BINARY, "x");
	size_t data = in.len;
	frame(FIN_PING, "p");
	ws_rx_init(&rx, SERVER | WS_RX_MERGE, 0);
	assert_int_equal(ws_decode(&rx, in.at, in.len, &run), WS_DATA);
	assert_int_equal(run.len, 100);
	assert_int_equal(run.used, data);
	assert_int_equal(ws_decode(&rx, in.at + data, in.len - data, &run), WS_CONTROL);
	assert_int_equal(run.used, in.len - data);
}

static void client_role(void **state)
{
	unsigned client = WS_RX_TEXT | WS_RX_BINARY;

	(void)state;
	reset();
	put_frame(WS_TEXT, "ab", 2, false);
	put_frame(FIN_PING, "p", 1, false);
	put_frame(WS_CONTINUATION, "", 0, false);
	put_frame(WS_CONTINUATION, "c", 1, false);
	put_frame(FIN_CONT, "defghijklmnopq", 14, false);
	expect(client, 0, "(tab[9:p]cdefghijklmnopq)", "ab[9:p]cdefghijklmnopq");
	frame(FIN_BINARY, "masked");
	expect(client, 0, "{1002}", "{1002}");
}

/* Against a loop over single bytes; and nothing is written but what was asked for. */
static void unmask_any_alignment(void **state)
{
	enum { MOST = 300, AROUND = 40 };
	uint8_t *end = (uint8_t *)guard_map + GUARD_SIZE;

	(void)state;
	for (size_t len = 0; len <= MOST; len++) {
		for (size_t shift = 0; shift <= 20; shift++) {
			uint8_t want[MOST + 2 * AROUND], mask[4];
			uint8_t *src = end - len - (shift & 7), *dst = src - shift, *from = dst - AROUND;
			size_t all = (size_t)(end - from);
			pattern(from, all);
			memcpy(want, from, all);
			for (size_t i = 0; i < len; i++)
				want[AROUND + i] = src[i] ^ some_key[i & 3];
			memcpy(mask, some_key, 4);
			ws_unmask(dst, src, len, mask);
			assert_memory_equal(from, want, all);
			for (size_t i = 0; i < 4; i++)
				assert_int_equal(mask[i], some_key[(len + i) & 3]);
		}
	}
}

static void control_frames(void **state)
{
	uint8_t out[WS_CONTROL_FRAME_MAX];
	uint8_t payload[WS_CONTROL_PAYLOAD_MAX] = { 'z' };

	(void)state;
	assert_int_equal(ws_control_frame(out, WS_PONG, (const uint8_t *)"hey", 3), 5);
	assert_memory_equal(out, "\x8a\x03hey", 5);
	assert_int_equal(ws_control_frame(out, WS_PING, NULL, 0), 2);
	assert_memory_equal(out, "\x89\x00", 2);
	assert_int_equal(ws_control_frame(out, WS_PING, payload, sizeof(payload)), 127);
	assert_memory_equal(out + 2, payload, sizeof(payload));
}

static void close_frames(void **state)
{
	uint8_t out[WS_CONTROL_FRAME_MAX];
	char reason[200];

	(void)state;
	assert_int_equal(ws_close_frame(out, 0, SPAN("ignored")), 2);
	assert_memory_equal(out, "\x88\x00", 2);
	assert_int_equal(ws_close_frame(out, 1000, (struct span){ NULL, 0 }), 4);
	assert_memory_equal(out, "\x88\x02\x03\xe8", 4);
	assert_int_equal(ws_close_frame(out, 1014, SPAN("gone")), 8);
	assert_memory_equal(out, "\x88\x06\x03\xf6gone", 8);

	memset(reason, 'r', sizeof(reason));
	assert_int_equal(ws_close_frame(out, 1000, (struct span){ reason, 123 }), 127);
	assert_int_equal(ws_close_frame(out, 1000, (struct span){ reason, 124 }), 127);
	memcpy(reason + 121, "\xe2\x82\xac", 3); /* the limit falls behind its second byte */
	assert_int_equal(ws_close_frame(out, 1000, (struct span){ reason, sizeof(reason) }), 125);
	assert_int_equal(out[1], 123);
	memcpy(reason + 120, "\xe2\x82\xac", 3); /* fits to the byte */
	assert_int_equal(ws_close_frame(out, 1000, (struct span){ reason, sizeof(reason) }), 127);
}

/* --- any stream, cut anyhow, against the oracle --- */

static int by_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	return x < y ? -1 : x > y;
}

static void any_split_gives_the_same(void **state)
{
	enum { STREAMS = 4000, CUTS = 12 };
	unsigned violations = 0;

	(void)state;
	random_state = UINT64_C(0x5a11b04751de0001);
	for (int stream = 0; stream < STREAMS; stream++) {
		put_random_stream();
		uint64_t max = chance(3) ? 1 + random_below(400) : 0;
		for (unsigned merge = 0; merge <= WS_RX_MERGE; merge += WS_RX_MERGE) {
			bool bad = oracle_decode(!merge, max);
			check_fn *check = bad ? check_between : check_exact;
			violations += bad;
			for (int split = 0; split < 4; split++) {
				size_t cuts[CUTS];
				for (size_t i = 0; i < CUTS; i++)
					cuts[i] = random_below(in.len + 1);
				qsort(cuts, CUTS, sizeof(cuts[0]), by_size);
				decode_pieces(SERVER | merge, max, cuts, split == 0 ? 0 : CUTS);
				check();
			}
			if (in.len < 2000) {
				decode_bytewise(SERVER | merge, max);
				check();
			}
		}
	}
	assert_in_range(violations, STREAMS / 4, STREAMS * 2 - STREAMS / 4); /* both kinds were tried */
}

/* --- small frames, which have a way of their own, against the same bytes one at a time ---------------------------- */

/* A frame with a key of its own. */
static void put_keyed(unsigned first, size_t len, unsigned extra)
{
	uint8_t key[4];

	for (size_t i = 0; i < 4; i++)
		key[i] = (uint8_t)random_below(256);
	put_header(first, len, extra, true);
	memcpy(in.at + in.len - 4, key, 4);
	for (size_t i = 0; i < len; i++)
		put_byte(&in, (unsigned)('a' + random_below(26)) ^ key[i & 3]);
}

static void put_small_frame(size_t at)
{
	size_t len = chance(2) ? at % 126 : random_below(126);

	put_keyed(FIN_BINARY, len, 0);
}

/* What may stand between small frames: the last ones are violations. */
static void put_other_frame(void)
{
	static const unsigned firsts[] = { FIN_TEXT, FIN_PING, FIN_PONG, FIN_CLOSE, FIN_BINARY, WS_BINARY,
		                           FIN_CONT, 0xc2, 0x83, WS_PING };
	unsigned kind = (unsigned)random_below(chance(4) ? 13 : 5);

	if (kind == 3 && !chance(4))
		kind = 4;
	if (kind == 4) {
		put_keyed(FIN_BINARY, 126 + random_below(300), 2);
	} else if (kind == 10) {
		put_keyed(FIN_BINARY, random_below(126), 2); /* a length that is not in its shortest form */
	} else if (kind == 11) {
		put_frame(FIN_BINARY, "unmasked", random_below(9), false);
	} else if (kind == 12) {
		put_keyed(WS_BINARY, random_below(126), 0);
		put_keyed(FIN_PING, random_below(126), 0);
		put_keyed(FIN_CONT, random_below(126), 0);
	} else {
		put_keyed(firsts[kind], kind == 3 ? 0 : random_below(126), 0);
	}
}

static void put_stream_of_small_frames(size_t seed)
{
	unsigned others = chance(3) ? 1000 : 2 + (unsigned)random_below(20);

	in.len = 0;
	for (size_t i = 0; i < 130; i++) {
		if (chance(others))
			put_other_frame();
		put_small_frame(seed + i);
	}
	if (chance(2))
		in.len = 1 + random_below(in.len);
}

/* Returns the count of frames; what came out is in got. */
static uint64_t decode_in_steps(unsigned flags, uint64_t max, size_t step)
{
	struct ws_rx rx;

	got.len = 0;
	ws_rx_init(&rx, (uint8_t)flags, max);
	for (size_t at = 0; at < in.len; at += step)
		if (!feed(&rx, in.at + at, in.len - at < step ? in.len - at : step))
			break;
	return rx.frames;
}

static void small_frames_have_a_twin(void **state)
{
	static const unsigned kinds[] = { SERVER, SERVER, WS_RX_MASKED | WS_RX_BINARY, WS_RX_MASKED | WS_RX_TEXT };
	static const uint64_t limits[] = { 0, 0, 0, 1, 60, 124, 125, 126, 400 };
	uint64_t frames = 0;

	(void)state;
	random_state = UINT64_C(0x5a11b04751de0002);
	for (size_t stream = 0; stream < 3000; stream++) {
		unsigned flags = kinds[random_below(4)] | WS_RX_MERGE;
		uint64_t max = limits[random_below(9)];
		put_stream_of_small_frames(stream);
		uint64_t want = decode_in_steps(flags, max, 1);
		set(&full, &got);
		assert_int_equal(decode_in_steps(flags, max, in.len), want);
		check_exact();
		assert_int_equal(decode_in_steps(flags, max, 1 + random_below(in.len)), want);
		check_exact();
		frames += want;
	}
	assert_in_range(frames, 50000, UINT64_MAX); /* not all ended at their beginning */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fr_unmasked),
		cmocka_unit_test(fr_server_unmasked),
		cmocka_unit_test(fr_rsv),
		cmocka_unit_test(fr_opcode),
		cmocka_unit_test(fr_len_minimal),
		cmocka_unit_test(fr_len_msb),
		cmocka_unit_test(fr_len_huge),
		cmocka_unit_test(fr_len_bounds),
		cmocka_unit_test(fr_cont_orphan),
		cmocka_unit_test(fr_data_in_msg),
		cmocka_unit_test(fr_fragments),
		cmocka_unit_test(fr_ctl_interleaved),
		cmocka_unit_test(fr_ctl_form),
		cmocka_unit_test(fr_close_1byte),
		cmocka_unit_test(fr_close_utf8),
		cmocka_unit_test(fr_close_code_bad),
		cmocka_unit_test(fr_close_code_ok),
		cmocka_unit_test(fr_close_empty_has_no_code),
		cmocka_unit_test(fr_fail_stops),
		cmocka_unit_test(fr_ping),
		cmocka_unit_test(fr_pong_unasked),
		cmocka_unit_test(fr_text_utf8),
		cmocka_unit_test(fr_text_utf8_at_once),
		cmocka_unit_test(fr_bad_start_at_once),
		cmocka_unit_test(fr_text_refused),
		cmocka_unit_test(fr_limit),
		cmocka_unit_test(fr_empty_counted),
		cmocka_unit_test(merging_makes_one_run),
		cmocka_unit_test(client_role),
		cmocka_unit_test(unmask_any_alignment),
		cmocka_unit_test(control_frames),
		cmocka_unit_test(close_frames),
		cmocka_unit_test(any_split_gives_the_same),
		cmocka_unit_test(small_frames_have_a_twin),
	};

	return cmocka_run_group_tests(tests, guard_open, guard_close);
}
