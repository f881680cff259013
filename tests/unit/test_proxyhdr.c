/* test_proxyhdr.c holds proxyhdr.c to the PROXY protocol: what is a header, whom it names, and what is none, whole and in
 * every piece, in memory that ends where the bytes do. It must never accept an answer that depends on how they came. */
#include "proto/proxyhdr.h"

#include "base/str.h"
#include "guard.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define V1_LONGEST 107
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ENDS4     "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb" /* 192.0.2.1:4711 to 198.51.100.2:443 */
#define ENDS6     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x67\x01\xbb"
#define V2(bytes) SPAN(SIGNATURE bytes)

/* --- whole, and in every piece -------------------------------------------------------------------------------------- */

static int parse(struct proxyhdr *header, struct span bytes)
{
	return proxyhdr_parse(header, guard_copy(bytes.p, bytes.n), bytes.n);
}

static _Noreturn void fail_with(struct span bytes, size_t n, int got, int want)
{
	char text[512];

	str_escape(text, sizeof(text), bytes);
	fail_msg("%zu bytes of \"%s\": %d, not %d", n, text, got, want);
	abort();
}

/* All beginnings, that is, however the bytes are cut. */
static void check(struct span bytes, int want)
{
	struct proxyhdr header;
	int before = PROXYHDR_MORE;

	for (size_t n = 0; n <= bytes.n; n++) {
		int got = parse(&header, (struct span){ bytes.p, n });
		bool settled = before == PROXYHDR_MORE ? got == PROXYHDR_MORE || got == want : got == before;
		if (!settled || (got > 0 && n < (size_t)got))
			fail_with(bytes, n, got, want);
		before = got;
	}
	if (before != want)
		fail_with(bytes, bytes.n, before, want);
}

/* More bytes behind it change nothing. */
static void check_followed(struct span bytes, int want)
{
	char more[PROXYHDR_MAX + 300];

	assert_true(bytes.n <= PROXYHDR_MAX);
	memcpy(more, bytes.p, bytes.n);
	memset(more + bytes.n, 'x', sizeof(more) - bytes.n);
	check(bytes, want);
	check((struct span){ more, bytes.n + 300 }, want);
}

static void check_good(struct span bytes)
{
	check_followed(bytes, (int)bytes.n);
}

static void check_bad(struct span bytes)
{
	check_followed(bytes, PROXYHDR_BAD);
}

/* --- who is named --------------------------------------------------------------------------------------------------- */

static void print_source(const struct proxyhdr *header, char text[80])
{
	char number[INET6_ADDRSTRLEN] = "-";

	if (header->family == PROXYHDR_IN || header->family == PROXYHDR_IN6)
		inet_ntop(header->family == PROXYHDR_IN ? AF_INET : AF_INET6, header->address, number, sizeof(number));
	snprintf(text, 80, "%s %u", number, header->port);
}

static void check_names(struct span bytes, enum proxyhdr_family family, const char *source)
{
	struct proxyhdr header;
	char text[80];

	check_good(bytes);
	assert_int_equal(parse(&header, bytes), bytes.n);
	assert_int_equal(header.family, family);
	print_source(&header, text);
	assert_string_equal(text, source);
}

static void check_names_nobody(struct span bytes)
{
	check_names(bytes, PROXYHDR_NOBODY, "- 0");
}

/* --- version 1 ------------------------------------------------------------------------------------------------------ */

