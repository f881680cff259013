/* The steward, as the gateway sees it: a second process of the same binary that keeps what the gateway gives up. It binds
 * addresses, looks names up and opens static files; it reads the configuration itself and does only what that names. It ends with the gateway. If
 * it ends before, the log says so and the gateway serves on with what it has. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"
#include "net/bind.h"
#include "net/resolve.h"

struct event_base;
struct opener;
struct steward;

/* Starts it, with all that the process has in memory. The process must have no other thread yet, and all rights that the settings need.
 * file: the configuration, NULL for the quick form; files: how many threads will open files, beside the one that reads a configuration.
 * NULL on failure, with a complaint. join: waits until it is at work. */
struct steward *steward_start(struct settings *settings, const char *file, size_t files, struct err *err) must_check;
must_check int steward_join(struct steward *steward, struct err *err);

/* From now on its death is told to the log. */
must_check int steward_watch(struct steward *steward, struct event_base *base, struct log *log, struct err *err);

/* Any thread, and they wait for the steward; while it reads for another, for a second at most, and then fail. LOG: opens the log file of the
 * start's settings. BIND: as bind_open(), for a TCP or UNIX address that the configuration names, with found and beside of struct
 * bind_options. UNBIND: removes the socket file that it made for the address of that text, if any. READ: it reads the configuration again,
 * and opens and binds what that names beside what the one in force does. TAKE: what it read is in force. DROP: it is refused, and counts
 * no more. */
must_check int steward_open_log(struct steward *steward, struct err *err);
must_check int steward_bind(struct steward *steward, const struct address *address, const struct resolved *found, bool beside,
                            struct bound *bound, struct err *err);
void steward_unbind(struct steward *steward, const char *text);
must_check int steward_read(struct steward *steward, struct err *err);
void steward_take(struct steward *steward);
void steward_drop(struct steward *steward);

/* One that looks names up by the steward, which has to stay as long as it. NULL on failure, with errno. */
struct resolver *steward_resolver(struct steward *steward) must_check;

/* For that one of the threads alone, and for the one that reads a configuration. The steward's, and gone with it. */
struct opener *steward_opener(struct steward *steward, size_t thread);
struct opener *steward_reader(struct steward *steward);

/* From now on it answers nobody: whoever waits for it, on any thread, goes on as if it were gone. NULL is allowed. */
void steward_hang_up(struct steward *steward);

void steward_free(struct steward *steward); /* NULL is allowed */
