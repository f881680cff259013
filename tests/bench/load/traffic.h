/* What a session sends, made once for all: the upgrade request, the stream of frames, the Close. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "options.h"

struct traffic {
	uint8_t *pattern;          /* prefix (sent once), then the cycle (sent over and over) */
	size_t prefix_len, cycle_len;
	size_t frame_len;          /* of one frame of the cycle, header included */
	uint8_t close_frame[8];
	size_t close_len;
	char request[1024];
	size_t request_len;
};

void traffic_make(struct traffic *traffic, const struct options *set);
/* The next bytes of a stream of which so many have been sent. */
const uint8_t *traffic_at(const struct traffic *traffic, uint64_t sent, size_t *len);
/* The first border of a frame at or after that place in the stream. */
uint64_t traffic_frame_end(const struct traffic *traffic, uint64_t sent);
