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

/* Starts it, and waits until it is at work. The process must have no other thread yet, and all rights that the settings need.
 * file: the configuration, NULL for the quick form; workers: how many will open files. NULL on failure, with a complaint. */
struct steward *steward_start(const struct settings *settings, const char *file, size_t workers, struct err *err) must_check;

/* From now on its death is told to the log. */
must_check int steward_watch(struct steward *steward, struct event_base *base, struct log *log, struct err *err);

/* On the main thread, and they wait for the steward. BIND: as bind_open(), for a TCP address that the configuration it read last
 * names. READ: it reads the configuration again; one that is gone reads nothing, which is no failure. */
must_check int steward_bind(struct steward *steward, const struct address *address, const struct bind_options *options,
                            struct bound *bound, struct err *err);
must_check int steward_read(struct steward *steward, struct err *err);

/* Makes a resolver look names up by the steward. Once. */
void steward_serve_names(struct steward *steward, struct resolver_options *options);

/* For the thread of that worker alone: opens what lies below web roots. The steward's, and gone with it. */
struct opener *steward_opener(struct steward *steward, size_t worker);

void steward_free(struct steward *steward); /* NULL is allowed */
