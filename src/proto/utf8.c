/* utf8.c owns the question whether bytes are UTF-8, and where a character ends.
 * It must never look further than the bytes it was given, nor decode a character: only validity is asked for. */
#include "proto/utf8.h"

#include <string.h>

/* What the next byte must be. Only the second byte of a character has a range that depends on the first (RFC 3629
 * section 4), so the rest of a character is no more than a count. */
enum state { BETWEEN, TAIL_1, TAIL_2, TAIL_3, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4, FAILED };

static const uint8_t after_lead[0x40] = {
	[0x00 ... 0x01] = FAILED, /* overlong */
	[0x02 ... 0x1f] = TAIL_1, [0x20] = AFTER_E0,        [0x21 ... 0x2c] = TAIL_2,
	[0x2d] = AFTER_ED,        [0x2e ... 0x2f] = TAIL_2, [0x30] = AFTER_F0,
	[0x31 ... 0x33] = TAIL_3, [0x34] = AFTER_F4,        [0x35 ... 0x3f] = FAILED, /* above U+10FFFF */
};

static const struct {
	uint8_t low, high, next;
} follow[] = {
	[TAIL_1] = { 0x80, 0xbf, BETWEEN },  [TAIL_2] = { 0x80, 0xbf, TAIL_1 },
	[TAIL_3] = { 0x80, 0xbf, TAIL_2 },   [AFTER_E0] = { 0xa0, 0xbf, TAIL_1 }, /* below: overlong */
	[AFTER_ED] = { 0x80, 0x9f, TAIL_1 },                                      /* above: surrogates */
	[AFTER_F0] = { 0x90, 0xbf, TAIL_2 },                                      /* below: overlong */
	[AFTER_F4] = { 0x80, 0x8f, TAIL_2 },                                      /* above: beyond U+10FFFF */
};

static uint8_t step(uint8_t state, uint8_t byte)
{
	if (state == BETWEEN)
		return byte < 0x80 ? BETWEEN : byte < 0xc0 ? FAILED : after_lead[byte - 0xc0];
	return byte >= follow[state].low && byte <= follow[state].high ? follow[state].next : FAILED;
}

static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
	const uint64_t high_bits = UINT64_C(0x8080808080808080);
	uint64_t word[4];

	for (; (size_t)(end - at) >= sizeof(word); at += sizeof(word)) {
		memcpy(word, at, sizeof(word));
		if (((word[0] | word[1] | word[2] | word[3]) & high_bits) != 0)
			break;
	}
	while (at < end && *at < 0x80)
		at++;
	return at;
}

/* Returns where the last whole character ends. */
static size_t scan(uint8_t *from, const uint8_t *bytes, size_t len)
{
	const uint8_t *at = bytes, *end = bytes + len, *whole = bytes;
	uint8_t state = *from;

	while (at < end && state != FAILED) {
		if (state == BETWEEN && *at < 0x80)
			at = skip_ascii(at, end);
		else
			state = step(state, *at++);
		if (state == BETWEEN)
			whole = at;
	}
	*from = state;
	return (size_t)(whole - bytes);
}

bool utf8_feed(struct utf8 *utf8, const uint8_t *bytes, size_t len)
{
	(void)scan(&utf8->state, bytes, len);
	return utf8->state != FAILED;
}

size_t utf8_valid_length(const uint8_t *bytes, size_t len)
{
	uint8_t state = BETWEEN;

	return scan(&state, bytes, len);
}

size_t utf8_incomplete_tail(const uint8_t *bytes, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		const uint8_t *start = bytes + len - back;
		struct utf8 utf8 = { BETWEEN };
		if ((*start & 0xc0) != 0x80)
			return utf8_feed(&utf8, start, back) && !utf8_complete(&utf8) ? back : 0;
	}
	return 0;
}
