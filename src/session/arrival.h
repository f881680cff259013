/* State NEW: a connection that has come to its worker becomes a session. */
#pragma once

#include "session/session.h"

/* What a worker needs to begin a session; see worker.h for who sends it. */
struct arrival {
	int fd;
	struct peer peer;
	uint64_t id;
	struct generation *generation; /* a reference that becomes the session's */
	const struct listen_settings *listen;
	enum reason refusal; /* REASON_NONE: it is welcome */
	struct seat seat;    /* which becomes the session's to give back */
};

/* Takes fd and the reference over, also when it fails for want of memory: then it is discarded. */
void arrival_start(struct session_context *context, const struct arrival *arrival);

/* The end of an arrival that there was no memory to make a session of; any thread. */
void arrival_discard(const struct arrival *arrival, struct admission *admission, struct refusal_log *reject_log);
