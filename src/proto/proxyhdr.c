/* proxyhdr.c owns the reading of PROXY headers, both versions.
 * It must never be lenient: what two programs could read in two ways names somebody else in one of them. */
#include "proto/proxyhdr.h"

#include "base/str.h"
#include "proto/ip.h"

#include <stdbool.h>
#include <string.h>

#define V1_MAX       107 /* the CR LF included */
#define V1_WORDS     6
#define V2_SIGNATURE 12
#define V2_HEAD      16
#define TLV_HEAD     3
#define TLV_CRC32C   0x03
#define CRC32C_LEN   4

static const uint8_t v1_signature[] = "PROXY ";
static const uint8_t v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* As far as there are bytes. */
static bool begins(const uint8_t *bytes, size_t len, const uint8_t *signature, size_t signature_len)
{
	return memcmp(bytes, signature, len < signature_len ? len : signature_len) == 0;
}

static bool read_line(struct proxyhdr *header, struct span line)
{
	struct span word[V1_WORDS];
	struct proxyhdr destination; /* has to be one, and matters to nobody */

	if (span_eq(line, SPAN("PROXY UNKNOWN")) || span_starts(line, SPAN("PROXY UNKNOWN ")))
		return true;
	for (size_t i = 0; i < V1_WORDS; i++) { /* neither more nor fewer, the empty ones included */
		word[i] = span_split(line, ' ', &line);
		if ((line.p == NULL) != (i == V1_WORDS - 1))
			return false;
	}
	if (span_eq(word[1], SPAN("TCP4")))
		header->family = PROXYHDR_IN;
	else if (span_eq(word[1], SPAN("TCP6")))
		header->family = PROXYHDR_IN6;
	else
		return false;
	int family = header->family == PROXYHDR_IN ? AF_INET : AF_INET6;
	return ip_read(family, word[2], header->address) && ip_read(family, word[3], destination.address) &&
	       ip_read_plain_port(word[4], &header->port) && ip_read_plain_port(word[5], &destination.port);
}

static int parse_v1(struct proxyhdr *header, const uint8_t *bytes, size_t len)
{
	size_t room = V1_MAX - 1; /* the LF comes behind */
	const uint8_t *cr = memchr(bytes, '\r', len < room ? len : room);

	if (cr == NULL)
		return len < room ? PROXYHDR_MORE : PROXYHDR_BAD;
	size_t n = (size_t)(cr - bytes);
	if (n + 1 == len)
		return PROXYHDR_MORE;
	if (cr[1] != '\n' || !read_line(header, (struct span){ (const char *)bytes, n }))
		return PROXYHDR_BAD;
	return (int)n + 2;
}

static unsigned read_u16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

/* RFC 3720 appendix B.4, bit by bit: a header is short, and few have a checksum. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

/* The checksum at field is that of the whole header with zeros in its own place. */
static bool checksum_right(const uint8_t *bytes, size_t len, size_t field)
{
	static const uint8_t zeros[CRC32C_LEN];
	size_t behind = field + CRC32C_LEN;
	uint32_t crc = crc32c(UINT32_MAX, bytes, field);

	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = ~crc32c(crc, bytes + behind, len - behind);
	return crc == ((uint32_t)read_u16(bytes + field) << 16 | read_u16(bytes + field + 2));
}

static bool check_tlvs(const uint8_t *bytes, size_t len, size_t at)
{
	while (at < len) {
		if (len - at < TLV_HEAD)
			return false;
		unsigned type = bytes[at], value_len = read_u16(bytes + at + 1);
		at += TLV_HEAD;
		if (len - at < value_len)
			return false;
		if (type == TLV_CRC32C && (value_len != CRC32C_LEN || !checksum_right(bytes, len, at)))
			return false;
		at += value_len;
	}
	return true;
}

/* What a header speaks of. least: the bytes its addresses take. */
static const struct subject {
	uint8_t transport; /* the byte on the wire */
	enum proxyhdr_family family;
	uint8_t width, least;
} subjects[] = {
	{ 0x00, PROXYHDR_NOBODY, 0, 0 }, /* the first, see find_subject() */
	{ 0x11, PROXYHDR_IN, 4, 12 },
	{ 0x21, PROXYHDR_IN6, 16, 36 },
	{ 0x31, PROXYHDR_UNIX, 108, 216 },
};

/* LOCAL speaks of nobody. NULL when the bytes that tell of version, command and transport are none of a stream's. */
static const struct subject *find_subject(uint8_t command, uint8_t transport)
{
	if (command == 0x20)
		return &subjects[0];
	for (size_t i = 0; command == 0x21 && i < ARRAY_LEN(subjects); i++)
		if (subjects[i].transport == transport)
			return &subjects[i];
	return NULL;
}

static int parse_v2(struct proxyhdr *header, const uint8_t *bytes, size_t len)
{
	if (len < V2_HEAD)
		return PROXYHDR_MORE;
	const struct subject *subject = find_subject(bytes[V2_SIGNATURE], bytes[V2_SIGNATURE + 1]);
	size_t whole = V2_HEAD + read_u16(bytes + V2_SIGNATURE + 2);
	if (subject == NULL || whole < V2_HEAD + (size_t)subject->least || whole > PROXYHDR_MAX)
		return PROXYHDR_BAD;
	if (len < whole)
		return PROXYHDR_MORE;
	header->family = subject->family;
	if (subject->family == PROXYHDR_NOBODY)
		return (int)whole;
	if (subject->family != PROXYHDR_UNIX) {
		memcpy(header->address, bytes + V2_HEAD, subject->width);
		header->port = (uint16_t)read_u16(bytes + V2_HEAD + 2 * (size_t)subject->width);
	}
	return check_tlvs(bytes, whole, V2_HEAD + (size_t)subject->least) ? (int)whole : PROXYHDR_BAD;
}

int proxyhdr_parse(struct proxyhdr *header, const uint8_t *bytes, size_t len)
{
	*header = (struct proxyhdr){ .family = PROXYHDR_NOBODY };
	if (begins(bytes, len, v1_signature, sizeof(v1_signature) - 1))
		return len < sizeof(v1_signature) - 1 ? PROXYHDR_MORE : parse_v1(header, bytes, len);
	if (begins(bytes, len, v2_signature, V2_SIGNATURE))
		return parse_v2(header, bytes, len);
	return PROXYHDR_BAD;
}
