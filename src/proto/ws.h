/* The WebSocket framing of RFC 6455 section 5, both directions, pure: no descriptor, no clock, no allocation.
 *
 * Receiving is resumable: whatever way the input is cut, the same runs come out (only their borders differ). A frame is
 * never reassembled; its payload is handed on as it arrives, unmasked in place, inside the caller's own buffer.
 *
 *     while (len > 0) {
 *             struct ws_run run;
 *             switch (ws_decode(&rx, buf, len, &run)) {
 *             case WS_MORE:    ... all of the input was used
 *             case WS_DATA:    ... run.payload, run.len; call again with the rest
 *             case WS_CONTROL: ... run.opcode, run.payload, run.len; call again with the rest
 *             case WS_BAD:     ... send Close with run.close_code; final
 *             }
 *             buf += run.used; len -= run.used;
 *     }
 *
 * Text messages are checked to be UTF-8 as they arrive (section 8.1). */
#pragma once

#include "base/str.h"
#include "proto/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa,
};

#define WS_FIN 0x80

#define WS_CONTROL_PAYLOAD_MAX 125 /* section 5.5 */
#define WS_SERVER_HEADER_MAX   10  /* no masking key */

enum ws_rx_flags {
	WS_RX_MASKED = 1 << 0, /* we are the server: every frame must be masked (section 5.1); without it, none may be */
	WS_RX_TEXT = 1 << 1,   /* text messages are accepted, else 1003 */
	WS_RX_BINARY = 1 << 2, /* binary messages are accepted, else 1003 */
	WS_RX_MERGE = 1 << 3,  /* frame and message borders do not matter: the payloads of as many data frames as the
	                           input holds are moved together and come out as one run */
};

struct ws_rx {
	/* settings, untouched by decoding */
	uint8_t flags;
	uint64_t max_message; /* payload bytes of one message, 0 = no limit; beyond it 1009 */

	/* for the caller to read */
	uint64_t frames; /* frame headers seen so far, control frames and empty frames included */

	/* the decoder's own */
	uint8_t header[14]; /* a header that came in pieces */
	uint8_t header_len;
	uint8_t opcode;         /* of the frame in progress */
	uint8_t message_opcode; /* of the message in progress, 0 = none */
	bool fin, in_payload, run_starts_message;
	uint16_t failed; /* the close code of the violation, 0 = none */
	uint8_t mask[4]; /* rotated: mask[0] is for the next payload byte */
	uint64_t left;   /* payload bytes of this frame still to come */
	uint64_t message_len;
	struct utf8 utf8;
	uint8_t control[WS_CONTROL_PAYLOAD_MAX];
	uint8_t control_len;
};

enum ws_status { WS_MORE, WS_DATA, WS_CONTROL, WS_BAD };

struct ws_run {
	size_t used;         /* input bytes this call consumed; on WS_MORE all of them */
	uint8_t *payload;    /* WS_DATA: inside the input; WS_CONTROL: inside the ws_rx, valid until the next call */
	size_t len;          /* WS_DATA may be empty only without WS_RX_MERGE (an empty message has borders too) */
	uint8_t opcode;      /* WS_DATA: of the message (WS_TEXT or WS_BINARY), WS_CONTROL: of the frame */
	bool message_start;  /* WS_DATA without WS_RX_MERGE: the first run of its message */
	bool message_end;    /* ... the last run of its message */
	uint16_t close_code; /* WS_BAD: what to send. WS_CONTROL with WS_CLOSE: what came, 0 for an empty Close */
};

void ws_rx_init(struct ws_rx *rx, uint8_t flags, uint64_t max_message);

/* A Close is checked whole before it comes out: length (not 1), code, UTF-8 of the reason (sections 5.5.1, 7.4). Its
 * payload is as it came, code included. After WS_BAD every further call answers WS_BAD. len must be > 0. */
enum ws_status ws_decode(struct ws_rx *rx, uint8_t *buf, size_t len, struct ws_run *run);

/* Unmasks len bytes from src to dst, with dst <= src (they may overlap) at any alignment, and rotates the key so that
 * the next call goes on with the next byte. */
void ws_unmask(uint8_t *dst, const uint8_t *src, size_t len, uint8_t mask[4]);

/* Writes the header of an unmasked frame immediately in front of payload and returns its length, 2 to 10: the frame is
 * then at payload - length. first is opcode, with WS_FIN or without. The caller has WS_SERVER_HEADER_MAX bytes there. */
size_t ws_push_header(uint8_t *payload, uint8_t first, uint64_t len);

/* Whole unmasked control frames. Each returns the frame's length; out has room for WS_CONTROL_FRAME_MAX. */
#define WS_CONTROL_FRAME_MAX (2 + WS_CONTROL_PAYLOAD_MAX)
size_t ws_control_frame(uint8_t *out, enum ws_opcode opcode, const uint8_t *payload, size_t len);
/* code 0 makes an empty Close; the reason is cut at a character's border if it is longer than 123 bytes. */
size_t ws_close_frame(uint8_t *out, uint16_t code, struct span reason);

/* Codes that may stand on the wire: 1000-1003, 1007-1014, 3000-4999 (section 7.4). */
bool ws_close_code_valid(uint16_t code);
