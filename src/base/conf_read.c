/* conf_read.c owns the way from INI text to sections and values: the lines as we allow them, and inih behind that.
 * It must never let inih see a line that it would cut or misread, nor know what a value means. */
#include "base/conf_read.h"

#include "base/conf_internal.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROTECTED_SEMICOLON '\x01' /* stands for ';' on the way through inih; no file can contain it */

/* The state of one pass over one file: what inih's callbacks share. */
struct reader {
	struct conf *conf;
	struct err *err;
	struct place at; /* the line that was handed to inih last */
	struct span rest;
	struct conf_section *section; /* options go there */
	bool skip; /* options go nowhere: their section was refused, which was complained about once */
	bool failed;
};

static void refuse(struct reader *r, const char *format, ...) printf_like(2, 3);

static void refuse(struct reader *r, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_add(r->err, "%s:%d: %s", r->at.file, r->at.line, text);
	r->failed = true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool all_of(struct span s, const char *set)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
			return false;
	}
	return true;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789_"

static bool is_comment(struct span s)
{
	return s.n > 0 && (s.p[0] == ';' || s.p[0] == '#');
}

static void refuse_kind(struct reader *r, struct span kind)
{
	const char *names[CONF_OPTIONS_MAX];
	char hint[CONF_HINT_MAX], *word = mem_strndup(kind.p, kind.n);

	for (size_t i = 0; i < r->conf->kinds_count; i++)
		names[i] = r->conf->kinds[i]->name;
	refuse(r, "unknown section [%s]%s", word, conf_hint(hint, word, names, r->conf->kinds_count));
	free(word);
}

static void section_open(struct reader *r, size_t kind, struct span name)
{
	const struct conf_kind *k = r->conf->kinds[kind];
	struct conf_section *old = conf_section_find(&r->conf->sections[kind], name);

	if (k->repeatable && name.n == 0) {
		refuse(r, "[%s] needs a name: [%s NAME]", k->name, k->name);
	} else if (!k->repeatable && name.n > 0) {
		refuse(r, "[%s] takes no name", k->name);
	} else if (name.n > CONF_NAME_MAX || !all_of(name, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-")) {
		refuse(r, "[%s %.*s]: a name has at most %d letters, digits, '.', '-' and '_'", k->name, (int)name.n,
		       name.p, CONF_NAME_MAX);
	} else if (k->repeatable && old != NULL) {
		refuse(r, "[%s %s] is there already, in %s:%d", k->name, old->name, old->file, old->line);
	} else if (old != NULL) {
		if (old->file == NULL) {
			old->file = r->at.file;
			old->line = r->at.line;
		}
		r->section = old;
		r->skip = false;
	} else {
		r->section = conf_section_new(r->conf, kind, name, r->at);
		r->skip = false;
	}
}

static void section_line(struct reader *r, struct span line)
{
	const char *end = memchr(line.p, ']', line.n);

	r->section = NULL;
	r->skip = true;
	if (end == NULL) {
		refuse(r, "']' is missing");
		return;
	}
	size_t used = (size_t)(end - line.p) + 1;
	struct span rest = span_trim(span_skip(line, used));
	if (rest.n > 0 && rest.p[0] != ';') {
		refuse(r, "there is text behind ']'; options stand in lines of their own");
		return;
	}
	struct span inner = span_trim((struct span){ line.p + 1, used - 2 });
	struct span kind = { inner.p, 0 };
	while (kind.n < inner.n && !is_blank(inner.p[kind.n]))
		kind.n++;
	size_t k = conf_kind_index(r->conf, kind);
	if (k == r->conf->kinds_count)
		refuse_kind(r, kind);
	else
		section_open(r, k, span_trim(span_skip(inner, kind.n)));
}

/* Cuts the comment off a value that is not in quotes. */
static bool value_plain(struct reader *r, struct span *value)
{
	for (size_t i = 0; i < value->n; i++) {
		if (i > 0 && !is_blank(value->p[i - 1]))
			continue;
		if (value->p[i] == '#') {
			refuse(r, "'#' begins a comment only at the start of a line; use ';', or put the value in "
			          "double quotes");
			return false;
		}
		if (value->p[i] == ';')
			*value = span_trim((struct span){ value->p, i });
	}
	return true;
}

/* Leaves the quotes on: only the text between them is taken as it stands. */
static bool value_quoted(struct reader *r, struct span *value)
{
	const char *end = memchr(value->p + 1, '"', value->n - 1);

	if (end == NULL) {
		refuse(r, "the closing '\"' is missing");
		return false;
	}
	size_t used = (size_t)(end - value->p) + 1;
	struct span rest = span_skip(*value, used);
	if (rest.n > 0 && !(is_blank(rest.p[0]) && span_trim(rest).p[0] == ';')) {
		refuse(r, "there is text behind the closing '\"'");
		return false;
	}
	value->n = used;
	return true;
}

/* Writes the line for inih: `name=value` without comment, and without any ';' that it would take for one. */
static void option_line(struct reader *r, struct span line, char *out)
{
	const char *equals = memchr(line.p, '=', line.n);
	struct span name = span_trim((struct span){ line.p, equals != NULL ? (size_t)(equals - line.p) : 0 });

	if (name.n == 0 || !all_of(name, LOWER)) {
		refuse(r, "expected \"option = value\", a [section], or a comment");
		return;
	}
	struct span value = span_trim(span_skip(line, (size_t)(equals - line.p) + 1));
	bool quoted = value.n > 0 && value.p[0] == '"';
	if (!(quoted ? value_quoted(r, &value) : value_plain(r, &value)))
		return;
	snprintf(out, CONF_LINE_MAX + 1, "%.*s=%.*s", (int)name.n, name.p, (int)value.n, value.p);
	for (char *c = out; *c != '\0'; c++) {
		if (*c == ';')
			*c = PROTECTED_SEMICOLON;
	}
}

static bool next_line(struct reader *r, struct span *line)
{
	if (r->rest.n == 0)
		return false;
	const char *end = memchr(r->rest.p, '\n', r->rest.n);
	*line = (struct span){ r->rest.p, end != NULL ? (size_t)(end - r->rest.p) : r->rest.n };
	r->rest = span_skip(r->rest, line->n + (end != NULL));
	if (line->n > 0 && line->p[line->n - 1] == '\r')
		line->n--;
	r->at.line++;
	if (r->at.line == 1 && span_starts(*line, SPAN("\xef\xbb\xbf"))) /* a byte order mark */
		*line = span_skip(*line, 3);
	return true;
}

static bool line_clean(struct reader *r, struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			refuse(r, "there is a control byte (0x%02x) in the line", c);
			return false;
		}
	}
	return true;
}

