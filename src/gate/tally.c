/* tally.c owns the counters of a route that outlive its generation: its sessions, and what each group of addresses holds of them.
 * It must never lock, nor allocate once it is made: it is asked for each session by every worker. */
#include "gate/tally.h"

#include "base/limiter.h"
#include "base/mem.h"
#include "gate/sources.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#define ROWS  2
#define WIDTH 512

/* What each group holds of one limit. */
struct shares {
	uint64_t secret[ROWS]; /* so that nobody can choose whose counters he shares */
	atomic_uint held[CLAIMANT_GROUPS][ROWS][WIDTH];
};

struct tally {
	atomic_uint refs;
	atomic_uint_least64_t sessions;
	struct meter begun;                 /* sessions that began in this second */
	struct shares shares, shares_begun; /* of the two */
};

struct claimant claimant_of(const struct peer *peer, unsigned ipv4_bits, unsigned ipv6_bits)
{
	static const unsigned most[CLAIMANT_GROUPS] = { 64, 56, 48 };
	struct claimant claimant;
	for (int i = 0; i < CLAIMANT_GROUPS; i++)
		claimant.group[i] = source_key(peer, ipv4_bits, ipv6_bits < most[i] ? ipv6_bits : most[i]);
	return claimant;
}

struct tally *tally_new(void)
{
	struct tally *tally = mem_zalloc(sizeof(*tally));
	atomic_init(&tally->refs, 1);
	(void)!getrandom(tally->shares.secret, sizeof(tally->shares.secret), GRND_NONBLOCK);
	(void)!getrandom(tally->shares_begun.secret, sizeof(tally->shares_begun.secret), GRND_NONBLOCK);
	return tally;
}

struct tally *tally_ref(struct tally *tally)
{
	atomic_fetch_add_explicit(&tally->refs, 1, memory_order_relaxed);
	return tally;
}

void tally_unref(struct tally *tally)
{
	if (tally != NULL && atomic_fetch_sub_explicit(&tally->refs, 1, memory_order_acq_rel) == 1)
		free(tally);
}

static atomic_uint *counter_of(struct shares *shares, const struct claimant *claimant, int level, int row)
{
	return &shares->held[level][row][source_hash(claimant->group[level], shares->secret[row]) % WIDTH];
}

static uint64_t held_by(struct shares *shares, const struct claimant *claimant, int level)
{
	uint64_t least = UINT64_MAX;
	for (int row = 0; row < ROWS; row++) {
		uint64_t n = atomic_load_explicit(counter_of(shares, claimant, level, row), memory_order_relaxed);
		if (n < least)
			least = n;
	}
	return least;
}

/* Whether the claimant may have one more of a limit of which so much is used. limit 0: there is none. */
static bool shares_allow(struct shares *shares, const struct claimant *claimant, uint64_t used, uint64_t limit)
{
	if (limit == 0 || claimant->group[0] == 0 || used < limit - limit / 4)
		return true;
	uint64_t left = used < limit ? limit - used : 0;
	for (int level = 0; level < CLAIMANT_GROUPS; level++)
		if (held_by(shares, claimant, level) >= left << level)
			return false;
	return true;
}

/* more: 1, or all bits set for one less. */
static void shares_count(struct shares *shares, const struct claimant *claimant, unsigned more)
{
	if (claimant->group[0] == 0)
		return;
	for (int level = 0; level < CLAIMANT_GROUPS; level++)
		for (int row = 0; row < ROWS; row++)
			atomic_fetch_add_explicit(counter_of(shares, claimant, level, row), more, memory_order_relaxed);
}

static void shares_clear(struct shares *shares)
{
	for (int level = 0; level < CLAIMANT_GROUPS; level++)
		for (int row = 0; row < ROWS; row++)
			for (int i = 0; i < WIDTH; i++)
				atomic_store_explicit(&shares->held[level][row][i], 0, memory_order_relaxed);
}

/* Who sees a new second first clears the shares of the last. */
static enum tally_verdict tally_begin(struct tally *tally, const struct claimant *claimant, uint64_t rate, uint64_t now)
{
	uint64_t begun = meter_count(&tally->begun, now);
	if (rate == 0)
		return TALLY_WELCOME;
	if (begun >= rate)
		return TALLY_TOO_FAST;
	if (begun == 0)
		shares_clear(&tally->shares_begun);
	if (!shares_allow(&tally->shares_begun, claimant, begun, rate))
		return TALLY_SHARE;
	if (meter_add(&tally->begun, 1, now) > rate)
		return TALLY_TOO_FAST;
	shares_count(&tally->shares_begun, claimant, 1);
	return TALLY_WELCOME;
}

enum tally_verdict tally_enter(struct tally *tally, const struct claimant *claimant, uint64_t sessions, uint64_t rate,
                               uint64_t now)
{
	uint64_t before = atomic_fetch_add(&tally->sessions, 1);
	enum tally_verdict verdict;
	if (sessions > 0 && before >= sessions)
		verdict = TALLY_FULL;
	else if (!shares_allow(&tally->shares, claimant, before, sessions))
		verdict = TALLY_SHARE;
	else
		verdict = tally_begin(tally, claimant, rate, now);
	if (verdict == TALLY_WELCOME)
		shares_count(&tally->shares, claimant, 1);
	else
		atomic_fetch_sub(&tally->sessions, 1);
	return verdict;
}

bool tally_name(struct tally *tally, const struct claimant *claimant, uint64_t sessions)
{
	uint64_t others = atomic_load(&tally->sessions) - 1;
	bool welcome = shares_allow(&tally->shares, claimant, others, sessions);
	if (welcome)
		shares_count(&tally->shares, claimant, 1);
	else
		atomic_fetch_sub(&tally->sessions, 1);
	return welcome;
}

void tally_leave(struct tally *tally, const struct claimant *claimant)
{
	shares_count(&tally->shares, claimant, UINT_MAX);
	atomic_fetch_sub(&tally->sessions, 1);
}
