/* conf_text.c owns what quotes, comments and ends of lines mean in a value.
 * It must never know an option, nor where a text came from. */
#include "base/conf_text.h"

#include <stddef.h>
#include <string.h>

bool conf_text_is_comment(struct span line)
{
	return line.n > 0 && (line.p[0] == ';' || line.p[0] == '#');
}

/* Cuts the comment off a line that is not in quotes. */
static const char *comment_cut(struct span *line)
{
	for (size_t i = 0; i < line->n; i++) {
		if (i > 0 && !str_is_blank(line->p[i - 1]))
			continue;
		if (line->p[i] == '#')
			return "'#' begins a comment only at the start of a line; use ';', or put the value in double quotes";
		if (line->p[i] == ';')
			*line = span_trim((struct span){ line->p, i });
	}
	return NULL;
}

const char *conf_text_plain(char *text)
{
	struct span rest = span_of(text), line;
	size_t n = 0;

	while (span_next(&rest, '\n', &line)) {
		const char *why = comment_cut(&line);
		if (why != NULL)
			return why;
		if (n > 0 && line.n > 0)
			text[n++] = ' ';
		memmove(text + n, line.p, line.n);
		n += line.n;
	}
	text[n] = '\0';
	return NULL;
}

const char *conf_text_quoted(char *text)
{
	char *end = strchr(text + 1, '"');

	if (end == NULL)
		return "the closing '\"' is missing";
	struct span rest = span_of(end + 1);
	bool comment = conf_text_is_comment(span_trim(rest)) && str_is_blank(end[1]) && strchr(end, '\n') == NULL;
	if (rest.n > 0 && !comment)
		return "there is text after the closing '\"'";
	*end = '\0';
	for (char *c = text; (c = strchr(c, '\n')) != NULL;)
		*c = ' ';
	return NULL;
}
