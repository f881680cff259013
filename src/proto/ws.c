/* ws.c owns the frames of RFC 6455 section 5: decoding them in place, writing their headers, and the rules of Close.
 * It must never keep payload, except a control frame's, nor hand out a byte that no legal header announced. */
#include "proto/ws.h"

#include <assert.h>
#include <string.h>

#define RSV_BITS        0x70
#define OPCODE_BITS     0x0f
#define CONTROL_BIT     0x08
#define MASK_BIT        0x80
#define LENGTH_BITS     0x7f
#define LENGTH_16       126
#define LENGTH_64       127
#define OPCODES_DEFINED 0x0707 /* bit n: opcode n */
#define SMALL_HEADER    6      /* two bytes and a masking key */

enum { PROTOCOL_ERROR = 1002, UNACCEPTABLE = 1003, NOT_UTF8 = 1007, TOO_BIG = 1009 };

void ws_rx_init(struct ws_rx *rx, uint8_t flags, uint64_t max_message)
{
	*rx = (struct ws_rx){ .flags = flags, .max_message = max_message };
}

/* Sixteen bytes are a register everywhere that matters; other machines get what the compiler makes of it. */
#define LANE ((size_t)16)
typedef uint32_t lane __attribute__((vector_size(LANE)));

/* The key for what lies n bytes further on; as a number, but in memory's order on every machine. */
static uint32_t key_at(uint32_t key, size_t n)
{
	uint32_t twice[2] = { key, key }, turned;

	memcpy(&turned, (const uint8_t *)twice + (n & 3), sizeof(turned));
	return turned;
}

/* Both of the next two read the end before they write, since what they write may lie over it, and then take it in one piece:
 * the bytes that two pieces have in common come out the same from both. */
static void unmask_short(uint8_t *dst, const uint8_t *src, size_t len, uint32_t key)
{
	if (len >= 8) {
		uint64_t wide = (uint64_t)key << 32 | key, turned = key_at(key, len), head, tail;
		turned |= turned << 32;
		memcpy(&head, src, 8);
		memcpy(&tail, src + len - 8, 8);
		head ^= wide;
		tail ^= turned;
		memcpy(dst, &head, 8);
		memcpy(dst + len - 8, &tail, 8);
	} else if (len >= 4) {
		uint32_t head, tail;
		memcpy(&head, src, 4);
		memcpy(&tail, src + len - 4, 4);
		head ^= key;
		tail ^= key_at(key, len);
		memcpy(dst, &head, 4);
		memcpy(dst + len - 4, &tail, 4);
	} else {
		uint8_t bytes[4];
		memcpy(bytes, &key, 4);
		for (size_t i = 0; i < len; i++)
			dst[i] = src[i] ^ bytes[i];
	}
}

static inline lane lane_load(const uint8_t *src)
{
	lane value;

	memcpy(&value, src, sizeof(value));
	return value;
}

static inline void lane_store(uint8_t *dst, lane value)
{
	memcpy(dst, &value, sizeof(value));
}

static void unmask_long(uint8_t *dst, const uint8_t *src, size_t len, uint32_t key)
{
	uint32_t turned = key_at(key, len);
	lane wide = { key, key, key, key }, wide_turned = { turned, turned, turned, turned };
	lane tail = lane_load(src + len - LANE) ^ wide_turned;
	size_t at = 0;

	for (; len - at >= 4 * LANE; at += 4 * LANE) {
		lane a = lane_load(src + at), b = lane_load(src + at + LANE);
		lane c = lane_load(src + at + 2 * LANE), d = lane_load(src + at + 3 * LANE);
		lane_store(dst + at, a ^ wide);
		lane_store(dst + at + LANE, b ^ wide);
		lane_store(dst + at + 2 * LANE, c ^ wide);
		lane_store(dst + at + 3 * LANE, d ^ wide);
	}
	for (; len - at >= LANE; at += LANE)
		lane_store(dst + at, lane_load(src + at) ^ wide);
	lane_store(dst + len - LANE, tail);
}

