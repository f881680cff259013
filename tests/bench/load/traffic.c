/* traffic.c owns the bytes that all sessions of a run send.
 * It must never be called on to make any while the clock runs. */
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

#define CYCLE_MIN (128 * 1024)     /* so that small frames go out many to a system call */
#define ENDLESS_CYCLE (256 * 1024)

static size_t payload_frame(uint8_t *out, uint8_t first, size_t len)
{
	uint8_t *payload = malloc(len + 1);
	size_t frame_len;

	if (payload == NULL)
		die("malloc");
	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(i * 7);
	frame_len = frame_make(out, first, payload, len);
	free(payload);
	return frame_len;
}

static void cycle_make(struct traffic *traffic, uint8_t first, size_t size)
{
	uint8_t *cycle = traffic->pattern + traffic->prefix_len;

	traffic->frame_len = payload_frame(cycle, first, size);
	traffic->cycle_len = traffic->frame_len;
	while (traffic->cycle_len < CYCLE_MIN) {
		memcpy(cycle + traffic->cycle_len, cycle, traffic->frame_len);
		traffic->cycle_len += traffic->frame_len;
	}
}

/* Whole frames; or one that never ends (a declared length); or one message in endless fragments. */
static void pattern_make(struct traffic *traffic, const struct options *set)
{
	traffic->pattern = calloc(1, 2 * (CYCLE_MIN + FRAME_HEADER_MAX + (size_t)set->size) + ENDLESS_CYCLE);
	if (traffic->pattern == NULL)
		die("calloc");
	if (set->declared > 0) {
		traffic->prefix_len = frame_header(traffic->pattern, 0x80 | set->opcode, set->declared);
		traffic->cycle_len = ENDLESS_CYCLE;
		traffic->frame_len = 1;
	} else if (set->fragments) {
		traffic->prefix_len = payload_frame(traffic->pattern, set->opcode, 1);
		cycle_make(traffic, 0, (size_t)set->size);
	} else {
		cycle_make(traffic, 0x80 | set->opcode, (size_t)set->size);
	}
}

static void request_make(struct traffic *traffic, const struct options *set)
{
	int len = snprintf(traffic->request, sizeof traffic->request,
	                   "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	                   "Sec-WebSocket-Protocol: binary\r\n%s%s%s\r\n",
	                   set->path, set->origin ? "Origin: " : "", set->origin ? set->origin : "",
	                   set->origin ? "\r\n" : "");

	if (len < 0 || (size_t)len >= sizeof traffic->request)
		usage_error("the path or the origin is too long");
	traffic->request_len = (size_t)len;
}

void traffic_make(struct traffic *traffic, const struct options *set)
{
	static const uint8_t normal_closure[2] = { 1000 >> 8, 1000 & 0xff };

	pattern_make(traffic, set);
	request_make(traffic, set);
	traffic->close_len = frame_make(traffic->close_frame, 0x88, normal_closure, sizeof normal_closure);
}

const uint8_t *traffic_at(const struct traffic *traffic, uint64_t sent, size_t *len)
{
	size_t end = traffic->prefix_len + traffic->cycle_len;
	size_t at = sent < end ? (size_t)sent : traffic->prefix_len + (size_t)((sent - end) % traffic->cycle_len);

	*len = end - at;
	return traffic->pattern + at;
}

uint64_t traffic_frame_end(const struct traffic *traffic, uint64_t sent)
{
	uint64_t in_cycle = sent < traffic->prefix_len ? 0 : sent - traffic->prefix_len;
	uint64_t frames = (in_cycle + traffic->frame_len - 1) / traffic->frame_len;

	return traffic->prefix_len + frames * traffic->frame_len;
}
