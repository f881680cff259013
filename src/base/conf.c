/* conf.c owns the way from INI text to typed section structs, and where each value came from.
 * It must never know an option: kinds, options and defaults come from the caller's tables. */
#include "base/conf.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTIONS_MAX         64     /* of one kind, and of kinds; a table that is larger is a bug */
#define PLACE_MAX           4352   /* a path and a section name */
#define PROTECTED_SEMICOLON '\x01' /* stands for ';' on the way through inih; no file can contain it */

struct conf_value {
	char *text;       /* a list: its values joined by ", " */
	const char *file; /* NULL: it is the default */
	int line;
};

struct conf {
	const struct conf_kind *const *kinds;
	size_t kinds_count;
	struct conf_sections *sections; /* one a kind */
	struct str_list files;          /* names that sections and values point to */
};

struct place {
	const char *file;
	int line; /* 0: the file has no lines */
};

/* --- types ------------------------------------------------------------------------------------------------------ */

static int text_parse(const char *text, void *field, struct err *err)
{
	(void)err;
	*(char **)field = mem_strdup(text);
	return 0;
}

static void text_clear(void *field)
{
	free(*(char **)field);
	*(char **)field = NULL;
}

static int texts_parse(const char *text, void *field, struct err *err)
{
	(void)err;
	str_list_add(field, span_of(text));
	return 0;
}

static void texts_clear(void *field)
{
	str_list_clear(field);
}

static int flag_parse(const char *text, void *field, struct err *err)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true" };
	int word;

	if (conf_choose(text, words, ARRAY_LEN(words), &word, err) != 0)
		return -1;
	*(bool *)field = word % 2 == 1;
	return 0;
}

static int number_parse(const char *text, void *field, struct err *err)
{
	uint64_t value;

	if (str_to_number(text, 0, INT_MAX, &value) != 0)
		return err_add(err, "\"%s\" is no number from 0 to %d", text, INT_MAX);
	*(uint64_t *)field = value;
	return 0;
}

static int size_parse(const char *text, void *field, struct err *err)
{
	uint64_t value;

	if (str_to_size(text, &value) != 0)
		return err_add(err, "\"%s\" is no size; write a number of bytes, or one with k, m or g behind it: 64k",
		               text);
	*(uint64_t *)field = value;
	return 0;
}

static int duration_parse(const char *text, void *field, struct err *err)
{
	uint64_t value;

	if (str_to_duration(text, &value) != 0)
		return err_add(err, "\"%s\" is no duration; write a number with ms, s, m, h or d behind it: 30s", text);
	*(uint64_t *)field = value;
	return 0;
}

const struct conf_type conf_text = { "text", false, text_parse, text_clear };
const struct conf_type conf_texts = { "list", true, texts_parse, texts_clear };
const struct conf_type conf_path = { "path", false, text_parse, text_clear };
const struct conf_type conf_flag = { "flag", false, flag_parse, NULL };
const struct conf_type conf_number = { "number", false, number_parse, NULL };
const struct conf_type conf_size = { "size", false, size_parse, NULL };
const struct conf_type conf_duration = { "duration", false, duration_parse, NULL };

int conf_choose(const char *text, const char *const *words, size_t count, int *field, struct err *err)
{
	char all[256] = "";

	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0) {
			*field = (int)i;
			return 0;
		}
		size_t len = strlen(all);
		snprintf(all + len, sizeof(all) - len, "%s%s", len > 0 ? ", " : "", words[i]);
	}
	return err_add(err, "\"%s\" is none of: %s", text, all);
}

/* --- places and complaints -------------------------------------------------------------------------------------- */

static size_t option_index(const struct conf_kind *kind, const char *name)
{
	size_t i = 0;

	while (i < kind->options_count && strcmp(kind->options[i].name, name) != 0)
		i++;
	return i;
}

static void place_format(struct place at, const struct conf_section *section, char *out, size_t cap)
{
	char line[16] = "";
	const char *blank = section->name[0] != '\0' ? " " : "";

	if (at.line > 0)
		snprintf(line, sizeof(line), ":%d", at.line);
	if (at.file == NULL)
		snprintf(out, cap, "[%s%s%s]", section->kind->name, blank, section->name);
	else
		snprintf(out, cap, "%s%s: [%s%s%s]", at.file, line, section->kind->name, blank, section->name);
}

