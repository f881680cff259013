/* fuzz_proxyhdr.c owns PROXY headers of any bytes, in every piece, against a reading by other means: a regular expression
 * for the line, and one look at a time for the binary form. It must never take over how proxyhdr.c finds something. */
#include "check.h"
#include "proto/proxyhdr.h"

#include <arpa/inet.h>
#include <regex.h>

#define EVERY_CUT 400 /* longer input is cut at its beginning, its end, and where its first byte says */

/* --- the line ------------------------------------------------------------------------------------------------------- */

static const regex_t *line_form(void)
{
	static regex_t form;
	static bool ready;

	if (!ready)
		CHECK(regcomp(&form,
		              "^PROXY (TCP4 ([0-9.]+) ([0-9.]+)|TCP6 ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+)) "
		              "(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n$", REG_EXTENDED) == 0);
	ready = true;
	return &form;
}

static void copy_match(const char *line, regmatch_t match, char text[108])
{
	size_t n = (size_t)(match.rm_eo - match.rm_so);

	memcpy(text, line + match.rm_so, n);
	text[n] = '\0';
}

static bool naive_end(const char *line, regmatch_t address, regmatch_t port, int family, struct proxyhdr *end)
{
	char text[108];

	copy_match(line, port, text);
	long value = strtol(text, NULL, 10);
	end->port = (uint16_t)value;
	copy_match(line, address, text);
	return value < 65536 && inet_pton(family, text, end->address) == 1;
}

/* A whole line, CR LF included. */
static bool naive_line(struct proxyhdr *header, const char *line, size_t len)
{
	regmatch_t match[8];
	char text[108] = "";

	memcpy(text, line, len);
	if (strncmp(text, "PROXY UNKNOWN ", 14) == 0 || strcmp(text, "PROXY UNKNOWN\r\n") == 0)
		return true;
	if (strlen(text) != len || regexec(line_form(), text, 8, match, 0) != 0)
		return false;
	bool in4 = match[2].rm_so >= 0;
	int family = in4 ? AF_INET : AF_INET6;
	struct proxyhdr destination;
	header->family = in4 ? PROXYHDR_IN : PROXYHDR_IN6;
	return naive_end(text, match[in4 ? 2 : 4], match[6], family, header) &&
	       naive_end(text, match[in4 ? 3 : 5], match[7], family, &destination);
}

static int naive_v1(struct proxyhdr *header, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && i < 106; i++) {
		if (bytes[i] != '\r')
			continue;
		if (i + 1 == len)
			return PROXYHDR_MORE;
		return bytes[i + 1] == '\n' && naive_line(header, (const char *)bytes, i + 2) ? (int)i + 2 : PROXYHDR_BAD;
	}
	return len < 106 ? PROXYHDR_MORE : PROXYHDR_BAD;
}

/* --- the binary form ------------------------------------------------------------------------------------------------ */

/* By polynomial division of the message as one long number, most significant bit first; reflected on both ways. */
static uint32_t naive_crc32c(const uint8_t *bytes, size_t len, size_t hole)
{
	uint32_t rest = 0xffffffff, mirrored = 0;

	for (size_t i = 0; i < len * 8; i++) {
		size_t at = i / 8;
		unsigned byte = at >= hole && at < hole + 4 ? 0 : bytes[at];
		unsigned bit = (byte >> i % 8 & 1) ^ (rest >> 31);
		rest = rest << 1 ^ (bit != 0 ? 0x1edc6f41 : 0);
	}
	for (int i = 0; i < 32; i++)
		mirrored |= (rest >> i & 1) << (31 - i);
	return ~mirrored;
}

static bool naive_tlvs(const uint8_t *bytes, size_t len, size_t at)
{
	if (at == len)
		return true;
	if (at + 3 > len)
		return false;
	size_t end = at + 3 + bytes[at + 1] * 256u + bytes[at + 2];
	if (end > len)
		return false;
	if (bytes[at] == 3) {
		uint32_t sum = 0;
		for (size_t i = at + 3; i < end; i++)
			sum = sum * 256 + bytes[i];
		if (end - at != 7 || sum != naive_crc32c(bytes, len, at + 3))
			return false;
	}
	return naive_tlvs(bytes, len, end);
}

static void naive_ip(struct proxyhdr *header, enum proxyhdr_family family, const uint8_t *block, size_t n)
{
	header->family = family;
	for (size_t i = 0; i < n; i++)
		header->address[i] = block[i];
	header->port = (uint16_t)(block[2 * n] * 256 + block[2 * n + 1]);
}

static int naive_v2(struct proxyhdr *header, const uint8_t *bytes, size_t len)
{
	static const size_t needs[4] = { 0, 12, 36, 216 };

	if (len < 16)
		return PROXYHDR_MORE;
	size_t whole = 16 + bytes[14] * 256u + bytes[15];
	bool local = bytes[12] == 0x20, unspecified = bytes[12] == 0x21 && bytes[13] == 0;
	size_t family = bytes[13] >> 4;
	bool stream = bytes[12] == 0x21 && family >= 1 && family <= 3 && (bytes[13] & 15) == 1;
	if (!(local || unspecified || stream) || whole > 4096 || (stream && whole - 16 < needs[family]))
		return PROXYHDR_BAD;
	if (len < whole)
		return PROXYHDR_MORE;
	if (!stream)
		return (int)whole;
	if (family == 3)
		header->family = PROXYHDR_UNIX;
	else
		naive_ip(header, family == 1 ? PROXYHDR_IN : PROXYHDR_IN6, bytes + 16, family == 1 ? 4 : 16);
	return naive_tlvs(bytes, whole, 16 + needs[family]) ? (int)whole : PROXYHDR_BAD;
}

/* --- both ----------------------------------------------------------------------------------------------------------- */

static int naive(struct proxyhdr *header, const uint8_t *bytes, size_t len)
{
	static const char binary[] = "\r\n\r\n\0\r\nQUIT\n", line[] = "PROXY ";

	memset(header, 0, sizeof(*header));
	for (size_t i = 0; i < len && i < 12; i++)
		if (!(bytes[i] == (uint8_t)binary[i] && bytes[0] == '\r') &&
		    !(bytes[0] == 'P' && (i >= 6 || bytes[i] == (uint8_t)line[i])))
			return PROXYHDR_BAD;
	return len > 0 && bytes[0] == '\r' ? naive_v2(header, bytes, len) : naive_v1(header, bytes, len);
}

static bool same_end(const struct proxyhdr *a, const struct proxyhdr *b)
{
	return memcmp(a->address, b->address, sizeof(a->address)) == 0 && a->port == b->port;
}

/* The first n bytes, as if nothing else had come yet. */
static int check_beginning(const uint8_t *data, size_t n)
{
	struct proxyhdr got, want;
	uint8_t *bytes = exact_copy(data, n);
	int length = proxyhdr_parse(&got, bytes, n);

	CHECK(length == naive(&want, bytes, n));
	CHECK(length <= (int)n);
	if (length > 0)
		CHECK(got.family == want.family && same_end(&got, &want));
	free(bytes);
	return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int before = PROXYHDR_MORE;

	for (size_t n = 0; n <= size; n++) {
		if (n > EVERY_CUT && n < size - 1 && n != PROXYHDR_MAX && n % 256 != data[0])
			continue;
		int now = check_beginning(data, n);
		CHECK(before == PROXYHDR_MORE || now == before);
		CHECK(now != PROXYHDR_MORE || n < PROXYHDR_MAX);
		before = now;
	}
	return 0;
}
