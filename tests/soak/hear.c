/* hear.c owns the reading of answers and frames, a piece at a time.
 * It must never say whether an answer is the right one, only whether it is one. */
#include "hear.h"

#include <stdlib.h>
#include <string.h>

#define CLOSE 8
#define PING  9
#define PONG  10

static void drop(struct heard *heard, size_t n)
{
	heard->len -= n;
	memmove(heard->bytes, heard->bytes + n, heard->len);
}

/* Lets n bytes or as many as are there go; the rest is to come. */
static uint64_t pass(struct heard *heard, uint64_t *left)
{
	size_t n = *left < heard->len ? (size_t)*left : heard->len;

	*left -= n;
	drop(heard, n);
	return n;
}

/* The header of a frame without a mask. Returns its length, or 0 if more of it has to come. */
static size_t frame_header(const struct heard *heard, uint64_t *payload)
{
	size_t need = 2;

	if (heard->len >= 2 && heard->bytes[1] >= 126)
		need = heard->bytes[1] == 126 ? 4 : 10;
	if (heard->len < need)
		return 0;
	*payload = need == 2 ? heard->bytes[1] : 0;
	for (size_t i = 2; i < need; i++)
		*payload = *payload << 8 | heard->bytes[i];
	return need;
}

static void hear_control(struct heard *heard, unsigned opcode, const uint8_t *payload, uint64_t n)
{
	if (opcode == PONG)
		heard->pongs++;
	if (opcode == PING) {
		memcpy(heard->ping, payload, n);
		heard->ping_len = (size_t)n;
		heard->pinged = true;
	}
	if (opcode != CLOSE)
		return;
	heard->closed = true;
	heard->close_code = n >= 2 ? (unsigned)(payload[0] << 8 | payload[1]) : 1005;
}

/* False: there is nothing to understand yet. */
static bool hear_frame(struct heard *heard, bool *right)
{
	uint64_t payload = 0;
	size_t header = frame_header(heard, &payload);
	unsigned opcode = heard->bytes[0] & 15u;
	bool control = opcode >= 8;

	if (header == 0 || (control && heard->len < header + payload))
		return false;
	*right = (heard->bytes[0] & 0x70) == 0 && (heard->bytes[1] & 0x80) == 0 && !heard->closed &&
	         (!control || (payload <= 125 && opcode >= CLOSE && opcode <= PONG));
	if (control && *right)
		hear_control(heard, opcode, heard->bytes + header, payload);
	else if (!control)
		heard->payload_left = payload;
	drop(heard, header + (control ? (size_t)payload : 0));
	return *right;
}

static bool hear_frames(struct heard *heard)
{
	bool right = true;

	do
		heard->payload += pass(heard, &heard->payload_left);
	while (heard->len > 0 && hear_frame(heard, &right));
	return right;
}

static bool hear_head(struct heard *heard)
{
	static const char field[] = "\r\nContent-Length: ";
	char *text = (char *)heard->bytes;
	char *end, *length;

	text[heard->len] = '\0';
	end = strstr(text, "\r\n\r\n");
	if (end == NULL)
		return heard->len < sizeof(heard->bytes) - 1;
	if (strncmp(text, "HTTP/1.1 ", 9) != 0)
		return false;
	heard->status = (unsigned)strtoul(text + 9, NULL, 10);
	heard->frames = heard->status == 101;
	length = strstr(text, field);
	heard->body_left = length != NULL && length < end ? strtoull(length + sizeof(field) - 1, NULL, 10) : 0;
	drop(heard, (size_t)(end - text) + 4);
	return heard->frames ? hear_frames(heard) : pass(heard, &heard->body_left) <= UINT64_MAX;
}

bool hear(struct heard *heard)
{
	pass(heard, &heard->body_left);
	if (heard->frames)
		return hear_frames(heard);
	return heard->len == 0 || hear_head(heard);
}
