/* test_sources.c asks the table of sources who may come in, at times of its own making. It must never wait for a clock. */
#include "gate/sources.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SECOND  1000u
#define NOW     ((uint64_t)100 * 24 * 3600 * SECOND) /* the start of a window of ten seconds */
#define MILLION 1000000u

static uint64_t key_of(const char *text)
{
	struct peer peer = { .pid = 0 };
	if (inet_pton(AF_INET, text, &peer.sa.in.sin_addr) == 1)
		peer.sa.any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &peer.sa.in6.sin6_addr) == 1)
		peer.sa.any.sa_family = AF_INET6;
	else
		peer.sa.any.sa_family = AF_UNIX;
	return source_key(&peer, 32, 64);
}

static enum reason enter(struct sources *s, uint64_t key, const struct source_limits *limits, uint64_t now)
{
	bool counted;
	enum reason verdict = sources_enter(s, key, limits, now, &counted);
	assert_int_equal(counted, verdict == REASON_NONE && limits->sessions > 0);
	return verdict;
}

static void an_ipv4_address_and_an_ipv6_network_are_sources(void **state)
{
	(void)state;
	assert_true(key_of("192.0.2.1") != key_of("192.0.2.2"));
	assert_true(key_of("2001:db8:0:1::1") == key_of("2001:db8:0:1:ffff::2"));
	assert_true(key_of("2001:db8:0:1::1") != key_of("2001:db8:0:2::1"));
	assert_true(key_of("::1") != 0);
	assert_true(key_of("0.0.0.0") != key_of("::"));
	assert_true(key_of("a UNIX socket's") == 0);
}

static void networks_of_many_owners_are_many_sources(void **state)
{
	(void)state;
	assert_true(key_of("64:ff9b::192.0.2.1") == key_of("192.0.2.1"));
	assert_true(key_of("64:ff9b::1:192.0.2.1") == key_of("64:ff9b::2:192.0.2.1"));
	assert_true(key_of("fe80::1") != key_of("fe80::2"));
	assert_true(key_of("fe80::1") == key_of("fe80::1"));
	assert_true(key_of("fe80::20:1:db8:0:1") != key_of("2001:db8:0:1::"));
}

static void prefixes_can_be_shorter(void **state)
{
	struct peer a = { .sa.in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201) } };
	struct peer b = { .sa.in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc00002ff) } };
	(void)state;
	assert_true(source_key(&a, 25, 64) != source_key(&b, 25, 64));
	assert_true(source_key(&a, 24, 64) == source_key(&b, 24, 64));
	assert_true(source_key(&a, 0, 64) == source_key(&b, 0, 64) && source_key(&a, 0, 64) != 0);

	struct peer six = { .sa.in6 = { .sin6_family = AF_INET6 } }, other = six;
	inet_pton(AF_INET6, "2001:db8:1:100::", &six.sa.in6.sin6_addr);
	inet_pton(AF_INET6, "2001:db8:1:1ff::", &other.sa.in6.sin6_addr);
	assert_true(source_key(&six, 32, 64) != source_key(&other, 32, 64));
	assert_true(source_key(&six, 32, 56) == source_key(&other, 32, 56));
}

static void sessions_are_counted_for_each_source(void **state)
{
	struct sources *s = sources_new(64);
	const struct source_limits two = { .sessions = 2 };
	uint64_t a = key_of("192.0.2.1"), b = key_of("192.0.2.2");
	(void)state;
	assert_int_equal(enter(s, a, &two, NOW), REASON_NONE);
	assert_int_equal(enter(s, a, &two, NOW), REASON_NONE);
	assert_int_equal(enter(s, a, &two, NOW), REASON_SOURCE_SESSIONS);
	assert_int_equal(enter(s, b, &two, NOW), REASON_NONE);
	sources_leave(s, a);
	assert_int_equal(enter(s, a, &two, NOW), REASON_NONE);
	assert_int_equal(enter(s, a, &two, NOW), REASON_SOURCE_SESSIONS);
	sources_free(s);
}

