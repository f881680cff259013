/* test_pace.c takes bytes at times of its own making, and adds up what passed. It must never wait for a clock. */
#include "base/limiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define NOW ((uint64_t)1000000)

/* How many ms it takes until so much has passed, when each turn takes as much as may be taken. */
static uint64_t time_for(uint64_t rate, uint64_t amount)
{
	struct pace pace = { 0 };
	uint64_t now = NOW;
	while (amount > 0) {
		size_t n = pace_room(rate) < amount ? pace_room(rate) : (size_t)amount;
		amount -= n;
		now += pace_take(&pace, rate, n, now);
		assert_int_equal(pace_left(&pace, now), 0);
	}
	return now - NOW;
}

static void a_rate_is_kept(void **state)
{
	(void)state;
	assert_in_range(time_for(1000, 10000), 9999, 10001);
	assert_in_range(time_for(7, 70), 9999, 10001);
	assert_in_range(time_for(1, 3), 2999, 3001);
	assert_in_range(time_for(1 << 20, 10 << 20), 9999, 10001);
	assert_in_range(time_for(UINT64_C(10) << 30, UINT64_C(10) << 30), 999, 1001);
}

/* What a byte takes is less than a millisecond, and yet it adds up. */
static void fractions_are_not_lost(void **state)
{
	struct pace pace = { 0 };
	(void)state;
	for (int i = 0; i < 30000; i++)
		(void)pace_take(&pace, 3000, 1, NOW);
	assert_int_equal(pace_left(&pace, NOW), 10000);
}

static void a_pause_is_not_saved_up(void **state)
{
	struct pace pace = { 0 };
	(void)state;
	assert_int_equal(pace_take(&pace, 1000, 100, NOW), 100);
	assert_int_equal(pace_left(&pace, NOW + 60), 40);
	assert_int_equal(pace_take(&pace, 1000, 100, NOW + 3600000), 100);
}

static void no_rate_is_no_limit(void **state)
{
	struct pace pace = { 0 };
	(void)state;
	assert_int_equal(pace_room(0), SIZE_MAX);
	assert_int_equal(pace_take(&pace, 0, (size_t)1 << 40, NOW), 0);
	assert_int_equal(pace_left(&pace, NOW), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_kept),
		cmocka_unit_test(fractions_are_not_lost),
		cmocka_unit_test(a_pause_is_not_saved_up),
		cmocka_unit_test(no_rate_is_no_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
