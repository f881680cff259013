/* limiter.c owns the count of what was given in the current second.
 * It must never look at more than one place a call. */
#include "base/limiter.h"

#include <string.h>

/* Numbers that follow each other, as addresses do, are spread by the golden ratio. */
static uint8_t place_of(uint64_t who)
{
	return (uint8_t)(who * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

static void begin_second(struct limiter *limiter, uint64_t second)
{
	if (limiter->second == second)
		return;
	memset(limiter, 0, sizeof(*limiter));
	limiter->second = second;
}

bool limiter_take(struct limiter *limiter, uint64_t who, uint8_t each, uint64_t all, uint64_t now)
{
	uint8_t *to = &limiter->to[place_of(who)];
	begin_second(limiter, now / 1000);
	if (limiter->given >= all || *to >= each)
		return false;
	limiter->given++;
	(*to)++;
	return true;
}