void ws_unmask(uint8_t *dst, const uint8_t *src, size_t len, uint8_t mask[4])
{
	uint32_t key;

	memcpy(&key, mask, sizeof(key));
	if (len >= LANE)
		unmask_long(dst, src, len, key);
	else
		unmask_short(dst, src, len, key);
	key = key_at(key, len);
	memcpy(mask, &key, sizeof(key));
}

static size_t header_size(uint8_t second)
{
	uint8_t length = second & LENGTH_BITS;

	return 2 + (size_t)(length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0) + (second & MASK_BIT ? 4 : 0);
}

/* What the first two bytes alone tell. Returns a close code, or 0. */
static uint16_t check_start(const struct ws_rx *rx, uint8_t first, uint8_t second)
{
	uint8_t opcode = first & OPCODE_BITS;
	bool masked = second & MASK_BIT;

	if ((first & RSV_BITS) != 0 || (OPCODES_DEFINED >> opcode & 1) == 0 || masked != (bool)(rx->flags & WS_RX_MASKED))
		return PROTOCOL_ERROR;
	if (opcode & CONTROL_BIT)
		return (first & WS_FIN) != 0 && (second & LENGTH_BITS) <= WS_CONTROL_PAYLOAD_MAX ? 0 : PROTOCOL_ERROR;
	if ((opcode == WS_CONTINUATION) != (rx->message_opcode != 0))
		return PROTOCOL_ERROR;
	if ((opcode == WS_TEXT && !(rx->flags & WS_RX_TEXT)) || (opcode == WS_BINARY && !(rx->flags & WS_RX_BINARY)))
		return UNACCEPTABLE;
	return 0;
}

static uint64_t read_big_endian(const uint8_t *bytes, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		value = value << 8 | bytes[i];
	return value;
}

static uint16_t read_length(const uint8_t *header, uint64_t *length)
{
	*length = header[1] & LENGTH_BITS;
	if (*length == LENGTH_16) {
		*length = read_big_endian(header + 2, 2);
		return *length >= LENGTH_16 ? 0 : PROTOCOL_ERROR;
	}
	if (*length == LENGTH_64) {
		*length = read_big_endian(header + 2, 8);
		return *length > UINT16_MAX && *length <= INT64_MAX ? 0 : PROTOCOL_ERROR;
	}
	return 0;
}

static uint16_t begin_data(struct ws_rx *rx, uint8_t opcode, uint64_t length)
{
	uint64_t message_len = opcode == WS_CONTINUATION ? rx->message_len : 0;

	if (rx->max_message != 0 && length > rx->max_message - message_len)
		return TOO_BIG;
	rx->message_len = message_len + length;
	if (opcode != WS_CONTINUATION) { /* rx->utf8 needs nothing: no text ended but between characters */
		rx->message_opcode = opcode;
		rx->run_starts_message = true;
	}
	return 0;
}

/* Takes over a complete header of the given size. Returns a close code, or 0. */
static uint16_t begin_frame(struct ws_rx *rx, const uint8_t *header, size_t size)
{
	uint8_t opcode = header[0] & OPCODE_BITS;
	uint64_t length;
	uint16_t code = check_start(rx, header[0], header[1]);

	if (code == 0)
		code = read_length(header, &length);
	if (code == 0 && !(opcode & CONTROL_BIT))
		code = begin_data(rx, opcode, length);
	if (code != 0)
		return code;

	rx->frames++;
	rx->opcode = opcode;
	rx->fin = header[0] & WS_FIN;
	rx->in_payload = true;
	rx->left = length;
	rx->control_len = 0;
	if (header[1] & MASK_BIT)
		memcpy(rx->mask, header + size - 4, 4);
	return 0;
}

/* A header that the input cuts is gathered byte by byte; what its first two bytes tell is judged without the rest. */
static size_t gather_header(struct ws_rx *rx, const uint8_t *in, size_t len)
{
	for (size_t used = 0; used < len;) {
		rx->header[rx->header_len++] = in[used++];
		if (rx->header_len < 2)
			continue;
		size_t size = header_size(rx->header[1]);
		if (rx->header_len == 2 && size > 2)
			rx->failed = check_start(rx, rx->header[0], rx->header[1]);
		else if (rx->header_len == size)
			rx->failed = begin_frame(rx, rx->header, size);
		if (rx->failed != 0 || rx->in_payload) {
			rx->header_len = 0;
			return used;
		}
	}
	return len;
}

