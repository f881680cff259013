/* test_upgrade.c proves the server's half of the opening handshake, one test a rule of RFC 6455 section 4.2.
 * It must never build a head by hand: every request comes through the parser, as it does in the daemon. */
#include "proto/upgrade.h"
#include "guard.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define KEY	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECT "Connection: Upgrade\r\n"

static struct http_head head;
static EVP_MD_CTX *sha1;
static const struct http_stamp stamp = { .now = 0 };

static void parse(const char *line, const char *fields)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "%s\r\nHost: h\r\n%s\r\n", line, fields);

	assert_in_range(n, 1, sizeof(text) - 1);
	assert_int_equal(http_parse_head(&head, guard_copy(text, (size_t)n), (size_t)n), 0);
}

static void check_request(const char *line, const char *fields, int status)
{
	struct span key = { NULL, 0 };

	parse(line, fields);
	int got = upgrade_check(&head, &key);
	if (got != status)
		fail_msg("%d, not %d: %s %s", got, status, line, fields);
	if (status == 0)
		assert_true(span_eq(key, SPAN("dGhlIHNhbXBsZSBub25jZQ==")));
}

static void check(const char *fields, int status)
{
	check_request("GET /x HTTP/1.1", fields, status);
}

static void hs_method(void **state)
{
	static const char *const methods[] = { "POST", "HEAD", "get", "CONNECT", "GETS" };
	char line[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		snprintf(line, sizeof(line), "%s /x HTTP/1.1", methods[i]);
		check_request(line, UPGRADE CONNECT KEY VERSION, 405);
	}
	check(UPGRADE CONNECT KEY VERSION, 0);
}

static void hs_http_version(void **state)
{
	(void)state;
	check_request("GET /x HTTP/1.0", UPGRADE CONNECT KEY VERSION, 505);
}

static void hs_upgrade_token(void **state)
{
	(void)state;
	check(CONNECT KEY VERSION, 400);
	check("Upgrade: websocketx\r\n" CONNECT KEY VERSION, 400);
	check("Upgrade: web socket\r\n" CONNECT KEY VERSION, 400);
	check("Upgrade: h2c\r\n" CONNECT KEY VERSION, 400);
	check("Upgrade: \r\n" CONNECT KEY VERSION, 400);
	check("Upgrade: h2c, WebSocket\r\n" CONNECT KEY VERSION, 0);
	check("Upgrade: h2c\r\nupgrade: WEBSOCKET\r\n" CONNECT KEY VERSION, 0);
}

static void hs_connection_token(void **state)
{
	(void)state;
	check(UPGRADE KEY VERSION, 400);
	check("Connection: notupgrade\r\n" UPGRADE KEY VERSION, 400);
	check("Connection: keep-alive\r\n" UPGRADE KEY VERSION, 400);
	check("Connection: keep-alive Upgrade\r\n" UPGRADE KEY VERSION, 400);
	check("Connection: keep-alive, Upgrade\r\n" UPGRADE KEY VERSION, 0);
	check("Connection: keep-alive\r\nConnection: ,uPGRADE,\r\n" UPGRADE KEY VERSION, 0);
}

static void hs_key(void **state)
{
	static const char *const bad[] = {
		"",
		"dGhlIHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25jZQ",
		"dGhlIHNhbXBsZSBub25jZR==", /* bits behind the sixteenth byte */
		"dGhlIHNhbXBsZSBub25jZQ=A",
		"dGhlIHNhbXBsZSBub25jZQA=", /* seventeen bytes */
		"dGhlIHNhbXBsZSBub25jZQAA",
		"dGhlIHNhbXBsZSBub25j====",
		"dGhlIHNhbXBsZSBub25j",
		"dGhlIHNhbXBs SBub25jZQ==",
		"dGhlIHNhbXBs-SBub25jZQ==",
		"dGhlIHNhbXBs_SBub25jZQ==",
		"=GhlIHNhbXBsZSBub25jZQ==",
		"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
	};
	char fields[256];

	(void)state;
	check(UPGRADE CONNECT VERSION, 400);
	check(UPGRADE CONNECT VERSION KEY KEY, 400);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(fields, sizeof(fields), UPGRADE CONNECT VERSION "Sec-WebSocket-Key: %s\r\n", bad[i]);
		check(fields, 400);
	}
}

