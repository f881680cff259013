/* What the parts of conf know of each other's; nobody else includes it. */
#pragma once

#include "base/conf.h"

#define CONF_OPTIONS_MAX 64   /* of one kind, and of kinds; a table that is larger is a bug */
#define CONF_PLACE_MAX   4352 /* a path and a section name */

struct place {
	const char *file; /* kept by the conf */
	int line;         /* 0: it is the command line */
	const char *word; /* of the command line, that gave it; NULL: the option's name is known to who wrote it */
};

struct conf_value {
	char *text;      /* a list: its values joined by ", " */
	struct place at; /* file NULL: it is the default */
};

struct conf {
	const struct conf_kind *const *kinds;
	size_t kinds_count;
	struct conf_sections *sections; /* one a kind */
	struct str_list files;          /* names that sections and values point to */
	unsigned misread;
};

/* The bounds of an option in words that follow "must be", or its type; "" without any. Returns out. */
#define CONF_BOUNDS_MAX 64
const char *conf_bounds(const struct conf_option *option, char out[CONF_BOUNDS_MAX]);

/* conf_place() for a place that no value has yet. */
void conf_place_format(struct place at, const struct conf_section *section, char *out, size_t cap);

/* The index of the kind or option of that name; kinds_count or options_count when there is none. */
size_t conf_kind_index(const struct conf *conf, struct span name);
size_t conf_option_index(const struct conf_kind *kind, struct span name);

/* The section of that name, NULL when there is none; and a new one, with its defaults. */
struct conf_section *conf_section_find(const struct conf_sections *sections, struct span name);
struct conf_section *conf_section_new(struct conf *conf, size_t kind, struct span name, struct place at);

/* Reads the text as option i of the section and notes where it stood: a scalar's is replaced, a list's appended to, or
 * its default replaced. whole: the text is one item, even where a list would be split at commas. */
void conf_value_set(struct conf *conf, struct conf_section *section, size_t i, struct place at, const char *text, bool whole,
                    struct err *err);
