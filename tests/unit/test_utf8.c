/* test_utf8.c proves the UTF-8 check against a naive oracle, byte by byte and cut anywhere.
 * It must never share the table under test: the oracle decodes characters and judges their numbers. */
#include "proto/utf8.h"
#include "guard.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* The length of the character at the beginning of text, 0 when there is no whole and valid one. */
static size_t oracle_character(const uint8_t *text, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t need = text[0] < 0x80 ? 1 : text[0] >> 5 == 6 ? 2 : text[0] >> 4 == 14 ? 3 : text[0] >> 3 == 30 ? 4 : 5;
	uint32_t number = need == 1 ? text[0] : text[0] & (0x7fu >> need);

	if (need > len || need == 5)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if (text[i] >> 6 != 2)
			return 0;
		number = number << 6 | (text[i] & 0x3fu);
	}
	return number < least[need] || number > 0x10ffff || number >> 11 == 0x1b ? 0 : need;
}

static bool oracle_valid(const uint8_t *text, size_t len)
{
	while (len > 0) {
		size_t n = oracle_character(text, len);
		if (n == 0)
			return false;
		text += n;
		len -= n;
	}
	return true;
}

static size_t oracle_valid_length(const uint8_t *text, size_t len)
{
	size_t at = 0;

	for (size_t n = 1; at < len && n > 0; at += n)
		n = oracle_character(text + at, len - at);
	return at;
}

static bool feed_split(const uint8_t *text, size_t len, size_t cut)
{
	struct utf8 utf8 = { 0 };
	bool ok = utf8_feed(&utf8, guard_copy(text, cut), cut);

	if (!ok)
		assert_false(utf8_feed(&utf8, (const uint8_t *)"a", 1)); /* a failure is final */
	ok = utf8_feed(&utf8, guard_copy(text + cut, len - cut), len - cut);
	return ok && utf8_complete(&utf8);
}

static bool whole(const uint8_t *text, size_t len)
{
	return utf8_valid_length(text, len) == len;
}

static void check(const uint8_t *text, size_t len, bool valid)
{
	assert_int_equal(whole(guard_copy(text, len), len), valid);
	assert_int_equal(utf8_valid_length(guard_copy(text, len), len), oracle_valid_length(text, len));
	for (size_t cut = 0; cut <= len; cut++)
		assert_int_equal(feed_split(text, len, cut), valid);
}

static void known_sequences(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{ "", true },
		{ "plain", true },
		{ "\x7f", true },
		{ "\xc2\x80", true },
		{ "\xdf\xbf", true },
		{ "\xe0\xa0\x80", true },
		{ "\xed\x9f\xbf", true },
		{ "\xee\x80\x80", true },
		{ "\xef\xbf\xbf", true },
		{ "\xf0\x90\x80\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", true },
		{ "\x80", false },
		{ "\xbf", false },
		{ "\xc0\x80", false },
		{ "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xed\xa0\x80", false },
		{ "\xed\xbf\xbf", false },
		{ "\xed\xa0\x80\xed\xb0\x80", false },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf5\x80\x80\x80", false },
		{ "\xf8\x88\x80\x80\x80", false },
		{ "\xfc\x84\x80\x80\x80\x80", false },
		{ "\xfe", false },
		{ "\xff", false },
		{ "\xc3", false },
		{ "\xe2\x82", false },
		{ "\xf0\x9f\x98", false },
		{ "\xc3(", false },
		{ "\xe2\x82(", false },
		{ "\xf0\x9f\x98(", false },
		{ "a\xc3\xa4\xff", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t *text = (const uint8_t *)rows[i].text;
		assert_int_equal(oracle_valid(text, strlen(rows[i].text)), rows[i].valid);
		check(text, strlen(rows[i].text), rows[i].valid);
	}
}

static void all_of_two_bytes(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 0x10000; pair++) {
		uint8_t text[2] = { (uint8_t)(pair >> 8), (uint8_t)pair };
		check(text, 2, oracle_valid(text, 2));
	}
}

/* Every lead and second byte, with the rest of the character at both ends of its range and just outside. */
static void all_of_three_and_four_bytes(void **state)
{
	static const uint8_t ends[] = { 0x7f, 0x80, 0xbf, 0xc0 };

	(void)state;
	for (unsigned pair = 0xe000; pair < 0xf900; pair++) {
		for (size_t i = 0; i < 16; i++) {
			uint8_t text[4] = { (uint8_t)(pair >> 8), (uint8_t)pair, ends[i / 4], ends[i % 4] };
			assert_int_equal(whole(text, 3), oracle_valid(text, 3));
			assert_int_equal(whole(text, 4), oracle_valid(text, 4));
		}
	}
}

static void fails_at_the_first_impossible_byte(void **state)
{
	static const struct {
		const char *text;
		size_t good; /* bytes that may still become valid text */
	} rows[] = {
		{ "a\x80", 1 }, { "\xc1\x80", 0 }, { "\xe0\x9f", 1 }, { "\xed\xa0", 1 }, { "\xf0\x8f", 1 }, { "\xf4\x90", 1 },
		{ "\xf5", 0 },  { "\xe2\x82 ", 2 }, { "\xf0\x9f\x98 ", 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct utf8 utf8 = { 0 };
		const uint8_t *text = (const uint8_t *)rows[i].text;
		for (size_t n = 0; n < rows[i].good; n++)
			assert_true(utf8_feed(&utf8, text + n, 1));
		assert_false(utf8_feed(&utf8, text + rows[i].good, 1));
	}
}

/* A bad byte, and a good character, at each place in and around the runs of ASCII that are skipped in strides. */
static void bytes_among_ascii(void **state)
{
	enum { MOST = 80 };

	(void)state;
	for (size_t len = 2; len <= MOST; len++) {
		for (size_t at = 0; at + 1 < len; at++) {
			uint8_t text[MOST];
			memset(text, 'a', sizeof(text));
			memcpy(text + at, "\xc3\xa4", 2);
			assert_true(whole(guard_copy(text, len), len));
			memcpy(text + at, "a\xa4", 2);
			assert_false(whole(guard_copy(text, len), len));
		}
	}
}

static void incomplete_tail(void **state)
{
	static const struct {
		const char *text;
		size_t tail;
	} rows[] = {
		{ "", 0 },          { "abc", 0 },          { "ab\xc3", 1 },         { "a\xc3\xa4", 0 },     { "\xe2", 1 },
		{ "\xe2\x82", 2 },  { "\xe2\x82\xac", 0 }, { "x\xf0", 1 },          { "x\xf0\x9f", 2 },     { "x\xf0\x9f\x98", 3 },
		{ "\xf0\x9f\x98\x80", 0 }, { "\xe2\x82" "a", 0 }, { "\x80\x80\x80\x80", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].text);
		assert_int_equal(utf8_incomplete_tail(guard_copy(rows[i].text, len), len), rows[i].tail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sequences),
		cmocka_unit_test(all_of_two_bytes),
		cmocka_unit_test(all_of_three_and_four_bytes),
		cmocka_unit_test(fails_at_the_first_impossible_byte),
		cmocka_unit_test(bytes_among_ascii),
		cmocka_unit_test(incomplete_tail),
	};

	return cmocka_run_group_tests(tests, guard_open, guard_close);
}
