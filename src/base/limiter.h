/* So much a second for all, and so much of that for one: a flood of one stranger's leaves something for others. Which one
 * somebody is, is told by a number; two strangers may share a place, so it is a bound and no promise. Fixed memory, pure
 * arithmetic; time is clock_ms(). */
#ifndef BASE_LIMITER_H
#define BASE_LIMITER_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMITER_PLACES 256

/* All zero: nothing was given yet. */
struct limiter {
	uint64_t second;
	uint64_t given;
	uint8_t to[LIMITER_PLACES];
};

/* Whether `who` gets one now: fewer than `all` were given in this second, and fewer than `each` of them to who. */
must_check bool limiter_take(struct limiter *limiter, uint64_t who, uint8_t each, uint64_t all, uint64_t now);

#endif
