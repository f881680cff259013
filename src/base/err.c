/* err.c owns the growth and the bound of a struct err.
 * It must never print: who reports an error, and where, is the caller's business. */
#include "base/err.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void err_init(struct err *err)
{
	err->count = 0;
	err->len = 0;
	err->text[0] = '\0';
}

/* How much of a complaint is FILE in front of ":LINE: "; 0: it has no such place. */
static size_t file_of(const char *text, long *line)
{
	for (size_t i = 0; text[i] != '\0' && text[i] != '\n'; i++) {
		char *end = NULL;
		if (text[i] == ':' && isdigit((unsigned char)text[i + 1]))
			*line = strtol(text + i + 1, &end, 10);
		if (end != NULL && end[0] == ':' && end[1] == ' ')
			return i;
	}
	return 0;
}

/* Where a complaint belongs: behind those of its file that stand no lower there, which are in order already. */
static size_t place_for(const struct err *err, const char *text)
{
	long line = 0, other = 0;
	size_t file = file_of(text, &line), place = err->len;

	for (size_t at = 0, next; file > 0 && at < err->len; at = next) {
		next = at + strcspn(err->text + at, "\n") + 1;
		if (file_of(err->text + at, &other) != file || memcmp(err->text + at, text, file) != 0)
			continue;
		if (other > line)
			return at;
		place = next;
	}
	return place;
}

int err_add(struct err *err, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	err->count++;
	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || err->len + (size_t)n + 1 >= sizeof(err->text)) /* half a complaint misleads */
		return -1;

	for (char *c = text; *c != '\0'; c++) /* the names of files, hosts and options have whatever bytes somebody gave them */
		if (iscntrl((unsigned char)*c))
			*c = '?';
	/* While it is put in, each line ends with a newline; then the last one is taken away. */
	text[n++] = '\n';
	if (err->len > 0)
		err->text[err->len++] = '\n';
	size_t place = place_for(err, text);
	memmove(err->text + place + n, err->text + place, err->len - place);
	memcpy(err->text + place, text, (size_t)n);
	err->len += (size_t)n - 1;
	err->text[err->len] = '\0';
	return -1;
}