void conf_place(const void *section, const char *option, char *out, size_t cap)
{
	const struct conf_section *s = section;
	struct place at = { s->file, s->line };

	if (option != NULL) {
		const struct conf_value *value = &s->values[option_index(s->kind, option)];
		if (value->file != NULL)
			at = (struct place){ value->file, value->line };
	}
	place_format(at, s, out, cap);
}

static int complain(const void *section, const char *option, struct err *err, const char *format, va_list args)
        printf_like(4, 0);

static int complain(const void *section, const char *option, struct err *err, const char *format, va_list args)
{
	char place[PLACE_MAX];
	char text[2048];

	conf_place(section, option, place, sizeof(place));
	vsnprintf(text, sizeof(text), format, args);
	return err_add(err, "%s %s%s%s", place, option != NULL ? option : "", option != NULL ? ": " : "", text);
}

int conf_complain(const void *section, struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(section, NULL, err, format, args);
	va_end(args);
	return -1;
}

int conf_complain_option(const void *section, const char *option, struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(section, option, err, format, args);
	va_end(args);
	return -1;
}

/* --- values ----------------------------------------------------------------------------------------------------- */

bool conf_given(const void *section, const char *option)
{
	const struct conf_section *s = section;
	size_t i = option_index(s->kind, option);

	assert(i < s->kind->options_count);
	return s->values[i].file != NULL && strcmp(s->values[i].text, s->kind->options[i].def) != 0;
}

static int list_parse(const struct conf_option *option, const char *text, void *field, struct err *err)
{
	struct span rest = span_of(text), item;
	int status = 0;

	while (span_next(&rest, ',', &item)) {
		char *copy = mem_strndup(item.p, item.n);
		if (item.n == 0)
			status = err_add(err, "there is an empty item in \"%s\"", text);
		else if (option->type->parse(copy, field, err) != 0)
			status = -1;
		free(copy);
	}
	return status;
}

/* whole: the text is one item, even where a list would be split at commas. */
static int value_parse(struct conf_section *section, size_t i, const char *text, bool whole, struct err *err)
{
	const struct conf_option *option = &section->kind->options[i];
	const struct conf_type *type = option->type;
	void *field = (char *)section + option->offset;

	if (type->is_list && !whole)
		return list_parse(option, text, field, err);
	if (!type->is_list && type->clear != NULL)
		type->clear(field);
	return type->parse(text, field, err);
}

/* Keeps the text and the place; the second and later texts of a list are appended. */
static void value_note(struct conf_section *section, size_t i, struct place at, const char *text)
{
	const struct conf_type *type = section->kind->options[i].type;
	struct conf_value *value = &section->values[i];
	char *old = value->text;

	if (type->is_list && value->file != NULL) {
		value->text = mem_printf("%s, %s", old, text);
	} else {
		value->text = mem_strdup(text);
		value->file = at.file;
		value->line = at.line;
		if (type->is_list)
			type->clear((char *)section + section->kind->options[i].offset);
	}
	free(old);
}

static int value_set(struct conf_section *section, size_t i, struct place at, const char *text, bool whole,
                     struct err *err)
{
	char place[PLACE_MAX];
	struct err why;

	value_note(section, i, at, text);
	err_init(&why);
	if (value_parse(section, i, text, whole, &why) == 0)
		return 0;
	place_format(at, section, place, sizeof(place));
	return err_add(err, "%s %s: %s", place, section->kind->options[i].name, why.text);
}

/* --- sections --------------------------------------------------------------------------------------------------- */

static size_t kind_index(const struct conf *conf, struct span name)
{
	size_t i = 0;

	while (i < conf->kinds_count && !span_eq(span_of(conf->kinds[i]->name), name))
		i++;
	return i;
}

static struct conf_section *section_find(const struct conf_sections *sections, struct span name)
{
	for (size_t i = 0; i < sections->count; i++) {
		struct conf_section *section = sections->item[i];
		if (span_eq(span_of(section->name), name))
			return section;
	}
	return NULL;
}

