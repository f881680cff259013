/* histogram.c owns the arithmetic of latency counts.
 * It must never allocate or read a clock: it stands in the path of every message. */
#include "histogram.h"

#include <stddef.h>

static size_t slot_of(uint64_t value)
{
	unsigned power = value < HISTOGRAM_STEPS ? 0 : 63u - (unsigned)__builtin_clzll(value / HISTOGRAM_STEPS);
	size_t slot = power * HISTOGRAM_STEPS + (size_t)(value >> power);

	return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

static uint64_t value_of(size_t slot)
{
	unsigned power = slot < 2 * HISTOGRAM_STEPS ? 0 : (unsigned)(slot / HISTOGRAM_STEPS) - 1;

	return (uint64_t)(slot - power * HISTOGRAM_STEPS) << power;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->total++;
	histogram->slots[slot_of(value)]++;
}

uint64_t histogram_share(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)((double)histogram->total * share);
	uint64_t seen = 0;
	size_t slot = 0;

	while (histogram->total > 0 && slot < HISTOGRAM_SLOTS - 1 && (seen += histogram->slots[slot]) <= wanted)
		slot++;
	return value_of(slot);
}