static void the_rate_is_counted_over_ten_seconds(void **state)
{
	struct sources *s = sources_new(64);
	const struct source_limits one = { .rate = 1 };
	uint64_t a = key_of("2001:db8::1");
	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(enter(s, a, &one, NOW + 9 * SECOND), REASON_NONE);
	assert_int_equal(enter(s, a, &one, NOW + 9999), REASON_SOURCE_RATE);
	assert_int_equal(enter(s, key_of("192.0.2.1"), &one, NOW + 9999), REASON_NONE);
	assert_int_equal(enter(s, a, &one, NOW + 10 * SECOND), REASON_NONE);
	for (int i = 0; i < 10000; i++) /* the count ends, and does not begin anew */
		(void)enter(s, a, &one, NOW + 11 * SECOND);
	assert_int_equal(enter(s, a, &one, NOW + 11 * SECOND), REASON_SOURCE_RATE);
	sources_free(s);
}

static const struct source_limits penalties = { .penalty_min = 15 * SECOND, .penalty_max = 60 * SECOND };

static void penalties_add_up_until_they_are_enforced(void **state)
{
	struct sources *s = sources_new(64);
	uint64_t a = key_of("192.0.2.1");
	(void)state;
	assert_int_equal(sources_punish(s, a, 6 * SECOND, &penalties, NOW), 0);
	assert_int_equal(sources_punish(s, a, 6 * SECOND, &penalties, NOW), 0);
	assert_int_equal(enter(s, a, &penalties, NOW), REASON_NONE);
	assert_int_equal(sources_punish(s, a, 6 * SECOND, &penalties, NOW + SECOND), 17 * SECOND);
	assert_int_equal(enter(s, a, &penalties, NOW + SECOND), REASON_SOURCE_PENALTY);
	assert_int_equal(enter(s, key_of("192.0.2.2"), &penalties, NOW + SECOND), REASON_NONE);
	assert_int_equal(enter(s, a, &penalties, NOW + 18 * SECOND - 1), REASON_SOURCE_PENALTY);
	assert_int_equal(enter(s, a, &penalties, NOW + 18 * SECOND), REASON_NONE);
	sources_free(s);
}

static void penalties_grow_up_to_a_limit_and_are_forgiven(void **state)
{
	struct sources *s = sources_new(64);
	uint64_t a = key_of("192.0.2.1");
	(void)state;
	assert_int_equal(sources_punish(s, a, 20 * SECOND, &penalties, NOW), 20 * SECOND);
	for (int i = 0; i < 100; i++) /* it is refused already: nothing new to tell */
		assert_int_equal(sources_punish(s, a, 20 * SECOND, &penalties, NOW), 0);
	assert_int_equal(enter(s, a, &penalties, NOW + 60 * SECOND - 1), REASON_SOURCE_PENALTY);
	assert_int_equal(enter(s, a, &penalties, NOW + 60 * SECOND), REASON_NONE);
	assert_int_equal(sources_punish(s, a, 5 * SECOND, &penalties, NOW + 60 * SECOND), 0);
	sources_free(s);
}

static void what_was_refused_once_is_told_again_after_it_was_over(void **state)
{
	struct sources *s = sources_new(64);
	uint64_t a = key_of("192.0.2.1");
	(void)state;
	assert_int_equal(sources_punish(s, a, 20 * SECOND, &penalties, NOW), 20 * SECOND);
	assert_int_equal(sources_punish(s, a, 20 * SECOND, &penalties, NOW + 30 * SECOND), 20 * SECOND);
	sources_free(s);
}

static void without_limits_nobody_is_refused(void **state)
{
	struct sources *s = sources_new(64);
	const struct source_limits none = { .sessions = 0 };
	uint64_t a = key_of("192.0.2.1");
	(void)state;
	assert_int_equal(sources_punish(s, a, 600 * SECOND, &none, NOW), 0);
	assert_int_equal(sources_punish(s, a, 60 * SECOND, &penalties, NOW), 60 * SECOND);
	assert_int_equal(enter(s, a, &none, NOW), REASON_NONE); /* as after a reload that turned penalties off */
	sources_free(s);
}

