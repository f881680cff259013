/* A token names the target: `?token=NAME` is looked up in a file, or a directory of files (gate/token_files.h).
 *
 * A look-up sees what the files say at that moment, in a directory of many a moment before: it looks whether they are as they
 * were read. If they are not they are read anew, which is to be waited for: a helper thread does it, once for all who ask meanwhile.
 * Replace a file by rename(2), or a look-up may see half a line. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/file.h"
#include "gate/gate.h"

#include <stdbool.h>

struct tokens;      /* the tokens of one route; any thread */
struct tokens_wait; /* for them to be read */

/* Opens nothing yet. */
struct tokens *tokens_new(const char *path) must_check;

/* Nobody waits any more; a reading under way may go on. NULL is allowed. */
void tokens_free(struct tokens *tokens);

/* Reads the files on this thread. What is wrong with them is in the next report. */
void tokens_read(struct tokens *tokens, struct opener *opener);

/* Takes what is wrong with the files, a line each of the form "FILE[:LINE]: why", and not told yet. */
void tokens_report(struct tokens *tokens, struct err *report);

/* Judges by the first `token` parameter of the request's query, form-decoded: the target that it names is TCP or UNIX, never TLS.
 * VERDICT_WAIT: the files are to be read before, but not for who has just waited and asks by what was read. */
enum verdict tokens_look_up(struct tokens *tokens, struct request *request, bool as_read);

/* Waits for a reading that has not begun yet. done runs once, later, on this thread. NULL: too many others wait, or out of memory. */
typedef void tokens_cb(struct tokens *tokens, void *arg);
struct tokens_wait *tokens_wait(struct tokens *tokens, const struct request_env *env, tokens_cb *done, void *arg) must_check;
void tokens_cancel(struct tokens_wait *wait); /* before done ran: it will not */
