/* test_http.c proves the strict reading of request heads, one test a rule.
 * It must never accept a status other than the one the contract names. */
#include "proto/http.h"
#include "guard.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define HEAD_LIMIT 8192

#define START "GET / HTTP/1.1\r\nHost: h\r\n"

static struct http_head head;

/* What the bytes come to when `first` of them arrive at once and the rest in steps: the status, or 0 for a good head. */
static int judge(const char *text, size_t len, size_t first, size_t step)
{
	size_t scanned = 0;
	int n = 0;

	for (size_t have = first; n == 0; have = len - have < step ? len : have + step) {
		n = http_head_length(guard_copy(text, have), have, HEAD_LIMIT, &scanned);
		if (have == len)
			break;
	}
	if (n < 0)
		return -n;
	assert_int_equal(n, len);
	return http_parse_head(&head, guard_copy(text, len), len);
}

static void check_bytes(const char *text, size_t len, int status)
{
	int got = judge(text, len, len, 1);
	if (got != status)
		fail_msg("%d, not %d: %.*s", got, status, (int)(len < 300 ? len : 300), text);
	assert_int_equal(judge(text, len, 0, 1), status);
	for (size_t cut = 0; cut < len && len < 1000; cut++)
		assert_int_equal(judge(text, len, cut, len), status);
}

static void check(const char *text, int status)
{
	check_bytes(text, strlen(text), status);
}

/* A request that is fine but for these fields. */
static void check_fields(const char *fields, int status)
{
	char text[1024];
	snprintf(text, sizeof(text), START "%s\r\n", fields);
	check(text, status);
}

static void check_line(const char *line, int status)
{
	char text[1024];
	snprintf(text, sizeof(text), "%s\r\nHost: h\r\n\r\n", line);
	check(text, status);
}

static void assert_span(struct span got, const char *want)
{
	if (want == NULL ? got.p != NULL : !span_eq(got, span_of(want)) || got.p == NULL)
		fail_msg("\"%.*s\", not \"%s\"", (int)got.n, got.n == 0 ? "" : got.p, want == NULL ? "(absent)" : want);
}

