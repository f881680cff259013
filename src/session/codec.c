/* codec.c owns what becomes of payload on its way: nothing (plain), whole characters (text), its own echo.
 * It must never copy a payload. */
#include "session/codec.h"

#include "proto/utf8.h"

#include <string.h>

static enum reason plain_up(struct codec *codec, const struct ws_run *run, struct piece *piece)
{
	*piece = (struct piece){ .at = run->payload, .len = run->len };
	return REASON_NONE;
}

static enum reason plain_down(struct codec *codec, uint8_t *bytes, size_t len, struct piece *piece)
{
	*piece = (struct piece){ .at = bytes, .len = len, .first = WS_BINARY | WS_FIN };
	return REASON_NONE;
}

static enum reason plain_end(const struct codec *codec)
{
	return REASON_BACKEND_CLOSED;
}

const struct codec_ops codec_plain = { .rx = WS_RX_MERGE, .up = plain_up, .down = plain_down, .end = plain_end };

/* A text message must be whole characters, so an unfinished one waits for its rest. What stands in front of a byte that is no
 * text is delivered, as it would be had it come alone. */
static enum reason text_down(struct codec *codec, uint8_t *text, size_t len, struct piece *piece)
{
	size_t whole = utf8_valid_length(text, len), rest = len - whole;
	bool valid = utf8_incomplete_tail(text + whole, rest) == rest;
	if (valid)
		memcpy(codec->held, text + whole, rest);
	codec->held_len = valid ? (uint8_t)rest : 0;
	*piece = (struct piece){ .at = whole > 0 ? text : NULL, .len = whole, .first = WS_TEXT | WS_FIN };
	return valid ? REASON_NONE : REASON_BACKEND_NOT_TEXT;
}

static enum reason text_end(const struct codec *codec)
{
	return codec->held_len > 0 ? REASON_BACKEND_NOT_TEXT : REASON_BACKEND_CLOSED;
}

const struct codec_ops codec_text = { .rx = WS_RX_MERGE, .up = plain_up, .down = text_down, .end = text_end };

/* The header fits in front: the client's own header was longer, and at the start of the buffer there is headroom. */
static enum reason echo_up(struct codec *codec, const struct ws_run *run, struct piece *piece)
{
	uint8_t first = run->message_start ? run->opcode : WS_CONTINUATION;
	if (run->message_end)
		first |= WS_FIN;
	*piece = (struct piece){ .at = run->payload, .len = run->len, .first = first };
	return REASON_NONE;
}

const struct codec_ops codec_echo = { .rx = 0, .up = echo_up };
