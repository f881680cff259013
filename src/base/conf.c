/* conf.c owns the sections and their values, where each value came from, and complaints that say so.
 * It must never know an option: kinds, options and defaults come from the caller's tables. */
#include "base/conf.h"

#include "base/conf_internal.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

size_t conf_option_index(const struct conf_kind *kind, struct span name)
{
	size_t i = 0;

	while (i < kind->options_count && !span_eq(span_of(kind->options[i].name), name))
		i++;
	return i;
}

void conf_place_format(struct place at, const struct conf_section *section, char *out, size_t cap)
{
	const char *blank = section->name[0] != '\0' ? " " : "";

	if (at.file == NULL)
		snprintf(out, cap, "[%s%s%s]", section->kind->name, blank, section->name);
	else if (at.line == 0)
		snprintf(out, cap, "%s:", at.file);
	else
		snprintf(out, cap, "%s:%d: [%s%s%s]", at.file, at.line, section->kind->name, blank, section->name);
}

static size_t field_index(const struct conf_section *section, const void *field)
{
	size_t offset = (size_t)((const char *)field - (const char *)section), i = 0;

	while (i < section->kind->options_count && section->kind->options[i].offset != offset)
		i++;
	assert(i < section->kind->options_count);
	return i;
}

/* As its user knows it. */
static const char *option_word(const struct conf_section *section, size_t i)
{
	const char *word = section->values[i].at.word;

	return word != NULL ? word : section->kind->options[i].name;
}

static struct place place_of(const struct conf_section *section, const void *field)
{
	const struct place *given = field != NULL ? &section->values[field_index(section, field)].at : NULL;

	return given != NULL && given->file != NULL ? *given : (struct place){ section->file, section->line, NULL };
}

void conf_place(const void *section, const void *field, char *out, size_t cap)
{
	const struct place at = place_of(section, field);

	if (at.word != NULL)
		snprintf(out, cap, "%s: %s", at.file, at.word);
	else
		conf_place_format(at, section, out, cap);
}

void conf_place_named(const void *section, const char *option, char *out, size_t cap)
{
	const struct conf_kind *kind = ((const struct conf_section *)section)->kind;
	size_t i = option != NULL ? conf_option_index(kind, span_of(option)) : 0;
	const void *field = option != NULL ? (const char *)section + kind->options[i].offset : NULL;

	conf_place_format(place_of(section, field), section, out, cap);
}

/* What opened a section of the quick form, of whose name its user knows nothing; "" for any other. */
static const char *first_word(const struct conf_section *section)
{
	for (size_t i = 0; i < section->kind->options_count; i++)
		if (section->values[i].at.word != NULL)
			return section->values[i].at.word;
	return "";
}

int conf_complain_option(const void *section, const void *field, struct err *err, const char *format, ...)
{
	const struct conf_section *s = section;
	const char *option = field != NULL ? option_word(s, field_index(s, field)) : first_word(s);
	char place[CONF_PLACE_MAX];
	char text[2048];
	va_list args;

	conf_place_format(place_of(s, field), s, place, sizeof(place));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return err_add(err, "%s %s%s%s", place, option, option[0] != '\0' ? ": " : "", text);
}

const char *conf_hint(char out[CONF_HINT_MAX], const char *word, const char *const *known, size_t count)
{
	const char *near = str_nearest(word, known, count);

	out[0] = '\0';
	if (near != NULL)
		snprintf(out, CONF_HINT_MAX, "; did you mean \"%s\"?", near);
	return out;
}

unsigned conf_misread(const struct conf *conf)
{
	return conf->misread;
}

bool conf_given(const void *section, const void *field)
{
	const struct conf_section *s = section;
	size_t i = field_index(s, field);

	return s->values[i].at.file != NULL && strcmp(s->values[i].text, s->kind->options[i].def) != 0;
}

const char *conf_bounds(const struct conf_option *option, char out[CONF_BOUNDS_MAX])
{
	char least[24], most[24];

	out[0] = '\0';
	if (option->most == UINT64_MAX)
		return "more than 0";
	if (option->most == 0)
		return "";
	option->type->print(option->least, least, sizeof(least));
	option->type->print(option->most, most, sizeof(most));
	if (option->least == 0)
		snprintf(out, CONF_BOUNDS_MAX, "at most %s", most);
	else
		snprintf(out, CONF_BOUNDS_MAX, "from %s to %s", least, most);
	return out;
}

static int item_parse(const struct conf_option *option, const char *text, void *field, struct err *err)
{
	if (option->type->parse(text, field, err) != 0)
		return -1;
	return option->check != NULL ? option->check(text, err) : 0;
}

static int list_parse(const struct conf_option *option, const char *text, void *field, struct err *err)
{
	struct span rest = span_of(text), item;
	int status = 0;

	while (span_next(&rest, ',', &item)) {
		char *copy = mem_strndup(item.p, item.n);
		struct err why;
		err_init(&why);
		if (item.n == 0)
			status = err_add(err, "there is an empty item in \"%s\"", text);
		else if (item_parse(option, copy, field, &why) != 0)
			status = err_add(err, "%s%s", why.text, strchr(copy, ' ') != NULL ? "; separate items by commas" : "");
		free(copy);
	}
	return status;
}

