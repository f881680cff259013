/* tally.c owns the counters of a route that outlive its generation.
 * It must never lock: it is asked for each session by every worker. */
#include "gate/tally.h"

#include "base/limiter.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

struct tally {
	atomic_uint refs;
	atomic_uint_least64_t sessions;
	struct meter begun;                   /* sessions that began in this second */
	struct shares *shares, *shares_begun; /* of the two */
};

struct tally *tally_new(void)
{
	struct tally *tally = mem_zalloc(sizeof(*tally));
	atomic_init(&tally->refs, 1);
	tally->shares = shares_new();
	tally->shares_begun = shares_new();
	return tally;
}

struct tally *tally_ref(struct tally *tally)
{
	atomic_fetch_add_explicit(&tally->refs, 1, memory_order_relaxed);
	return tally;
}

void tally_unref(struct tally *tally)
{
	if (tally == NULL || atomic_fetch_sub_explicit(&tally->refs, 1, memory_order_acq_rel) != 1)
		return;
	shares_free(tally->shares);
	shares_free(tally->shares_begun);
	free(tally);
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
		shares_clear(tally->shares_begun);
	if (!shares_allow(tally->shares_begun, claimant, begun, rate))
		return TALLY_SHARE;
	if (meter_add(&tally->begun, 1, now) > rate)
		return TALLY_TOO_FAST;
	shares_add(tally->shares_begun, claimant);
	return TALLY_WELCOME;
}

enum tally_verdict tally_enter(struct tally *tally, const struct claimant *claimant, uint64_t sessions, uint64_t rate,
                               uint64_t now)
{
	uint64_t before = atomic_fetch_add(&tally->sessions, 1);
	enum tally_verdict verdict;
	if (sessions > 0 && before >= sessions)
		verdict = TALLY_FULL;
	else if (!shares_allow(tally->shares, claimant, before, sessions))
		verdict = TALLY_SHARE;
	else
		verdict = tally_begin(tally, claimant, rate, now);
	if (verdict == TALLY_WELCOME)
		shares_add(tally->shares, claimant);
	else
		atomic_fetch_sub(&tally->sessions, 1);
	return verdict;
}

bool tally_name(struct tally *tally, const struct claimant *claimant, uint64_t sessions)
{
	uint64_t others = atomic_load(&tally->sessions) - 1;
	bool welcome = shares_allow(tally->shares, claimant, others, sessions);
	if (welcome)
		shares_add(tally->shares, claimant);
	else
		atomic_fetch_sub(&tally->sessions, 1);
	return welcome;
}

void tally_leave(struct tally *tally, const struct claimant *claimant)
{
	shares_take_back(tally->shares, claimant);
	atomic_fetch_sub(&tally->sessions, 1);
}