static void a_full_table_forgets_what_matters_least(void **state)
{
	struct sources *s = sources_new(16);
	const struct source_limits both = { .sessions = 1, .penalty_min = SECOND, .penalty_max = 600 * SECOND };
	(void)state;
	for (uint64_t key = 1; key <= 8; key++)
		assert_int_equal(enter(s, key, &both, NOW), REASON_NONE);
	for (uint64_t key = 9; key <= 1000; key++) /* the later, the longer */
		assert_true(sources_punish(s, key, key * SECOND / 2, &both, NOW) > 0);
	for (uint64_t key = 1; key <= 8; key++)
		assert_int_equal(enter(s, key, &both, NOW), REASON_SOURCE_SESSIONS);
	assert_int_equal(enter(s, 1000, &penalties, NOW), REASON_SOURCE_PENALTY);
	assert_int_equal(enter(s, 9, &penalties, NOW), REASON_NONE);
	sources_free(s);
}

/* Somebody who has all places shuts nobody out: who finds none is let in, and not counted. */
static void a_table_full_of_sessions_lets_others_in_uncounted(void **state)
{
	struct sources *s = sources_new(16);
	const struct source_limits one = { .sessions = 1 };
	bool counted;
	unsigned let_in = 0;
	(void)state;
	for (uint64_t key = 1; key <= 100; key++) {
		assert_int_equal(sources_enter(s, key, &one, NOW, &counted), REASON_NONE);
		let_in += counted;
	}
	assert_int_equal(let_in, 16);
	assert_int_equal(sources_enter(s, 100, &one, NOW, &counted), REASON_NONE);
	assert_false(counted);
	sources_free(s);
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (file == NULL || fscanf(file, "%*u %zu", &pages) != 1)
		pages = 0;
	if (file != NULL)
		fclose(file);
	return pages * 4096;
}

static void a_million_sources_are_remembered_in_16_mib(void **state)
{
	const struct source_limits one = { .sessions = 1, .penalty_min = SECOND, .penalty_max = 600 * SECOND };
	size_t before = resident();
	struct sources *s = sources_new(MILLION);
	unsigned remembered = 0;
	(void)state;
	for (uint64_t i = 0; i < MILLION; i++) /* networks that follow each other, as those of one owner do */
		sources_punish(s, UINT64_C(0x20010db800000000) + i, 60 * SECOND, &one, NOW);
	for (uint64_t i = 0; i < MILLION; i++)
		remembered += enter(s, UINT64_C(0x20010db800000000) + i, &one, NOW) == REASON_SOURCE_PENALTY;
	size_t after = resident();
	print_message("%u of 1000000 sources remembered in %zu KiB\n", remembered, (after - before) / 1024);
	assert_true(remembered > MILLION / 100 * 99);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(after - before < (size_t)17 << 20);
#endif
	sources_free(s);
}

static void *come_and_go(void *arg)
{
	const struct source_limits limits = { .sessions = 3, .rate = 400, .penalty_min = SECOND, .penalty_max = 2 * SECOND };
	for (uint64_t i = 0; i < 20000; i++) {
		bool counted;
		if (sources_enter(arg, i % 7 + 1, &limits, NOW + i, &counted) == REASON_NONE && counted)
			sources_leave(arg, i % 7 + 1);
		if (i % 100 == 0)
			sources_punish(arg, i % 7 + 1, 100, &limits, NOW + i);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	struct sources *s = sources_new(16);
	const struct source_limits three = { .sessions = 3 };
	pthread_t thread[4];
	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, s), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < 3; i++) /* all have left */
		assert_int_equal(enter(s, 1, &three, NOW), REASON_NONE);
	assert_int_equal(enter(s, 1, &three, NOW), REASON_SOURCE_SESSIONS);
	sources_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_address_and_an_ipv6_network_are_sources),
		cmocka_unit_test(networks_of_many_owners_are_many_sources),
		cmocka_unit_test(prefixes_can_be_shorter),
		cmocka_unit_test(sessions_are_counted_for_each_source),
		cmocka_unit_test(the_rate_is_counted_over_ten_seconds),
		cmocka_unit_test(penalties_add_up_until_they_are_enforced),
		cmocka_unit_test(penalties_grow_up_to_a_limit_and_are_forgiven),
		cmocka_unit_test(what_was_refused_once_is_told_again_after_it_was_over),
		cmocka_unit_test(without_limits_nobody_is_refused),
		cmocka_unit_test(a_full_table_forgets_what_matters_least),
		cmocka_unit_test(a_table_full_of_sessions_lets_others_in_uncounted),
		cmocka_unit_test(a_million_sources_are_remembered_in_16_mib),
		cmocka_unit_test(threads_share_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
