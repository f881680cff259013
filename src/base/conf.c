/* conf.c owns the sections and their values, where each value came from, and complaints that say so.
 * It must never know an option: kinds, options and defaults come from the caller's tables. */
#include "base/conf.h"

#include "base/conf_internal.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- places and complaints -------------------------------------------------------------------------------------- */

const char *conf_keep_name(struct conf *conf, const char *name)
{
	str_list_add(&conf->files, span_of(name));
	return conf->files.item[conf->files.count - 1];
}

size_t conf_option_index(const struct conf_kind *kind, const char *name)
{
	size_t i = 0;

	while (i < kind->options_count && strcmp(kind->options[i].name, name) != 0)
		i++;
	return i;
}

void conf_place_format(struct place at, const struct conf_section *section, char *out, size_t cap)
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

static size_t field_index(const struct conf_section *section, const void *field)
{
	size_t offset = (size_t)((const char *)field - (const char *)section), i = 0;

	while (i < section->kind->options_count && section->kind->options[i].offset != offset)
		i++;
	assert(i < section->kind->options_count);
	return i;
}

void conf_place(const void *section, const void *field, char *out, size_t cap)
{
	const struct conf_section *s = section;
	struct place at = { s->file, s->line };

	if (field != NULL && s->values[field_index(s, field)].at.file != NULL)
		at = s->values[field_index(s, field)].at;
	conf_place_format(at, s, out, cap);
}

void conf_place_named(const void *section, const char *option, char *out, size_t cap)
{
	const struct conf_kind *kind = ((const struct conf_section *)section)->kind;

	conf_place(section, option != NULL ? (const char *)section + kind->options[conf_option_index(kind, option)].offset : NULL, out, cap);
}

static void complain(const struct conf_section *section, const void *field, struct err *err, const char *format, va_list args)
        printf_like(4, 0);

static void complain(const struct conf_section *section, const void *field, struct err *err, const char *format, va_list args)
{
	const char *option = field != NULL ? section->kind->options[field_index(section, field)].name : "";
	char place[CONF_PLACE_MAX];
	char text[2048];

	conf_place(section, field, place, sizeof(place));
	vsnprintf(text, sizeof(text), format, args);
	err_add(err, "%s %s%s%s", place, option, field != NULL ? ": " : "", text);
}

int conf_complain(const void *section, struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(section, NULL, err, format, args);
	va_end(args);
	return -1;
}

int conf_complain_option(const void *section, const void *field, struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(section, field, err, format, args);
	va_end(args);
	return -1;
}

const char *conf_hint(char out[CONF_HINT_MAX], const char *word, const char *const *known, size_t count)
{
	const char *near = str_nearest(word, known, count);

	out[0] = '\0';
	if (near != NULL)
		snprintf(out, CONF_HINT_MAX, "; did you mean \"%s\"?", near);
	return out;
}

/* --- values ----------------------------------------------------------------------------------------------------- */

static bool is_given(const struct conf_section *section, size_t i)
{
	return section->values[i].at.file != NULL && strcmp(section->values[i].text, section->kind->options[i].def) != 0;
}

bool conf_given(const void *section, const void *field)
{
	return is_given(section, field_index(section, field));
}

#define BOUNDS_MAX 64

/* In words that follow "must be" and a type; "" without any. */
static const char *bounds_words(const struct conf_option *option, char out[BOUNDS_MAX])
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
		snprintf(out, BOUNDS_MAX, "at most %s", most);
	else
		snprintf(out, BOUNDS_MAX, "from %s to %s", least, most);
	return out;
}

