/* Streams of frames as test_ws.c writes them, and what a decoder makes of them as text that can be compared. The
 * streams are too large for the stack, so there is one of each; a test begins with reset(). */
#pragma once

#include "proto/ws.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define STREAM_MAX (512 * 1024)

enum { FIN_TEXT = WS_FIN | WS_TEXT, FIN_BINARY = WS_FIN | WS_BINARY, FIN_CONT = WS_FIN | WS_CONTINUATION };
enum { FIN_CLOSE = WS_FIN | WS_CLOSE, FIN_PING = WS_FIN | WS_PING, FIN_PONG = WS_FIN | WS_PONG };

/* --- what goes in --- */

struct bytes {
	size_t len;
	uint8_t at[STREAM_MAX];
};

/* What goes in; what the codec made of it; what it must at least have made, and what at most. */
static struct bytes in, got, sure, full;

static inline void put(struct bytes *b, const void *data, size_t len)
{
	assert_true(b->len + len <= sizeof(b->at));
	if (len > 0)
		memcpy(b->at + b->len, data, len);
	b->len += len;
}

static inline void put_byte(struct bytes *b, unsigned byte)
{
	put(b, &(uint8_t){ (uint8_t)byte }, 1);
}

static inline void put_text(struct bytes *b, const char *string)
{
	put(b, string, strlen(string));
}

static inline void set(struct bytes *to, const struct bytes *from)
{
	to->len = 0;
	put(to, from->at, from->len);
}

static inline void reset(void)
{
	in.len = got.len = sure.len = full.len = 0;
}

static const uint8_t some_key[4] = { 0x37, 0xfa, 0x21, 0x3d };

/* A header whose length takes `extra` (0, 2 or 8) bytes beyond the second. */
static inline void put_header(unsigned first, uint64_t len, unsigned extra, bool masked)
{
	put_byte(&in, first);
	put_byte(&in, (masked ? 0x80u : 0) | (extra == 0 ? (unsigned)len : extra == 2 ? 126 : 127));
	for (unsigned i = extra; i-- > 0;)
		put_byte(&in, (unsigned)(len >> (8 * i)));
	if (masked)
		put(&in, some_key, 4);
}

static inline unsigned shortest(uint64_t len)
{
	return len < 126 ? 0 : len < 65536 ? 2 : 8;
}

static inline void put_frame(unsigned first, const void *payload, size_t len, bool masked)
{
	put_header(first, len, shortest(len), masked);
	for (size_t i = 0; i < len; i++)
		put_byte(&in, (unsigned)(((const uint8_t *)payload)[i] ^ (masked ? some_key[i & 3] : 0)));
}

static inline void frame(unsigned first, const char *payload)
{
	put_frame(first, payload, strlen(payload), true);
}

static inline void pattern(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i * 7 + i / 256 + 1);
}

/* --- what comes out: payload as it is, `(t` and `)` around a message, `[9:payload]`, `{1002}` --- */

static inline void log_bad(struct bytes *b, unsigned code)
{
	char item[16];
	snprintf(item, sizeof(item), "{%u}", code);
	put_text(b, item);
}

static inline void log_control(struct bytes *b, unsigned opcode, const uint8_t *payload, size_t len)
{
	char head[16];
	snprintf(head, sizeof(head), "[%u:", opcode);
	put_text(b, head);
	put(b, payload, len);
	put_text(b, "]");
}
