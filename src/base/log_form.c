/* log_form.c owns the form of a record and its bound.
 * It must never take a lock, allocate, or change errno: every thread forms records, from anywhere. */
#include "base/log_form.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RECORD_TAIL 32 /* kept free for what closes a record that was cut */

/* Puts all of it or nothing; after the first piece that does not fit nothing fits any more. */
static bool put(struct record *r, const char *piece, size_t n)
{
	r->cut = r->cut || r->n + n > RECORD_MAX - RECORD_TAIL; /* r->n may be beyond: a closing quote is a tail, too */
	if (r->cut)
		return false;
	memcpy(r->text + r->n, piece, n);
	r->n += n;
	return true;
}

static void put_word(struct record *r, const char *word)
{
	put(r, word, strlen(word));
}

/* For the few bytes that RECORD_TAIL is kept for. */
static void put_tail(struct record *r, const char *tail)
{
	size_t n = strlen(tail);
	memcpy(r->text + r->n, tail, n);
	r->n += n;
}

static void put_byte(struct record *r, unsigned char c, bool quoted)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= 0x20 && c < 0x7f && c != '\\' && !(quoted && c == '"')) {
		put(r, (const char *)&c, 1);
	} else if (r->json) {
		const char escape[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
		put(r, escape, sizeof(escape));
	} else {
		const char escape[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
		put(r, escape, sizeof(escape));
	}
}

static void put_text(struct record *r, struct span text, bool quoted)
{
	if (quoted && !put(r, "\"", 1))
		return;
	for (size_t i = 0; i < text.n && !r->cut; i++)
		put_byte(r, (unsigned char)text.p[i], quoted);
	if (r->cut)
		put_tail(r, quoted ? "..." : " ...");
	if (quoted)
		put_tail(r, "\"");
}

static void put_value(struct record *r, const struct log_field *field)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@[]-,";
	char number[32];

	if (field->kind == FIELD_TEXT) {
		put_text(r, field->text, r->json || field->text.n == 0 || !span_made_of(field->text, plain));
		return;
	}
	if (field->kind == FIELD_MS)
		snprintf(number, sizeof(number), "%" PRIu64 ".%03" PRIu64, field->number / 1000, field->number % 1000);
	else
		snprintf(number, sizeof(number), "%" PRIu64, field->number);
	put_word(r, number);
}

void record_field(struct record *r, const struct log_field *field)
{
	if (r->cut || (field->kind == FIELD_TEXT && field->text.p == NULL))
		return;
	size_t before = r->n;
	put_word(r, r->json ? ",\"" : " ");
	put_word(r, field->key);
	put_word(r, r->json ? "\":" : "=");
	size_t start = r->n;
	if (!r->cut)
		put_value(r, field);
	if (r->n == start)
		r->n = before; /* a key without its value */
}

/* "2026-11-22T19:18:01.123Z" */
static void print_time(char *out, size_t cap)
{
	struct timespec now;
	struct tm day;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &day);
	size_t n = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &day);
	snprintf(out + n, cap - n, ".%03ldZ", now.tv_nsec / 1000000);
}

void record_begin(struct record *r, enum log_level level, enum log_format format, bool dated, const char *event)
{
	static const char *const names[] = { "error", "warn", "info", "debug" }; /* of each level */
	char time[48] = "", begin[96];

	r->level = level;
	r->json = format == LOG_JSON;
	r->cut = false;
	r->n = 0;
	if (r->json || !dated)
		print_time(time, sizeof(time));
	if (r->json)
		snprintf(begin, sizeof(begin), "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", time, names[level]);
	else
		snprintf(begin, sizeof(begin), "%s%s%-5s ", time, dated ? "" : " ", names[level]);
	put_word(r, begin);
	put_text(r, span_of(event), r->json);
}

void record_end(struct record *r)
{
	if (r->json)
		put_tail(r, r->cut ? ",\"cut\":true}" : "}");
	else if (r->cut && r->text[r->n - 1] != '.')
		put_tail(r, " ...");
	put_tail(r, "\n");
}
