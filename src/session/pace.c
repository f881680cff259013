/* pace.c owns the arithmetic of limited bandwidth.
 * It must never save up what was not used: who paused does not get a burst for it. */
#include "session/pace.h"

#define SHARE 16

size_t pace_room(uint64_t rate)
{
	if (rate == 0 || rate / SHARE > SIZE_MAX)
		return SIZE_MAX;
	return rate >= SHARE ? (size_t)(rate / SHARE) : 1;
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
