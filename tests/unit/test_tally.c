/* test_tally.c lets crowds of addresses come to a tally and counts who gets in. It must never wait for a clock.
 *
 * Counters are shared by a secret hash, so a few newcomers of a hundred may be taken for more than they are. */
#include "gate/tally.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define NOW   ((uint64_t)1000000)
#define RARE  3 /* newcomers that may be mistaken */
#define MANY  1000

static const struct claimant nobody = { .group = { 0 } };

/* The n-th network of so many bits behind the first. */
static struct claimant member(const char *first, unsigned bits, unsigned n)
{
	struct peer peer = { .pid = 0 };
	uint8_t *address = peer.sa.in6.sin6_addr.s6_addr;
	peer.sa.any.sa_family = strchr(first, ':') != NULL ? AF_INET6 : AF_INET;
	if (peer.sa.any.sa_family == AF_INET)
		address = (uint8_t *)&peer.sa.in.sin_addr;
	assert_int_equal(inet_pton(peer.sa.any.sa_family, first, address), 1);
	for (unsigned byte = bits / 8; n > 0; n /= 256) { /* bits: a multiple of eight */
		byte--;
		address[byte] = (uint8_t)(address[byte] + n % 256);
	}
	return claimant_of(&peer, 32, 64);
}

struct crowd {
	const char *first;
	unsigned bits;
	unsigned members;
	unsigned tries;
};

/* They come in turn. Returns how many get in. */
static unsigned come(struct tally *tally, struct crowd crowd, uint64_t sessions, uint64_t rate)
{
	unsigned in = 0;
	for (unsigned i = 0; i < crowd.tries; i++) {
		struct claimant claimant = member(crowd.first, crowd.bits, i % crowd.members);
		in += tally_enter(tally, &claimant, sessions, rate, NOW) == TALLY_WELCOME;
	}
	return in;
}

#define ADDRESSES  "192.0.2.0", 32
#define OF_ONE_64  "2001:db8:0:7::", 128
#define OF_ONE_56  "2001:db8:0:700::", 64
#define OF_ONE_48  "2001:db8:7::", 64
#define MANY_48S   "2001:db8:1000::", 48
#define NEWCOMERS  "198.51.100.0", 32

static const struct row {
	const char *name;
	unsigned limit;
	struct crowd first;
	unsigned least, most; /* of them get in */
	struct crowd then;
	unsigned then_least;
} rows[] = {
	/* attackers leave room */
	{ "one address", 100, { ADDRESSES, 1, MANY }, 75, 75, { NEWCOMERS, 25, 25 }, 25 - RARE },
	{ "8 addresses", 100, { ADDRESSES, 8, MANY }, 75, 92, { NEWCOMERS, 4, 4 }, 4 },
	{ "8 addresses, 10 places", 10, { ADDRESSES, 8, MANY }, 8, 9, { NEWCOMERS, 1, 1 }, 1 },
	{ "one /64", 100, { OF_ONE_64, 200, MANY }, 75, 75, { NEWCOMERS, 25, 25 }, 25 - RARE },
	{ "100 /64s of one /56", 100, { OF_ONE_56, 100, MANY }, 75, 75, { NEWCOMERS, 25, 25 }, 25 - RARE },
	{ "/64s of one /48", 1000, { OF_ONE_48, 5000, 5000 }, 800, 800, { NEWCOMERS, 100, 100 }, 100 },
	{ "a neighbour in the /48", 100, { OF_ONE_56, 100, MANY }, 75, 75, { "2001:db8:0:aa00::", 64, 1, 1 }, 1 },
	{ "small limits", 8, { OF_ONE_48, 100, MANY }, 6, 7, { NEWCOMERS, 1, 1 }, 1 },
	/* the honest have all of it */
	{ "a university", 100, { ADDRESSES, 1, 70 }, 70, 70, { NEWCOMERS, 30, 30 }, 30 - RARE },
	{ "a university beside others", 100, { NEWCOMERS, 50, 50 }, 50, 50, { ADDRESSES, 1, 25 }, 25 },
	{ "a hundred who each have one", 100, { ADDRESSES, 100, 100 }, 100 - RARE, 100, { NEWCOMERS, 1, 0 }, 0 },
	{ "many networks", 100, { MANY_48S, 100, 100 }, 100 - RARE, 100, { NEWCOMERS, 1, 0 }, 0 },
	{ "the only place", 1, { ADDRESSES, 1, 2 }, 1, 1, { NEWCOMERS, 1, 0 }, 0 },
	{ "three places", 3, { ADDRESSES, 1, 5 }, 3, 3, { NEWCOMERS, 1, 0 }, 0 },
	{ "no limit", 0, { ADDRESSES, 1, MANY }, MANY, MANY, { NEWCOMERS, 1, 1 }, 1 },
};

