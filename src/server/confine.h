/* Confinement: from root, or whoever started it, to a user without rights in a sandbox of what the settings name. Entered
 * once, after all that needs rights is open; what a reload names anew must lie in what was named at the start. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"
#include "config/generation.h"
#include "sys/sandbox.h"

#include <stdbool.h>
#include <stdint.h>

struct confine;
struct event_base;

/* As privs_become(), for the user of the settings; a complaint names their line. */
must_check int confine_become(const struct settings *settings, bool debuggable, uint64_t keep, struct err *err);

/* Before any thread starts: becomes the user, looks with the user's eyes at what the settings name, and with the opener's at what a
 * reload will read; NULL: there will be none. Complaints are about what would fail every session, warnings about what would fail a
 * reload. NULL on failure, when the process can only exit. */
struct confine *confine_enter(const struct settings *settings, struct opener *opener, struct err *err,
                              struct err *warnings) must_check;

/* After the last thread has started: no other system calls from here on. */
must_check int confine_seal(struct confine *confine, struct err *err);

/* Sealed: on the thread of this loop, which confine_free() precedes, one line is logged for each system call that is refused. */
must_check int confine_watch(struct confine *confine, struct event_base *base, struct log *log, struct err *err);

/* NULL with sandbox = off. */
const struct sandbox *confine_sandbox(const struct confine *confine);

/* What is in force, in words; only with sandbox = on. Returns words. */
#define CONFINE_WORDS_MAX 64
const char *confine_words(const struct confine *confine, char words[static CONFINE_WORDS_MAX]);

/* One line on what is in force, and what is not. */
void confine_log(const struct confine *confine, struct log *log);

/* For a check of the settings, as far as it can be known without serving: a process of root's becomes the user for good. */
must_check int confine_check(const struct settings *settings, struct err *err, struct err *warnings);

/* At a reload: whether what the settings name can be used without a restart. */
must_check int confine_admits(const struct confine *confine, const struct settings *settings, struct err *err);

void confine_free(struct confine *confine); /* the process stays confined; NULL is allowed */
