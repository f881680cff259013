/* test_str.c proves the reading of words by tables of texts and what they mean.
 * It must never pass a span of a terminated string where the end could be found by its NUL. */
#include "base/str.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct span absent = { NULL, 0 };

static void spans_compare(void **state)
{
	(void)state;
	assert_true(span_of(NULL).p == NULL);
	assert_int_equal(span_of("abc").n, 3);
	assert_true(span_eq(SPAN("abc"), span_skip(SPAN("xabc"), 1)));
	assert_false(span_eq(SPAN("abc"), SPAN("abd")));
	assert_false(span_eq(SPAN("abc"), SPAN("ab")));
	assert_true(span_eq(absent, SPAN("")));
	assert_false(span_eq(SPAN("A"), SPAN("a")));
	assert_true(span_eq_nocase(SPAN("WebSocket"), SPAN("wEBsOCKET")));
	assert_false(span_eq_nocase(SPAN("["), SPAN("{"))); /* as far apart as upper and lower case */
	assert_false(span_eq_nocase(SPAN("\xc4"), SPAN("\xe4")));
	assert_false(span_eq_nocase(SPAN("ab"), SPAN("abc")));
	assert_true(span_starts(SPAN("abc"), SPAN("ab")));
	assert_true(span_starts(SPAN("abc"), SPAN("")));
	assert_false(span_starts(SPAN("ab"), SPAN("abc")));
	assert_false(span_starts(SPAN("abc"), SPAN("b")));
}

static void spans_are_cut(void **state)
{
	(void)state;
	assert_true(span_eq(span_trim(SPAN(" \t a b\t ")), SPAN("a b")));
	assert_int_equal(span_trim(SPAN(" \t ")).n, 0);
	assert_true(span_eq(span_trim(SPAN("\na")), SPAN("\na")));
	assert_true(span_eq(span_skip(SPAN("abc"), 2), SPAN("c")));
	assert_int_equal(span_skip(SPAN("abc"), 9).n, 0);
	assert_true(span_skip(absent, 1).p == NULL);
}

static void lists_are_walked(void **state)
{
	static const struct {
		const char *list, *items;
	} rows[] = {
		{ "", "" },         { "a", "<a>" },         { "a, b", "<a><b>" }, { "a,", "<a><>" }, { ",", "<><>" },
		{ ",a", "<><a>" },  { " a b ,\tc", "<a b><c>" }, { "a,,b", "<a><><b>" }, { " ", "<>" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char seen[64] = "";
		struct span rest = span_of(rows[i].list), item;
		while (span_next(&rest, ',', &item)) {
			strcat(seen, "<");
			strncat(seen, item.p, item.n);
			strcat(seen, ">");
		}
		assert_string_equal(seen, rows[i].items);
		assert_false(span_next(&rest, ',', &item));
	}
}

typedef int read_fn(const char *text, uint64_t *value);

struct reading {
	const char *text;
	uint64_t value;
};

static void check_readings(read_fn *read, const struct reading *good, size_t count, const char *const *bad,
			   size_t bad_count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = ~good[i].value;
		assert_int_equal(read(good[i].text, &value), 0);
		assert_true(value == good[i].value);
	}
	for (size_t i = 0; i < bad_count; i++) {
		uint64_t value;
		if (read(bad[i], &value) == 0)
			fail_msg("\"%s\" was read", bad[i]);
	}
}

static int read_any_number(const char *text, uint64_t *value)
{
	return str_to_number(text, 0, UINT64_MAX, value);
}

static void numbers(void **state)
{
	static const struct reading good[] = { { "0", 0 }, { "42", 42 }, { "007", 7 }, { "18446744073709551615", UINT64_MAX } };
	static const char *const bad[] = { "", " 1", "1 ", "-1", "+1", "0x10", "1.0", "1k", "18446744073709551616",
					   "99999999999999999999999" };
	uint64_t value = 99;

	(void)state;
	check_readings(read_any_number, good, ARRAY_LEN(good), bad, ARRAY_LEN(bad));
	assert_int_equal(str_to_number("5", 5, 7, &value), 0);
	assert_int_equal(str_to_number("7", 5, 7, &value), 0);
	assert_int_equal(str_to_number("4", 5, 7, &value), -1);
	assert_int_equal(str_to_number("8", 5, 7, &value), -1);
	assert_int_equal(value, 7); /* a refusal leaves it alone */
}