static int bounds_check(const struct conf_option *option, const void *field, struct err *err)
{
	char words[BOUNDS_MAX];

	if (option->most == 0)
		return 0;
	uint64_t value = *(const uint64_t *)field;
	return value >= option->least && value <= option->most ? 0 : err_add(err, "must be %s", bounds_words(option, words));
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
		else if (option->type->parse(copy, field, &why) != 0)
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

	if (type->is_list && !whole)
		return list_parse(option, text, field, err);
	if (!type->is_list && type->clear != NULL)
		type->clear(field);
	return type->parse(text, field, err) == 0 ? bounds_check(option, field, err) : -1;
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

int conf_value_set(struct conf_section *section, size_t i, struct place at, const char *text, bool whole,
                   struct err *err)
{
	char place[CONF_PLACE_MAX];
	struct err why;

	value_note(section, i, at, text);
	err_init(&why);
	if (value_parse(section, i, text, whole, &why) == 0)
		return 0;
	conf_place_format(at, section, place, sizeof(place));
	return err_add(err, "%s %s: %s", place, section->kind->options[i].name, why.text);
}

/* --- sections --------------------------------------------------------------------------------------------------- */

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
			conf_section_new(conf, i, SPAN(""), (struct place){ NULL, 0 });
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

int conf_set(struct conf *conf, const char *kind, const char *name, const char *option, const char *value,
             struct err *err)
{
	size_t k = conf_kind_index(conf, span_of(kind));
	assert(k < conf->kinds_count);
	struct place at = { "command line", 0 };
	struct conf_section *section = conf_section_find(&conf->sections[k], span_of(name));

	if (section == NULL)
		section = conf_section_new(conf, k, span_of(name), at);
	size_t i = conf_option_index(section->kind, option);
	assert(i < section->kind->options_count);
	return conf_value_set(section, i, at, value, false, err);
}

void conf_set_default(void *section, const void *field, const char *text)
{
	struct conf_section *s = section;
	size_t i = field_index(s, field);
	struct err err;

	if (s->values[i].at.file != NULL)
		return;
	free(s->values[i].text);
	s->values[i].text = mem_strdup(text);
	err_init(&err);
	int bad = value_parse(s, i, text, false, &err);
	assert(!bad);
	(void)bad;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

struct file_list {
	struct conf_file *item;
	size_t count;
};

static void add_file(struct file_list *files, struct conf_file file)
{
	if (file.path[0] == '\0')
		return;
	files->item = mem_resize(files->item, files->count + 1, sizeof(*files->item));
	files->item[files->count++] = file;
}

static void add_section_files(struct file_list *files, const struct conf_section *section)
{
	for (size_t i = 0; i < section->kind->options_count; i++) {
		const struct conf_option *option = &section->kind->options[i];
		const void *field = (const char *)section + option->offset;
		const char *path;
		for (size_t k = 0; option->file != 0 && (path = option->type->file(field, k)) != NULL; k++)
			add_file(files, (struct conf_file){ option->file, section, field, option->name, path });
	}
}

size_t conf_list_files(const struct conf *conf, struct conf_file **out)
{
	struct file_list files = { NULL, 0 };

	for (size_t i = 0; i < conf->files.count; i++)
		add_file(&files, (struct conf_file){ .path = conf->files.item[i] });
	for (size_t i = 0; i < conf->kinds_count; i++)
		for (size_t k = 0; k < conf->sections[i].count; k++)
			add_section_files(&files, conf->sections[i].item[k]);
	*out = files.item;
	return files.count;
}

/* --- what has no effect, defaults and reloads --------------------------------------------------------------------------------------- */

static void section_check_needs(const struct conf_section *section, struct err *err)
{
	for (size_t i = 0; i < section->kind->options_count; i++) {
		const struct conf_option *option = &section->kind->options[i];
		const char *why = option->needs != NULL && is_given(section, i) ? option->needs(section) : NULL;
		if (why != NULL)
			conf_complain_option(section, (const char *)section + option->offset, err, "has no effect %s", why);
	}
}

void conf_check_needs(const struct conf *conf, struct err *err)
{
	for (size_t i = 0; i < conf->kinds_count; i++)
		for (size_t k = 0; k < conf->sections[i].count; k++)
			section_check_needs(conf->sections[i].item[k], err);
}

static void option_print(const struct conf_option *option, const char *commented, FILE *out)
{
	char words[BOUNDS_MAX];
	const char *bounds = bounds_words(option, words);
	const char *quote = strpbrk(option->def, ";#\"") != NULL ? "\"" : "";

	fprintf(out, "\n# %s%s%s: %s%s\n", option->type->name, bounds[0] != '\0' ? " " : "", bounds, option->help,
	        option->restart ? " (changed by a restart only)" : "");
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
		if (!option->restart || strcmp(old->values[i].text, new->values[i].text) == 0)
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
			const struct conf_section *before =
			        conf_section_find(&old->sections[i], span_of(section->name));
			if (before != NULL)
				section_differences(before, section, changed, arg);
		}
	}
}