/* inih's reader: one call, one line, and an empty one in place of each that is not an option. */
static char *reader_line(char *out, int cap, void *stream)
{
	struct reader *r = stream;
	struct span line;

	if (!next_line(r, &line))
		return NULL;
	out[0] = '\0';
	struct span text = span_trim(line);
	if (text.n == 0 || is_comment(text) || !line_clean(r, line))
		return out;
	if (line.n > CONF_LINE_MAX || line.n >= (size_t)cap)
		refuse(r, "the line has %zu bytes; %d are allowed. A list may be several lines of the same option",
		       line.n, CONF_LINE_MAX);
	else if (is_blank(line.p[0]))
		refuse(r, "the line is indented; sections and options begin in the first column");
	else if (text.p[0] == '[')
		section_line(r, text);
	else
		option_line(r, text, out);
	return out;
}

static void refuse_option(struct reader *r, const char *name)
{
	const struct conf_kind *kind = r->section->kind;
	const char *names[CONF_OPTIONS_MAX];
	char hint[CONF_HINT_MAX], place[CONF_PLACE_MAX];

	conf_place_format(r->at, r->section, place, sizeof(place));
	r->failed = true;
	for (size_t i = 0; i < r->conf->kinds_count; i++) {
		const struct conf_kind *other = r->conf->kinds[i];
		if (conf_option_index(other, name) < other->options_count) {
			err_add(r->err, "%s unknown option \"%s\"; it belongs to [%s%s]", place, name, other->name,
			        other->repeatable ? " NAME" : "");
			return;
		}
	}
	for (size_t i = 0; i < kind->options_count; i++)
		names[i] = kind->options[i].name;
	err_add(r->err, "%s unknown option \"%s\"%s", place, name, conf_hint(hint, name, names, kind->options_count));
}

static bool refuse_twice(struct reader *r, size_t i)
{
	const struct conf_value *value = &r->section->values[i];
	const struct conf_option *option = &r->section->kind->options[i];
	char place[CONF_PLACE_MAX];

	if (option->type->is_list || value->at.file == NULL)
		return false;
	conf_place_format(r->at, r->section, place, sizeof(place));
	err_add(r->err, "%s %s: given already, in %s:%d", place, option->name, value->at.file, value->at.line);
	r->failed = true;
	return true;
}

static int reader_option(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	bool quoted = value[0] == '"';
	char text[CONF_LINE_MAX + 1];

	(void)section; /* the reader knows it, and in full length */
	if (r->section == NULL) {
		if (!r->skip)
			refuse(r, "option \"%s\" stands before the first [section]", name);
		r->skip = true;
		return 1;
	}
	size_t i = conf_option_index(r->section->kind, name);
	if (i == r->section->kind->options_count) {
		refuse_option(r, name);
		return 1;
	}
	snprintf(text, sizeof(text), "%.*s", (int)(strlen(value) - (quoted ? 2 : 0)), value + quoted);
	for (char *c = text; *c != '\0'; c++) {
		if (*c == PROTECTED_SEMICOLON)
			*c = ';';
	}
	if (!refuse_twice(r, i) && conf_value_set(r->section, i, r->at, text, quoted, r->err) != 0)
		r->failed = true;
	return 1;
}

static int read_span(struct conf *conf, const char *name, struct span text, struct err *err)
{
	struct reader r = { .conf = conf, .err = err, .at = { conf_keep_name(conf, name), 0 }, .rest = text };

	if (ini_parse_stream(reader_line, &r, reader_option, &r) != 0) /* every line was checked before inih saw it */
		refuse(&r, "cannot be read");
	return r.failed ? -1 : 0;
}

int conf_read_text(struct conf *conf, const char *name, const char *text, struct err *err)
{
	return read_span(conf, name, span_of(text), err);
}

static int file_load(int fd, char *out, size_t *len)
{
	*len = 0;
	while (*len <= CONF_FILE_MAX) {
		ssize_t n = read(fd, out + *len, CONF_FILE_MAX + 1 - *len);
		if (n > 0)
			*len += (size_t)n;
		else if (n == 0)
			return 0;
		else if (errno != EINTR)
			return -1;
	}
	errno = EFBIG;
	return -1;
}

int conf_read_file(struct conf *conf, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_add(err, "%s: cannot be read: %s", path, strerror(errno));

	char *text = mem_resize(NULL, CONF_FILE_MAX + 1, 1);
	size_t len;
	int status = file_load(fd, text, &len);
	if (status != 0)
		err_add(err, "%s: cannot be read: %s", path, strerror(errno));
	else
		status = read_span(conf, path, (struct span){ text, len }, err);
	free(text);
	close(fd);
	return status;
}
