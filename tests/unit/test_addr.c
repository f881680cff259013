/* test_addr.c holds addr.c to its text forms: what is read, how it is printed again, and what is refused in which
 * words. It must never depend on names being resolvable. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef int parse_fn(struct address *address, const char *text, struct err *err);

struct good {
	const char *text, *canonical;
	enum address_kind kind;
	const char *host;
	unsigned port;
	const char *name;
	bool tls;
};

static void check_text(const char *got, const char *want)
{
	if (want == NULL)
		assert_null(got);
	else
		assert_string_equal(got, want);
}

static void check_good(parse_fn *parse, const struct good *good)
{
	struct address address;
	struct err err;

	err_init(&err);
	if (parse(&address, good->text, &err) != 0)
		fail_msg("refused: %s", err.text);
	assert_int_equal(err.count, 0);
	assert_string_equal(address.text, good->canonical);
	assert_int_equal(address.kind, good->kind);
	check_text(address.host, good->host);
	check_text(address.name, good->name);
	assert_int_equal(address.port, good->port);
	assert_int_equal(address.tls, good->tls);
	address_clear(&address);
	assert_null(address.text);
}

static void check_bad(parse_fn *parse, const char *text, const char *part)
{
	struct address address;
	struct err err;

	err_init(&err);
	if (parse(&address, text, &err) == 0)
		fail_msg("\"%s\" was taken for %s", text, address.text);
	assert_int_equal(err.count, 1);
	if (strstr(err.text, text) == NULL || strstr(err.text, part) == NULL)
		fail_msg("\"%s\": the complaint is %s", text, err.text);
	assert_null(address.text);
	assert_null(address.host);
	assert_null(address.name);
}

static void targets_are_read(void **state)
{
	static const struct good targets[] = {
		{ "127.0.0.1:5900", "127.0.0.1:5900", ADDRESS_TCP, "127.0.0.1", 5900, NULL, false },
		{ "tcp:127.0.0.1:5900", "127.0.0.1:5900", ADDRESS_TCP, "127.0.0.1", 5900, NULL, false },
		{ "VNC.Example.com:05900", "vnc.example.com:5900", ADDRESS_TCP, "vnc.example.com", 5900, NULL, false },
		{ "[::1]:65535", "[::1]:65535", ADDRESS_TCP, "::1", 65535, NULL, false },
		{ "[2001:DB8:0:0::01]:1", "[2001:db8::1]:1", ADDRESS_TCP, "2001:db8::1", 1, NULL, false },
		{ "[fe80::1%Eth0]:80", "[fe80::1%Eth0]:80", ADDRESS_TCP, "fe80::1%Eth0", 80, NULL, false },
		{ "tls:Host:443", "tls:host:443", ADDRESS_TCP, "host", 443, NULL, true },
		{ "tls:[::1]:443", "tls:[::1]:443", ADDRESS_TCP, "::1", 443, NULL, true },
		{ "unix:/run/x.sock", "unix:/run/x.sock", ADDRESS_UNIX, NULL, 0, "/run/x.sock", false },
		{ "unix:@Name", "unix:@Name", ADDRESS_UNIX, NULL, 0, "@Name", false },
		{ "echo:", "echo:", ADDRESS_ECHO, NULL, 0, NULL, false },
		{ "echo:7", "echo:7", ADDRESS_TCP, "echo", 7, NULL, false },
		{ "tcp:unix:7", "tcp:unix:7", ADDRESS_TCP, "unix", 7, NULL, false },
		{ "4f3a2b1c0d9e:22", "4f3a2b1c0d9e:22", ADDRESS_TCP, "4f3a2b1c0d9e", 22, NULL, false },
		{ "my_host.:22", "my_host.:22", ADDRESS_TCP, "my_host.", 22, NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		check_good(address_parse_target, &targets[i]);
}

static void listen_addresses_are_read(void **state)
{
	static const struct good listens[] = {
		{ "6080", "*:6080", ADDRESS_TCP, NULL, 6080, NULL, false },
		{ "*:6080", "*:6080", ADDRESS_TCP, NULL, 6080, NULL, false },
		{ ":6080", "*:6080", ADDRESS_TCP, NULL, 6080, NULL, false },
		{ "tcp:6080", "*:6080", ADDRESS_TCP, NULL, 6080, NULL, false },
		{ "tcp:*:6080", "*:6080", ADDRESS_TCP, NULL, 6080, NULL, false },
		{ "0", "*:0", ADDRESS_TCP, NULL, 0, NULL, false },
		{ "0.0.0.0:80", "0.0.0.0:80", ADDRESS_TCP, "0.0.0.0", 80, NULL, false },
		{ "[::]:80", "[::]:80", ADDRESS_TCP, "::", 80, NULL, false },
		{ "LOCALHOST:80", "localhost:80", ADDRESS_TCP, "localhost", 80, NULL, false },
		{ "unix:/run/x", "unix:/run/x", ADDRESS_UNIX, NULL, 0, "/run/x", false },
		{ "unix:@n", "unix:@n", ADDRESS_UNIX, NULL, 0, "@n", false },
		{ "fd:vnc", "fd:vnc", ADDRESS_FD, NULL, 0, "vnc", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(listens); i++)
		check_good(address_parse_listen, &listens[i]);
}

static void bad_targets_are_refused_with_the_cause(void **state)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{ "", "HOST:PORT" },
		{ "5900", "HOST:PORT" },
		{ ":5900", "needs a host" },
		{ "tcp:5900", "HOST:PORT" },
		{ "tls::443", "needs a host" },
		{ "host:", "1 to 65535" },
		{ "host:0", "1 to 65535" },
		{ "host:65536", "1 to 65535" },
		{ "host:18446744073709551617", "1 to 65535" },
		{ "host:+80", "1 to 65535" },
		{ "host: 80", "1 to 65535" },
		{ "host:80x", "1 to 65535" },
		{ "::1:5900", "brackets" },
		{ "[::1]5900", "brackets" },
		{ "[::g]:5900", "not an IPv6" },
		{ "[]:5900", "not an IPv6" },
		{ "[127.0.0.1]:5900", "not an IPv6" },
		{ "[fe80::1%]:5900", "not an IPv6" },
		{ "http://host:80", "no scheme" },
		{ "*:80", "host name" },
		{ "ho st:80", "host name" },
		{ "h\xc3\xb6st:80", "host name" },
		{ "-host:80", "host name" },
		{ "a..b:80", "host name" },
		{ "999.1.1.1:80", "IPv4" },
		{ "127.1:80", "IPv4" },
		{ "0x7f.0.0.0x1:80", "IPv4" },
		{ "unix:run/x", "absolute" },
		{ "unix:", "absolute" },
		{ "unix:@", "no name" },
		{ "unix:/", "no name" },
		{ "fd:vnc", "listeners" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_bad(address_parse_target, bad[i].text, bad[i].part);
}

static void bad_listen_addresses_are_refused_with_the_cause(void **state)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{ "", "0 to 65535" },
		{ "65536", "0 to 65535" },
		{ "host:http", "0 to 65535" },
		{ "::1:80", "brackets" },
		{ "tls:host:443", "tls = on" },
		{ "echo:", "targets" },
		{ "fd:", "LISTEN_FDNAMES" },
		{ "fd:a:b", "LISTEN_FDNAMES" },
		{ "**:80", "host name" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_bad(address_parse_listen, bad[i].text, bad[i].part);
}

static void unix_names_are_limited_to_what_fits(void **state)
{
	char text[5 + 108 + 1] = "unix:/";
	struct address address;
	struct sockaddr_un sa;
	struct err err;

	(void)state;
	memset(text + 6, 'x', 106);
	err_init(&err);
	assert_int_equal(address_parse_target(&address, text, &err), 0);
	assert_int_equal(address_unix_sockaddr(&address, &sa), sizeof(sa));
	assert_string_equal(sa.sun_path, text + 5);
	address_clear(&address);

	text[6 + 106] = 'x';
	check_bad(address_parse_target, text, "107 bytes");
}

static void abstract_names_become_a_nul_and_have_their_own_length(void **state)
{
	struct address address;
	struct sockaddr_un sa;
	struct err err;
	char text[ADDR_TEXT_MAX];

	(void)state;
	err_init(&err);
	assert_int_equal(address_parse_listen(&address, "unix:@name", &err), 0);
	socklen_t len = address_unix_sockaddr(&address, &sa);
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 5);
	assert_memory_equal(sa.sun_path, "\0name", 5);
	addr_format((const struct sockaddr *)&sa, len, text);
	assert_string_equal(text, address.text);
	address_clear(&address);
}

static void check_format(const void *sa, size_t len, const char *want)
{
	char text[ADDR_TEXT_MAX];

	addr_format(sa, (socklen_t)len, text);
	assert_string_equal(text, want);
}

static void socket_addresses_are_printed(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(4711) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_scope_id = 3 };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/a\nb" };
	struct sockaddr other = { .sa_family = AF_APPLETALK };

	(void)state;
	inet_pton(AF_INET, "192.0.2.1", &in.sin_addr);
	check_format(&in, sizeof(in), "192.0.2.1:4711");
	inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr);
	check_format(&in6, sizeof(in6), "[fe80::1%3]:80");
	in6.sin6_scope_id = 0;
	check_format(&in6, sizeof(in6), "[fe80::1]:80");
	check_format(&un, sizeof(un), "unix:/run/a\\x0ab");
	check_format(&un, sizeof(sa_family_t), "unix:");
	check_format(&other, sizeof(other), "family 5");
}

static void an_endless_abstract_name_is_cut(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char text[ADDR_TEXT_MAX];

	(void)state;
	memset(un.sun_path + 1, 0xff, sizeof(un.sun_path) - 1);
	addr_format((const struct sockaddr *)&un, sizeof(un), text);
	assert_memory_equal(text, "unix:@\\xff", 10);
	assert_in_range(strlen(text), ADDR_TEXT_MAX - 8, ADDR_TEXT_MAX - 1);
}

static void mapped_peers_become_ipv4(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(4711) };
	struct peer peer;
	char text[ADDR_TEXT_MAX];

	(void)state;
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr);
	peer_init(&peer, -1, (const struct sockaddr *)&in6, sizeof(in6));
	assert_int_equal(peer.sa.any.sa_family, AF_INET);
	peer_format(&peer, text);
	assert_string_equal(text, "192.0.2.1:4711");

	inet_pton(AF_INET6, "2001:db8::1", &in6.sin6_addr);
	peer_init(&peer, -1, (const struct sockaddr *)&in6, sizeof(in6));
	peer_format(&peer, text);
	assert_string_equal(text, "[2001:db8::1]:4711");
}

static void unix_peers_are_known_by_their_credentials(void **state)
{
	struct sockaddr sa = { .sa_family = AF_UNIX };
	char text[ADDR_TEXT_MAX], want[ADDR_TEXT_MAX];
	struct peer peer;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer_init(&peer, pair[0], &sa, sizeof(sa_family_t));
	assert_int_equal(peer.sa.any.sa_family, AF_UNIX);
	peer_format(&peer, text);
	snprintf(want, sizeof(want), "unix:pid=%ld,uid=%ld", (long)getpid(), (long)getuid());
	assert_string_equal(text, want);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_read),
		cmocka_unit_test(listen_addresses_are_read),
		cmocka_unit_test(bad_targets_are_refused_with_the_cause),
		cmocka_unit_test(bad_listen_addresses_are_refused_with_the_cause),
		cmocka_unit_test(unix_names_are_limited_to_what_fits),
		cmocka_unit_test(abstract_names_become_a_nul_and_have_their_own_length),
		cmocka_unit_test(socket_addresses_are_printed),
		cmocka_unit_test(an_endless_abstract_name_is_cut),
		cmocka_unit_test(mapped_peers_become_ipv4),
		cmocka_unit_test(unix_peers_are_known_by_their_credentials),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