static int value_parse(struct conf_section *section, size_t i, const char *text, bool whole, struct err *err)
{
	const struct conf_option *option = &section->kind->options[i];
	const struct conf_type *type = option->type;
	void *field = (char *)section + option->offset;
	char words[CONF_BOUNDS_MAX];

	if (type->is_list && !whole)
		return list_parse(option, text, field, err);
	if (!type->is_list && type->clear != NULL)
		type->clear(field);
	if (item_parse(option, text, field, err) != 0)
		return -1;
	const uint64_t *number = field; /* if it has bounds */
	if (option->most == 0 || (*number >= option->least && *number <= option->most))
		return 0;
	return err_add(err, "must be %s", conf_bounds(option, words));
}

/* The text is one that the type of the option takes. */
static void value_default(struct conf_section *section, size_t i, const char *text)
{
	struct err err;

	free(section->values[i].text);
	section->values[i].text = mem_strdup(text);
	err_init(&err);
	int bad = value_parse(section, i, text, false, &err);
	assert(!bad);
}

/* Keeps the text and the place; the second and later texts of a list are appended. */
static void value_note(struct conf_section *section, size_t i, struct place at, const char *text)
{
	const struct conf_type *type = section->kind->options[i].type;
	struct conf_value *value = &section->values[i];
	char *old = value->text;

	if (type->is_list && value->at.file != NULL) {
		value->text = mem_printf("%s, %s", old, text);
	} else {
		value->text = mem_strdup(text);
		value->at = at;
		if (type->is_list)
			type->clear((char *)section + section->kind->options[i].offset);
	}
	free(old);
}

void conf_value_set(struct conf *conf, struct conf_section *section, size_t i, struct place at, const char *text, bool whole,
                    struct err *err)
{
	char place[CONF_PLACE_MAX];
	struct err why;

	value_note(section, i, at, text);
	err_init(&why);
	if (value_parse(section, i, text, whole, &why) == 0)
		return;
	conf_place_format(at, section, place, sizeof(place));
	for (char *line = why.text, *end; line != NULL; line = end != NULL ? end + 1 : NULL) { /* one an item */
		end = strchr(line, '\n');
		err_add(err, "%s %s: %.*s", place, option_word(section, i), (int)strcspn(line, "\n"), line);
		conf->misread++;
	}
}

size_t conf_kind_index(const struct conf *conf, struct span name)
{
	size_t i = 0;

	while (i < conf->kinds_count && !span_eq(span_of(conf->kinds[i]->name), name))
		i++;
	return i;
}

struct conf_section *conf_section_find(const struct conf_sections *sections, struct span name)
{
	for (size_t i = 0; i < sections->count; i++) {
		struct conf_section *section = sections->item[i];
		if (span_eq(span_of(section->name), name))
			return section;
	}
	return NULL;
}

struct conf_section *conf_section_new(struct conf *conf, size_t kind, struct span name, struct place at)
{
	struct conf_sections *sections = &conf->sections[kind];
	struct conf_section *section = mem_zalloc(conf->kinds[kind]->size);

	section->kind = conf->kinds[kind];
	section->name = mem_strndup(name.p, name.n);
	section->file = at.file;
	section->line = at.line;
	section->values = mem_zalloc(section->kind->options_count * sizeof(*section->values));
	for (size_t i = 0; i < section->kind->options_count; i++)
		value_default(section, i, section->kind->options[i].def);
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
	size_t i = conf_kind_index(conf, span_of(kind));

	assert(i < conf->kinds_count);
	return &conf->sections[i];
}

struct conf *conf_new(const struct conf_kind *const *kinds, size_t count)
{
	struct conf *conf = mem_zalloc(sizeof(*conf));

	assert(count <= CONF_OPTIONS_MAX);
	conf->kinds = kinds;
	conf->kinds_count = count;
	conf->sections = mem_zalloc(count * sizeof(*conf->sections));
	for (size_t i = 0; i < count; i++) {
		assert(kinds[i]->options_count <= CONF_OPTIONS_MAX);
		if (!kinds[i]->repeatable)
			conf_section_new(conf, i, SPAN(""), (struct place){ .file = NULL });
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

void conf_set(struct conf *conf, const struct conf_setting *set, struct err *err)
{
	size_t k = conf_kind_index(conf, span_of(set->kind));
	assert(k < conf->kinds_count);
	struct place at = { "command line", 0, set->word };
	struct conf_section *section = conf_section_find(&conf->sections[k], span_of(set->name));

	if (section == NULL)
		section = conf_section_new(conf, k, span_of(set->name), at);
	size_t i = conf_option_index(section->kind, span_of(set->option));
	assert(i < section->kind->options_count);
	conf_value_set(conf, section, i, at, set->value, false, err);
}

void conf_set_default(void *section, const void *field, const char *text)
{
	struct conf_section *s = section;
	size_t i = field_index(s, field);

	if (s->values[i].at.file == NULL)
		value_default(s, i, text);
}
