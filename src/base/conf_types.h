/* The types of option values: what a type is, and those that every program needs. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* A type of value. parse() gets NUL-terminated, trimmed text and either fills *field or leaves it alone and adds to err
 * why, without place or option name (the engine puts them in front: `FILE:LINE: [section] option: ` + text). For a list
 * type parse() is called once an item and appends; for any other also with "", which types that can be unset take for
 * that. clear() frees and leaves zeroes. Text and path are never NULL once read, only empty. */
struct conf_type {
	const char *name; /* as --defaults and the manual show it: "duration" */
	bool is_list;
	int (*parse)(const char *text, void *field, struct err *err);
	void (*clear)(void *field);                           /* NULL when there is nothing to free */
	void (*print)(uint64_t value, char *out, size_t cap); /* as one would write it; NULL: it has no bounds */
	/* The path of item i, "" if that is none, NULL behind the last one. NULL: it names no files. */
	const char *(*file)(const void *field, size_t i);
};

/* The types this engine brings. A .def row names one as CONF_<type> (the C type) and conf_<type> (the description). */
#define CONF_text      char *
#define CONF_texts     struct str_list
#define CONF_path      char *
#define CONF_paths     struct str_list
#define CONF_flag      bool
#define CONF_number    uint64_t
#define CONF_size      uint64_t /* bytes */
#define CONF_duration  uint64_t /* milliseconds */
#define CONF_rate      uint64_t /* of what is counted, per second */
#define CONF_size_rate uint64_t /* bytes per second */
extern const struct conf_type conf_text, conf_texts, conf_path, conf_paths, conf_flag, conf_number, conf_size, conf_duration,
        conf_rate, conf_size_rate;

/* For types that choose a word: reads one of words into *(int *)field by its index, or complains with all of them. */
must_check int conf_choose(const char *text, const char *const *words, size_t count, int *field, struct err *err);
