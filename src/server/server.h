/* The process: its listeners, workers and signals, and the generation that new sessions get. */
#pragma once

#include "config/generation.h"

struct steward;

/* Before the first generation is built: the other process is to have no key of it in its memory. NULL on failure, with a complaint. */
struct steward *server_start_steward(struct settings *settings, const char *path, struct err *err) must_check;

/* Runs until it is told to stop, and returns the process's exit status: 0 after a drain, 1 when it could not start (then
 * one line on stderr says why). Takes first and steward over. path: the configuration file to read again on SIGHUP, NULL for the
 * quick form.
 *
 *     SIGHUP            reload: build a new generation, then commit; on any complaint the old one stays
 *     SIGTERM, SIGINT   drain: accept no more, end every session with REASON_DRAIN; a second one cuts what is left
 *     SIGUSR1           reopen the log file */
int server_run(struct generation *first, struct steward *steward, const char *path);
