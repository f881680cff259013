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
		struct limiter limiter = { .to = { 0 } };
		assert_int_equal(given(&limiter, 1, rows[i].strangers, rows[i].tries, NOW), rows[i].given);
	}
}

static void a_flood_leaves_something_for_others(void **state)
{
	struct limiter limiter = { .to = { 0 } };
	(void)state;
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW), 3);
	assert_int_equal(given(&limiter, 2, 1, 1, NOW + 999), 1);
}

static void the_next_second_begins_anew(void **state)
{
	struct limiter limiter = { .to = { 0 } };
	(void)state;
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW), 3);
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW + 999), 0);
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW + 1000), 3);
	assert_int_equal(given(&limiter, 1, 1, 1000, NOW + 3600 * 1000), 3);
}

static void none_for_all_is_none(void **state)
{
	struct limiter limiter = { .to = { 0 } };
	(void)state;
	assert_false(limiter_take(&limiter, 1, 3, 0, NOW));
	assert_false(limiter_take(&limiter, 1, 0, 10, NOW));
}

static void a_meter_counts_for_a_second_from_the_first(void **state)
{
	struct meter meter = { 0 };
	(void)state;
	assert_int_equal(meter_add(&meter, 0, NOW), 0);
	assert_int_equal(meter_add(&meter, 2, NOW + 700), 2);
	assert_int_equal(meter_add(&meter, 3, NOW + 1699), 5);
	assert_int_equal(meter_count(&meter, NOW + 1699), 5);
	assert_int_equal(meter_count(&meter, NOW + 1700), 0);
	assert_int_equal(meter_add(&meter, 1, NOW + 1700), 1);
	assert_int_equal(meter_count(&meter, NOW + ((uint64_t)30 * 24 * 3600 * 1000)), 0);
}

/* A thread that read the clock before another one counts in the other's second. */
static void a_meter_is_not_turned_back(void **state)
{
	struct meter meter = { 0 };
	(void)state;
	assert_int_equal(meter_add(&meter, 1, NOW), 1);
	assert_int_equal(meter_add(&meter, 1, NOW - 1), 2);
	assert_int_equal(meter_count(&meter, NOW + 999), 2);
	assert_int_equal(meter_count(&meter, NOW + 1000), 0);
}

static void a_meter_that_is_full_stays_so(void **state)
{
	struct meter meter = { 0 };
	(void)state;
	uint64_t most = meter_add(&meter, UINT64_MAX, NOW);
	assert_true(most >= 1000000000);
	assert_int_equal(meter_add(&meter, 1, NOW), most);
	assert_int_equal(meter_count(&meter, NOW + 1000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_gets_its_part_and_all_no_more_than_there_is),
		cmocka_unit_test(a_flood_leaves_something_for_others),
		cmocka_unit_test(the_next_second_begins_anew),
		cmocka_unit_test(none_for_all_is_none),
		cmocka_unit_test(a_meter_counts_for_a_second_from_the_first),
		cmocka_unit_test(a_meter_is_not_turned_back),
		cmocka_unit_test(a_meter_that_is_full_stays_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
