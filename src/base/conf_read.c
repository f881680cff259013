/* conf_read.c owns the way from INI text to sections and values: inih tells options, values and continued lines apart. It
 * names only the first line it can't read, tells nothing of a section without options, and Debian's cuts section names at 49
 * characters and lines at 199 bytes in silence: so sections and the length of lines are looked at before it sees them.
 * It must never know what a value means. */
#include "base/conf_internal.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROTECTED_SEMICOLON '\x01' /* stands for ';' on the way through inih; no file can contain it */

/* What stands above a line, which goes on there if it is indented. */
enum above {
	ABOVE_SECTION, /* a section, or nothing */
	ABOVE_OPTION,  /* an option, of which value has what it was given so far */
	ABOVE_REFUSED, /* a line that was complained about, which is enough */
};

/* The state of one pass over one file: what inih's callbacks share. */
struct reader {
	struct conf *conf;
	struct err *err;
	struct place at; /* the line that was handed to inih last */
	struct span rest;
	bool indented;
	bool owed;                    /* inih has that line, and has not called back with an option */
	struct conf_section *section; /* options go there */
	bool told;                    /* that options go nowhere, as there is none: once is enough */
	enum above above;
	size_t option;          /* ABOVE_OPTION: which one of the section, */
	struct place option_at; /* where it begins, */
	char *value;            /* and its lines so far, with a newline between them; as long as the file */
	size_t value_len;
};

printf_like(2, 3) static void refuse(struct reader *r, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_add(r->err, "%s:%d: %s", r->at.file, r->at.line, text);
}

#define LOWER    "abcdefghijklmnopqrstuvwxyz0123456789_"
#define UPPER    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define EXPECTED "expected \"option = value\", a [section], or a comment"

static void refuse_kind(struct reader *r, struct span kind)
{
	const char *names[CONF_OPTIONS_MAX];
	char hint[CONF_HINT_MAX], word[CONF_LINE_MAX];

	for (size_t i = 0; i < r->conf->kinds_count; i++)
		names[i] = r->conf->kinds[i]->name;
	snprintf(word, sizeof(word), "%.*s", (int)kind.n, kind.p);
	refuse(r, "unknown section [%s]%s", word, conf_hint(hint, word, names, r->conf->kinds_count));
}

static void section_open(struct reader *r, size_t kind, struct span name)
{
	const struct conf_kind *k = r->conf->kinds[kind];
	struct conf_section *old = conf_section_find(&r->conf->sections[kind], name);

	if (k->repeatable && name.n == 0) {
		refuse(r, "[%s] needs a name: [%s NAME]", k->name, k->name);
	} else if (!k->repeatable && name.n > 0) {
		refuse(r, "[%s] takes no name", k->name);
	} else if (name.n > CONF_NAME_MAX || !span_made_of(name, LOWER UPPER ".-")) {
		refuse(r, "[%s %.*s]: a name has at most %d letters, digits, '.', '-' and '_'", k->name, (int)name.n, name.p,
		       CONF_NAME_MAX);
	} else if (k->repeatable && old != NULL) {
		refuse(r, "[%s %s] is there already, in %s:%d", k->name, old->name, old->file, old->line);
	} else if (old != NULL) {
		if (old->file == NULL) {
			old->file = r->at.file;
			old->line = r->at.line;
		}
		r->section = old;
	} else {
		r->section = conf_section_new(r->conf, kind, name, r->at);
	}
}

