/* tally.c owns the counters of a route that outlive its generation.
 * It must never lock: it is asked for each session by every worker. */
#include "core/tally.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

struct tally {
	atomic_uint refs;
	atomic_uint_least64_t sessions;
	atomic_uint_least64_t begun; /* the second in the upper half, sessions that began in it in the lower */
};

struct tally *tally_new(void)
{
	struct tally *tally = mem_zalloc(sizeof(*tally));
	atomic_init(&tally->refs, 1);
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

static bool tally_is_too_fast(struct tally *tally, uint64_t rate, uint64_t now)
{
	uint64_t second = (now / 1000) << 32, old = atomic_load(&tally->begun), next;
	if (rate == 0)
		return false;
	do {
		next = (old >> 32 << 32) == second ? old + 1 : second + 1;
		if ((next & UINT32_MAX) > rate)
			return true;
	} while (!atomic_compare_exchange_weak(&tally->begun, &old, next));
	return false;
}

enum tally_verdict tally_enter(struct tally *tally, uint64_t sessions, uint64_t rate, uint64_t now)
{
	uint64_t before = atomic_fetch_add(&tally->sessions, 1);
	enum tally_verdict verdict = TALLY_WELCOME;
	if (sessions > 0 && before >= sessions)
		verdict = TALLY_FULL;
	else if (tally_is_too_fast(tally, rate, now))
		verdict = TALLY_TOO_FAST;
	if (verdict != TALLY_WELCOME)
		tally_leave(tally);
	return verdict;
}

void tally_leave(struct tally *tally)
{
	atomic_fetch_sub(&tally->sessions, 1);
}
