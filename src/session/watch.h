/* The limits of an OPEN session: lifetime, idleness, peers that take nothing, answer no ping or are gone. */
#pragma once

#include "net/tcp.h"
#include "session/session.h"

/* Timers run at least once in this time, ms. An open session looks after its peers more often, most while the window of one
 * is closed, and the first time when it has lasted for a while. Only one that lasts until then has the kernel watch its
 * peers: it takes many system calls, and less than the 20 s of net/tcp.h have passed. */
#define WATCH_TIMER_MAX ((uint64_t)3600 * 1000)
#define WATCH_LOOK      (TCP_DEAD_MS / 2)
#define WATCH_LOOK_FULL (TCP_DEAD_MS / 10)
#define WATCH_LASTING   ((uint64_t)10 * 1000)

/* REASON_NONE, or the limit that has run out at `now`. Pings a client that has been silent for long. *next is at most when to
 * check again, ms. */
enum reason watch_check(struct session *session, uint64_t now, uint64_t *next);

/* From now on the kernel looks after both peers. */
void watch_peers(struct session *session);

/* Looks at both peers of a session that lasts: REASON_CLIENT_DEAD, REASON_BACKEND_DEAD or none. *next is at most when to
 * look again, ms. While a session closes, too: a window that is closed is given the time that stall_timeout says. */
enum reason watch_look(struct session *session, uint64_t *next);

/* Whether a stream has had something to deliver and made no progress for limit ms (0: never). */
bool watch_stalled(struct stall *stall, const struct stream *stream, uint64_t now, uint64_t limit);
