/* A token names the target: `?token=NAME` is looked up in a file, or a directory of files, of lines
 *
 *     NAME: HOST:PORT        NAME: unix_socket:/path        # in column 1 is a comment
 *
 * which is websockify's TokenFile format, plus [V6]:PORT, unix:/path and unix:@name. The split is at the first colon
 * that a blank follows; the last entry of a name wins; blank lines are fine; a faulty line is passed over. Files are
 * read anew at each look-up, so that an entry added while the gateway runs counts at once; replace a file by rename(2),
 * or a look-up may see half a line. */
#ifndef GATE_TOKEN_H
#define GATE_TOKEN_H

#include "base/attr.h"
#include "base/str.h"
#include "net/addr.h"

enum token_result { TOKEN_FOUND, TOKEN_UNKNOWN, TOKEN_UNREADABLE /* errno says why */ };

/* The token is the first `token` parameter of the query, form-decoded; absent or empty is TOKEN_UNKNOWN. Of a directory
 * the regular files are read in order of their names, no links; the first that has the token wins, and one that can't
 * be read counts only when no other has it. A file above 1 MiB is unreadable. On TOKEN_FOUND *target (TCP or UNIX, never
 * TLS) is filled and the caller's to address_clear(). */
enum token_result token_lookup(const char *path, struct span query, struct address *target);

#endif