static void hs_request_line(void **state)
{
	static const char *const bad[] = {
		" ",		     "GET",			"GET /",		    "GET / ",
		"GET  / HTTP/1.1",   "GET /  HTTP/1.1",		" GET / HTTP/1.1",	    "GET / HTTP/1.1 ",
		"GET\t/ HTTP/1.1",   "G(T / HTTP/1.1",		"GET / HTTP/1.1 x",	    "GET /a b HTTP/1.1",
		"GET x HTTP/1.1",    "GET * HTTP/1.1",		"CONNECT h:80 HTTP/1.1",    "GET /\x01 HTTP/1.1",
		"GET /\x7f HTTP/1.1", "GET /\xc3\xa4 HTTP/1.1", "GET /#f HTTP/1.1",	    "GET / http/1.1",
		"GET / HTTP/1",	     "GET / HTTP/11",		"GET / HTTP/1.1x",	    "GET / HTTP/1.10",
		"GET / HTTPS/1.1",   "GET / HTTP/x.1",		"GET / HTTP/1.x",	    "GET / HTTP 1.1",
		"GET ?x HTTP/1.1",   "G\xc3T / HTTP/1.1",	"GET / HTTP/1,1",
	};
	static const char *const good[] = { "GET / HTTP/1.1", "BREW /pot HTTP/1.1", "GET //x HTTP/1.1", "GET /%zz?a|b HTTP/1.1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_line(bad[i], 400);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		check_line(good[i], 0);
}

static void hs_http_version(void **state)
{
	(void)state;
	check_line("GET / HTTP/2.0", 505);
	check_line("GET / HTTP/3.1", 505);
	check_line("GET / HTTP/0.9", 505);
	check_line("GET / HTTP/1.0", 0);
	assert_int_equal(head.minor, 0);
	for (char minor = '1'; minor <= '9'; minor++) { /* RFC 9110 section 2.5 */
		char line[] = "GET / HTTP/1.x";
		line[sizeof(line) - 2] = minor;
		check_line(line, 0);
		assert_int_equal(head.minor, 1);
	}
}

/* RFC 9112 section 3.2.4 */
static void hs_asterisk_form(void **state)
{
	(void)state;
	check_line("OPTIONS * HTTP/1.1", 0);
	assert_span(head.path, "*");
	assert_span(head.query, NULL);
	check_line("GET * HTTP/1.1", 400);
	check_line("options * HTTP/1.1", 400);
	check_line("OPTIONS ** HTTP/1.1", 400);
	check_line("OPTIONS *?x HTTP/1.1", 400);
}

static void hs_host_count(void **state)
{
	static const char *const bad[] = {
		"",		     "Host: a\r\nHost: a\r\n", "Host: a\r\nhOST: b\r\n", "Host:\r\n",	   "Host: \r\n",
		"Host: a b\r\n",     "Host: a,b\r\n",	       "Host: u@h\r\n",		 "Host: h/x\r\n",  "Host: h:80x\r\n",
		"Host: h:65536\r\n", "Host: h:1:2\r\n",	       "Host: [::1\r\n",	 "Host: ::1\r\n",  "Host: [::g]\r\n",
		"Host: :80\r\n",     "Host: [::1]80\r\n",      "Host: h\xc3\xa4\r\n",	 "Host: h?\r\n",   "Host: []\r\n",
		"Host: http://h\r\n", "Host: h:123456\r\n",     "Host: h%41\r\n",
	};
	static const char *const good[] = { "Host: a!b.x\r\n", "Host: !$&'()*+;=\r\n", "Host: a\r\n", "host:a.b-c_d:80\r\n", "HOST: \t[2001:db8::1]:443 \r\n", "Host: h:\r\n",
					    "Host: [::1]\r\n", "Host: 127.0.0.1:65535\r\n" };
	char text[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad) + ARRAY_LEN(good); i++) {
		bool ok = i >= ARRAY_LEN(bad);
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", ok ? good[i - ARRAY_LEN(bad)] : bad[i]);
		check(text, ok ? 0 : 400);
	}
	check("GET / HTTP/1.0\r\n\r\n", 0);
	assert_span(head.authority, NULL);
	check("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400);
}

static void hs_absolute_form(void **state)
{
	static const char *const bad[] = { "ftp://a/",	"http:/a/", "http//a/",	 "http://",    "http:///x", "http://u@a/",
					   "http://a b/", "https://a:x/", "://a/", "http://?x", "httpx://a/",
					   "http:xxa/" };
	char line[100];

	(void)state;
	check_line("GET HTTP://a.example:81/p/q?r=s HTTP/1.1", 0);
	assert_span(head.authority, "a.example:81");
	assert_span(head.path, "/p/q");
	assert_span(head.query, "r=s");
	assert_span(head.target, "HTTP://a.example:81/p/q?r=s");
	check_line("GET wss://[::1]?x HTTP/1.1", 0);
	assert_span(head.authority, "[::1]");
	assert_span(head.path, "/");
	assert_span(head.query, "x");
	check_line("GET https://a HTTP/1.1", 0);
	assert_span(head.path, "/");
	assert_span(head.query, NULL);
	check("GET ws://a/ HTTP/1.1\r\n\r\n", 400); /* Host is due all the same */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(line, sizeof(line), "GET %s HTTP/1.1", bad[i]);
		check_line(line, 400);
	}
}

/* Told before the head is complete, by its last byte. */
static void check_at_once(const char *text, size_t len)
{
	size_t scanned = 0;

	assert_int_equal(http_head_length(guard_copy(text, len - 1), len - 1, HEAD_LIMIT, &scanned), 0);
	assert_int_equal(http_head_length(guard_copy(text, len), len, HEAD_LIMIT, &scanned), -400);
}