static void sizes(void **state)
{
	static const struct reading good[] = {
		{ "0", 0 }, { "512", 512 }, { "64k", 65536 }, { "1m", 1048576 }, { "2g", UINT64_C(2147483648) },
	};
	static const char *const bad[] = { "", "k", "1K", "1kb", "1 k", "-1k", "1.5m", "18446744073709551615k" };

	(void)state;
	check_readings(str_to_size, good, ARRAY_LEN(good), bad, ARRAY_LEN(bad));
}

static void durations(void **state)
{
	static const struct reading good[] = {
		{ "0", 0 }, { "0s", 0 }, { "250ms", 250 }, { "10s", 10000 }, { "5m", 300000 }, { "2h", 7200000 }, { "1d", 86400000 },
	};
	static const char *const bad[] = { "", "10", "s", "10 s", "10S", "-1s", "1s1s", "1.5s", "18446744073709551615d" };

	(void)state;
	check_readings(str_to_duration, good, ARRAY_LEN(good), bad, ARRAY_LEN(bad));
}

static void quantities_are_written_as_they_are_read(void **state)
{
	static const struct {
		uint64_t size, duration;
		const char *size_text, *duration_text;
	} rows[] = {
		{ 0, 0, "0", "0ms" },           { 1000, 1500, "1000", "1500ms" },
		{ 1 << 10, 60000, "1k", "1m" }, { 208 << 10, 604800000, "208k", "7d" },
		{ 1 << 30, 5400000, "1g", "90m" },
	};
	char text[24];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		str_from_size(rows[i].size, text, sizeof(text));
		assert_string_equal(text, rows[i].size_text);
		str_from_duration(rows[i].duration, text, sizeof(text));
		assert_string_equal(text, rows[i].duration_text);
	}
}

static void nearest_word(void **state)
{
	static const char *const options[] = { "port", "path", "host", "idle_timeout", "ping_interval" };
	static const struct {
		const char *word, *nearest;
	} rows[] = {
		{ "prot", "port" },   { "prt", "port" },        { "ports", "port" }, { "pathh", "path" },
		{ "hots", "host" },   { "idle-timeout", "idle_timeout" }, { "idletimout", "idle_timeout" },
		{ "ping_intervall", "ping_interval" }, { "certificate", NULL }, { "x", NULL }, { "", NULL }, { "abcd", NULL },
		{ "a_word_that_is_longer_than_any_option_could_ever_be_by_far", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *found = str_nearest(rows[i].word, options, ARRAY_LEN(options));
		if (rows[i].nearest == NULL)
			assert_null(found);
		else
			assert_string_equal(found, rows[i].nearest);
	}
	assert_null(str_nearest("port", NULL, 0));
}

static void list_of_strings(void **state)
{
	struct str_list list = { NULL, 0 };

	(void)state;
	str_list_add(&list, (struct span){ "abcdef", 3 });
	str_list_add(&list, absent);
	str_list_add(&list, SPAN("last"));
	assert_int_equal(list.count, 3);
	assert_string_equal(list.item[0], "abc");
	assert_string_equal(list.item[1], "");
	assert_string_equal(list.item[2], "last");
	str_list_clear(&list);
	assert_int_equal(list.count, 0);
	str_list_clear(&list);
}

static void escaped(struct span bytes, size_t cap, const char *want)
{
	char *out = malloc(cap); /* to the byte, for the sanitizer to see one too many */

	assert_int_equal(str_escape(out, cap, bytes), strlen(want));
	assert_string_equal(out, want);
	free(out);
}

static void escaping(void **state)
{
	(void)state;
	escaped(SPAN("plain ~!"), 64, "plain ~!");
	escaped(SPAN("a\nb\r\t\x1b[2J"), 64, "a\\x0ab\\x0d\\x09\\x1b[2J");
	escaped(SPAN("\"\\\x7f\x80\xff\0z"), 64, "\\x22\\x5c\\x7f\\x80\\xff\\x00z");
	escaped(SPAN("abc"), 4, "abc");
	escaped(SPAN("abc"), 3, "ab");
	escaped(SPAN("abc"), 1, "");
	escaped(SPAN("a\n"), 6, "a\\x0a");
	escaped(SPAN("a\nb"), 5, "a"); /* stops: what comes behind is not pulled forward */
	escaped(absent, 1, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_compare), cmocka_unit_test(spans_are_cut),   cmocka_unit_test(lists_are_walked),
		cmocka_unit_test(numbers),	 cmocka_unit_test(sizes),	    cmocka_unit_test(durations),
		cmocka_unit_test(quantities_are_written_as_they_are_read),
		cmocka_unit_test(nearest_word),	 cmocka_unit_test(list_of_strings), cmocka_unit_test(escaping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
