/* The lines of token files, as they were read: which line a token has, and where that leads.
 *
 *     NAME: HOST:PORT        NAME: unix_socket:/path        # a comment
 *
 * This is websockify's TokenFile format, and what it takes is taken: blanks around a line, IPv6 without brackets (also with a
 * zone), no host for this one. [V6]:PORT, unix:/path, unix:@name and empty lines are fine, too. A name ends at the first colon
 * that a blank follows. Of the lines with one name those of the first file count, and there the last; a faulty one counts when
 * there is no other. Running out of memory is an answer here: tables are made while sessions live. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "net/addr.h"

/* A file's contents. */
struct token_text {
	struct token_text *next;
	unsigned rank; /* among the table's files */
	char *path;
	size_t len;
	char bytes[];
};

struct token_line {
	struct span name, value; /* value absent: there is no colon with a blank behind it */
	const struct token_text *text;
	unsigned number;
	bool good;
};

/* Zeroed, it is empty. */
struct token_table {
	struct token_text *texts;
	struct token_line *lines;
	size_t count, room;
	unsigned files;
	size_t bytes; /* of all texts */
};

/* Room for the contents of a file; NULL without memory. */
struct token_text *token_text_new(const char *path, size_t len) must_check;
void token_text_free(struct token_text *text);

/* Takes text over, and reports faulty lines as "PATH:LINE: what is wrong", without the names, which are secrets. False
 * without memory. */
must_check bool token_table_add(struct token_table *table, struct token_text *text, struct err *report);
void token_table_sort(struct token_table *table); /* after the last text, before the first search */
void token_table_clear(struct token_table *table);

/* NULL: no line has that name. */
const struct token_line *token_table_find(const struct token_table *table, struct span name);

/* Where the line leads (TCP or UNIX, never TLS), for the caller to address_clear(). False: why says what is wrong. */
#define TOKEN_WHY_MAX 160
must_check bool token_line_target(const struct token_line *line, struct address *target, char why[static TOKEN_WHY_MAX]);