static void section_line(struct reader *r, struct span line)
{
	const char *end = memchr(line.p, ']', line.n);

	r->above = ABOVE_SECTION;
	r->section = NULL;
	r->told = true;
	if (end == NULL) {
		refuse(r, "']' is missing");
		return;
	}
	size_t used = (size_t)(end - line.p) + 1;
	struct span rest = span_trim(span_skip(line, used));
	if (rest.n > 0 && rest.p[0] != ';') {
		refuse(r, "there is text after ']'; write each option on a line of its own");
		return;
	}
	struct span inner = span_trim((struct span){ line.p + 1, used - 2 });
	struct span kind = { inner.p, 0 };
	while (kind.n < inner.n && !str_is_blank(inner.p[kind.n]))
		kind.n++;
	size_t k = conf_kind_index(r->conf, kind);
	if (k == r->conf->kinds_count)
		refuse_kind(r, kind);
	else
		section_open(r, k, span_trim(span_skip(inner, kind.n)));
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

static void refuse_option(struct reader *r, const char *name)
{
	const struct conf_kind *kind = r->section->kind;
	const char *names[CONF_OPTIONS_MAX];
	char hint[CONF_HINT_MAX], place[CONF_PLACE_MAX];

	conf_place_format(r->at, r->section, place, sizeof(place));
	for (size_t i = 0; i < r->conf->kinds_count; i++) {
		const struct conf_kind *other = r->conf->kinds[i];
		if (conf_option_index(other, span_of(name)) < other->options_count) {
			err_add(r->err, "%s unknown option \"%s\"; it belongs to [%s%s]", place, name, other->name,
			        other->repeatable ? " NAME" : "");
			return;
		}
	}
	for (size_t i = 0; i < kind->options_count; i++)
		names[i] = kind->options[i].name;
	err_add(r->err, "%s unknown option \"%s\"%s", place, name, conf_hint(hint, name, names, kind->options_count));
}

static bool is_comment(struct span line) /* one that is trimmed */
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

/* Makes one line of several, in place, with a blank between them, and without comments. NULL, or what is wrong. */
static const char *text_plain(char *text)
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

/* The same for a text that begins with a quote, up to the closing one; the opening one stays. */
static const char *text_quoted(char *text)
{
	char *end = strchr(text + 1, '"');

	if (end == NULL)
		return "the closing '\"' is missing";
	struct span rest = span_of(end + 1);
	bool comment = is_comment(span_trim(rest)) && str_is_blank(end[1]) && strchr(end, '\n') == NULL;
	if (rest.n > 0 && !comment)
		return "there is text after the closing '\"'";
	*end = '\0';
	for (char *c = text; (c = strchr(c, '\n')) != NULL;)
		*c = ' ';
	return NULL;
}

/* Sets the option to a text: that of all lines, or a list's to that of one, behind which more may come. */
static void value_set(struct reader *r, char *text, bool more)
{
	bool quoted = text[0] == '"';
	const char *why = quoted ? text_quoted(text) : text_plain(text);

	if (why != NULL) {
		refuse(r, "%s", why);
		return;
	}
	size_t n = strlen(text);
	if (more && !quoted && n > 1 && text[n - 1] == ',')
		text[n - 1] = '\0';
	conf_value_set(r->conf, r->section, r->option, r->option_at, text + quoted, quoted, r->err);
}

/* No line goes on with the option above any more. Each line of a list is as good as an option of its own. */
static void option_end(struct reader *r)
{
	struct place at = r->at;

	r->at = r->option_at;
	for (char *line = r->above == ABOVE_OPTION ? r->value : NULL, *end; line != NULL; line = end != NULL ? end + 1 : NULL) {
		end = r->section->kind->options[r->option].type->is_list ? strchr(line, '\n') : NULL;
		if (end != NULL)
			*end = '\0';
		value_set(r, line, end != NULL);
	}
	r->at = at;
	r->above = ABOVE_REFUSED;
}

static void option_begin(struct reader *r, const char *name)
{
	if (name[0] == '\0' || !span_made_of(span_of(name), LOWER UPPER "-")) {
		refuse(r, EXPECTED);
		return;
	}
	if (r->section == NULL) {
		if (!r->told)
			refuse(r, "option \"%s\" is before the first [section]", name);
		r->told = true;
		return;
	}
	const struct conf_kind *kind = r->section->kind;
	size_t i = conf_option_index(kind, span_of(name));
	if (i == kind->options_count) {
		refuse_option(r, name);
		return;
	}
	const struct place *given = &r->section->values[i].at;
	char place[CONF_PLACE_MAX];
	if (!kind->options[i].type->is_list && given->file != NULL) {
		conf_place_format(r->at, r->section, place, sizeof(place));
		err_add(r->err, "%s %s: given already, in %s:%d", place, name, given->file, given->line);
	} else {
		r->above = ABOVE_OPTION;
		r->option = i;
		r->option_at = r->at;
		r->value_len = 0;
		r->value[0] = '\0';
	}
}

/* Whoever indents all of a section means no continuation, which a list or a free text would swallow. */
static bool looks_like_new(const struct reader *r, struct span line)
{
	bool section = line.p[0] == '[';
	struct span rest = span_skip(line, section);
	size_t n = 0;

	while (n < rest.n && strchr(LOWER, rest.p[n]) != NULL)
		n++;
	if (section)
		return conf_kind_index(r->conf, (struct span){ rest.p, n }) < r->conf->kinds_count;
	bool known = conf_option_index(r->section->kind, (struct span){ rest.p, n }) < r->section->kind->options_count;
	return known && span_starts(span_trim(span_skip(rest, n)), SPAN("="));
}

/* A ';' is a comment to some versions of inih in some places: what it means is for text_plain() to say. */
static void hand_over(struct reader *r, struct span line, char *out)
{
	memcpy(out, line.p, line.n);
	out[line.n] = '\0';
	for (char *c = out; (c = strchr(c, ';')) != NULL;)
		*c = PROTECTED_SEMICOLON;
	r->owed = true;
}

/* inih's reader: one call, one line, and an empty one in place of each that is not part of an option. */
static char *reader_line(char *out, int cap, void *stream)
{
	struct reader *r = stream;
	struct span line;

	if (r->owed)
		refuse(r, EXPECTED);
	r->owed = false;
	if (!next_line(r, &line))
		return NULL;
	out[0] = '\0';
	struct span text = span_trim(line);
	if (text.n == 0 || is_comment(text))
		return out;
	r->indented = str_is_blank(line.p[0]);
	if (!r->indented)
		option_end(r);
	if (!line_clean(r, line))
		return out;
	if (line.n > CONF_LINE_MAX || line.n >= (size_t)cap)
		refuse(r, "the line has %zu bytes; %d are allowed. Continue a value on indented lines below", line.n,
		       CONF_LINE_MAX);
	else if (line.p[0] == '[')
		section_line(r, text);
	else if (r->indented && r->above == ABOVE_SECTION)
		refuse(r, "the line is indented, and there is no option above that it could continue");
	else if (r->indented && r->above == ABOVE_OPTION && looks_like_new(r, text))
		refuse(r, "the line is indented, so it would continue the option above; begin it in the first column");
	else
		hand_over(r, line, out);
	return out;
}

/* inih's handler: one call for a line of an option. The section is known to the reader, and in full length. */
static int reader_option(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;

	r->owed = false;
	if (!r->indented)
		option_begin(r, name);
	if (r->above != ABOVE_OPTION || (r->value_len == 0 && *value == PROTECTED_SEMICOLON))
		return 1;
	if (r->value_len > 0)
		r->value[r->value_len++] = '\n';
	for (; *value != '\0'; value++)
		r->value[r->value_len++] = (char)(*value == PROTECTED_SEMICOLON ? ';' : *value);
	r->value[r->value_len] = '\0';
	return 1;
}

void conf_read_text(struct conf *conf, const char *name, struct span text, struct err *err)
{
	struct reader r = { .conf = conf, .err = err, .rest = text };

	str_list_add(&conf->files, span_of(name));
	r.at.file = conf->files.item[conf->files.count - 1];
	r.value = mem_resize(NULL, text.n + 1, 1);
	if (ini_parse_stream(reader_line, &r, reader_option, &r) < 0)
		refuse(&r, "cannot be read");
	option_end(&r);
	free(r.value);
}

void conf_read_file(struct conf *conf, const char *path, struct opener *opener, struct err *err)
{
	const char *why;
	int fd = file_open_to_read(path, opener, &why);
	if (fd < 0) {
		err_add(err, "%s: cannot be read: %s", path, why);
		return;
	}
	char *text = mem_resize(NULL, CONF_FILE_MAX + 1, 1);
	size_t len;
	int status = file_read(fd, text, CONF_FILE_MAX + 1, &len);
	if (status != 0 || len > CONF_FILE_MAX)
		err_add(err, "%s: cannot be read: %s", path, strerror(status != 0 ? errno : EFBIG));
	else
		conf_read_text(conf, path, (struct span){ text, len }, err);
	free(text);
	close(fd);
}
