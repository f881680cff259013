/* conditional.c owns what a request may say about the copy it has, and the part of the file that follows from it.
 * It must never touch the file, nor answer with a part when a condition or a range is in doubt. */
#include "handler/conditional.h"

#include "base/attr.h"
#include "base/hash.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Stores that want the same bytes from every build (Nix, OSTree) date all files to the epoch or a second after. */
#define EPOCH_DAY 86400

/* Does that field have a date, in one of the three forms of RFC 9110 section 5.6.7, and what date? */
static bool has_date(const struct http_head *request, const char *name, time_t *when)
{
	static const char *const forms[] = {
		"%a, %d %b %Y %H:%M:%S GMT",
		"%A, %d-%b-%y %H:%M:%S GMT",
		"%a %b %d %H:%M:%S %Y",
	};
	const struct http_field *field = http_field(request, name);
	char text[48];
	if (field == NULL || field->value.n >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)field->value.n, field->value.p);
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);
		if (end != NULL && *end == '\0') {
			*when = timegm(&tm);
			return true;
		}
	}
	return false;
}

void validators_init(struct validators *validators, const struct stat *st, bool gzip, time_t now)
{
	time_t changed = st->st_mtim.tv_sec;
	*validators = (struct validators){ .changed = changed, .dated = changed > EPOCH_DAY, .size = (uint64_t)st->st_size };
	snprintf(validators->etag, sizeof(validators->etag), "\"%" PRIx64 "-%" PRIx64 "%s\"", validators->size,
	         hash_file(HASH_START, st), gzip ? "-gz" : "");
	if (validators->dated)
		http_date(validators->modified, changed < now ? changed : now);
}

/* Is the file's tag, or any, in the list of that field? weakly: a tag that calls itself weak will do. */
static bool names(const struct http_head *request, const char *field, const struct validators *file, bool weakly)
{
	struct http_list cursor = { 0 };
	struct span tag;
	while (http_list_next(request, field, &cursor, &tag)) {
		if (weakly && span_starts(tag, SPAN("W/")))
			tag = span_skip(tag, 2);
		if (span_eq(tag, span_of(file->etag)) || span_eq(tag, SPAN("*")))
			return true;
	}
	return false;
}

/* The client wants one state of the file, and this is another. */
static bool other_state(const struct http_head *request, const struct validators *file)
{
	time_t when;
	if (http_field(request, "If-Match") != NULL)
		return !names(request, "If-Match", file, false);
	return file->dated && has_date(request, "If-Unmodified-Since", &when) && file->changed > when;
}

static bool not_modified(const struct http_head *request, const struct validators *file)
{
	time_t when;
	if (http_field(request, "If-None-Match") != NULL)
		return names(request, "If-None-Match", file, true);
	return file->dated && has_date(request, "If-Modified-Since", &when) && file->changed <= when;
}

/* A range of an older file glued to the newer one's rest would be garbage, so only an exact match lets a range through. */
static bool range_wanted(const struct http_head *request, const struct validators *file)
{
	const struct http_field *condition = http_field(request, "If-Range");
	if (!span_eq(request->method, SPAN("GET")) || http_field_count(request, "Range") != 1 || file->size == 0)
		return false; /* no range of nothing can be told in a Content-Range */
	return condition == NULL || span_eq(condition->value, span_of(file->etag)) ||
	       (file->modified[0] != '\0' && span_eq(condition->value, span_of(file->modified)));
}

/* Digits off the front of *s; a number too large to be told stands for the largest. False when there is none. */
static bool take_number(struct span *s, uint64_t *value)
{
	size_t digits = 0;
	for (*value = 0; digits < s->n && s->p[digits] >= '0' && s->p[digits] <= '9'; digits++) {
		uint64_t digit = (uint64_t)(s->p[digits] - '0');
		*value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
	}
	*s = span_skip(*s, digits);
	return digits > 0;
}

/* One byte range (RFC 9110 section 14.1.2) as first and last position, last capped to the file. False: not of that form. */
static bool read_range(struct span text, uint64_t size, uint64_t *first, uint64_t *last)
{
	if (text.n < 6 || !span_eq_nocase((struct span){ text.p, 6 }, SPAN("bytes=")))
		return false;
	text = span_trim(span_skip(text, 6));
	bool has_first = take_number(&text, first);
	if (text.n == 0 || text.p[0] != '-')
		return false;
	text = span_skip(text, 1);
	bool has_last = take_number(&text, last);
	if (text.n != 0 || (!has_first && !has_last) || (has_first && has_last && *last < *first))
		return false;

	if (!has_first)
		*first = *last == 0 ? size : *last < size ? size - *last : 0;
	if (!has_first || !has_last || *last >= size)
		*last = size - 1;
	return true;
}

int conditional_status(const struct http_head *request, const struct validators *file, struct file_part *part)
{
	uint64_t first, last;

	*part = (struct file_part){ 0, file->size };
	if (other_state(request, file))
		return 412;
	if (not_modified(request, file))
		return 304;
	if (!range_wanted(request, file) || !read_range(http_field(request, "Range")->value, file->size, &first, &last))
		return 200;
	if (first >= file->size)
		return 416;
	*part = (struct file_part){ first, last - first + 1 };
	return 206;
}