static struct conf_section *section_new(struct conf *conf, size_t kind, struct span name, struct place at)
{
	struct conf_sections *sections = &conf->sections[kind];
	struct conf_section *section = mem_zalloc(conf->kinds[kind]->size);
	struct err err;

	section->kind = conf->kinds[kind];
	section->name = mem_strndup(name.p, name.n);
	section->file = at.file;
	section->line = at.line;
	section->values = mem_zalloc(section->kind->options_count * sizeof(*section->values));
	for (size_t i = 0; i < section->kind->options_count; i++) {
		const char *def = section->kind->options[i].def;
		err_init(&err);
		section->values[i].text = mem_strdup(def);
		int bad = value_parse(section, i, def, false, &err);
		assert(!bad);
		(void)bad;
	}
	sections->item = mem_resize(sections->item, sections->count + 1, sizeof(*sections->item));
	sections->item[sections->count++] = section;
	return section;
}

static void section_free(struct conf_section *section)
{
	for (size_t i = 0; i < section->kind->options_count; i++) {
		const struct conf_option *option = &section->kind->options[i];
		if (option->type->clear != NULL)
			option->type->clear((char *)section + option->offset);
		free(section->values[i].text);
	}
	free(section->values);
	free(section->name);
	free(section);
}

const struct conf_sections *conf_sections(const struct conf *conf, const char *kind)
{
	size_t i = kind_index(conf, span_of(kind));

	assert(i < conf->kinds_count);
	return &conf->sections[i];
}

struct conf *conf_new(const struct conf_kind *const *kinds, size_t count)
{
	struct conf *conf = mem_zalloc(sizeof(*conf));

	assert(count <= OPTIONS_MAX);
	conf->kinds = kinds;
	conf->kinds_count = count;
	conf->sections = mem_zalloc(count * sizeof(*conf->sections));
	for (size_t i = 0; i < count; i++) {
		assert(kinds[i]->options_count <= OPTIONS_MAX);
		if (!kinds[i]->repeatable)
			section_new(conf, i, SPAN(""), (struct place){ NULL, 0 });
	}
	return conf;
}

void conf_free(struct conf *conf)
{
	if (conf == NULL)
		return;
	for (size_t i = 0; i < conf->kinds_count; i++) {
		for (size_t k = 0; k < conf->sections[i].count; k++)
			section_free(conf->sections[i].item[k]);
		free(conf->sections[i].item);
	}
	free(conf->sections);
	str_list_clear(&conf->files);
	free(conf);
}

static const char *file_name(struct conf *conf, const char *name)
{
	str_list_add(&conf->files, span_of(name));
	return conf->files.item[conf->files.count - 1];
}

int conf_set(struct conf *conf, const char *kind, const char *name, const char *option, const char *value,
             struct err *err)
{
	size_t k = kind_index(conf, span_of(kind));
	assert(k < conf->kinds_count);
	struct place at = { file_name(conf, "command line"), 0 };
	struct conf_section *section = section_find(&conf->sections[k], span_of(name));

