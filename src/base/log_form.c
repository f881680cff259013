/* log_form.c owns the form of a record and its bound.
 * It must never take a lock, allocate, or change errno: every thread forms records, from anywhere. */
#include "base/log_form.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RECORD_TAIL 32 /* kept free for what closes a record that was cut */

static const struct {
	const char *name, *padded;
} levels[] = {
	[LEVEL_ERROR] = { "error", "error " },
	[LEVEL_WARN] = { "warn", "warn  " },
	[LEVEL_INFO] = { "info", "info  " },
	[LEVEL_DEBUG] = { "debug", "debug " },
};

/* Puts all of it or nothing; after the first piece that does not fit nothing fits any more. */
static bool put(struct record *r, const char *piece, size_t n)
{
	if (r->cut || r->n + n > RECORD_MAX - RECORD_TAIL) { /* r->n may be beyond: a closing quote is a tail, too */
		r->cut = true;
		return false;
	}
	memcpy(r->text + r->n, piece, n);
	r->n += n;
	return true;
}

static bool put_word(struct record *r, const char *word)
{
	return put(r, word, strlen(word));
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

static bool is_plain(struct span text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@[]-,";

	for (size_t i = 0; i < text.n; i++)
		if (memchr(plain, text.p[i], sizeof(plain) - 1) == NULL)
			return false;
	return text.n > 0;
}

static void put_value(struct record *r, const struct log_field *field)
{
	char number[32];

	if (field->kind == FIELD_TEXT) {
		put_text(r, field->text, r->json || !is_plain(field->text));
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

static void put_time(struct record *r)
{
	struct timespec now;
	struct tm day;
	char date[32], time[48];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &day);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &day);
	snprintf(time, sizeof(time), "%s.%03ldZ", date, now.tv_nsec / 1000000);
	put_word(r, time);
}

void record_begin(struct record *r, enum log_level level, enum log_format format, bool dated)
{
	r->level = level;
	r->json = format == LOG_JSON;
	r->cut = false;
	r->n = 0;
	if (r->json) {
		put_word(r, "{\"time\":\"");
		put_time(r);
		put_word(r, "\",\"level\":\"");
		put_word(r, levels[level].name);
		put_word(r, "\",\"event\":");
		return;
	}
	if (!dated) {
		put_time(r);
		put_word(r, " ");
	}
	put_word(r, levels[level].padded);
}

void record_event(struct record *r, const char *event)
{
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