static void hs_line_ends(void **state)
{
	static const char nul[] = START "X: a\0b\r\n\r\n";

	(void)state;
	check("GET / HTTP/1.1\nHost: h\r\n\r\n", 400);
	check("GET / HTTP/1.1\r\nHost: h\n\r\n", 400);
	check("GET / HTTP/1.1\r\nHost: h\r\n\n", 400);
	check("GET / HTTP/1.1\rHost: h\r\n\r\n", 400);
	check("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", 400);
	check_fields("X: a\rb\r\n", 400);
	check_fields("X: a\nY: b\r\n", 400);
	check("\r\n" START "\r\n", 0); /* RFC 9112 section 2.2: one empty line in front is nobody's fault */
	assert_span(head.method, "GET");
	check("\r\n\r\n", 400);
	check_at_once("\r\n\n", 3);
	check_bytes(nul, sizeof(nul) - 1, 400);
	check_at_once("GET\0", 4);
	check_at_once("GET /\rx", 7);
	check_at_once("GET /\n", 6);
	assert_int_equal(http_parse_head(&head, START "X: ab\n\r\n", strlen(START) + 8), 400);
}

static void hs_field_syntax(void **state)
{
	static const char *const bad[] = {
		"X : a\r\n", "X\t: a\r\n", ": a\r\n",	    " X: a\r\n",      "X: a\r\n folded\r\n", "X: a\r\n\tfolded\r\n",
		"X\r\n",     "X a: b\r\n", "X(: a\r\n",	    "X\xc3: a\r\n",   "X: \x01\r\n",	     "X: \x7f\r\n",
		"X: a\x1b[0m\r\n", "@: a\r\n", "X{: a\r\n", "X,: a\r\n", "\"X\": a\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_fields(bad[i], 400);
	check_fields("X:a:b\r\nx: \t \r\nY-9!#$%&'*+.^_`|~: \xc3\xa4 \t c\t\r\n", 0);
	assert_int_equal(head.fields_count, 4);
	assert_span(head.fields[1].value, "a:b");
	assert_span(head.fields[2].value, "");
	assert_span(head.fields[3].name, "Y-9!#$%&'*+.^_`|~");
	assert_span(head.fields[3].value, "\xc3\xa4 \t c");
}

static void hs_body(void **state)
{
	static const char *const bad[] = {
		"Content-Length: 0\r\nContent-Length: 0\r\n", "Content-Length: -0\r\n", "Content-Length: +0\r\n",
		"Content-Length: 0x0\r\n", "Content-Length: \r\n", "Content-Length: 0, 0\r\n",
		"transfer-encoding: identity\r\n", "Transfer-Encoding:\r\n", "Transfer-Encoding: chunked, gzip\r\n",
		"Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
		"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_fields(bad[i], 400);
	check_fields("Transfer-Encoding: chunked\r\n", 413);
	check_fields("transfer-encoding: gzip,\tChunked\r\n", 413);
	check_fields("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 413);
	check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
	check_fields("Content-Length: 0\r\n", 0);
	check_fields("Content-Length: 1\r\n", 413);
	check_fields("content-length: 18446744073709551616\r\n", 413);
}

/* What a page can make a browser send is told from what it can't. */
static void browser_can(void **state)
{
	static const char *const can[] = { "Host: a{b}.example\r\n", "Host: a`b\r\n", "Host: a,b\r\n", "Host: a%21b\r\n",
		                           "Host: h\r\nAccept: \x01\r\n" };
	static const char *const cannot[] = { "", "Host: a\r\nHost: a\r\n", "Host : a\r\n", "Host: a\r\n X\r\n",
		                              "Host: a\r\nX(: y\r\n", "Host: a\r\nContent-Length: -1\r\n" };
	char text[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(can) + ARRAY_LEN(cannot); i++) {
		bool browser = i < ARRAY_LEN(can);
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", browser ? can[i] : cannot[i - ARRAY_LEN(can)]);
		check(text, 400);
		assert_int_equal(head.browser_can, browser);
	}
}

/* A request whose target is len bytes. */
static void check_target_length(size_t len, int status)
{
	char text[HEAD_LIMIT];
	int n = snprintf(text, sizeof(text), "GET /%0*d HTTP/1.1\r\nHost: h\r\n\r\n", (int)len - 1, 0);
	check_bytes(text, (size_t)n, status);
}

static void hs_target_limit(void **state)
{
	(void)state;
	check_target_length(HTTP_TARGET_MAX, 0);
	check_target_length(HTTP_TARGET_MAX + 1, 414);
}

static void check_head_size(size_t len, int status)
{
	static char text[HEAD_LIMIT * 2];
	int n = snprintf(text, sizeof(text), START "X: %0*d\r\n\r\n", (int)(len - strlen(START) - 7), 0);

	assert_int_equal(n, len);
	check_bytes(text, len, status);
}

static void check_field_count(size_t count, int status)
{
	char text[HEAD_LIMIT] = START;

	for (size_t i = 1; i < count; i++)
		strcat(text, "a: b\r\n");
	strcat(text, "\r\n");
	check(text, status);
}

static void hs_head_limits(void **state)
{
	static char endless[HEAD_LIMIT + 1];
	size_t scanned = 0;

	(void)state;
	check_head_size(HEAD_LIMIT, 0);
	check_head_size(HEAD_LIMIT + 1, 431);
	check_field_count(HTTP_FIELDS_MAX, 0);
	check_field_count(HTTP_FIELDS_MAX + 1, 431);
	memset(endless, 'a', sizeof(endless));
	assert_int_equal(http_head_length(endless, HEAD_LIMIT - 1, HEAD_LIMIT, &scanned), 0);
	assert_int_equal(http_head_length(endless, HEAD_LIMIT, HEAD_LIMIT, &scanned), -431);
	assert_int_equal(http_head_length(endless, HEAD_LIMIT + 1, HEAD_LIMIT, &scanned), -431);
}

static void hs_pipelined_frame(void **state)
{
	static const char text[] = START "\r\n\x82\x00\n\r\0";
	size_t scanned = 0;

	(void)state;
	assert_int_equal(http_head_length(text, sizeof(text), HEAD_LIMIT, &scanned), strlen(START) + 2);
}

static void keep_alive(void **state)
{
	static const struct {
		const char *text;
		bool keep;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: foo\r\nConnection: keep-alive, CLOSE\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\nHost: h\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive, close\r\n\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check(rows[i].text, 0);
		assert_int_equal(head.keep_alive, rows[i].keep);
	}
}

static void parts_of_a_request(void **state)
{
	(void)state;
	check("HEAD /a/b?c=d?e HTTP/1.1\r\nhOst: h:1\r\nX: one\r\nx: two\r\n\r\n", 0);
	assert_span(head.method, "HEAD");
	assert_span(head.target, "/a/b?c=d?e");
	assert_span(head.authority, "h:1");
	assert_span(head.path, "/a/b");
	assert_span(head.query, "c=d?e");
	assert_span(http_field(&head, "X")->value, "one");
	assert_int_equal(http_field_count(&head, "X"), 2);
	assert_null(http_field(&head, "Y"));
	assert_int_equal(http_field_count(&head, "Y"), 0);
	check("GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", 0);
	assert_span(head.query, "");
	check("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", 0);
	assert_span(head.query, NULL);
	assert_int_equal(http_parse_head(&head, START, strlen(START)), 400); /* not what http_head_length measured */
	assert_int_equal(http_parse_head(&head, START "\r\nX", strlen(START) + 3), 400);
	assert_int_equal(http_parse_head(&head, "", 0), 400);
}

static void lists(void **state)
{
	char seen[64] = "";
	struct http_list cursor = { 0 };
	struct span element;

	(void)state;
	check_fields("L: a , ,b\r\nM: no\r\nl:\r\nl: ,\r\nL: c d,\r\n", 0);
	while (http_list_next(&head, "L", &cursor, &element)) {
		strncat(seen, element.p, element.n);
		strcat(seen, ";");
	}
	assert_string_equal(seen, "a;b;c d;");
	assert_false(http_list_next(&head, "L", &cursor, &element));
	assert_true(http_list_has(&head, "l", SPAN("B")));
	assert_false(http_list_has(&head, "L", SPAN("c")));
	assert_false(http_list_has(&head, "L", SPAN("no")));
	assert_false(http_list_has(&head, "N", SPAN("a")));
}

static void authorities(void **state)
{
	static const struct {
		const char *text, *host, *port;
	} rows[] = {
		{ "h", "h", NULL },	  { "h:0", "h", "0" },	       { "a.b:65535", "a.b", "65535" }, { "h:", "h", NULL },
		{ "[::1]", "::1", NULL }, { "[::1]:80", "::1", "80" }, { "[::1]:", "::1", NULL },	{ "1.2.3.4:5", "1.2.3.4", "5" },
	};
	static const char *const bad[] = { "",	     ":",	":1",	  "[",	    "[]",	"[1.2.3.4]", "[::1%lo]", "[::1]x",
					   "[::1]x:1", "x[::1]", "h:+1",  "h:000080", "h:65536", "h::1",     "a\tb",     "[h]:1",
					   "[::1]]:1", "[::1:80" };
	struct span host, port;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		struct span text = { guard_copy(rows[i].text, len), len };
		assert_true(http_split_authority(text, &host, &port));
		assert_span(host, rows[i].host);
		assert_span(port, rows[i].port);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		size_t len = strlen(bad[i]);
		if (http_split_authority((struct span){ guard_copy(bad[i], len), len }, &host, &port))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_false(http_split_authority(SPAN("[::1\0]"), &host, &port));
	assert_false(http_split_authority(SPAN("[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee]"), &host,
					  &port));
	assert_false(http_split_authority((struct span){ NULL, 0 }, &host, &port));
}

static void percent_decoding(void **state)
{
	static const struct {
		const char *text;
		bool plus;
		const char *want; /* NULL: refused */
	} rows[] = {
		{ "", false, "" },	  { "a%20b", false, "a b" }, { "%2F%2f%c3%A4", false, "//\xc3\xa4" },
		{ "a+b", false, "a+b" },  { "a+b%2B", true, "a b+" }, { "%2541", false, "%41" },
		{ "%", false, NULL },	  { "%4", false, NULL },     { "%4g", false, NULL },
		{ "%g4", false, NULL },	  { "a%00b", false, NULL },  { "%%41", false, NULL },
		{ "% 1", false, NULL },	  { "%-1", false, NULL },    { "%41%", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		char *out = malloc(len + 1);
		long n = http_percent_decode(out, (struct span){ guard_copy(rows[i].text, len), len }, rows[i].plus);
		assert_int_equal(n, rows[i].want == NULL ? -1 : (long)strlen(rows[i].want));
		if (rows[i].want != NULL)
			assert_string_equal(out, rows[i].want);
		free(out);
	}
}

static void query_parameters(void **state)
{
	static const struct {
		const char *query, *value;
	} rows[] = {
		{ "token=a", "a" },	   { "x=1&token=b&token=c", "b" }, { "token=", "" },	  { "token", "" },
		{ "token=a=b%20", "a=b%20" }, { "tokens=a", NULL },	   { "xtoken=a", NULL },  { "", NULL },
		{ "Token=a", NULL },	   { "&&token=z", "z" },	   { "a=token=b", NULL }, { "x&token", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_span(http_query_param(span_of(rows[i].query), SPAN("token")), rows[i].value);
	assert_span(http_query_param((struct span){ NULL, 0 }, SPAN("token")), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hs_request_line),
		cmocka_unit_test(hs_http_version),
		cmocka_unit_test(hs_asterisk_form),
		cmocka_unit_test(browser_can),
		cmocka_unit_test(hs_host_count),
		cmocka_unit_test(hs_absolute_form),
		cmocka_unit_test(hs_line_ends),
		cmocka_unit_test(hs_field_syntax),
		cmocka_unit_test(hs_body),
		cmocka_unit_test(hs_target_limit),
		cmocka_unit_test(hs_head_limits),
		cmocka_unit_test(hs_pipelined_frame),
		cmocka_unit_test(keep_alive),
		cmocka_unit_test(parts_of_a_request),
		cmocka_unit_test(lists),
		cmocka_unit_test(authorities),
		cmocka_unit_test(percent_decoding),
		cmocka_unit_test(query_parameters),
	};

	return cmocka_run_group_tests(tests, guard_open, guard_close);
}