	if (section == NULL)
		section = section_new(conf, k, span_of(name), at);
	size_t i = option_index(section->kind, option);
	assert(i < section->kind->options_count);
	return value_set(section, i, at, value, false, err);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

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

/* `; did you mean "x"?`, or nothing. */
static const char *suggestion(char out[80], const char *word, const char *const *names, size_t count)
{
	const char *near = str_nearest(word, names, count);

	out[0] = '\0';
	if (near != NULL)
		snprintf(out, 80, "; did you mean \"%s\"?", near);
	return out;
}

static void refuse_kind(struct reader *r, struct span kind)
{
	const char *names[OPTIONS_MAX];
	char hint[80], *word = mem_strndup(kind.p, kind.n);

	for (size_t i = 0; i < r->conf->kinds_count; i++)
		names[i] = r->conf->kinds[i]->name;
	refuse(r, "unknown section [%s]%s", word, suggestion(hint, word, names, r->conf->kinds_count));
	free(word);
}

static void section_open(struct reader *r, size_t kind, struct span name)
{
	const struct conf_kind *k = r->conf->kinds[kind];
	struct conf_section *old = section_find(&r->conf->sections[kind], name);

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
		r->section = section_new(r->conf, kind, name, r->at);
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
	size_t k = kind_index(r->conf, kind);
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
	const char *names[OPTIONS_MAX];
	char hint[80], place[PLACE_MAX];

	place_format(r->at, r->section, place, sizeof(place));
	r->failed = true;
	for (size_t i = 0; i < r->conf->kinds_count; i++) {
		const struct conf_kind *other = r->conf->kinds[i];
		if (option_index(other, name) < other->options_count) {
			err_add(r->err, "%s unknown option \"%s\"; it belongs to [%s%s]", place, name, other->name,
			        other->repeatable ? " NAME" : "");
			return;
		}
	}
	for (size_t i = 0; i < kind->options_count; i++)
		names[i] = kind->options[i].name;
	err_add(r->err, "%s unknown option \"%s\"%s", place, name, suggestion(hint, name, names, kind->options_count));
}

static bool refuse_twice(struct reader *r, size_t i)
{
	const struct conf_value *value = &r->section->values[i];
	const struct conf_option *option = &r->section->kind->options[i];
	char place[PLACE_MAX];

	if (option->type->is_list || value->file == NULL)
		return false;
	place_format(r->at, r->section, place, sizeof(place));
	err_add(r->err, "%s %s: given already, in %s:%d", place, option->name, value->file, value->line);
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
	size_t i = option_index(r->section->kind, name);
	if (i == r->section->kind->options_count) {
		refuse_option(r, name);
		return 1;
	}
	snprintf(text, sizeof(text), "%.*s", (int)(strlen(value) - (quoted ? 2 : 0)), value + quoted);
	for (char *c = text; *c != '\0'; c++) {
		if (*c == PROTECTED_SEMICOLON)
			*c = ';';
	}
	if (!refuse_twice(r, i) && value_set(r->section, i, r->at, text, quoted, r->err) != 0)
		r->failed = true;
	return 1;
}

static int read_span(struct conf *conf, const char *name, struct span text, struct err *err)
{
	struct reader r = { .conf = conf, .err = err, .at = { file_name(conf, name), 0 }, .rest = text };

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

/* --- defaults and reloads --------------------------------------------------------------------------------------- */

static void option_print(const struct conf_option *option, const char *commented, FILE *out)
{
	const char *quote = strpbrk(option->def, ";#\"") != NULL ? "\"" : "";

	fprintf(out, "\n# %s: %s%s\n", option->type->name, option->help,
	        option->flags & CONF_RESTART ? " (changed by a restart only)" : "");
	fprintf(out, "%s%s =%s%s%s%s\n", commented, option->name, option->def[0] != '\0' ? " " : "", quote, option->def,
	        quote);
}

void conf_print_defaults(const struct conf_kind *const *kinds, size_t count, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct conf_kind *kind = kinds[i];
		const char *commented = kind->repeatable ? ";" : "";
		fprintf(out, "\n# %s\n%s[%s%s]\n", kind->help, commented, kind->name, kind->repeatable ? " NAME" : "");
		for (size_t k = 0; k < kind->options_count; k++)
			option_print(&kind->options[k], commented, out);
	}
}

static void section_differences(const struct conf_section *old, const struct conf_section *new,
                                void (*changed)(void *arg, const char *what), void *arg)
{
	char what[256];

	for (size_t i = 0; i < new->kind->options_count; i++) {
		const struct conf_option *option = &new->kind->options[i];
		if (!(option->flags & CONF_RESTART) || strcmp(old->values[i].text, new->values[i].text) == 0)
			continue;
		snprintf(what, sizeof(what), "[%s%s%s] %s", new->kind->name, new->name[0] != '\0' ? " " : "", new->name,
		         option->name);
		changed(arg, what);
	}
}

void conf_restart_differences(const struct conf *old, const struct conf *new,
                              void (*changed)(void *arg, const char *what), void *arg)
{
	for (size_t i = 0; i < new->kinds_count; i++) {
		for (size_t k = 0; k < new->sections[i].count; k++) {
			const struct conf_section *section = new->sections[i].item[k];
			const struct conf_section *before = section_find(&old->sections[i], span_of(section->name));
			if (before != NULL)
				section_differences(before, section, changed, arg);
		}
	}
}