static void lines_name_the_source(void **state)
{
	(void)state;
	check_names(SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n"), PROXYHDR_IN, "192.0.2.1 4711");
	check_names(SPAN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXYHDR_IN,
	            "255.255.255.255 65535");
	check_names(SPAN("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), PROXYHDR_IN, "0.0.0.0 0");
	check_names(SPAN("PROXY TCP6 2001:db8::1 2001:DB8::2 4711 443\r\n"), PROXYHDR_IN6, "2001:db8::1 4711");
	check_names(SPAN("PROXY TCP6 ::1 :: 1 2\r\n"), PROXYHDR_IN6, "::1 1");
	check_names(SPAN("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), PROXYHDR_IN6, "::ffff:192.0.2.1 1");
	check_names(SPAN("PROXY TCP6 ffff:f:f:f:f:f:f:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	            PROXYHDR_IN6, "ffff:f:f:f:f:f:f:ffff 65535");
}

static void unknown_names_nobody_whatever_follows(void **state)
{
	(void)state;
	check_names_nobody(SPAN("PROXY UNKNOWN\r\n"));
	check_names_nobody(SPAN("PROXY UNKNOWN \r\n"));
	check_names_nobody(SPAN("PROXY UNKNOWN 192.0.2.1 198.51.100.2 1 2\r\n"));
	check_names_nobody(SPAN("PROXY UNKNOWN TCP4 \0\n\xff\t  x\r\n"));
	check_names_nobody(SPAN("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"));
	check_bad(SPAN("PROXY UNKNOWNX\r\n"));
	check_bad(SPAN("PROXY UNKNOW\r\n"));
	check_bad(SPAN("PROXY unknown\r\n"));
	check_bad(SPAN("PROXY  UNKNOWN\r\n"));
	check_bad(SPAN("PROXY UNKNOWN\rX"));
}

static void lines_end_at_107_bytes(void **state)
{
	char line[V1_LONGEST + 2];

	(void)state;
	for (size_t n = V1_LONGEST - 3; n <= V1_LONGEST + 1; n++) {
		memset(line, 'x', sizeof(line));
		memcpy(line, "PROXY UNKNOWN ", 14);
		memcpy(line + n - 2, "\r\n", 2);
		check_followed((struct span){ line, n }, n <= V1_LONGEST ? (int)n : PROXYHDR_BAD);
	}
	memset(line + 14, 'x', sizeof(line) - 14);
	check((struct span){ line, V1_LONGEST - 2 }, PROXYHDR_MORE);
	check((struct span){ line, V1_LONGEST - 1 }, PROXYHDR_BAD); /* where the CR should be */
}

static void other_lines_are_refused(void **state)
{
	static const char *const table[] = {
		"PROXY\r\n", "PROXY \r\n", "PROXY  \r\n", "PROXY TCP4\r\n", "PROXY TCP4 \r\n",
		"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
		" PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
		/* families */
		"PROXY TCP 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP44 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 ::1 192.0.2.2 1 2\r\n",
		/* blanks */
		"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2  1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1  2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
		"PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1\t2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\t\r\n", "PROXY TCP4 \t192.0.2.1 192.0.2.2 1 2\r\n",
		/* words */
		"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
		"PROXY TCP4 192.0.2.1 1 2\r\n", "PROXY TCP4 192.0.2.1:1 192.0.2.2:2\r\n",
		/* addresses */
		"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1. 192.0.2.2 1 2\r\n",
		"PROXY TCP4 0x7f.0.0.1 192.0.2.2 1 2\r\n", "PROXY TCP4 3221225985 192.0.2.2 1 2\r\n",
		"PROXY TCP4 localhost 192.0.2.2 1 2\r\n", "PROXY TCP4 -1.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 + 1 2\r\n",
		"PROXY TCP6 [::1] ::1 1 2\r\n", "PROXY TCP6 ::1%lo ::1 1 2\r\n", "PROXY TCP6 1::2::3 ::1 1 2\r\n",
		"PROXY TCP6 12345::1 ::1 1 2\r\n", "PROXY TCP6 :1 ::1 1 2\r\n", "PROXY TCP6 ::g ::1 1 2\r\n",
		"PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n", "PROXY TCP6 ::1 1:2:3 1 2\r\n",
		"PROXY TCP6 0000:0000:0000:0000:0000:0000:0000:00000000001 ::1 1 2\r\n",
		/* ends of the line */
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX",
		"PROXY TCP4 192.0.2.1\r\n192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n",
		/* what clients say on their own */
		"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "\r\n\r\nGET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"SSH-2.0-x\r\n", "\n", "P ", "PROXY_",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		check_bad(span_of(table[i]));
	check_bad(SPAN("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"));
	check_bad(SPAN("PROXY TCP4 192.0.2.1\0x 192.0.2.2 1 2\r\n"));
	check_bad(SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\0\r\n"));
	check_bad(SPAN("\0"));
	check(SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), PROXYHDR_MORE); /* no CR yet; a LF in the last word by then */
}

static int parse_ports(const char *source, const char *destination)
{
	struct proxyhdr header;
	char line[200];
	int n = snprintf(line, sizeof(line), "PROXY TCP4 192.0.2.1 192.0.2.2 %s %s\r\n", source, destination);
	int got = proxyhdr_parse(&header, (const uint8_t *)line, (size_t)n);

	assert_true(got == n || got == PROXYHDR_BAD);
	return got == PROXYHDR_BAD ? -1 : header.port;
}

static void ports_are_canonical_numbers(void **state)
{
	static const char *const bad[] = { "", "00", "01", "000000", "065535", "65536", "99999", "100000", "4294967297",
		                           "18446744073709551617", "-1", "+1", "1a", "a", "0x1", "1.", "1,2", "\xd9\xa1" };
	char text[16];

	(void)state;
	for (int port = 0; port <= 65535; port++) {
		snprintf(text, sizeof(text), "%d", port);
		assert_int_equal(parse_ports(text, "0"), port);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(parse_ports(bad[i], "1"), -1);
		assert_int_equal(parse_ports("1", bad[i]), -1);
	}
}

/* --- version 2 ------------------------------------------------------------------------------------------------------ */

static void binary_headers_name_the_source(void **state)
{
	(void)state;
	check_names(V2("\x21\x11\x00\x0c" ENDS4), PROXYHDR_IN, "192.0.2.1 4711");
	check_names(V2("\x21\x21\x00\x24" ENDS6), PROXYHDR_IN6, "2001:db8::1 4711");
	check_names(V2("\x21\x11\x00\x0c" "\0\0\0\0\0\0\0\0\0\0\0\0"), PROXYHDR_IN, "0.0.0.0 0");
	check_names(V2("\x21\x11\x00\x0c" "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), PROXYHDR_IN,
	            "255.255.255.255 65535");
}

static void local_and_unspecified_name_nobody(void **state)
{
	(void)state;
	check_names_nobody(V2("\x20\x00\x00\x00"));
	check_names_nobody(V2("\x20\x11\x00\x0c" ENDS4));
	check_names_nobody(V2("\x20\x12\x00\x02" "zz"));
	check_names_nobody(V2("\x20\xff\x00\x07" "\x03\xff\xff" "any" "\0"));
	check_names_nobody(V2("\x21\x00\x00\x00"));
	check_names_nobody(V2("\x21\x00\x00\x05" "\x03\xff\xff" "zz"));
}

static void a_unix_socket_is_a_family_of_its_own(void **state)
{
	char bytes[16 + 216 + 4] = SIGNATURE "\x21\x31\x00\xd8" "/run/client.sock";

	(void)state;
	check_names((struct span){ bytes, 16 + 216 }, PROXYHDR_UNIX, "- 0");
	bytes[15] = (char)(216 + 4);
	memcpy(bytes + 16 + 216, "\x04\0\1x", 4);
	check_names((struct span){ bytes, sizeof(bytes) }, PROXYHDR_UNIX, "- 0");
	bytes[16 + 216 + 2] = 2;
	check_bad((struct span){ bytes, sizeof(bytes) });
}

/* Every value of every byte that has a meaning; the block is long enough for each family. */
static void each_byte_of_the_head_counts(void **state)
{
	char bytes[16 + 216] = SIGNATURE "\x21\x11\x00\xd8";

	(void)state;
	for (size_t at = 0; at < 12; at++) {
		char right = bytes[at];
		for (int value = 0; value < 256; value++) {
			bytes[at] = (char)value;
			if (bytes[at] != right)
				check((struct span){ bytes, sizeof(bytes) }, PROXYHDR_BAD);
		}
		bytes[at] = right;
	}
	for (int command = 0; command < 256; command++) {
		for (int transport = 0; transport < 256; transport++) {
			bool good = command == 0x20 || (command == 0x21 && (transport == 0x00 || transport == 0x11 ||
			                                                    transport == 0x21 || transport == 0x31));
			struct proxyhdr header;
			bytes[12] = (char)command;
			bytes[13] = (char)transport;
			assert_int_equal(parse(&header, (struct span){ bytes, sizeof(bytes) }),
			                 good ? (int)sizeof(bytes) : PROXYHDR_BAD);
		}
	}
}

static void a_block_is_as_long_as_its_family_needs(void **state)
{
	static const struct {
		char transport;
		size_t least;
	} table[] = { { 0x11, 12 }, { 0x21, 36 }, { 0x31, 216 } };
	char bytes[16 + 216] = SIGNATURE "\x21";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		bytes[13] = table[i].transport;
		for (size_t n = 0; n <= table[i].least; n++) {
			bytes[15] = (char)n;
			check((struct span){ bytes, 16 + n },
			      n == table[i].least ? (int)(16 + n) : PROXYHDR_BAD);
		}
	}
}

static void longer_than_4096_bytes_is_refused(void **state)
{
	static char bytes[PROXYHDR_MAX + 1] = SIGNATURE "\x20\x00\x0f\xf0";
	struct proxyhdr header;

	(void)state;
	assert_int_equal(parse(&header, (struct span){ bytes, PROXYHDR_MAX - 1 }), PROXYHDR_MORE);
	assert_int_equal(parse(&header, (struct span){ bytes, PROXYHDR_MAX }), PROXYHDR_MAX);
	assert_int_equal(parse(&header, (struct span){ bytes, PROXYHDR_MAX + 1 }), PROXYHDR_MAX);
	bytes[15] = (char)0xf1;
	assert_int_equal(parse(&header, (struct span){ bytes, 16 }), PROXYHDR_BAD);
	bytes[14] = bytes[15] = (char)0xff;
	assert_int_equal(parse(&header, (struct span){ bytes, 16 }), PROXYHDR_BAD);
}

static void tlvs_fill_the_rest_exactly(void **state)
{
	(void)state;
	check_good(V2("\x21\x11\x00\x0f" ENDS4 "\x04\0\0"));
	check_good(V2("\x21\x11\x00\x11" ENDS4 "\x04\0\2xx"));
	check_good(V2("\x21\x11\x00\x15" ENDS4 "\x01\0\2h2" "\xee\0\1x"));
	check_good(V2("\x21\x21\x00\x27" ENDS6 "\xff\0\0"));
	check_bad(V2("\x21\x11\x00\x0d" ENDS4 "\x04"));
	check_bad(V2("\x21\x11\x00\x0e" ENDS4 "\x04\0"));
	check_bad(V2("\x21\x11\x00\x0f" ENDS4 "\x04\0\1"));
	check_bad(V2("\x21\x11\x00\x0f" ENDS4 "\x04\xff\xff"));
	check_bad(V2("\x21\x11\x00\x11" ENDS4 "\x04\0\3xx"));
	check_bad(V2("\x21\x11\x00\x11" ENDS4 "\x04\0\1xx"));
	check_bad(V2("\x21\x11\x00\x14" ENDS4 "\x01\0\2h2" "\xee\0\1"));
	check_bad(V2("\x21\x21\x00\x25" ENDS6 "\0"));
}

static void a_checksum_must_be_right(void **state)
{
	char alone[] = SIGNATURE "\x21\x11\x00\x13" ENDS4 "\x03\0\4CRC1";
	char between[] = SIGNATURE "\x21\x11\x00\x1c" ENDS4 "\x04\0\2ab" "\x03\0\4CRC2" "\x02\0\1x";

	(void)state;
	memcpy(alone + 31, "\x1e\xaf\x4b\xaa", 4);
	memcpy(between + 36, "\x0b\x88\x81\x4c", 4);
	check_good((struct span){ alone, sizeof(alone) - 1 });
	check_good((struct span){ between, sizeof(between) - 1 });
	for (size_t at = 16; at < sizeof(between) - 1; at++) {
		if (at == 33)
			continue; /* it would be a TLV of another type */
		between[at] ^= 0x10;
		check((struct span){ between, sizeof(between) - 1 }, PROXYHDR_BAD);
		between[at] ^= 0x10;
	}
	check_bad(V2("\x21\x11\x00\x12" ENDS4 "\x03\0\3abc"));
	check_bad(V2("\x21\x11\x00\x14" ENDS4 "\x03\0\5abcde"));
	check_bad(V2("\x21\x11\x00\x0f" ENDS4 "\x03\0\0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_name_the_source),
		cmocka_unit_test(unknown_names_nobody_whatever_follows),
		cmocka_unit_test(lines_end_at_107_bytes),
		cmocka_unit_test(other_lines_are_refused),
		cmocka_unit_test(ports_are_canonical_numbers),
		cmocka_unit_test(binary_headers_name_the_source),
		cmocka_unit_test(local_and_unspecified_name_nobody),
		cmocka_unit_test(a_unix_socket_is_a_family_of_its_own),
		cmocka_unit_test(each_byte_of_the_head_counts),
		cmocka_unit_test(a_block_is_as_long_as_its_family_needs),
		cmocka_unit_test(longer_than_4096_bytes_is_refused),
		cmocka_unit_test(tlvs_fill_the_rest_exactly),
		cmocka_unit_test(a_checksum_must_be_right),
	};
	return cmocka_run_group_tests(tests, guard_open, guard_close);
}
