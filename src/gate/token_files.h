/* Token files: a file, or a directory of files, as they are on disk, and what their lines say:
 *
 *     NAME: HOST:PORT        NAME: unix_socket:/path        # a comment
 *
 * This is websockify's TokenFile format, and what it takes is taken: blanks around a line, IPv6 without brackets (also with a
 * zone), no host for this one. [V6]:PORT, unix:/path, unix:@name and empty lines are fine, too. A name ends at the first colon
 * that a blank follows. Of the lines with one name those of the first file count, and there the last; a faulty one counts when
 * there is no other.
 *
 * Of a directory all regular files are read in the order of their names, also by links that stay in it, as those of a
 * ConfigMap do; but for names of editors and tools, .NAME, #NAME, NAME~, and those with control bytes. What can't be read
 * there is no token file; a directory that has more than the bounds below can't be read.
 *
 * What shows that they have changed can be looked at by any thread at any time; reading them opens files, which may block.
 * Running out of memory is an answer here: they are read while sessions live. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/file.h"
#include "base/str.h"
#include "net/addr.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define TOKEN_FILE_MAX    (1 << 20)
#define TOKEN_TABLE_MAX   (16 << 20) /* bytes of all files of a directory, one as often as links lead to it */
#define TOKEN_MEMBERS_MAX 10000
#define TOKEN_LINES_MAX   1000000 /* with these another file is too much: a line takes more memory than its text */

struct token_state {
	uint64_t hash;  /* of all that shows a change; 0: of nothing */
	time_t changed; /* the last time that one did, by st_ctim: every change moves it, and nobody can set it */
	bool hidden;    /* this process may not look at all of it, so it may change unseen */
};

/* Zeroed, nothing was read. */
struct token_files {
	struct token_state state; /* as it was before they were read */
	struct str_list members;  /* of a directory: what may be token files */
	int error;                /* an errno: why it can't be read; 0: table is what was read */
	struct token_table {
		struct token_text *texts;
		struct token_line *lines;
		size_t count, room;
		unsigned files;
		size_t bytes; /* of all texts */
	} table;
};

/* Reads what there is at the path into *files, which is not looked at, and reports what is wrong with it: a line each, of the form
 * "FILE[:LINE]: why". */
void token_files_read(struct token_files *files, const char *path, struct opener *opener, struct err *report);
void token_files_clear(struct token_files *files);

/* The state of what was read, by now. Opens nothing. */
struct token_state token_files_look(const struct token_files *files, const char *path);

/* Whoever finds the state that they were read in need not read them again; now is when that began. Not so when they had just
 * changed, may change unseen, or could not be read for a cause that says nothing about them. A change ahead of now is an old one,
 * and a clock was wrong. */
bool token_files_are_settled(const struct token_files *files, time_t now);

/* Where the name leads (TCP or UNIX, never TLS), for the caller to address_clear(). False: the detail says why nobody can know,
 * with file and line; or it is empty, and no line has the name. */
#define TOKEN_DETAIL_MAX 512
must_check bool token_files_find(const struct token_files *files, const char *path, struct span name, struct address *target,
                                 char detail[static TOKEN_DETAIL_MAX]);
