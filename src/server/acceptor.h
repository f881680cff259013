/* The acceptor: what becomes of a connection that has come in. It goes to the least loaded worker, or it is refused because
 * there is no room, or because its source may not have it.
 *
 * A refusal costs no session: a connection too many is told so and closed, at the least cost there is, while what lives goes
 * on undisturbed. What it is told has the same words and form as any refusal. Main thread only. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"
#include "config/generation.h"
#include "gate/admission.h"
#include "server/worker.h"

#include <stddef.h>
#include <stdint.h>

/* How many sessions there may be, as far as descriptors allow. */
struct capacity {
	uint64_t sessions;
	uint64_t refusals;      /* being told so at once, without a session; and once more as many, by the workers */
	unsigned refusals_each; /* a worker's part of those */
	unsigned dial_spare;    /* a worker's, for several addresses of one target at a time */
};

/* Raises the limit of descriptors as far as it goes. -1: there are too few for max_sessions, or for any at all. */
must_check int capacity_find(struct capacity *capacity, const struct server_settings *set, size_t workers, struct err *err);

struct acceptor;

/* So many of those that are refused are being told so at a time, none longer than timeout_ms; when one more comes, the oldest
 * is answered without having asked, and closed. NULL: out of memory. */
struct acceptor *acceptor_new(struct event_base *base, struct log *log, struct admission *admission, uint64_t refusals,
                              uint64_t timeout_ms) must_check;
void acceptor_free(struct acceptor *acceptor); /* closes what is held; NULL is allowed */

/* Before the first connection, and never taken back. */
void acceptor_add_worker(struct acceptor *acceptor, struct worker *worker);

/* Takes fd over. set is the listener's, in the current generation. */
void acceptor_take(struct acceptor *acceptor, struct generation *current, const struct listen_settings *set, int fd,
                   const struct peer *peer);
