/* test_limiter.c asks a limiter at times of its own making. It must never wait for a clock. */
#include "base/limiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NOW ((uint64_t)5000)

static unsigned given(struct limiter *limiter, uint64_t first, unsigned strangers, unsigned tries, uint64_t now)
{
	unsigned n = 0;
	for (unsigned i = 0; i < tries; i++)
		n += limiter_take(limiter, first + i % strangers, 3, 10, now);
	return n;
}

static void one_gets_its_part_and_all_no_more_than_there_is(void **state)
{
	static const struct {
		unsigned strangers, tries, given;
	} rows[] = { { 1, 1, 1 }, { 1, 3, 3 }, { 1, 1000, 3 }, { 2, 1000, 6 }, { 5, 1000, 10 }, { 1000, 1000, 10 } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct limiter limiter = { .second = 0 };
		assert_int_equal(given(&limiter, 1, rows[i].strangers, rows[i].tries, NOW), rows[i].given);
	}
}

static void a_flood_leaves_something_for_others(void **state)
{
	struct limiter limiter = { .second = 0 };
	(void)state;
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW), 3);
	assert_int_equal(given(&limiter, 2, 1, 1, NOW + 999), 1);
}

static void the_next_second_begins_anew(void **state)
{
	struct limiter limiter = { .second = 0 };
	(void)state;
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW), 3);
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW + 999), 0);
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW + 1000), 3);
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW + 3600 * 1000), 3);
}

static void none_for_all_is_none(void **state)
{
	struct limiter limiter = { .second = 0 };
	(void)state;
	assert_false(limiter_take(&limiter, 1, 3, 0, NOW));
	assert_false(limiter_take(&limiter, 1, 0, 10, NOW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_gets_its_part_and_all_no_more_than_there_is),
		cmocka_unit_test(a_flood_leaves_something_for_others),
		cmocka_unit_test(the_next_second_begins_anew),
		cmocka_unit_test(none_for_all_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