static int check_key(const char *before, int c, const char *behind)
{
	char fields[256];
	struct span key;

	snprintf(fields, sizeof(fields), UPGRADE CONNECT VERSION "Sec-WebSocket-Key: +/09AZaz0123456789ab%s%c%s==\r\n", before,
		 c, behind);
	parse("GET / HTTP/1.1", fields);
	return upgrade_check(&head, &key);
}

/* Each printing character in the last place of a whole byte, and in the last place, where only four characters leave the
 * bits behind the sixteenth byte zero. */
static void hs_key_canonical(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	(void)state;
	for (int c = '!'; c <= '~'; c++) {
		assert_int_equal(check_key("", c, "Q"), strchr(alphabet, c) != NULL ? 0 : 400);
		assert_int_equal(check_key("d", c, ""), strchr("AQgw", c) != NULL ? 0 : 400);
	}
}

static void hs_version(void **state)
{
	static const char *const bad[] = { "12", "13x", "013", "13, 8", "8", "", "13 13", "+13", "1", "14" };
	char fields[256];

	(void)state;
	check(UPGRADE CONNECT KEY, 426);
	check(UPGRADE CONNECT KEY VERSION VERSION, 426);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(fields, sizeof(fields), UPGRADE CONNECT KEY "Sec-WebSocket-Version: %s\r\n", bad[i]);
		check(fields, 426);
	}
	check(UPGRADE CONNECT "Sec-WebSocket-Version: 0\r\n", 426); /* also when the key is another version's */
}

static void check_accept(struct span key, const char *accept)
{
	char out[UPGRADE_RESPONSE_MAX + 1];
	size_t len = upgrade_response(out, UPGRADE_RESPONSE_MAX, sha1, key, (struct span){ NULL, 0 }, &stamp);

	out[len] = '\0';
	assert_non_null(strstr(out, accept));
}

