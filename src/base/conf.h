/* The option-table engine: reads INI text through inih into structs described by tables. It knows no option.
 *
 *     [kind]            a single section        [kind name]       one of a repeatable kind; names are unique in a kind
 *     key = value       Lists are repeated keys or commas; the first value given replaces the default's.
 *     key = "value"     kept as it stands between the quotes, with ';' and '#'; for a list it is one item
 *     ; comment         also # at the start of a line, and ; after a blank behind a value
 *
 * All complaints of one pass are gathered, each as `FILE:LINE: [route vnc] unknown option "prot"; did you mean
 * "port"?`: unknown section or option, scalar given twice, bad value, missing or needless section name, text outside a
 * section, indented line (inih would take it as a continuation), line over CONF_LINE_MAX that is no comment, unreadable
 * file. Debian's inih cuts section names at 49 characters and lines at 199 bytes in silence, so our own line reader
 * refuses both first. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CONF_LINE_MAX 198
#define CONF_NAME_MAX 40
#define CONF_FILE_MAX (1024 * 1024)

/* A type of value. parse() gets NUL-terminated, trimmed text and either fills *field or leaves it alone and adds to err
 * why, without place or option name (the engine puts them in front: `FILE:LINE: [section] option: ` + text). For a list
 * type parse() is called once an item and appends; for any other also with "", which types that can be unset take for
 * that. clear() frees and leaves zeroes. Text and path are never NULL once read, only empty. */
struct conf_type {
	const char *name; /* as --defaults and the manual show it: "duration" */
	bool is_list;
	int (*parse)(const char *text, void *field, struct err *err);
	void (*clear)(void *field); /* NULL when there is nothing to free */
};

enum conf_flags {
	CONF_RESTART = 1 << 0, /* a reload can't change it: a new value is reported, and counts from the next start */
};

struct conf_option {
	const char *name;
	const struct conf_type *type;
	size_t offset;
	const char *def; /* the default as text, "" = unset */
	unsigned flags;
	const char *help;
};

struct conf_kind {
	const char *name; /* "route" */
	bool repeatable;  /* [kind name], else [kind] */
	const char *help;
	size_t size; /* of the struct, which begins with a struct conf_section */
	const struct conf_option *options;
	size_t options_count;
};

struct conf_value; /* the text of an option, and where it was given */

/* What every section struct begins with. */
struct conf_section {
	const struct conf_kind *kind;
	char *name;                /* "" for a single section */
	const char *file;          /* where it was opened; "command line" for the quick form; NULL: nowhere */
	int line;                  /* 0: none */
	struct conf_value *values; /* one an option; the engine's own */
};

/* The sections of one kind, in the order they were written. */
struct conf_sections {
	void **item;
	size_t count;
};

/* The types this engine brings. A .def row names one as CONF_<type> (the C type) and conf_<type> (the description). */
#define CONF_text     char *
#define CONF_texts    struct str_list
#define CONF_path     char *
#define CONF_flag     bool
#define CONF_number   uint64_t
#define CONF_size     uint64_t /* bytes */
#define CONF_duration uint64_t /* milliseconds */
extern const struct conf_type conf_text, conf_texts, conf_path, conf_flag, conf_number, conf_size, conf_duration;

/* For types that choose a word: reads one of words into *(int *)field by its index, or complains with all of them. */
must_check int conf_choose(const char *text, const char *const *words, size_t count, int *field, struct err *err);

struct conf; /* a configuration being read */

/* kinds: every section there can be. Single sections exist from the start, with their defaults. */
struct conf *conf_new(const struct conf_kind *const *kinds, size_t count);

/* Each returns -1 when it complained; reading goes on all the same, so that one pass tells everything. For text, name
 * stands where the name of a file would. */
int conf_read_file(struct conf *conf, const char *path, struct err *err);
int conf_read_text(struct conf *conf, const char *name, const char *text, struct err *err);

/* The quick form: opens a section, or goes on with one of the same name, and sets one option of it, replacing (a list:
 * appending). */
int conf_set(struct conf *conf, const char *kind, const char *name, const char *option, const char *value,
             struct err *err);

/* The sections of one kind; owned by the conf. */
const struct conf_sections *conf_sections(const struct conf *conf, const char *kind);

/* Whether the option was given, rightly or wrongly, a text other than its default. */
bool conf_given(const void *section, const char *option);

/* "FILE:LINE: [kind name]" as complaints begin: the line of the option, when one is named and it was given, else the
 * line that opened the section. Cut to fit. */
void conf_place(const void *section, const char *option, char *out, size_t cap);

/* Adds place + " " + text, for checks that the owner of the options makes. With an option (NULL: none) it is the line
 * of that option, and its name stands in front of the text. Return -1. */
int conf_complain(const void *section, struct err *err, const char *format, ...) printf_like(3, 4);
int conf_complain_option(const void *section, const char *option, struct err *err, const char *format, ...)
        printf_like(4, 5);

/* Prints every kind with every option at its default, in the form that conf_read_file reads; repeatable kinds and their
 * options are commented out by a ';', prose by a '#'. conf/sallyport.conf is this output. */
void conf_print_defaults(const struct conf_kind *const *kinds, size_t count, FILE *out);

/* Calls changed() with "[server] workers" for every CONF_RESTART option whose text differs between the two. */
void conf_restart_differences(const struct conf *old, const struct conf *new,
                              void (*changed)(void *arg, const char *what), void *arg);

void conf_free(struct conf *conf); /* and every section and value in it; NULL is allowed */

#endif