static size_t take_header(struct ws_rx *rx, const uint8_t *in, size_t len)
{
	if (rx->header_len != 0 || len < 2 || len < header_size(in[1]))
		return gather_header(rx, in, len);

	size_t size = header_size(in[1]);
	rx->failed = begin_frame(rx, in, size);
	return size;
}

static size_t take_control(struct ws_rx *rx, const uint8_t *in, size_t len)
{
	size_t n = len < rx->left ? len : (size_t)rx->left;

	ws_unmask(rx->control + rx->control_len, in, n, rx->mask);
	rx->control_len = (uint8_t)(rx->control_len + n);
	rx->left -= n;
	rx->in_payload = rx->left > 0;
	return n;
}

static uint16_t check_close(const uint8_t *payload, size_t len, uint16_t *close_code)
{
	if (len == 0)
		return 0;
	if (len == 1)
		return PROTOCOL_ERROR;
	*close_code = (uint16_t)read_big_endian(payload, 2);
	if (!ws_close_code_valid(*close_code))
		return PROTOCOL_ERROR;
	return utf8_valid_length(payload + 2, len - 2) == len - 2 ? 0 : NOT_UTF8;
}

static enum ws_status bad(const struct ws_rx *rx, struct ws_run *run)
{
	*run = (struct ws_run){ .used = run->used, .close_code = rx->failed };
	return WS_BAD;
}

static enum ws_status deliver_control(struct ws_rx *rx, struct ws_run *run)
{
	if (rx->opcode == WS_CLOSE)
		rx->failed = check_close(rx->control, rx->control_len, &run->close_code);
	if (rx->failed != 0)
		return bad(rx, run);
	run->opcode = rx->opcode;
	run->payload = rx->control;
	run->len = rx->control_len;
	return WS_CONTROL;
}

/* Unmasks what the input holds of a data frame to the end of the run. Returns how much that is. */
static size_t take_data(struct ws_rx *rx, struct ws_run *run, uint8_t *in, size_t len)
{
	size_t n = len < rx->left ? len : (size_t)rx->left;
	bool text = rx->message_opcode == WS_TEXT;

	if (run->len == 0)
		run->payload = in;
	run->opcode = rx->message_opcode;
	uint8_t *dst = run->payload + run->len;
	if (rx->flags & WS_RX_MASKED)
		ws_unmask(dst, in, n, rx->mask);
	else if (dst != in)
		memmove(dst, in, n);
	rx->left -= n;
	rx->in_payload = rx->left > 0;
	if (text && !utf8_feed(&rx->utf8, dst, n))
		rx->failed = NOT_UTF8;
	if (!rx->in_payload && rx->fin) {
		rx->message_opcode = 0;
		if (text && !utf8_complete(&rx->utf8))
			rx->failed = NOT_UTF8;
	}
	if (rx->failed == 0)
		run->len += n;
	return n;
}

/* The stream of small messages: frames that are whole, in one piece, binary and at most 125 bytes long need none of the
 * decoder's memory. Takes as many as there are in a row and returns the input it used; whatever else comes, the general way
 * takes, and it would take these as well. */
