/* Text: spans of somebody else's bytes, words read as values, lists of words, and untrusted bytes made printable. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of bytes that somebody else owns; not NUL-terminated. An absent span has p == NULL, an empty one does not. */
struct span {
	const char *p;
	size_t n;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })

struct span span_of(const char *text); /* text may be NULL: an absent span */
bool span_eq(struct span a, struct span b);
bool span_eq_nocase(struct span a, struct span b); /* ASCII case only */
bool span_starts(struct span s, struct span prefix);
bool span_made_of(struct span s, const char *set); /* of no other bytes */
struct span span_trim(struct span s);              /* spaces and tabs at both ends */
struct span span_skip(struct span s, size_t n);

static inline bool str_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts s at the first separator, which is dropped; without one all of s is before it, and *after is absent. */
struct span span_split(struct span s, char separator, struct span *after);

/* Takes the next item of a list off the front of *rest and trims it; items may be empty. Returns false when *rest is
 * used up. `a, b` gives "a", "b"; `` gives nothing; `a,` gives "a", "". */
bool span_next(struct span *rest, char separator, struct span *item);

/* Each reads the whole of text and returns 0, or -1 when text is anything else than one value within the bounds. */
must_check int str_to_number(const char *text, uint64_t min, uint64_t max, uint64_t *value); /* decimal digits only */
must_check int str_to_size(const char *text, uint64_t *bytes);                               /* 0, 512, 64k, 1m, 2g */
must_check int str_to_duration(const char *text, uint64_t *ms);                              /* 0, 250ms, 10s, 5m, 2h, 1d */
void str_from_size(uint64_t bytes, char *out, size_t cap); /* as these two are written, in the largest unit that fits */
void str_from_duration(uint64_t ms, char *out, size_t cap);

/* The candidate most like word, for "did you mean"; NULL when none is near enough to help. */
const char *str_nearest(const char *word, const char *const *candidates, size_t count);

/* A growing list of owned strings. */
struct str_list {
	char **item;
	size_t count;
};

void str_list_add(struct str_list *list, struct span text);
void str_list_clear(struct str_list *list);
bool str_list_has(const struct str_list *list, const char *text);

/* Writes bytes as printable ASCII: control bytes, '"', '\\' and everything from 0x7f up become \xNN. Always terminates
 * out; stops before an escape that does not fit. Returns the length written. cap must be at least 1. */
size_t str_escape(char *out, size_t cap, struct span bytes);
