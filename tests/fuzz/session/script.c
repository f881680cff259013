/* script.c owns the meaning of the fuzzer's bytes: each is something that a client, a target, the network or time does.
 * It must never look at the session: what happens does not depend on what the gateway thinks. */
#include "world.h"

#include "../check.h"

#include <errno.h>

static struct {
	const uint8_t *at, *end;
} script;

void script_begin(const uint8_t *data, size_t size)
{
	script.at = data;
	script.end = data + size;
}

bool script_goes_on(void)
{
	return script.at < script.end;
}

static uint8_t next(void)
{
	return script_goes_on() ? *script.at++ : 0;
}

/* Up to n bytes as they stand in the input. */
static struct span next_bytes(size_t n)
{
	struct span bytes = { (const char *)script.at, n };

	if (n > (size_t)(script.end - script.at))
		bytes.n = (size_t)(script.end - script.at);
	script.at += bytes.n;
	return bytes;
}

/* --- what is sent ------------------------------------------------------------------------------------------------- */

static uint8_t payload[220000];

static size_t next_length(void)
{
	static const size_t large[] = { 126,   127,   128,   300,   1000,   1001,   4096,
		                        16384, 65535, 65536, 70000, 140000, 213000, 219999 };
	uint8_t code = next();

	return code < 200 ? code : large[(size_t)(code - 200) % ARRAY_LEN(large)];
}

/* Long enough that no two reads of a stream look the same where it is cut. */
static struct {
	uint8_t binary[1 << 16], text[1 << 16];
	bool made;
} pattern;

static void make_text(void)
{
	static const char *const characters[] = {
		"a", "Z", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "7", " "
	};
	size_t at = 0;

	while (at < sizeof(pattern.text)) {
		const char *c = characters[pattern.binary[at] % ARRAY_LEN(characters)];
		size_t n = strlen(c) <= sizeof(pattern.text) - at ? strlen(c) : 1;
		memcpy(pattern.text + at, n == 1 ? "." : c, n);
		at += n;
	}
}

static void make_pattern(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(pattern.binary); i++) {
		x = x * 1664525 + 1013904223;
		pattern.binary[i] = (uint8_t)(x >> 24);
	}
	make_text();
	pattern.made = true;
}

/* Goes on in the pattern where the last call stopped. */
static void fill(const uint8_t *from, size_t *at, size_t len)
{
	for (size_t done = 0; done < len;) {
		size_t n = sizeof(pattern.text) - *at < len - done ? sizeof(pattern.text) - *at : len - done;
		memcpy(payload + done, from + *at, n);
		*at = (*at + n) % sizeof(pattern.text);
		done += n;
	}
}

static void fill_binary(size_t len)
{
	if (!pattern.made)
		make_pattern();
	fill(pattern.binary, &world.binary_at, len);
}

static bool inside_character(const size_t *at)
{
	return pattern.text[*at] >> 6 == 2;
}

/* Goes on inside the character that the last call had to cut; whole: cuts none, which makes a point of it. */
static void fill_text(size_t len, size_t *at, bool whole)
{
	if (!pattern.made)
		make_pattern();
	fill(pattern.text, at, len);
	for (size_t back = len; whole && inside_character(at) && back > 0; back--) {
		bool first = payload[back - 1] >> 6 != 2;
		payload[back - 1] = '.';
		if (first)
			break;
	}
	while (whole && inside_character(at))
		*at = (*at + 1) % sizeof(pattern.text);
}

static void mask_words(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4])
{
	uint32_t key, word;

	memcpy(&key, mask, 4);
	for (size_t i = 0; i + 4 <= len; i += 4) {
		memcpy(&word, from + i, 4);
		word ^= key;
		memcpy(to + i, &word, 4);
	}
	for (size_t i = len - len % 4; i < len; i++)
		to[i] = from[i] ^ mask[i % 4];
}

