/* What a session is, as typed fields, for all who tell of sessions: the line of the log at its end, lists, an API. */
#pragma once

#include "config/pool.h"
#include "gate/reason.h"
#include "net/addr.h"
#include "session/session.h"
#include "session/state.h"

#include <stdint.h>

/* Texts and peers are the session's, and good until it goes on; NULL: there is none, or it is not known yet. Nothing here is a secret,
 * but detail may have bytes of a peer's. */
struct session_description {
	uint64_t id;
	enum session_state state;
	const struct peer *peer;  /* who it is for */
	const struct peer *proxy; /* who connected in its stead */
	const char *listen;
	const char *route;
	const char *target;
	const struct member *unreached; /* of the pool: the target, if it ended because that could not be reached */
	uint64_t age_ms;                /* since it was accepted */
	uint64_t bytes_up, bytes_down;  /* payload */
	enum reason reason;             /* REASON_NONE: it has not ended */
	uint16_t code;                  /* the status or Close code that was sent or came last */
	const char *detail;             /* what went wrong underneath */
};

/* On the session's own thread. */
struct session_description session_describe(const struct session *session);

/* The line at its end. */
void session_log_end(const struct session *session);
