/* A reload. A thread of its own reads the configuration and builds a generation of it, as reading may block; then the names
 * of new listeners are looked up; then the main thread, which served meanwhile, binds what is new and hands both over.
 * Until then nothing has changed, and what fails is in the log. */
#pragma once

#include "base/attr.h"
#include "config/generation.h"
#include "net/mailbox.h"
#include "net/resolve.h"
#include "server/confine.h"
#include "server/listening.h"
#include "server/steward.h"

struct reload;

struct reload_setup {
	struct log *log;
	struct mailbox *mailbox; /* the main thread's */
	struct resolver *resolver;
	struct steward *steward;
	struct listening *listening;
	const struct confine *confine;
	const char *path; /* of the configuration; NULL: there is no file */

	/* Puts next in force, and takes it over. Cannot fail. */
	void (*commit)(void *arg, struct generation *next, struct listening_plan *plan);
	void *arg;
};

/* Starts the thread. NULL on failure, with errno. */
struct reload *reload_new(const struct reload_setup *setup) must_check;

/* commit is called once, later or from within; not if it fails. One that is under way begins anew. */
void reload_start(struct reload *reload);

/* One that is under way ends without a commit. NULL is allowed. */
void reload_cancel(struct reload *reload);

/* Cancelled. Waits until nothing is read any more. NULL is allowed. -1: a file hangs (net/offload.h); nothing is freed, and the process is
 * to end. */
must_check int reload_free(struct reload *reload);
