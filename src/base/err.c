/* err.c owns the growth and the bound of a struct err.
 * It must never print: who reports an error, and where, is the caller's business. */
#include "base/err.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void err_init(struct err *err)
{
	err->count = 0;
	err->len = 0;
	err->text[0] = '\0';
}

int err_add(struct err *err, const char *format, ...)
{
	size_t start = err->len;

	err->count++;
	if (start > 0 && start + 1 < sizeof(err->text))
		err->text[start++] = '\n';

	va_list args;
	va_start(args, format);
	int n = vsnprintf(err->text + start, sizeof(err->text) - start, format, args);
	va_end(args);

	if (n < 0 || (size_t)n >= sizeof(err->text) - start)
		err->text[err->len] = '\0'; /* half a complaint misleads */
	else
		err->len = start + (size_t)n;
	return -1;
}

/* One complaint of a text. */
struct line {
	const char *text;
	size_t len, file; /* file: how much of it is FILE; 0: there is no place in front */
	long number;
};

static struct line line_at(const char *text)
{
	struct line line = { .text = text, .len = strcspn(text, "\n") };

	for (size_t i = 0; i < line.len && line.file == 0; i++) {
		char *end = NULL;
		if (text[i] == ':' && isdigit((unsigned char)text[i + 1]))
			line.number = strtol(text + i + 1, &end, 10);
		if (end != NULL && end[0] == ':' && end[1] == ' ')
			line.file = i;
	}
	return line;
}

static bool of_one_file(const struct line *a, const struct line *b)
{
	return a->file > 0 && a->file == b->file && memcmp(a->text, b->text, a->file) == 0;
}

/* Behind those of its file that stand above it, which are in order already. */
static size_t place_of(const struct line *line, const struct line *sorted, size_t count)
{
	size_t place = count;

	for (size_t i = 0; i < count; i++) {
		bool before = sorted[i].number <= line->number;
		if (!of_one_file(&sorted[i], line))
			continue;
		place = before ? i + 1 : i;
		if (!before)
			break;
	}
	return place;
}

void err_sort(struct err *err)
{
	struct line *sorted = NULL;
	char *text = mem_strdup(err->text);
	size_t count = 0, len = 0;

	for (const char *at = text; *at != '\0'; count++) {
		struct line line = line_at(at);
		size_t place = place_of(&line, sorted, count);
		sorted = mem_resize(sorted, count + 1, sizeof(*sorted));
		memmove(&sorted[place + 1], &sorted[place], (count - place) * sizeof(*sorted));
		sorted[place] = line;
		at += line.len + (at[line.len] == '\n');
	}
	for (size_t i = 0; i < count; i++) {
		memcpy(err->text + len, sorted[i].text, sorted[i].len);
		len += sorted[i].len;
		err->text[len++] = i + 1 < count ? '\n' : '\0';
	}
	free(text);
	free(sorted);
}
