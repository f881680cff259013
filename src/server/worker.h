/* A worker: a thread with an event loop, and the sessions that live on it. Other threads only post to it. */
#pragma once

#include "base/attr.h"
#include "base/log.h"
#include "net/mailbox.h"
#include "session/session.h"

#include <stdbool.h>
#include <stdint.h>

struct offload;
struct opener;
struct worker;

struct worker_setup {
	struct log *log;
	struct resolver *resolver;
	struct admission *admission;
	uint64_t backlogs;                   /* bytes that its sessions may make it hold; 0: any */
	struct opener *opener;               /* for its thread alone */
	struct offload *offload;             /* for what blocks; NULL: see struct request_env */
	struct opener *const *helper_opener; /* for each of its threads */
	unsigned dial_spare;                 /* descriptors for dials of several addresses at once, beyond one each */
	unsigned refusals;                   /* so many connections that are only to be refused at a time */
	struct mailbox *parent; /* where exit_mail is posted when the last session is gone and the thread is about to end */
	struct mail *exit_mail;
};

/* NULL on failure, with errno. */
struct worker *worker_new(const struct worker_setup *setup) must_check;
struct session_context *worker_context(struct worker *worker); /* for its own thread, which a test may be */
must_check int worker_start(struct worker *worker);            /* 0 or an errno; all signals are blocked in the thread */

/* Sends a connection there. -1: out of memory; then fd and reference stay the caller's. */
must_check int worker_post(struct worker *worker, const struct arrival *arrival);
unsigned worker_load(const struct worker *worker); /* sessions, and refusals among them */

/* Whether one more that is refused for this reason is to be told so there: who is to be kept off is not, and where that takes a
 * handshake not many are. */
must_check bool worker_may_refuse(const struct worker *worker, struct limiter *handshakes, const struct generation *generation,
                                  const struct listen_settings *listen, const struct peer *peer, enum reason refusal);

/* Ends every session with REASON_DRAIN; what is left after timeout_ms is cut, and the thread ends. Nothing may be posted
 * after it but worker_stop(), which cuts at once. Call each at most once. */
void worker_drain(struct worker *worker, uint64_t timeout_ms);
void worker_stop(struct worker *worker);

void worker_join(struct worker *worker); /* after its exit_mail, or when it was never started */
void worker_free(struct worker *worker); /* after that; NULL is allowed */
