/* The option-table engine: structs described by tables, filled from text, each value with the place it came from. It
 * knows no option. */
#pragma once

#include "base/conf_types.h"

#include <stdio.h>

/* Why an option that was given does nothing where it is, in words that follow "has no effect"; NULL: it does something. */
typedef const char *conf_needs(const void *section);

/* A row of a table. What follows help is said by the words of base/conf_row.h, and zero when it is not. */
struct conf_option {
	const char *name;
	const struct conf_type *type;
	size_t offset;
	const char *def; /* the default as text, "" = unset */
	const char *help;
	bool restart;         /* a reload can't change it: a new value is reported, and counts from the next start */
	uint64_t least, most; /* bounds of a number, size or duration; most 0: none */
	conf_needs *needs;
	/* Of what the type takes, a list's item by item: whether this will do; -1: complained, as conf_type.parse() does. */
	int (*check)(const char *text, struct err *err);
	const char *example; /* a section has no default for it, and must give it, such as this; NULL: it need not */
	int leads; /* what its section leads to by it, by an enum of the table's owner; 0: nowhere. Of those that lead somewhere a
	            * section gives exactly one, and example is such a one */
	int file;  /* what the files are that it names, by an enum of the table's owner; 0: it names none */
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
	const char *file;          /* where it was opened; NULL: nowhere */
	int line;                  /* 0: by the quick form, on the command line */
	struct conf_value *values; /* one an option; the engine's own */
};

/* The sections of one kind, in the order they were written. */
struct conf_sections {
	void **item;
	size_t count;
};

struct conf; /* a configuration: every section and value, owned */

/* kinds: every section there can be. Single sections exist from the start, with their defaults. */
struct conf *conf_new(const struct conf_kind *const *kinds, size_t count);

/* A word of the command line that stands for an option: complaints name the word, as in `command line: --key: ...`. */
struct conf_setting {
	const char *kind, *name, *option, *value, *word;
};

/* The quick form: opens a section, or goes on with one of the same name, and sets one option of it, replacing (a list:
 * appending). */
void conf_set(struct conf *conf, const struct conf_setting *set, struct err *err);

#define CONF_LINE_MAX 198
#define CONF_NAME_MAX 40 /* of a section */
#define CONF_FILE_MAX (1 << 20)

struct opener;

/* Reads INI text. For text, name stands where the name of a file would. opener: as in file_open_to_read().
 *
 *     [kind]            a single section        [kind name]       one of a repeatable kind; names are unique in a kind
 *     key = value       Lists are repeated keys or commas; the first value given replaces the default's.
 *         and more      An indented line goes on with the value above: a blank joins them, and in a list a comma.
 *     key = "value"     kept as it stands between the quotes, with ';' and '#'; for a list it is one item
 *     ; comment         also # at the start of a line, and ; after a blank behind a value
 *
 * All complaints of one pass are gathered, each as `FILE:LINE: [route vnc] unknown option "prot"; did you mean "port"?`: unknown
 * section or option, scalar given twice, bad value, missing or needless section name, text outside a section, an indented line
 * without an option above it or that looks like an option itself, line over CONF_LINE_MAX that is no comment, unreadable file.
 * The line is the one where the option begins. */
void conf_read_file(struct conf *conf, const char *path, struct opener *opener, struct err *err);
void conf_read_text(struct conf *conf, const char *name, struct span text, struct err *err);

/* Below, an option of a section is named by its field: &route->path. */

/* Gives an option that was not written another default; text is one that its type takes. */
void conf_set_default(void *section, const void *field, const char *text);

/* A file, directory or socket that the configuration names. */
struct conf_file {
	int kind;            /* as its row says; 0: it was read from this one, and no option names it */
	const void *section; /* NULL: none, as for field and option */
	const void *field;
	const char *option; /* its name */
	const char *path;   /* as it is written, never empty; the conf's */
};

/* Those it was read from, then those of all options by section. Returns how many; *files is the caller's to free. */
size_t conf_list_files(const struct conf *conf, struct conf_file **files);

/* The sections of one kind; owned by the conf. */
const struct conf_sections *conf_sections(const struct conf *conf, const char *kind);

/* Whether the option was given, rightly or wrongly, a text other than its default. */
bool conf_given(const void *section, const void *field);

/* How many complaints were of the value of an option that was itself understood. */
unsigned conf_misread(const struct conf *conf);

/* "FILE:LINE: [kind name]" as complaints begin: the line of the option, when one is named and it was given, else the
 * line that opened the section; "command line: WORD" in the quick form. Cut to fit. */
void conf_place(const void *section, const void *field, char *out, size_t cap);

/* The same for who knows an option by its name alone (NULL: the section), and names it himself behind "command line:". */
void conf_place_named(const void *section, const char *option, char *out, size_t cap);

/* How many options are given by which the section leads to `what`; 0: anywhere. */
size_t conf_leads(const void *section, int what);

/* Adds place + " " + text, for checks that the owner of the options makes. With an option (NULL: none) it is the line
 * of that option, and its name stands in front of the text. Return -1. */
#define conf_complain(section, err, ...) conf_complain_option(section, NULL, err, __VA_ARGS__)
int conf_complain_option(const void *section, const void *field, struct err *err, const char *format, ...) printf_like(4, 5);

/* Complains of each option that was given and has no effect where it stands, of each that a section must give and does
 * not, and of sections that lead nowhere, or to several places. */
void conf_check(const struct conf *conf, struct err *err);

/* The end of a complaint about an unknown word: `; did you mean "x"?`, or nothing. Returns out. */
#define CONF_HINT_MAX 80
const char *conf_hint(char out[CONF_HINT_MAX], const char *word, const char *const *known, size_t count);

/* Prints every kind with every option at its default, in the form that is read; repeatable kinds and their options are
 * commented out by a ';', prose by a '#'. conf/sallyport.conf is this output. */
void conf_print_defaults(const struct conf_kind *const *kinds, size_t count, FILE *out);

/* Calls changed() with "[server] workers" for each option that takes a restart and whose text differs between the two. */
void conf_restart_differences(const struct conf *old, const struct conf *new, void (*changed)(void *arg, const char *what),
                              void *arg);

void conf_free(struct conf *conf); /* and every section and value in it; NULL is allowed */
