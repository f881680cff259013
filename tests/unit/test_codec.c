/* test_codec.c hands codecs what clients and targets say, and looks at the pieces. It must never need a stream. */
#include "session/codec.h"

#include "proto/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void plain_passes_bytes_in_place(void **state)
{
	uint8_t bytes[] = "bytes";
	struct codec codec = { .ops = &codec_plain };
	struct ws_run run = { .payload = bytes, .len = 5 };
	struct piece piece;
	(void)state;
	assert_int_equal(codec_plain.up(&codec, &run, &piece), REASON_NONE);
	assert_ptr_equal(piece.at, bytes);
	assert_int_equal(piece.len, 5);
	assert_int_equal(codec_plain.down(&codec, bytes, 5, &piece), REASON_NONE);
	assert_ptr_equal(piece.at, bytes);
	assert_int_equal(piece.len, 5);
	assert_int_equal(piece.first, WS_FIN | WS_BINARY);
	assert_int_equal(codec_plain.end(&codec), REASON_BACKEND_CLOSED);
}

/* As the flow does it: what was held back stands in front of what came. Returns the new length of said. */
static size_t text_came(struct codec *codec, const char *bytes, size_t len, char *said, size_t at, enum reason *reason)
{
	uint8_t buf[64];
	struct piece piece;
	size_t held = codec->held_len;
	memcpy(buf, codec->held, held);
	memcpy(buf + held, bytes, len);
	*reason = codec_text.down(codec, buf, held + len, &piece);
	if (piece.at == NULL)
		return at;
	assert_true(piece.len > 0);
	assert_int_equal(piece.first, WS_FIN | WS_TEXT);
	assert_int_equal(utf8_valid_length(piece.at, piece.len), piece.len);
	memcpy(said + at, piece.at, piece.len);
	return at + piece.len;
}

static void text_cuts_no_character(void **state)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
	const size_t len = sizeof(text) - 1;
	(void)state;
	for (size_t first = 0; first <= len; first++) {
		for (size_t second = first; second <= len; second++) {
			struct codec codec = { .ops = &codec_text };
			char said[64];
			enum reason reason[3];
			size_t at = text_came(&codec, text, first, said, 0, &reason[0]);
			at = text_came(&codec, text + first, second - first, said, at, &reason[1]);
			at = text_came(&codec, text + second, len - second, said, at, &reason[2]);
			for (int i = 0; i < 3; i++)
				assert_int_equal(reason[i], REASON_NONE);
			assert_int_equal(at, len);
			assert_memory_equal(said, text, len);
			assert_int_equal(codec_text.end(&codec), REASON_BACKEND_CLOSED);
		}
	}
}

static void text_ends_what_is_none(void **state)
{
	struct codec codec = { .ops = &codec_text };
	char said[64];
	enum reason reason;
	(void)state;
	assert_int_equal(text_came(&codec, "ab\xff" "cd", 5, said, 0, &reason), 2);
	assert_int_equal(reason, REASON_BACKEND_NOT_TEXT);

	codec = (struct codec){ .ops = &codec_text };
	assert_int_equal(text_came(&codec, "ab\xe2\x82", 4, said, 0, &reason), 2);
	assert_int_equal(reason, REASON_NONE);
	assert_int_equal(codec_text.end(&codec), REASON_BACKEND_NOT_TEXT);
}

static void echo_keeps_borders(void **state)
{
	uint8_t bytes[] = "bytes";
	struct codec codec = { .ops = &codec_echo };
	struct ws_run run = { .payload = bytes, .len = 2, .opcode = WS_TEXT, .message_start = true };
	struct piece piece;
	(void)state;
	assert_int_equal(codec_echo.up(&codec, &run, &piece), REASON_NONE);
	assert_int_equal(piece.first, WS_TEXT);
	run = (struct ws_run){ .payload = bytes + 2, .len = 3, .opcode = WS_TEXT, .message_end = true };
	assert_int_equal(codec_echo.up(&codec, &run, &piece), REASON_NONE);
	assert_int_equal(piece.first, WS_FIN | WS_CONTINUATION);
	assert_ptr_equal(piece.at, bytes + 2);
	run = (struct ws_run){ .payload = bytes, .opcode = WS_BINARY, .message_start = true, .message_end = true };
	assert_int_equal(codec_echo.up(&codec, &run, &piece), REASON_NONE);
	assert_int_equal(piece.first, WS_FIN | WS_BINARY);
	assert_ptr_equal(piece.at, bytes); /* an empty message comes back, too */
	assert_int_equal(piece.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_passes_bytes_in_place),
		cmocka_unit_test(text_cuts_no_character),
		cmocka_unit_test(text_ends_what_is_none),
		cmocka_unit_test(echo_keeps_borders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
