/* The one clock of the program: monotonic milliseconds, which a step of the wall clock does not move. */
#pragma once

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

/* Coarse (a few milliseconds) and therefore cheap enough to be read for each wake-up of a session. */
static inline uint64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline struct timeval clock_timeval(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}
