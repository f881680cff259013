/* fuzz_http_list.c owns the comparison of the walk through comma-separated lists with a split of one joined text.
 * It must never share the cursor's way of going from field to field, which is what the walk can get wrong. */
#include "check.h"
#include "proto/http.h"

#define JOINED_MAX 8192

static const char *const names[] = { "Connection", "CONNECTION", "Upgrade", "connection" };

/* Each line of input is a field; its first byte chooses the name. */
static void fill(struct http_head *head, struct span text)
{
	head->fields_count = 0;
	while (text.n > 0 && head->fields_count < HTTP_FIELDS_MAX) {
		struct span line = take_input_line(&text);
		if (line.n == 0)
			continue;
		struct span name = span_of(names[(unsigned char)line.p[0] % ARRAY_LEN(names)]);
		head->fields[head->fields_count++] = (struct http_field){ name, span_trim(span_skip(line, 1)) };
	}
}

static size_t join(const struct http_head *head, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < head->fields_count; i++) {
		struct span value = head->fields[i].value;
		if ((head->fields[i].name.p[0] | 0x20) != 'c')
			continue;
		if (value.n > 0)
			memcpy(out + n, value.p, value.n);
		n += value.n;
		out[n++] = ',';
	}
	return n;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The element that ends before the comma at `end`, without the blanks around it. */
static struct span element_at(const char *start, const char *end)
{
	while (start < end && is_blank(*start))
		start++;
	while (start < end && is_blank(end[-1]))
		end--;
	return (struct span){ start, (size_t)(end - start) };
}

static void compare(const struct http_head *head, const char *joined, size_t len)
{
	struct http_list cursor = { 0 };
	struct span element;
	const char *start = joined;

	for (const char *at = joined; at < joined + len; at++) {
		if (*at != ',')
			continue;
		struct span want = element_at(start, at);
		start = at + 1;
		if (want.n == 0)
			continue;
		CHECK(http_list_next(head, "connection", &cursor, &element));
		CHECK(element.n == want.n && memcmp(element.p, want.p, want.n) == 0);
		CHECK(http_list_has(head, "Connection", want));
	}
	CHECK(!http_list_next(head, "connection", &cursor, &element));
	CHECK(!http_list_next(head, "connection", &cursor, &element));
	CHECK(!http_list_has(head, "Connection", SPAN("a,b")) && !http_list_has(head, "Connection", SPAN("")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head;
	static char joined[JOINED_MAX];

	if (size > JOINED_MAX / 2)
		return 0;
	char *copy = exact_copy(data, size);
	fill(&head, (struct span){ copy, size });
	compare(&head, joined, join(&head, joined));
	free(copy);
	return 0;
}