static size_t take_small_frames(struct ws_rx *rx, struct ws_run *run, uint8_t *in, size_t len)
{
	static const unsigned needed = WS_RX_MASKED | WS_RX_BINARY | WS_RX_MERGE;
	size_t at = 0;

	if ((rx->flags & needed) != needed || rx->message_opcode != 0 || rx->header_len != 0 || rx->in_payload ||
	    (rx->max_message != 0 && rx->max_message < WS_CONTROL_PAYLOAD_MAX))
		return 0;
	if (run->len == 0)
		run->payload = in;
	while (len - at > SMALL_HEADER && in[at] == (WS_FIN | WS_BINARY) && in[at + 1] >= MASK_BIT) {
		size_t n = in[at + 1] & LENGTH_BITS;
		uint8_t *dst = run->payload + run->len, *src = in + at + SMALL_HEADER;
		uint32_t key;
		if (n > WS_CONTROL_PAYLOAD_MAX || len - at - SMALL_HEADER < n)
			break;
		memcpy(&key, in + at + 2, sizeof(key));
		if (n >= LANE)
			unmask_long(dst, src, n, key);
		else
			unmask_short(dst, src, n, key);
		run->len += n;
		rx->frames++;
		at += SMALL_HEADER + n;
	}
	if (at > 0)
		run->opcode = WS_BINARY;
	return at;
}

/* A run ends in front of what must not overtake it, a control frame or a violation: run->used then points at that
 * frame, so that there is something left for which the caller comes back. The violation is remembered in rx->failed,
 * for its frame may have been unmasked by then. */
enum ws_status ws_decode(struct ws_rx *rx, uint8_t *buf, size_t len, struct ws_run *run)
{
	size_t at = 0;

	assert(len > 0);
	*run = (struct ws_run){ .payload = buf };
	while (at < len && rx->failed == 0) {
		at += take_small_frames(rx, run, buf + at, len - at);
		if (at == len)
			break;
		run->used = at;
		if (!rx->in_payload) {
			if (run->len > 0 && (buf[at] & CONTROL_BIT))
				break;
			at += take_header(rx, buf + at, len - at);
			if (!rx->in_payload)
				continue; /* cut, or bad */
		}
		if (rx->opcode & CONTROL_BIT) {
			at += take_control(rx, buf + at, len - at);
			run->used = at;
			if (!rx->in_payload)
				return deliver_control(rx, run);
			continue;
		}
		at += take_data(rx, run, buf + at, len - at);
		if (!(rx->flags & WS_RX_MERGE) && rx->failed == 0 && (run->len > 0 || rx->message_opcode == 0)) {
			run->used = at;
			run->message_start = rx->run_starts_message;
			run->message_end = rx->message_opcode == 0;
			rx->run_starts_message = false;
			return WS_DATA;
		}
	}
	if (rx->failed == 0)
		run->used = at;
	if (run->len > 0)
		return WS_DATA;
	return rx->failed == 0 ? WS_MORE : bad(rx, run);
}

static size_t write_big_endian(uint8_t *out, uint64_t value, size_t n)
{
	for (size_t i = n; i-- > 0; value >>= 8)
		out[i] = (uint8_t)value;
	return n;
}

size_t ws_push_header(uint8_t *payload, uint8_t first, uint64_t len)
{
	size_t extra = len < LENGTH_16 ? 0 : len <= UINT16_MAX ? 2 : 8;
	uint8_t *header = payload - 2 - extra;

	header[0] = first;
	header[1] = (uint8_t)(extra == 0 ? len : extra == 2 ? LENGTH_16 : LENGTH_64);
	return 2 + write_big_endian(header + 2, len, extra);
}

size_t ws_control_frame(uint8_t *out, enum ws_opcode opcode, const uint8_t *payload, size_t len)
{
	assert(len <= WS_CONTROL_PAYLOAD_MAX);
	if (len > 0)
		memmove(out + 2, payload, len);
	return ws_push_header(out + 2, (uint8_t)(WS_FIN | opcode), len) + len;
}

size_t ws_close_frame(uint8_t *out, uint16_t code, struct span reason)
{
	uint8_t payload[WS_CONTROL_PAYLOAD_MAX];
	size_t room = sizeof(payload) - 2, n = reason.n;

	if (code == 0)
		return ws_control_frame(out, WS_CLOSE, NULL, 0);
	if (n > room)
		n = room - utf8_incomplete_tail((const uint8_t *)reason.p, room);
	write_big_endian(payload, code, 2);
	if (n > 0)
		memcpy(payload + 2, reason.p, n);
	return ws_control_frame(out, WS_CLOSE, payload, n + 2);
}

bool ws_close_code_valid(uint16_t code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
