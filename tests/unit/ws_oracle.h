/* Random streams of frames, most of them valid, and an oracle that decodes a complete stream one byte at a time by the
 * plainest means. It shares nothing with the codec, so that it can't share a mistake. */
#pragma once

#include "proto/ws.h"
#include "ws_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* --- any stream --- */

static uint64_t random_state;

static inline uint64_t random_below(uint64_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % bound;
}

static inline bool chance(unsigned one_in)
{
	return random_below(one_in) == 0;
}

static inline size_t random_length(void)
{
	static const size_t special[] = { 0, 1, 7, 8, 15, 16, 17, 63, 64, 65, 125, 126, 127, 300, 65535, 65536 };

	if (chance(40))
		return special[random_below(16)];
	return chance(4) ? special[random_below(14)] : random_below(40);
}

static inline size_t random_character(uint8_t *out)
{
	static const char *const characters[] = { "a",            "Z",                "\xc3\xa4",
		                                  "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf" };
	const char *c = characters[chance(3) ? random_below(6) : random_below(2)];

	memcpy(out, c, strlen(c));
	return strlen(c);
}

static inline void put_random_message(void)
{
	static uint8_t payload[66000 + 4];
	bool is_text = chance(2);
	size_t len = random_length(), from = 0;

	for (size_t n = 0; is_text && n < len;)
		n += random_character(payload + n); /* may end one character beyond len: cut inside it, sometimes */
	while (is_text && len > 0 && (payload[len] & 0xc0) == 0x80 && !chance(30))
		len--;
	if (!is_text)
		pattern(payload, len);
	if (len > 0 && chance(60))
		payload[random_below(len)] = (uint8_t)random_below(256);

	for (unsigned opcode = is_text ? WS_TEXT : WS_BINARY;; opcode = WS_CONTINUATION) {
		bool last = chance(2);
		size_t n = last ? len - from : random_below(len - from + 1);
		unsigned flip = chance(150) ? 1u << random_below(8) : 0;
		put_frame((opcode | (last ? WS_FIN : 0u)) ^ flip, payload + from, n, !chance(300));
		from += n;
		if (last)
			return;
		if (chance(5))
			put_frame(WS_FIN | (chance(2) ? WS_PING : WS_PONG), payload, random_below(chance(20) ? 130 : 9),
			          true);
	}
}

static inline void put_random_stream(void)
{
	in.len = 0;
	do
		put_random_message();
	while (in.len < 100000 && !chance(12));
	if (chance(3)) {
		frame(FIN_CLOSE, chance(2) ? "\x03\xe8" "bye" : chance(2) ? "\x03\xe8\xff" : "\x03");
		put_random_message();
	}
	if (chance(4))
		in.len = random_below(in.len + 1);
}

/* --- what it means --- */

/* RFC 6455 section 7.4: the codes that an endpoint may put into a Close. */
static inline bool code_may_be_sent(unsigned code)
{
	if (code >= 3000)
		return code < 5000;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

/* UTF-8 by arithmetic: 0 for a beginning of valid text, 1 for a whole one, -1 for neither. */
static inline int oracle_utf8(const uint8_t *at, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	for (size_t i = 0; i < len;) {
		uint8_t lead = at[i];
		size_t need = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3
		              : lead < 0xf8 ? 4 : 0;
		if (need == 0)
			return -1;
		uint32_t low = need == 1 ? lead : lead & (0x7fu >> need), high = low;
		for (size_t k = 1; k < need; k++) {
			bool here = i + k < len;
			if (here && (at[i + k] & 0xc0) != 0x80)
				return -1;
			low = low << 6 | (here ? at[i + k] & 0x3fu : 0);
			high = high << 6 | (here ? at[i + k] & 0x3fu : 0x3f);
		}
		if (high < least[need] || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff))
			return -1;
		if (i + need > len)
			return 0;
		i += need;
	}
	return 1;
}

struct oracle {
	bool borders;
	uint64_t max;
	unsigned message;  /* opcode, 0 = none */
	bool started;
	size_t text_from;  /* where the message's payload begins in `text` */
	uint64_t message_len;
};

static struct bytes text; /* the oracle's own reassembly */