static void check_row(const struct row *row, uint64_t sessions, uint64_t rate)
{
	struct tally *tally = tally_new();
	unsigned first = come(tally, row->first, sessions, rate), then = come(tally, row->then, sessions, rate);
	print_message("%s: %u, then %u of %u\n", row->name, first, then, row->then.tries);
	assert_in_range(first, row->least, row->most);
	assert_in_range(then, row->then_least, row->then.tries);
	tally_unref(tally);
}

static void who_holds_most_of_the_sessions_is_refused_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i], rows[i].limit, 0);
}

static void who_began_most_of_a_second_is_refused_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i], 0, rows[i].limit);
}

static void each_second_is_shared_anew(void **state)
{
	struct tally *tally = tally_new();
	struct claimant one = member(ADDRESSES, 1);
	(void)state;
	for (unsigned second = 0; second < 3; second++) {
		for (int i = 0; i < 3; i++)
			assert_int_equal(tally_enter(tally, &one, 0, 4, NOW + 1000 * second), TALLY_WELCOME);
		assert_int_equal(tally_enter(tally, &one, 0, 4, NOW + 1000 * second), TALLY_SHARE);
		assert_int_equal(tally_enter(tally, &nobody, 0, 4, NOW + 1000 * second), TALLY_WELCOME);
		assert_int_equal(tally_enter(tally, &nobody, 0, 4, NOW + 1000 * second + 999), TALLY_TOO_FAST);
	}
	tally_unref(tally);
}

static void what_is_given_back_may_be_had_again(void **state)
{
	struct tally *tally = tally_new();
	struct claimant one = member(ADDRESSES, 0);
	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		assert_int_equal(come(tally, (struct crowd){ ADDRESSES, 1, 50 }, 40, 0), 30);
		for (int i = 0; i < 30; i++)
			tally_leave(tally, &one);
	}
	assert_int_equal(tally_enter(tally, &one, 1, 0, NOW), TALLY_WELCOME);
	assert_int_equal(tally_enter(tally, &one, 1, 0, NOW), TALLY_FULL);
	tally_unref(tally);
}

/* Those of no source, or of one that is exempt, have all of it. */
static void nobody_has_no_share(void **state)
{
	struct tally *tally = tally_new();
	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(tally_enter(tally, &nobody, 100, 0, NOW), TALLY_WELCOME);
	assert_int_equal(tally_enter(tally, &nobody, 100, 0, NOW), TALLY_FULL);
	tally_unref(tally);
}

static void who_is_named_late_has_a_share_from_then_on(void **state)
{
	struct tally *tally = tally_new();
	struct claimant one = member(ADDRESSES, 1), other = member(ADDRESSES, 2);
	unsigned named = 0;
	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(tally_enter(tally, &nobody, 100, 0, NOW), TALLY_WELCOME);
		named += tally_name(tally, &one, 100);
	}
	assert_int_equal(named, 75);
	assert_int_equal(tally_enter(tally, &nobody, 100, 0, NOW), TALLY_WELCOME);
	assert_true(tally_name(tally, &other, 100));
	for (unsigned i = 0; i < named; i++)
		tally_leave(tally, &one);
	tally_leave(tally, &other);
	assert_int_equal(come(tally, (struct crowd){ ADDRESSES, 1, MANY }, 100, 0), 75);
	tally_unref(tally);
}

static void *come_and_go(void *arg)
{
	struct claimant claimant = member(ADDRESSES, 1);
	for (int i = 0; i < 20000; i++)
		if (tally_enter(arg, &claimant, 100, 1000, NOW + (uint64_t)i) == TALLY_WELCOME)
			tally_leave(arg, &claimant);
	return NULL;
}

static void threads_share_it(void **state)
{
	struct tally *tally = tally_new();
	pthread_t thread[4];
	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, tally), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(come(tally, (struct crowd){ ADDRESSES, 1, MANY }, 100, 0), 75); /* all have left */
	tally_unref(tally);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_holds_most_of_the_sessions_is_refused_first),
		cmocka_unit_test(who_began_most_of_a_second_is_refused_first),
		cmocka_unit_test(each_second_is_shared_anew),
		cmocka_unit_test(what_is_given_back_may_be_had_again),
		cmocka_unit_test(nobody_has_no_share),
		cmocka_unit_test(who_is_named_late_has_a_share_from_then_on),
		cmocka_unit_test(threads_share_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
