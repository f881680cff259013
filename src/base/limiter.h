/* Rates: how much there may be a second, of what is counted, of what strangers get, and of bytes. Fixed memory, pure
 * arithmetic; time is clock_ms(). All zero: nothing was counted, given or taken yet. */
#pragma once

#include "base/attr.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many there were in this second, which begins with the first after the last one is over. Any thread may call. */
struct meter {
	atomic_uint_least64_t word;
};

uint64_t meter_count(const struct meter *meter, uint64_t now);
uint64_t meter_add(struct meter *meter, uint64_t n, uint64_t now); /* n more; returns how many there are now */

#define LIMITER_PLACES 256

/* So much a second for all, and so much of that for one: a flood of one stranger's leaves something for others. Which one
 * somebody is, is told by a number; two strangers may share a place, so it is a bound and no promise. */
struct limiter {
	struct meter given;
	uint8_t to[LIMITER_PLACES];
};

/* Whether `who` gets one now: fewer than `all` were given in this second, and fewer than `each` of them to who. */
must_check bool limiter_take(struct limiter *limiter, uint64_t who, uint8_t each, uint64_t all, uint64_t now);

/* Of something that comes in pieces, such as bytes: each piece makes the next one wait for its time. */
struct pace {
	uint64_t ready_ms; /* when what was taken so far is worked off */
	uint64_t rest;     /* of a millisecond, in bytes times 1000 */
};

/* What may be taken at once with a rate of so many bytes a second (0: any number): a sixteenth, and at least one. */
size_t pace_room(uint64_t rate);

/* n bytes were taken: from now on nothing more for so many ms. */
uint64_t pace_take(struct pace *pace, uint64_t rate, size_t n, uint64_t now);

/* For how many ms more. */
uint64_t pace_left(const struct pace *pace, uint64_t now);
