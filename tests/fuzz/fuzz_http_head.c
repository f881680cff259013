/* fuzz_http_head.c owns what must hold for any bytes that arrive as a request head, whole or in pieces.
 * It must never take over how http.c finds something: each answer is looked for again by plainer means. */
#include "check.h"
#include "proto/http.h"

#include <stddef.h>

#define HEAD_LIMIT 8192

static int length_of(const char *buf, size_t len)
{
	size_t scanned = 0;

	return http_head_length(buf, len, HEAD_LIMIT, &scanned);
}

/* Bytes that come one at a time end in the same answer, and at the byte that decides it. */
static void check_growing(const char *buf, size_t len, int whole)
{
	size_t scanned = 0;
	int so_far = 0;

	for (size_t n = 1; n <= len && so_far == 0; n++) {
		so_far = http_head_length(buf, n, HEAD_LIMIT, &scanned);
		CHECK(so_far <= 0 || (size_t)so_far == n);
	}
	CHECK(so_far == whole);
}

static int naive_length(const char *buf, size_t len)
{
	for (size_t i = 0; i < len && i < HEAD_LIMIT; i++) {
		if (buf[i] == '\0' || (buf[i] == '\n' && (i == 0 || buf[i - 1] != '\r')))
			return -400;
		if (buf[i] != '\n' && i > 0 && buf[i - 1] == '\r')
			return -400;
		if (i >= 3 && memcmp(buf + i - 3, "\r\n\r\n", 4) == 0)
			return (int)i + 1;
	}
	return len >= HEAD_LIMIT ? -431 : 0;
}

static void check_span(struct span s, const char *buf, size_t len)
{
	CHECK(s.p == NULL || lies_within(s, buf, len));
	for (size_t i = 0; i < s.n; i++)
		CHECK(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0');
}

static void check_fields(const struct http_head *head, const char *buf, size_t len)
{
	size_t skipped = memcmp(buf, "\r\n", 2) == 0 ? 2 : 0;
	const char *at = memchr(buf + skipped, '\n', len - skipped);

	CHECK(head->fields_count <= HTTP_FIELDS_MAX);
	for (size_t i = 0; i < head->fields_count; i++) {
		struct span name = head->fields[i].name, value = head->fields[i].value;
		check_span(name, buf, len);
		check_span(value, buf, len);
		CHECK(http_is_token(name) && name.p == at + 1 && name.p[name.n] == ':');
		at = memchr(at + 1, '\n', len - (size_t)(at + 1 - buf));
		CHECK(value.p + value.n < at);
		CHECK(value.n == 0 || (value.p[0] != ' ' && value.p[0] != '\t'));
		for (const char *gap = value.p + value.n; gap < at - 1; gap++)
			CHECK(*gap == ' ' || *gap == '\t');
	}
	CHECK(at + 3 == buf + len); /* no line was left out */
}

static void check_target(const struct http_head *head, const char *buf, size_t len)
{
	struct span host, port, token = http_query_param(head->query, SPAN("token"));

	check_span(head->method, buf, len);
	check_span(head->target, buf, len);
	check_span(head->authority, buf, len);
	check_span(head->query, buf, len);
	CHECK(http_is_token(head->method) && head->target.n > 0 && head->target.n <= HTTP_TARGET_MAX);
	CHECK(head->path.n > 0 && (head->path.p[0] == '/' || span_eq(head->path, SPAN("*"))));
	CHECK(head->path.p[0] == '/' || span_eq(head->method, SPAN("OPTIONS")));
	CHECK(memchr(head->path.p, '?', head->path.n) == NULL);
	if (!span_eq(head->path, SPAN("/")))
		CHECK(lies_within(head->path, head->target.p, head->target.n));
	CHECK(head->query.p == NULL || head->query.p[-1] == '?');
	CHECK(token.p == NULL || lies_within(token, head->query.p, head->query.n));
	CHECK(head->minor == 1 || head->minor == 0);
	CHECK(head->authority.p != NULL || head->minor == 0);
	CHECK(head->authority.p == NULL || http_split_authority(head->authority, &host, &port));
}

static void check_meaning(const struct http_head *head)
{
	const struct http_field *length = http_field(head, "content-length");

	CHECK(http_field_count(head, "HOST") <= 1 && http_field_count(head, "transfer-encoding") == 0);
	CHECK(head->minor == 0 || http_field(head, "host") != NULL);
	for (size_t i = 0; length != NULL && i < length->value.n; i++)
		CHECK(length->value.p[i] == '0');
	if (http_list_has(head, "connection", SPAN("CLOSE")))
		CHECK(!head->keep_alive);
	else
		CHECK(head->keep_alive == (head->minor == 1 || http_list_has(head, "connection", SPAN("Keep-Alive"))));
}

static void check_parse(const uint8_t *data, size_t len)
{
	static struct http_head head;
	char *buf = exact_copy(data, len);
	int status = http_parse_head(&head, buf, len);

	CHECK(status == 0 || status == 400 || status == 413 || status == 414 || status == 431 || status == 505);
	if (status == 0) {
		check_fields(&head, buf, len);
		check_target(&head, buf, len);
		check_meaning(&head);
	}
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *buf = exact_copy(data, size);
	int whole = length_of(buf, size);

	CHECK(whole == naive_length(buf, size));
	check_growing(buf, size, whole);
	free(buf);
	if (whole > 0)
		check_parse(data, (size_t)whole);
	return 0;
}