static inline unsigned oracle_header(const struct oracle *o, const uint8_t *h, uint64_t len)
{
	unsigned opcode = h[0] & 15u;
	uint64_t so_far = opcode == 0 ? o->message_len : 0;

	if ((h[0] & 0x70) || !(h[1] & 0x80) || (opcode > 2 && opcode < 8) || opcode > 10)
		return 1002;
	if (opcode >= 8 && (!(h[0] & 0x80) || len > 125))
		return 1002;
	if (opcode < 8 && (opcode == 0) != (o->message != 0))
		return 1002;
	if (((h[1] & 127) == 126 && len < 126) || ((h[1] & 127) == 127 && (len < 65536 || len >> 63)))
		return 1002;
	return opcode < 8 && o->max && (len > o->max || so_far + len > o->max) ? 1009 : 0;
}

static inline unsigned oracle_close(const uint8_t *payload, size_t len)
{
	if (len == 1 || (len > 1 && !code_may_be_sent((unsigned)(payload[0] << 8 | payload[1]))))
		return 1002;
	return len > 2 && oracle_utf8(payload + 2, len - 2) != 1 ? 1007 : 0;
}

/* One data frame of which `have` payload bytes are in the stream. Returns a close code, or 0. */
static inline unsigned oracle_data(struct oracle *o, unsigned first, const uint8_t *payload, size_t have, uint64_t len)
{
	if ((first & 15) != 0) {
		o->message = first & 15;
		o->started = false;
		o->message_len = 0;
		text.len = 0;
	}
	o->message_len += len;
	bool whole = have == len, end = whole && (first & 0x80);
	for (size_t i = 0; i < have; i++) {
		put_byte(&text, payload[i]);
		size_t back = text.len < 8 ? text.len : 8;
		while (back < text.len && back > 0 && (text.at[text.len - back] & 0xc0) == 0x80)
			back--;
		if (o->message == WS_TEXT && oracle_utf8(text.at + text.len - back, back) < 0)
			return 1007;
		if (o->borders && !o->started)
			put_text(&full, o->message == WS_TEXT ? "(t" : "(b");
		o->started = true;
		put_byte(&full, payload[i]);
	}
	if (!end)
		return 0;
	if (o->message == WS_TEXT && oracle_utf8(text.at, text.len) != 1)
		return 1007;
	if (o->borders && !o->started)
		put_text(&full, o->message == WS_TEXT ? "(t" : "(b");
	if (o->borders)
		put_text(&full, ")");
	o->message = 0;
	return 0;
}

static inline void oracle_fail(unsigned code)
{
	if (code != 1007)
		set(&sure, &full);
	log_bad(&full, code);
}

/* Decodes `in` into `full`; `sure` is what must at least have come before a violation. Returns whether there is one. */
static inline bool oracle_decode(bool borders, uint64_t max)
{
	static uint8_t payload[70000];
	struct oracle o = { .borders = borders, .max = max };
	size_t at = 0;

	full.len = sure.len = 0;
	for (;;) {
		const uint8_t *h = in.at + at;
		size_t left = in.len - at;
		unsigned extra = left < 2 ? 0 : (h[1] & 127) == 126 ? 2 : (h[1] & 127) == 127 ? 8 : 0;
		bool cut = left < 2 + extra + (left >= 2 && (h[1] & 0x80) ? 4u : 0u);
		if (left < 2)
			return false;
		/* Of a cut header only the start counts. */
		uint64_t len = extra == 0 ? h[1] & 127u : extra == 2 ? 300 : 70000;
		for (unsigned i = 0; !cut && i < extra; i++)
			len = (i == 0 ? 0 : len << 8) | h[2 + i];
		unsigned code = oracle_header(&o, h, len);
		if (cut && code != 1002)
			return false;
		set(&sure, &full);
		if (code == 0) {
			at += 2 + extra + 4;
			size_t have = in.len - at < len ? in.len - at : (size_t)len;
			for (size_t i = 0; i < have; i++)
				payload[i] = in.at[at + i] ^ h[2 + extra + (i & 3)];
			if ((h[0] & 15) < 8)
				code = oracle_data(&o, h[0], payload, have, len);
			else if (have < len)
				return false;
			else if ((h[0] & 15) != WS_CLOSE || (code = oracle_close(payload, have)) == 0)
				log_control(&full, h[0] & 15u, payload, have);
			at += have;
		}
		if (code != 0) {
			oracle_fail(code);
			return true;
		}
		if (at == in.len)
			return false;
	}
}
