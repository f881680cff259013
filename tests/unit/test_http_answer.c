/* test_http_answer.c proves what every answer says, and that nothing of a peer's making gets into a head.
 * It must never look at a part of an answer only: what is compared is the whole of it. */
#include "proto/http_answer.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DATE    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define NOSNIFF "X-Content-Type-Options: nosniff\r\n"
#define WORDS   "Cache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\n"

static const struct http_stamp plain = { .now = 784111777 }, secure = { .now = 784111777, .hsts = 31536000 };

static void assert_answer(const struct http_answer *answer, const char *want)
{
	if (answer->len != strlen(want) || memcmp(answer->buf, want, answer->len) != 0)
		fail_msg("%.*s\n-- not --\n%s", (int)answer->len, answer->buf, want);
	assert_false(answer->overflow);
}

static void dates(void **state)
{
	char date[HTTP_DATE_MAX];

	(void)state;
	http_date(date, 784111777);
	assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT"); /* the example of RFC 9110 */
	http_date(date, 0);
	assert_string_equal(date, "Thu, 01 Jan 1970 00:00:00 GMT");
	http_date(date, 1709210096);
	assert_string_equal(date, "Thu, 29 Feb 2024 12:34:56 GMT");
	http_date(date, INT64_MAX);
	assert_string_equal(date, "");
}

/* Whatever room there is: a whole answer, or it is said that there was too little. */
static void room(void **state)
{
	static const char want[] = "HTTP/1.1 404 Not Found\r\n" DATE NOSNIFF "X: y 7\r\n" WORDS
	                           "Content-Length: 6\r\nConnection: close\r\n\r\nwords\n";

	(void)state;
	for (size_t cap = 0; cap <= sizeof(want); cap++) {
		struct http_answer answer;
		char *exact = malloc(cap + 1); /* for the sanitizer */
		http_answer_start(&answer, exact, cap, 404, &plain);
		http_answer_field(&answer, "X", "%s %d", "y", 7);
		http_answer_words(&answer, SPAN("words"), false, false);
		assert_int_equal(answer.overflow, cap < sizeof(want));
		if (!answer.overflow)
			assert_answer(&answer, want);
		free(exact);
	}
	assert_string_equal(http_status_text(101), "Switching Protocols");
	assert_string_equal(http_status_text(299), "Unknown");
}

/* The fields that a status demands. */
static void statuses(void **state)
{
	static const struct {
		int status;
		const char *line, *fields, *connection;
	} rows[] = {
		{ 200, "200 OK", "", "close" },
		{ 400, "400 Bad Request", "", "close" },
		{ 405, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", "close" },
		{ 426, "426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", "close, Upgrade" },
		{ 429, "429 Too Many Requests", "Retry-After: 10\r\n", "close" },
		{ 503, "503 Service Unavailable", "Retry-After: 5\r\n", "close" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_answer answer;
		char buf[512], want[512];
		http_answer_start(&answer, buf, sizeof(buf), rows[i].status, &plain);
		http_answer_words(&answer, SPAN("x"), false, true);
		snprintf(want, sizeof(want), "HTTP/1.1 %s\r\n" DATE NOSNIFF "%s" WORDS "Content-Length: 2\r\nConnection: %s\r\n\r\n",
		         rows[i].line, rows[i].fields, rows[i].connection);
		assert_answer(&answer, want);
	}
}

static void switching(void **state)
{
	struct http_answer answer;
	char buf[512];

	(void)state;
	http_answer_start(&answer, buf, sizeof(buf), 101, &secure);
	http_answer_end(&answer, true);
	assert_answer(&answer, "HTTP/1.1 101 Switching Protocols\r\nStrict-Transport-Security: max-age=31536000\r\n"
	                       "Connection: Upgrade\r\n\r\n");
}

static void kept_alive(void **state)
{
	struct http_answer answer;
	char buf[512];

	(void)state;
	http_answer_start(&answer, buf, sizeof(buf), 304, &secure);
	http_answer_end(&answer, true);
	assert_answer(&answer, "HTTP/1.1 304 Not Modified\r\nStrict-Transport-Security: max-age=31536000\r\n" DATE NOSNIFF
	                       "Connection: keep-alive\r\n\r\n");
}

/* A field that could end its line is dropped whole, and so is what does not fit; what still fits comes behind it. */
static void field_dropped(void **state)
{
	static const char *const splitting[] = { "a\r\nSet-Cookie: b", "a\n", "\r", "a\x01" };
	static const char want[] = "HTTP/1.1 101 Switching Protocols\r\nX: y\t\xc3\xa4\r\nConnection: Upgrade\r\n\r\n";
	struct http_answer answer;
	char buf[sizeof(want)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(splitting); i++) {
		http_answer_start(&answer, buf, sizeof(buf), 101, &plain);
		http_answer_field(&answer, "Location", "%s", splitting[i]);
		assert_true(answer.overflow);
		http_answer_text(&answer, "X", SPAN("y\t\xc3\xa4"));
		http_answer_end(&answer, false);
		answer.overflow = false;
		assert_answer(&answer, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates),      cmocka_unit_test(room),          cmocka_unit_test(statuses),
		cmocka_unit_test(switching),  cmocka_unit_test(kept_alive),    cmocka_unit_test(field_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
