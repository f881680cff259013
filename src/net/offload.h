/* Helper threads for what blocks: password hashes, files on a slow disk, look-ups. A job's work() runs on one of them,
 * and its done() back on the thread that started it.
 *
 * Whose a job is: from offload_start() on it is the offload's, and nobody else may change or free it; with done() or
 * drop(), of which exactly one is called, it is its starter's again. What work() needs it owns, or keeps by a
 * reference: whoever started it may be gone by the time it runs. */
#pragma once

#include "base/attr.h"
#include "base/list.h"
#include "net/mailbox.h"

#include <stdbool.h>
#include <stddef.h>

struct offload;

/* Embedded in what it works on. */
struct offload_job {
	struct mail mail; /* the offload's, as are those at the end */
	/* On a helper thread, of which thread is the number, from 0: for what each of them has for itself. */
	void (*work)(struct offload_job *job, unsigned thread);
	void (*done)(struct offload_job *job); /* on owner's thread, never from within offload_start() */
	/* Instead of done() after offload_cancel(): disposes of the job and what work() made. On any thread, also from
	 * within the cancel. */
	void (*drop)(struct offload_job *job);
	bool may_hang; /* it leaves threads free for those that can't */

	struct list_node in_queue; /* while it waits for a thread */
	struct offload *offload;
	struct mailbox *owner;
	bool cancelled;
};

/* threads: jobs at a time; all are started at once, with all signals blocked and the rights of the thread that calls, so after
 * these were given up. reserved: less than threads; so many never run a job that may hang. queue_max: jobs that wait for a thread,
 * at least 1. NULL on failure, with errno. */
struct offload *offload_new(unsigned threads, unsigned reserved, size_t queue_max) must_check;

/* Its owner's thread calls, for a job with work, done, drop and may_hang set. NULL as owner: nobody is told, and it is work()
 * that disposes of the job, or starts it anew; there is no done, drop or cancel. -1: too many wait, the job is the caller's. */
must_check int offload_start(struct offload *offload, struct offload_job *job, struct mailbox *owner);

/* On the owner's thread, before done() ran: it will not. One that waits is dropped at once, one that runs as soon as it
 * returns. The mailbox may be freed then. */
void offload_cancel(struct offload_job *job);

/* Every job with an owner must be done or cancelled; others that still wait are forgotten. Waits for those that run, so
 * who could hang is told before to return. NULL is allowed. */
void offload_free(struct offload *offload);

/* Before it, where one that runs may hang for good, as a file may: waits so long at most. -1: it still runs; the offload stays, and
 * the process is to end. */
#define OFFLOAD_END_S 5
must_check int offload_end(struct offload *offload, unsigned seconds);
