/* str.c owns the reading of words: spans, numbers with units, likeness, lists, and the escaping of untrusted bytes.
 * It must never trust a span to be NUL-terminated, nor a character class to be the locale's. */
#include "base/str.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rest of a list whose last byte was a separator: one empty item is still owed. */
static const char one_empty_item[1] = "";

struct span span_of(const char *text)
{
	return (struct span){ text, text == NULL ? 0 : strlen(text) };
}

static char ascii_lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c | 0x20);
	return c;
}

static bool same_bytes(const char *a, const char *b, size_t n)
{
	return n == 0 || memcmp(a, b, n) == 0; /* memcmp may not be given the NULL of an absent span */
}

bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && same_bytes(a.p, b.p, a.n);
}

bool span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	if (same_bytes(a.p, b.p, a.n)) /* mostly it is written as everybody writes it */
		return true;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && same_bytes(s.p, prefix.p, prefix.n);
}

bool span_made_of(struct span s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
			return false;
	return true;
}

struct span span_trim(struct span s)
{
	while (s.n > 0 && str_is_blank(s.p[s.n - 1]))
		s.n--;
	while (s.n > 0 && str_is_blank(s.p[0]))
		s = span_skip(s, 1);
	return s;
}

struct span span_skip(struct span s, size_t n)
{
	if (n > s.n)
		n = s.n;
	return n == 0 ? s : (struct span){ s.p + n, s.n - n };
}

struct span span_split(struct span s, char separator, struct span *after)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, separator, s.n);
	size_t n = at == NULL ? s.n : (size_t)(at - s.p);

	*after = at == NULL ? (struct span){ NULL, 0 } : span_skip(s, n + 1);
	return (struct span){ s.p, n };
}

bool span_next(struct span *rest, char separator, struct span *item)
{
	if (rest->n == 0 && rest->p != one_empty_item)
		return false;
	const char *end = rest->n == 0 ? NULL : memchr(rest->p, separator, rest->n);
	size_t n = end == NULL ? rest->n : (size_t)(end - rest->p);
	*item = span_trim((struct span){ rest->p, n });
	*rest = span_skip(*rest, n + 1);
	if (rest->n == 0)
		rest->p = end == NULL ? NULL : one_empty_item;
	return true;
}

/* Reads the digits text begins with; NULL when there are none or the value does not fit, else where they end. */
static const char *read_digits(const char *text, uint64_t *value)
{
	const char *at = text;

	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*at - '0'), value))
			return NULL;
	}
	return at == text ? NULL : at;
}

int str_to_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t number;
	const char *end = read_digits(text, &number);

	if (end == NULL || *end != '\0' || number < min || number > max)
		return -1;
	*value = number;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int read_with_unit(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
	uint64_t number;
	const char *end = read_digits(text, &number);

	if (end == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(end, units[i].name) == 0 && !__builtin_mul_overflow(number, units[i].factor, &number)) {
			*value = number;
			return 0;
		}
	}
	return -1;
}

/* In the largest unit that leaves a whole number. */
static void print_with_unit(uint64_t value, const struct unit *units, size_t count, char *out, size_t cap)
{
	size_t i = count - 1;

	while (i > 0 && (value == 0 || value % units[i].factor != 0))
		i--;
	snprintf(out, cap, "%llu%s", (unsigned long long)(value / units[i].factor), units[i].name);
}

static const struct unit sizes[] = { { "", 1 }, { "k", 1 << 10 }, { "m", 1 << 20 }, { "g", 1 << 30 } };
static const struct unit durations[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};

int str_to_size(const char *text, uint64_t *bytes)
{
	return read_with_unit(text, sizes, ARRAY_LEN(sizes), bytes);
}

void str_from_size(uint64_t bytes, char *out, size_t cap)
{
	print_with_unit(bytes, sizes, ARRAY_LEN(sizes), out, cap);
}

int str_to_duration(const char *text, uint64_t *ms)
{
	if (str_to_number(text, 0, 0, ms) == 0)
		return 0; /* nothing is nothing in every unit */
	return read_with_unit(text, durations, ARRAY_LEN(durations), ms);
}

void str_from_duration(uint64_t ms, char *out, size_t cap)
{
	print_with_unit(ms, durations, ARRAY_LEN(durations), out, cap);
}

#define WORD_MAX 48 /* longer words are never mistaken for an option */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters were left out, added, replaced or swapped with their neighbour; both words within WORD_MAX. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[WORD_MAX + 1][WORD_MAX + 1]; /* [i][j]: from the first i of a to the first j of b */
	size_t height = strlen(a), width = strlen(b);

	for (size_t j = 0; j <= width; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= height; i++) {
		size_t *row = rows[i], *above = rows[i - 1];
		row[0] = i;
		for (size_t j = 1; j <= width; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], rows[i - 2][j - 2] + 1);
		}
	}
	return rows[height][width];
}

const char *str_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t len = strlen(word);
	size_t best = len < 6 ? 2 : len / 3 + 1; /* a distance must be below this to be taken for a slip */
	const char *nearest = NULL;

	if (len < 2 || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strlen(candidates[i]) > WORD_MAX)
			continue;
		size_t distance = edit_distance(word, candidates[i]);
		if (distance < best) {
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}

void str_list_add(struct str_list *list, struct span text)
{
	list->item = mem_resize(list->item, list->count + 1, sizeof(*list->item));
	list->item[list->count++] = mem_strndup(text.p == NULL ? "" : text.p, text.n);
}

bool str_list_has(const struct str_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->item[i], text) == 0)
			return true;
	return false;
}

void str_list_clear(struct str_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->item[i]);
	free(list->item);
	*list = (struct str_list){ NULL, 0 };
}

size_t str_escape(char *out, size_t cap, struct span bytes)
{
	size_t len = 0;

	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char c = (unsigned char)bytes.p[i];
		bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
		if (cap - len <= (plain ? 1 : 4))
			break;
		len += (size_t)snprintf(out + len, cap - len, plain ? "%c" : "\\x%02x", c);
	}
	out[len] = '\0';
	return len;
}
