/* test_pool.c asks pools for targets and tells them how it went. It must never connect. */
#include "config/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct address one = { .kind = ADDRESS_TCP, .text = (char *)"one:1" };
static const struct address other = { .kind = ADDRESS_TCP, .text = (char *)"other:1" };

static struct pool pool_of(const struct address *target)
{
	struct pool pool = { .count = 0 };
	pool_add(&pool, target, NULL);
	return pool;
}

static void check_health(const struct member *member, unsigned sessions, unsigned failures, uint64_t since)
{
	struct pool_health health = pool_health(member);
	assert_int_equal(health.sessions, sessions);
	assert_int_equal(health.failures, failures);
	if (failures > 0)
		assert_int_equal(health.since, since);
}

static void an_empty_pool_has_no_target(void **state)
{
	const struct pool none = { .count = 0 };
	(void)state;
	assert_null(pool_choose(&none));
}

static void sessions_have_a_target_until_they_leave(void **state)
{
	struct pool pool = pool_of(&one);
	(void)state;
	const struct member *member = pool_choose(&pool);
	assert_ptr_equal(member->address, &one);
	assert_ptr_equal(pool_choose(&pool), member);
	check_health(member, 2, 0, 0);
	pool_leave(member);
	check_health(member, 1, 0, 0);
	pool_clear(&pool);
}

static void failures_in_a_row_are_counted_from_the_first(void **state)
{
	struct pool pool = pool_of(&one);
	const struct member *member = pool_choose(&pool);
	(void)state;
	for (uint64_t now = 1000; now < 1003; now++)
		pool_done(member, false, now);
	check_health(member, 1, 3, 1000);
	pool_done(member, true, 2000);
	check_health(member, 1, 0, 0);
	pool_done(member, false, 3000);
	check_health(member, 1, 1, 3000);
	pool_clear(&pool);
}

static void the_same_target_keeps_its_health_over_a_reload(void **state)
{
	struct address again = { .kind = ADDRESS_TCP, .text = (char *)(char[]){ "one:1" } };
	struct pool before = pool_of(&one), after = pool_of(&other);
	(void)state;
	pool_add(&after, &again, NULL);
	const struct member *old = pool_choose(&before);
	pool_done(old, false, 1000);
	pool_inherit(&after, &before);
	check_health(&after.member[0], 0, 0, 0);
	check_health(&after.member[1], 1, 1, 1000);
	pool_leave(old); /* a session of the old generation */
	check_health(&after.member[1], 0, 1, 1000);
	pool_clear(&before);
	pool_done(&after.member[1], false, 2000);
	check_health(&after.member[1], 0, 2, 1000);
	pool_clear(&after);
}

static void *come_and_go(void *arg)
{
	const struct pool *pool = arg;
	for (uint64_t i = 0; i < 10000; i++) {
		const struct member *member = pool_choose(pool);
		pool_done(member, false, 1000);
		pool_leave(member);
	}
	return NULL;
}

static void any_thread_may_come(void **state)
{
	struct pool pool = pool_of(&one);
	pthread_t thread[4];
	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, &pool), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	check_health(&pool.member[0], 0, 40000, 1000);
	pool_clear(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_pool_has_no_target),
		cmocka_unit_test(sessions_have_a_target_until_they_leave),
		cmocka_unit_test(failures_in_a_row_are_counted_from_the_first),
		cmocka_unit_test(the_same_target_keeps_its_health_over_a_reload),
		cmocka_unit_test(any_thread_may_come),
	};
	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
