/* shares.c owns the counts of what each group of addresses holds of one limit, and the rule of fair shares.
 * It must never allocate or lock once it is made: it is asked for each session by every thread. */
#include "gate/shares.h"

#include "base/mem.h"
#include "gate/sources.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#define ROWS  2
#define WIDTH 512

struct shares {
	uint64_t secret[ROWS]; /* so that nobody can choose whose counters he shares */
	atomic_uint held[CLAIMANT_GROUPS][ROWS][WIDTH];
};

struct claimant claimant_of(const struct peer *peer, unsigned ipv4_bits, unsigned ipv6_bits)
{
	static const unsigned most[CLAIMANT_GROUPS] = { 64, 56, 48 };
	struct claimant claimant;
	for (int i = 0; i < CLAIMANT_GROUPS; i++)
		claimant.group[i] = source_key(peer, ipv4_bits, ipv6_bits < most[i] ? ipv6_bits : most[i]);
	return claimant;
}

struct shares *shares_new(void)
{
	struct shares *shares = mem_zalloc(sizeof(*shares));
	(void)!getrandom(shares->secret, sizeof(shares->secret), GRND_NONBLOCK);
	return shares;
}

void shares_free(struct shares *shares)
{
	free(shares);
}

static size_t place_of(const struct shares *shares, uint64_t group, int row)
{
	return source_hash(group, shares->secret[row]) % WIDTH;
}

static uint64_t held_by(const struct shares *shares, const struct claimant *claimant, int level)
{
	uint64_t least = UINT64_MAX;
	for (int row = 0; row < ROWS; row++) {
		const atomic_uint *held = &shares->held[level][row][place_of(shares, claimant->group[level], row)];
		uint64_t n = atomic_load_explicit(held, memory_order_relaxed);
		if (n < least)
			least = n;
	}
	return least;
}

bool shares_allow(const struct shares *shares, const struct claimant *claimant, uint64_t used, uint64_t limit)
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
			atomic_fetch_add_explicit(&shares->held[level][row][place_of(shares, claimant->group[level], row)], more,
			                          memory_order_relaxed);
}

void shares_add(struct shares *shares, const struct claimant *claimant)
{
	shares_count(shares, claimant, 1);
}

void shares_take_back(struct shares *shares, const struct claimant *claimant)
{
	shares_count(shares, claimant, UINT_MAX);
}

void shares_clear(struct shares *shares)
{
	for (int level = 0; level < CLAIMANT_GROUPS; level++)
		for (int row = 0; row < ROWS; row++)
			for (int i = 0; i < WIDTH; i++)
				atomic_store_explicit(&shares->held[level][row][i], 0, memory_order_relaxed);
}
