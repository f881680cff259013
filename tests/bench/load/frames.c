/* frames.c owns the layout of a WebSocket frame as the load generator needs it.
 * It must never judge what it reads: that the gateway speaks the protocol is for the tests to say. */
#include "frames.h"

#include <string.h>

static const uint8_t masking_key[4] = { 0x37, 0xfa, 0x21, 0x3d };

size_t frame_header(uint8_t *out, uint8_t first, uint64_t len)
{
	unsigned bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;
	size_t at = 2;

	out[0] = first;
	out[1] = (uint8_t)(0x80 | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
	for (unsigned i = 0; i < bytes; i++)
		out[at++] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
	memcpy(out + at, masking_key, sizeof masking_key);
	return at + sizeof masking_key;
}

size_t frame_make(uint8_t *out, uint8_t first, const uint8_t *payload, size_t len)
{
	size_t header = frame_header(out, first, len);

	for (size_t i = 0; i < len; i++)
		out[header + i] = payload[i] ^ masking_key[i % 4];
	return header + len;
}

/* A server's header has 2, 4 or 10 bytes and no masking key. Returns the input it used. */
static size_t reader_header(struct frame_reader *reader, const uint8_t *data, size_t len)
{
	size_t used = 0;

	while (used < len) {
		size_t need = 2;

		reader->header[reader->header_len++] = data[used++];
		if (reader->header_len >= 2 && reader->header[1] >= 126)
			need = reader->header[1] == 126 ? 4 : 10;
		if (reader->header_len < need)
			continue;
		reader->payload_left = need == 2 ? reader->header[1] : 0;
		for (size_t i = 2; i < need; i++)
			reader->payload_left = reader->payload_left << 8 | reader->header[i];
		reader->header_len = 0;
		break;
	}
	return used;
}

size_t frame_reader_payload(struct frame_reader *reader, const uint8_t *data, size_t len)
{
	size_t payload = 0;

	while (len > 0) {
		size_t used;

		if (reader->payload_left == 0) {
			used = reader_header(reader, data, len);
		} else {
			used = reader->payload_left < len ? (size_t)reader->payload_left : len;
			reader->payload_left -= used;
			payload += used;
		}
		data += used;
		len -= used;
	}
	return payload;
}
