/* test_cidr.c holds cidr.c to what a network is, which addresses are in it, and what is refused in which words. */
#include "net/cidr.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cidr read_cidr(const char *text)
{
	struct cidr cidr;
	struct err err;

	err_init(&err);
	if (cidr_parse(&cidr, text, &err) != 0)
		fail_msg("refused: %s", err.text);
	assert_int_equal(err.count, 0);
	return cidr;
}

static struct peer read_peer(const char *text)
{
	struct peer peer = { .sa.any.sa_family = AF_INET };

	if (inet_pton(AF_INET, text, &peer.sa.in.sin_addr) == 1)
		return peer;
	peer.sa.any.sa_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, text, &peer.sa.in6.sin6_addr), 1);
	return peer;
}

static bool has(const char *network, const char *address)
{
	struct cidr cidr = read_cidr(network);
	struct cidr_list list = { &cidr, 1 };
	struct peer peer = read_peer(address);

	return cidr_list_has(&list, &peer);
}

static void networks_have_their_addresses_and_no_other(void **state)
{
	static const struct {
		const char *network, *in, *out;
	} table[] = {
		{ "192.0.2.0/24", "192.0.2.0", "192.0.1.255" },
		{ "192.0.2.0/24", "192.0.2.255", "192.0.3.0" },
		{ "192.0.2.128/25", "192.0.2.128", "192.0.2.127" },
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "172.16.0.0/12", "172.31.255.255", "172.32.0.0" },
		{ "128.0.0.0/1", "255.255.255.255", "127.255.255.255" },
		{ "192.0.2.7", "192.0.2.7", "192.0.2.6" },
		{ "192.0.2.7/32", "192.0.2.7", "192.0.2.8" },
		{ "192.0.2.6/31", "192.0.2.7", "192.0.2.8" },
		{ "0.0.0.0/0", "255.255.255.255", "2001:db8::1" },
		{ "0.0.0.0", "0.0.0.0", "0.0.0.1" },
		{ "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::" },
		{ "2001:db8:8000::/33", "2001:db8:8000::", "2001:db8:7fff::" },
		{ "2001:db8::1", "2001:db8::1", "2001:db8::" },
		{ "2001:db8::/127", "2001:db8::1", "2001:db8::2" },
		{ "::/0", "ffff::", "192.0.2.1" },
		{ "::/1", "7fff::", "8000::" },
		{ "::1", "::1", "127.0.0.1" },
		/* IPv4 in IPv6 is IPv4, on either side */
		{ "::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.0" },
		{ "::ffff:0:0/96", "203.0.113.1", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2" },
		{ "192.0.2.0/24", "::ffff:192.0.2.1", "::ffff:192.0.3.1" },
		{ "192.0.2.0/24", "192.0.2.1", "::192.0.2.1" },
		{ "0.0.0.0/0", "::ffff:1.2.3.4", "::fffe:1.2.3.4" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!has(table[i].network, table[i].in))
			fail_msg("%s lacks %s", table[i].network, table[i].in);
		if (has(table[i].network, table[i].out))
			fail_msg("%s has %s", table[i].network, table[i].out);
	}
}

/* The network of each length that begins at 64.0.0.0. */
static void every_length_has_exact_borders(void **state)
{
	const uint32_t first = 0x40000000;

	(void)state;
	for (unsigned bits = 2; bits <= 32; bits++) {
		struct cidr cidr = { .family = AF_INET, .bits = (uint8_t)bits, .address = { 0x40 } };
		struct cidr_list list = { &cidr, 1 };
		struct peer peer = { .sa.any.sa_family = AF_INET };
		uint32_t next = first + (uint32_t)(1ull << (32 - bits));
		const struct {
			uint32_t address;
			bool in;
		} points[] = { { first, true }, { next - 1, true }, { next, false }, { first - 1, false } };

		for (size_t i = 0; i < ARRAY_LEN(points); i++) {
			peer.sa.in.sin_addr.s_addr = htonl(points[i].address);
			assert_int_equal(cidr_list_has(&list, &peer), points[i].in);
		}
	}
}

static void bad_networks_are_refused_with_the_cause(void **state)
{
	static const struct {
		const char *text, *part;
	} table[] = {
		{ "", "is not a network" },
		{ "/8", "is not a network" },
		{ "localhost", "is not a network" },
		{ "10.0.0/8", "is not a network" },
		{ "10.0.0.0.0/8", "is not a network" },
		{ "010.0.0.0/8", "is not a network" },
		{ "10.0.0.256", "is not a network" },
		{ "10.0.0.0 /8", "is not a network" },
		{ "[::1]", "is not a network" },
		{ "::1%lo", "is not a network" },
		{ "1::2::3", "is not a network" },
		{ "10.0.0.1:80", "is not a network" },
		{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", "is not a network" },
		{ "10.0.0.0/", "from 0 to 32" },
		{ "10.0.0.0/33", "from 0 to 32" },
		{ "10.0.0.0/-1", "from 0 to 32" },
		{ "10.0.0.0/+8", "from 0 to 32" },
		{ "10.0.0.0/8/8", "from 0 to 32" },
		{ "10.0.0.0/255.0.0.0", "from 0 to 32" },
		{ "10.0.0.0/18446744073709551624", "from 0 to 32" },
		{ "2001:db8::/129", "from 0 to 128" },
		{ "2001:db8::/x", "from 0 to 128" },
		{ "10.0.0.1/8", "did you mean 10.0.0.0/8?" },
		{ "192.0.2.128/24", "did you mean 192.0.2.0/24?" },
		{ "1.2.3.4/0", "did you mean 0.0.0.0/0?" },
		{ "2001:db8::1/32", "did you mean 2001:db8::/32?" },
		{ "::ffff:10.0.0.0/95", "did you mean ::fffe:0:0/95?" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct cidr cidr;
		struct err err;

		err_init(&err);
		if (cidr_parse(&cidr, table[i].text, &err) == 0)
			fail_msg("\"%s\" was taken", table[i].text);
		assert_int_equal(err.count, 1);
		if (strstr(err.text, table[i].part) == NULL)
			fail_msg("\"%s\": %s", table[i].text, err.text);
	}
}

static void a_list_has_what_one_of_it_has(void **state)
{
	struct cidr_list list = { NULL, 0 };
	struct peer first = read_peer("192.0.2.1"), second = read_peer("2001:db8::1"), third = read_peer("192.0.3.1");

	(void)state;
	assert_false(cidr_list_has(&list, &first));
	list.item = calloc(2, sizeof(*list.item));
	assert_non_null(list.item);
	list.item[list.count++] = read_cidr("192.0.2.0/24");
	list.item[list.count++] = read_cidr("2001:db8::/64");
	assert_true(cidr_list_has(&list, &first));
	assert_true(cidr_list_has(&list, &second));
	assert_false(cidr_list_has(&list, &third));
	free(list.item);
}

static void unix_peers_are_in_no_network(void **state)
{
	struct cidr all[] = { read_cidr("0.0.0.0/0"), read_cidr("::/0") };
	struct cidr_list list = { all, ARRAY_LEN(all) };
	struct peer peer = { .sa.any.sa_family = AF_UNIX, .pid = 1 };

	(void)state;
	assert_false(cidr_list_has(&list, &peer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_have_their_addresses_and_no_other),
		cmocka_unit_test(every_length_has_exact_borders),
		cmocka_unit_test(bad_networks_are_refused_with_the_cause),
		cmocka_unit_test(a_list_has_what_one_of_it_has),
		cmocka_unit_test(unix_peers_are_in_no_network),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
