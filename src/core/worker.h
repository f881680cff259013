/* A worker: a thread with an event loop, and the sessions that live on it. Other threads only post to it. */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include "base/attr.h"
#include "base/limiter.h"
#include "base/list.h"
#include "base/log.h"
#include "core/session.h"
#include "net/dial.h"
#include "net/mailbox.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The buffer that all reading of a worker goes through, and room in front of it for what is pushed there: a frame's header. */
#define WORKER_SCRATCH  ((size_t)256 * 1024)
#define WORKER_HEADROOM ((size_t)64)

struct worker {
	struct event_base *base;
	struct mailbox *mailbox;
	struct log *log;
	struct admission *admission;       /* shared with all other threads */
	struct lost_names *lost_names;     /* likewise; NULL: nobody is to be told */
	struct dial_env dial_env;
	uint8_t *buffer, *scratch;         /* the second is the first with headroom in front */
	EVP_MD_CTX *sha1;                  /* for the answers to upgrades */
	struct http_head head;             /* the request being looked at; valid within one turn, as its spans are */
	struct list sessions[STATE_COUNT]; /* each session is in the list of its state */
	struct event *reap;
	struct event *drain_over;
	struct stream_pool backlogs;       /* and all else that peers make it hold: max_backlog is for it */
	uint64_t drain_timeout;
	bool draining;
	atomic_uint load;                  /* sessions that were posted and are not gone */
	atomic_uint refusals;              /* those of them that only are to be refused */
	unsigned refusals_most;            /* so many of those at a time; 0 until the server says */
	struct limiter handshakes;         /* of those */
	struct refusal_log *news;          /* of those that were welcome until a proxy named their source */
	pthread_t thread;
	struct mailbox *home;              /* where farewell is posted when the thread is done */
	struct mail *farewell;
	struct mail drain, stop;
};

/* NULL on failure, with errno. farewell is posted to home when the worker's last session is gone and its thread is about to end. */
struct worker *worker_new(struct log *log, struct resolver *resolver, struct admission *admission, struct mailbox *home,
                          struct mail *farewell) must_check;
must_check int worker_start(struct worker *worker); /* 0 or an errno; all signals are blocked in the thread */

/* --- from the main thread --- */

/* Sends a connection there. -1: out of memory; then fd and reference stay the caller's. */
must_check int worker_post(struct worker *worker, const struct arrival *arrival);
unsigned worker_load(const struct worker *worker);     /* sessions, and refusals among them */
bool worker_may_refuse(const struct worker *worker);   /* there is room for one more that is to be told so */

/* Ends every session with REASON_DRAIN; what is left after timeout_ms is cut, and the thread ends. Nothing may be posted
 * after it but worker_stop(), which cuts at once. Call each at most once. */
void worker_drain(struct worker *worker, uint64_t timeout_ms);
void worker_stop(struct worker *worker);

void worker_join(struct worker *worker); /* after the farewell, or when it was never started */
void worker_free(struct worker *worker); /* after that; NULL is allowed */

/* --- from its own sessions --- */

void worker_reap_soon(struct worker *worker);

/* Counts an admitted session as refused. False when it must be closed without an answer. */
must_check bool worker_session_refused(struct worker *worker, const struct session *session);
void worker_session_gone(struct worker *worker, bool was_refusal);

#endif
