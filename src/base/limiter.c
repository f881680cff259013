/* limiter.c owns the arithmetic of rates.
 * It must never save up what was not used: who paused does not get a burst for it. */
#include "base/limiter.h"

#include <string.h>

#define SECOND_MS  1000
#define COUNT_BITS 30 /* of a meter's word; above them is when its second began, in as many bits of a ms as are left */
#define COUNT_MAX  ((UINT64_C(1) << COUNT_BITS) - 1)
#define PACE_SHARE 16

/* The count of a word, if its second is not over. Another thread's clock may have been read a little earlier. */
static uint64_t count_of(uint64_t word, uint64_t now)
{
	int64_t since = (int64_t)((now << COUNT_BITS) - (word & ~COUNT_MAX));
	return since < (int64_t)SECOND_MS << COUNT_BITS ? word & COUNT_MAX : 0;
}

uint64_t meter_count(const struct meter *meter, uint64_t now)
{
	return count_of(atomic_load(&meter->word), now);
}

uint64_t meter_add(struct meter *meter, uint64_t n, uint64_t now)
{
	uint64_t old = atomic_load(&meter->word), count, begun;
	do {
		count = count_of(old, now);
		begun = count > 0 ? old & ~COUNT_MAX : now << COUNT_BITS;
		count = n < COUNT_MAX - count ? count + n : COUNT_MAX;
	} while (!atomic_compare_exchange_weak(&meter->word, &old, begun | count));
	return count;
}

bool limiter_take(struct limiter *limiter, uint64_t who, uint8_t each, uint64_t all, uint64_t now)
{
	/* Numbers that follow each other, as addresses do, are spread by the golden ratio. */
	uint8_t *to = &limiter->to[who * UINT64_C(0x9e3779b97f4a7c15) >> 56];
	uint64_t given = meter_count(&limiter->given, now);
	if (given == 0)
		memset(limiter->to, 0, sizeof(limiter->to));
	if (given >= all || *to >= each)
		return false;
	(void)meter_add(&limiter->given, 1, now);
	(*to)++;
	return true;
}

size_t pace_room(uint64_t rate)
{
	if (rate == 0 || rate / PACE_SHARE > SIZE_MAX)
		return SIZE_MAX;
	return rate >= PACE_SHARE ? (size_t)(rate / PACE_SHARE) : 1;
}

uint64_t pace_left(const struct pace *pace, uint64_t now)
{
	return pace->ready_ms > now ? pace->ready_ms - now : 0;
}

uint64_t pace_take(struct pace *pace, uint64_t rate, size_t n, uint64_t now)
{
	if (rate == 0)
		return 0;
	if (pace->ready_ms < now)
		*pace = (struct pace){ .ready_ms = now };
	uint64_t cost = (uint64_t)n * 1000 + pace->rest;
	pace->ready_ms += cost / rate;
	pace->rest = cost % rate;
	return pace_left(pace, now);
}