void script_client_frame(uint8_t first, const void *data, size_t len)
{
	uint8_t header[14] = { first, 0 }, *mask;
	size_t wide = len < 126 ? 0 : len < 65536 ? 2 : 8;
	static uint8_t masked[sizeof(payload)];

	header[1] = (uint8_t)(0x80 | (wide == 0 ? len : wide == 2 ? 126 : 127));
	for (size_t i = 0; i < wide; i++)
		header[2 + i] = (uint8_t)(len >> (8 * (wide - 1 - i)));
	mask = header + 2 + wide;
	world.key = world.key * 1664525 + 1013904223;
	memcpy(mask, &world.key, 4);
	mask_words(masked, data, len, mask);
	party_say(&world.client, header, 6 + wide);
	party_say(&world.client, masked, len);
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static void client_bytes(void)
{
	struct span bytes = next_bytes((size_t)(next() % 96) + 1);

	party_say(&world.client, bytes.p, bytes.n);
}

#define UPGRADE_FIELDS                                                                                                 \
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                                   \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, binary\r\n"

static void client_upgrade(void)
{
	static const char *const paths[] = { "/b",
		                             "/t",
		                             "/n",
		                             "/e",
		                             "/l",
		                             "/w",
		                             "/k?token=one",
		                             "/k?token=two",
		                             "/k?token=three",
		                             "/k?token=four",
		                             "/k?token=x",
		                             "/o?token=x",
		                             "/s",
		                             "/h",
		                             "/none",
		                             "/p" };
	static const char *const origins[] = { "", "", "Origin: http://here.example\r\n",
		                               "Origin: http://there.example\r\n" };
	uint8_t how = next();
	char text[512];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: here.example\r\n%s" UPGRADE_FIELDS "\r\n",
	         paths[how & 15], origins[how >> 4 & 3]);
	size_t len = strlen(text), cut = how >> 6 == 3 ? next() : 0;
	party_say(&world.client, text, cut < len ? len - cut : 0);
}

static void client_request(void)
{
	static const char *const paths[] = { "/",    "/big.bin", "/empty.txt", "/page.css",
		                             "/sub", "/sub/",    "/..%2fx",    "/none" };
	static const char *const fields[] = { "",
		                              "Connection: close\r\n",
		                              "Range: bytes=100-66000\r\n",
		                              "Accept-Encoding: gzip\r\n",
		                              "If-None-Match: *\r\n",
		                              "Range: bytes=90000-\r\n",
		                              "Expect: x\r\n",
		                              "X : y\r\n" };
	static const char *const methods[] = { "GET", "GET", "HEAD", "POST" };
	uint8_t how = next();
	char text[512];

	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: here.example\r\n%s\r\n", methods[how >> 6],
	         paths[how & 7], fields[how >> 3 & 7]);
	party_say(&world.client, text, strlen(text));
}

static void client_proxy_header(void)
{
	static const char *const headers[] = {
		"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n",
		"PROXY TCP6 2001:db8::1 ::1 1000 80\r\n",
		"PROXY UNKNOWN\r\n",
		"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\3\xe8\0\x50",
		"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
	};
	static const size_t lengths[] = { 40, 36, 15, 28, 16 };
	size_t which = next() % ARRAY_LEN(headers);

	if (world.proxied && world.client.sent.len == 0)
		world.header_len = lengths[which];
	party_say(&world.client, headers[which], lengths[which]);
}

static void client_data(void)
{
	static const uint8_t firsts[] = { 0x82, 0x02, 0x00, 0x80, 0x81, 0x01, 0x82, 0x81, 0x80, 0x00, 0x82, 0x02 };
	uint8_t first = firsts[next() % ARRAY_LEN(firsts)];
	size_t len = next_length();

	if (first & 15)
		world.message = first & 15;
	if (world.message == 1)
		fill_text(len, &world.client_text_at, first & 0x80);
	else
		fill_binary(len);
	script_client_frame(first, payload, len);
}

/* A frame of the input's own bytes. */
static void client_frame(void)
{
	uint8_t first = next();
	struct span bytes = next_bytes(next() % 130);

	script_client_frame(first, bytes.p, bytes.n);
}

static void client_control(void)
{
	size_t len = next() % 126;

	fill_binary(len);
	script_client_frame(len % 5 == 4 ? 0x8a : 0x89, payload, len);
}

static void client_close(void)
{
	static const uint16_t codes[] = { 1000, 1001, 1002, 1003, 1005, 1006, 1007,
		                          1014, 1015, 2999, 3000, 4999, 5000, 999 };
	uint16_t code = codes[next() % ARRAY_LEN(codes)];
	size_t len = next() % 126;

	fill_text(len, &world.client_text_at, true);
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	script_client_frame(0x88, payload, len);
}

static void client_small_frames(void)
{
	uint8_t count = next(), opcode = next() & 1 ? 0x81 : 0x82;

	for (unsigned i = 0; i < count; i++) {
		memset(payload, 'a' + (int)(i % 26), 3);
		script_client_frame(opcode, payload, i % 4);
	}
}

