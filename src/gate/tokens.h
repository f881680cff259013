/* A token names the target: `?token=NAME` is looked up in a file, or a directory of files, of lines as token_table.h has them.
 *
 * A look-up sees what the files say at that moment, in a directory of many a moment before: it asks for their state and reads
 * them anew when that has changed.
 * Replace a file by rename(2), or a look-up may see half a line.
 *
 * Of a directory all regular files are read in the order of their names, also by links that stay in it, as those of a
 * ConfigMap do; but for names of editors and tools: .NAME, #NAME, NAME~. What can't be read there is no token file. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "net/addr.h"

#define TOKEN_FILE_MAX (1 << 20)

struct tokens; /* the tokens of one route; any thread */

enum token_result {
	TOKEN_FOUND,
	TOKEN_MISSING,    /* there is no token in the query, or an empty one */
	TOKEN_UNKNOWN,    /* no line has it */
	TOKEN_UNREADABLE, /* nobody can know: its line is faulty, or file or directory can't be read */
};

struct token_answer {
	struct address target; /* TOKEN_FOUND: TCP or UNIX, never TLS; the caller's to address_clear() */
	char detail[512];      /* TOKEN_UNREADABLE: why, with file and line */
	struct err report;     /* what is wrong with files that have changed, told to one caller */
};

/* Opens nothing yet. */
struct tokens *tokens_new(const char *path) must_check;
void tokens_free(struct tokens *tokens); /* NULL is allowed */

/* Reads the files, as whoever will serve, and reports what is wrong: a line each, of the form "FILE[:LINE]: why". */
void tokens_check(struct tokens *tokens, struct err *report);

/* The token is the first `token` parameter of the query, form-decoded. */
enum token_result tokens_look_up(struct tokens *tokens, struct span query, struct token_answer *answer);
