/* Counts of latencies in steps of 3 %, and the percentiles they give. A zeroed struct is empty. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_STEPS 32                       /* of one power of two */
#define HISTOGRAM_SLOTS (40 * HISTOGRAM_STEPS)

struct histogram {
	uint64_t total;
	uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value that this share (0 to 1) of all are not above, to within a step; 0 of an empty one. */
uint64_t histogram_share(const struct histogram *histogram, double share);
