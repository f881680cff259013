/* test_ip.c asks what is an address, a port, a host. It must never ask whether one can be reached. */
#include "proto/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void addresses_are_read_whole(void **state)
{
	static const uint8_t v4[] = { 192, 0, 2, 7 };
	uint8_t address[IP_ADDRESS_MAX];
	(void)state;
	assert_true(ip_read(AF_INET, (struct span){ "192.0.2.77", 9 }, address));
	assert_memory_equal(address, v4, sizeof(v4));
	assert_true(ip_read(AF_INET6, SPAN("2001:db8::1"), address));
	assert_int_equal(address[0], 0x20);
	assert_int_equal(address[15], 1);
	assert_true(ip_read(AF_INET6, SPAN("::ffff:192.0.2.7"), address));
	assert_memory_equal(address + 12, v4, sizeof(v4));
}

static void what_is_no_number(void **state)
{
	static const struct span bad[] = {
		{ NULL, 0 }, { "", 0 }, { "127.1", 5 }, { "0x7f.0.0.1", 10 }, { "192.0.2.07", 10 }, { "192.0.2.7\0x", 11 },
		{ "::1\0", 4 }, { "[::1]", 5 }, { "::1%lo", 6 }, { " ::1", 4 }, { "localhost", 9 }, { ":::", 3 },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", 54 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ip_is_number(bad[i]));
	assert_true(ip_is_number(SPAN("192.0.2.7")));
	assert_true(ip_is_number(SPAN("::")));
}

static void zones(void **state)
{
	uint8_t address[IP_ADDRESS_MAX];
	struct span zone;
	(void)state;
	assert_true(ip_read_zoned(SPAN("fe80::1%eth0"), address, &zone));
	assert_true(span_eq(zone, SPAN("eth0")));
	assert_true(ip_read_zoned(SPAN("fe80::1"), address, &zone));
	assert_null(zone.p);
	assert_false(ip_read_zoned(SPAN("fe80::1%"), address, &zone));
	assert_false(ip_read_zoned(SPAN("%eth0"), address, &zone));
	assert_false(ip_read_zoned(SPAN("192.0.2.7%eth0"), address, &zone));
	assert_false(ip_read_zoned(span_of(NULL), address, &zone));
}

static void ports(void **state)
{
	static const char *const bad[] = { "", "65536", "99999", "000080", "-1", "+80", " 80", "8o", "80 " };
	uint16_t port = 1;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ip_read_port(span_of(bad[i]), &port));
	assert_true(ip_read_port(SPAN("65535"), &port));
	assert_int_equal(port, 65535);
	assert_true(ip_read_port(SPAN("00080"), &port));
	assert_int_equal(port, 80);
	assert_false(ip_read_plain_port(SPAN("080"), &port));
	assert_false(ip_read_plain_port(SPAN("00"), &port));
	assert_true(ip_read_plain_port(SPAN("0"), &port));
	assert_int_equal(port, 0);
}

static void hosts(void **state)
{
	static const char *const here[] = { "localhost", "LocalHost.", "a.localhost", "a.b.LOCALHOST." };
	static const char *const elsewhere[] = { "", ".", "localhost..", "notlocalhost", "localhost.example", "ocalhost" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(here); i++)
		assert_true(uri_is_localhost(span_of(here[i])));
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
		assert_false(uri_is_localhost(span_of(elsewhere[i])));
	assert_true(span_eq(uri_host(SPAN("[::1]")), SPAN("::1")));
	assert_true(span_eq(uri_host(SPAN("example.")), SPAN("example")));
	assert_true(span_eq(uri_host(SPAN(".")), SPAN(".")));
	assert_true(span_eq(uri_host(SPAN("[]")), SPAN("")));
}

static void path_prefixes(void **state)
{
	bool exact;
	(void)state;
	assert_true(span_eq(uri_path_prefix("/vnc/*", &exact), SPAN("/vnc")) && !exact);
	assert_true(span_eq(uri_path_prefix("/*", &exact), SPAN("")) && !exact);
	assert_true(span_eq(uri_path_prefix("/vnc", &exact), SPAN("/vnc")) && exact);
	assert_true(span_eq(uri_path_prefix("/", &exact), SPAN("/")) && exact);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_whole), cmocka_unit_test(what_is_no_number), cmocka_unit_test(zones),
		cmocka_unit_test(ports), cmocka_unit_test(hosts), cmocka_unit_test(path_prefixes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
