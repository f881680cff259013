/* WebSocket frames as bytes: writing a client's, and finding the payload in a server's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_MAX 14

/* Both return the bytes written. first is the first byte of the frame: 0x80 for FIN, and the opcode. */
size_t frame_header(uint8_t *out, uint8_t first, uint64_t len);
size_t frame_make(uint8_t *out, uint8_t first, const uint8_t *payload, size_t len);

/* Where a stream of a server's frames stands; zeroed, at its beginning. */
struct frame_reader {
	uint64_t payload_left;
	size_t header_len;
	uint8_t header[10];
};

/* How many bytes of payload are among these bytes, which follow those of the last call. */
size_t frame_reader_payload(struct frame_reader *reader, const uint8_t *data, size_t len);
