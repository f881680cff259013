/* Streaming UTF-8 validation (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF), for RFC 6455
 * section 8.1. Fails at the first byte that cannot be part of valid text, however the text is cut. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct utf8 {
	uint8_t state; /* 0: between characters */
};

/* Returns false when the bytes so far are not the beginning of valid UTF-8; final. ASCII runs take the fast way. */
bool utf8_feed(struct utf8 *utf8, const uint8_t *bytes, size_t len);

/* True when the text may end here. */
static inline bool utf8_complete(const struct utf8 *utf8)
{
	return utf8->state == 0;
}

/* How many bytes at the beginning are valid and whole characters. */
size_t utf8_valid_length(const uint8_t *bytes, size_t len);

/* How many bytes at the end of the buffer belong to a character that is not complete yet (0 to 3): what a sender of
 * text keeps back for the next message. The bytes before them are valid UTF-8 if this buffer, continued, is. */
size_t utf8_incomplete_tail(const uint8_t *bytes, size_t len);