static void client_fin(void)
{
	party_end(&world.client, next() & 1);
	if (world.client.rude && world.client.ssl != NULL)
		world.harmed = true;
}

static void client_abort(void)
{
	world.harmed = true;
	party_abort(&world.client);
}

/* --- the target --------------------------------------------------------------------------------------------------- */

static void target_binary(void)
{
	size_t len = next_length();

	fill_binary(len);
	party_say(&world.target, payload, len);
}

static void target_text(void)
{
	uint8_t whole = next();
	size_t len = next_length();

	fill_text(len, &world.target_text_at, whole & 1);
	party_say(&world.target, payload, len);
}

static void target_bytes(void)
{
	struct span bytes = next_bytes(next() % 32);

	party_say(&world.target, bytes.p, bytes.n);
}

static void target_fin(void)
{
	party_end(&world.target, next() & 1);
	if (world.target.rude && world.target.ssl != NULL)
		world.harmed = true;
}

static void target_abort(void)
{
	world.harmed = true;
	party_abort(&world.target);
}

/* --- the network, time, and the gateway's own --------------------------------------------------------------------- */

static void client_takes(void)
{
	uint8_t n = next();

	party_take(&world.client, n < 128 ? n : (size_t)(n - 127) * 1700);
}

static void target_takes(void)
{
	uint8_t n = next();

	party_take(&world.target, n < 128 ? n : (size_t)(n - 127) * 1700);
}

static void connects(void)
{
	static const int errors[] = { 0, 0, ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, ENOBUFS };

	world_connect_all(errors[next() % ARRAY_LEN(errors)]);
}

static void look_up(void)
{
	world_answer_look_up(next());
}

static void time_passes(void)
{
	static const uint64_t steps[] = { 1,    10,   100,   250,   500,   1000,  1001,   2001,
		                          3001, 5001, 10001, 20001, 30001, 60001, 3600001 };
	uint8_t which = next();

	if (which < 200)
		world.resting += steps[which % ARRAY_LEN(steps)];
	else
		world_pass(steps[which % ARRAY_LEN(steps)]); /* as when the process was stopped */
}

/* A call that goes wrong by itself. Only some that fail harmlessly leave a run clean. */
static void call_fails(void)
{
	static const struct {
		enum kernel_call call;
		int error;
	} cases[] = {
		{ CALL_RECV, EINTR },
		{ CALL_RECV, EAGAIN },
		{ CALL_SEND, EINTR },
		{ CALL_SEND, EAGAIN },
		{ CALL_SETSOCKOPT, ENOPROTOOPT },
		{ CALL_RECV, ECONNRESET },
		{ CALL_RECV, ETIMEDOUT },
		{ CALL_SEND, EPIPE },
		{ CALL_SEND, ENOBUFS },
		{ CALL_SEND, ETIMEDOUT },
		{ CALL_SOCKET, EMFILE },
		{ CALL_EPOLL_CTL, ENOMEM },
		{ CALL_CONNECT, EINTR },
		{ CALL_CONNECT, ENETUNREACH },
	};
	uint8_t which = next() % ARRAY_LEN(cases);

	kernel.fail[cases[which].call] = cases[which].error;
	if (which > 4)
		world.harmed = true;
}

static void allocation_fails(void)
{
	kernel.allocations_left = next() % 64u + 1;
}

static void weather_changes(void)
{
	kernel.weather = next();
}

static void drain(void)
{
	uint8_t how = next();

	if (how < 200)
		world_drain(how < 100 ? 60000 : 1000);
	else
		world_stop();
}

/* Bit 7: and the next thing happens before the worker sees it. */
void script_step(void)
{
	static void (*const acts[])(void) = {
		client_bytes, client_upgrade,      client_data,     client_frame,  client_control,
		client_close, client_small_frames, client_request,  target_binary, target_text,
		target_bytes, client_takes,        target_takes,    time_passes,   connects,
		look_up,      client_fin,          target_fin,      client_abort,  target_abort,
		call_fails,   allocation_fails,    weather_changes, drain,         client_proxy_header,
	};
	uint8_t what;

	do {
		what = next();
		acts[(what & 0x7f) % ARRAY_LEN(acts)]();
	} while (what & 0x80 && script_goes_on());
}
