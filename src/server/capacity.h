/* How many sessions there may be, as far as descriptors allow. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"

#include <stddef.h>
#include <stdint.h>

struct capacity {
	uint64_t sessions;
	uint64_t refusals;      /* being told so at once, without a session; and once more as many, by the workers */
	unsigned refusals_each; /* a worker's part of those */
	unsigned dial_spare;    /* a worker's, for several addresses of one target at a time */
};

/* Raises the limit of descriptors as far as it goes. -1: there are too few for max_sessions, or for any at all. */
must_check int capacity_find(struct capacity *capacity, const struct server_settings *set, size_t workers, struct err *err);
