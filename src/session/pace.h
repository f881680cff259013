/* The pace of one direction of a session whose bytes a second are limited. Pure arithmetic; time is clock_ms(). */
#ifndef SESSION_PACE_H
#define SESSION_PACE_H

#include <stddef.h>
#include <stdint.h>

struct pace {
	uint64_t ready_ms; /* when what was taken so far is worked off; all zero: never used */
	uint64_t rest;     /* of a millisecond, in bytes times 1000 */
};

/* What may be taken at once with a rate of so many bytes a second (0: any number): a sixteenth of it, and at least one byte. */
size_t pace_room(uint64_t rate);

/* n bytes were taken: from now on nothing more for so many ms. */
uint64_t pace_take(struct pace *pace, uint64_t rate, size_t n, uint64_t now);

/* For how many ms more. */
uint64_t pace_left(const struct pace *pace, uint64_t now);

#endif