static void hs_accept_vector(void **state)
{
	(void)state;
	check_accept(SPAN("dGhlIHNhbXBsZSBub25jZQ=="), "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
	/* The second depends on nothing before. */
	check_accept(SPAN("AQIDBAUGBwgJCgsMDQ4PEC=="), "\r\nSec-WebSocket-Accept: OfS0wDaT5NoxF2gqm7Zj2YtetzM=\r\n");
}

/* What is chosen stands in the list, which therefore lives until the next choice. */
static struct span choose(const char *fields, const char *ours)
{
	static struct str_list list;
	struct span rest = span_of(ours), item;

	str_list_clear(&list);
	parse("GET / HTTP/1.1", fields);
	while (span_next(&rest, ' ', &item))
		str_list_add(&list, item);
	return upgrade_subprotocol(&head, &list);
}

static void hs_subprotocol(void **state)
{
	static const char offer[] = "Sec-WebSocket-Protocol: base64, binary\r\nsec-websocket-protocol: x\r\n";

	(void)state;
	assert_true(span_eq(choose(offer, "binary base64"), SPAN("binary"))); /* our order counts */
	assert_true(span_eq(choose(offer, "y x"), SPAN("x")));
	assert_null(choose(offer, "Binary").p);
	assert_null(choose(offer, "bin").p);
	assert_null(choose(offer, "").p);
	assert_null(choose("", "binary").p);
}

static void hs_subprotocol_syntax(void **state)
{
	static const char *const bad[] = { "a, a", "a b", "a;b", "\"a\"", "", ",", "a, b, a", "\xc3\xa4" };
	static const char *const good[] = { "a", "a, b", "a, A", ", a ,", "v12.stomp" };
	char fields[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad) + ARRAY_LEN(good); i++) {
		bool ok = i >= ARRAY_LEN(bad);
		snprintf(fields, sizeof(fields), UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Protocol: %s\r\n",
			 ok ? good[i - ARRAY_LEN(bad)] : bad[i]);
		check(fields, ok ? 0 : 400);
	}
	check(UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, a\r\n", 400);
}

static void check_offers(size_t count, int status)
{
	char fields[2048] = UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Protocol: x";
	size_t len = strlen(fields);

	for (size_t i = 1; i < count; i++)
		len += (size_t)snprintf(fields + len, sizeof(fields) - len, ",p%zu", i);
	snprintf(fields + len, sizeof(fields) - len, "\r\n");
	check(fields, status);
}

static void hs_subprotocol_limit(void **state)
{
	(void)state;
	check_offers(64, 0);
	check_offers(65, 431);
}

static void upgrade_is_noticed(void **state)
{
	(void)state;
	parse("POST / HTTP/1.1", "Upgrade: x, WebSocket\r\n"); /* however wrong the rest is */
	assert_true(upgrade_requested(&head));
	parse("GET / HTTP/1.1", "Upgrade: h2c\r\n" CONNECT KEY VERSION);
	assert_false(upgrade_requested(&head));
}

#define SWITCHING                                                                                                      \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static void hs_no_extension(void **state)
{
	static const char want[] = SWITCHING "Connection: Upgrade\r\n\r\n";
	struct span key;
	char out[UPGRADE_RESPONSE_MAX];

	(void)state;
	parse("GET / HTTP/1.1", UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Extensions: permessage-deflate\r\n");
	assert_int_equal(upgrade_check(&head, &key), 0);
	assert_int_equal(upgrade_response(out, sizeof(out), sha1, key, (struct span){ NULL, 0 }, &stamp), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
}

static void hs_extensions_syntax(void **state)
{
	static const char *const good[] = {
		"permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=99", "a,b;c", "a;b=c;d",
		"a ; b = c ,, d", "a;b=\"c\"", "a;b=\"\\c\\d\"",
	};
	static const char *const bad[] = {
		"", ",,", ";", "a;", "a;;b", "a;b=", "a;=b", "=b", "a b", "a;b c", "a=b", "\"a\"", "a;b=\"", "a;b=\"\"", "a;b=\"c",
		"a;b=c\"", "a;b=\"c d\"", "a;b=\"c,d\"", "a;b=\"c;d\"", "a;b=\"c\\\"", "a;b=\"c\"d\"", "a;b=c=d", "a,b;", "bad;;syntax=",
	};
	char fields[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(bad); i++) {
		bool ok = i < ARRAY_LEN(good);
		snprintf(fields, sizeof(fields), UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Extensions: %s\r\n", ok ? good[i] : bad[i - ARRAY_LEN(good)]);
		struct span key;
		parse("GET / HTTP/1.1", fields);
		if (upgrade_check(&head, &key) != (ok ? 0 : 400))
			fail_msg("%s", fields);
	}
}

static void response_with_subprotocol(void **state)
{
	static const char want[] = SWITCHING "Sec-WebSocket-Protocol: binary\r\nConnection: Upgrade\r\n\r\n";
	struct span key = SPAN("dGhlIHNhbXBsZSBub25jZQ==");
	char out[UPGRADE_RESPONSE_MAX], longest[256];

	(void)state;
	assert_int_equal(upgrade_response(out, sizeof(out), sha1, key, (struct span){ "binary!", 6 }, &stamp), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
	assert_int_equal(upgrade_response(out, sizeof(want) - 1, sha1, key, SPAN("binary"), &stamp), 0);
	memset(longest, 'p', sizeof(longest));
	assert_int_not_equal(upgrade_response(out, sizeof(out), sha1, key, (struct span){ longest, sizeof(longest) }, &stamp), 0);
}

static int setup(void **state)
{
	sha1 = upgrade_sha1_new();
	return sha1 != NULL ? guard_open(state) : -1;
}

static int teardown(void **state)
{
	EVP_MD_CTX_free(sha1);
	return guard_close(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hs_method),
		cmocka_unit_test(hs_http_version),
		cmocka_unit_test(hs_upgrade_token),
		cmocka_unit_test(hs_connection_token),
		cmocka_unit_test(hs_key),
		cmocka_unit_test(hs_key_canonical),
		cmocka_unit_test(hs_version),
		cmocka_unit_test(hs_accept_vector),
		cmocka_unit_test(hs_subprotocol),
		cmocka_unit_test(hs_subprotocol_syntax),
		cmocka_unit_test(hs_subprotocol_limit),
		cmocka_unit_test(upgrade_is_noticed),
		cmocka_unit_test(hs_no_extension),
		cmocka_unit_test(hs_extensions_syntax),
		cmocka_unit_test(response_with_subprotocol),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
