/* A session: one client connection from accept to the last byte, and the backend connection that belongs to it.
 *
 *     NEW -> HELLO -> REQUEST -> DIAL -> OPEN -> CLOSING -> DEAD        from anywhere: session_end(s, REASON_x)
 *      `-> PROXY -^     |  `-> GATE -^  `> OPEN (echo:)
 *                       `-> ANSWER -> REQUEST (keep-alive) ...
 *
 * It lives on one worker's thread. Nothing is freed inside a callback: a DEAD session waits in its worker's list for the
 * end of the loop's turn. What a state does stands in a file of its own: see state.def. */
#pragma once

#include "base/limiter.h"
#include "base/list.h"
#include "config/generation.h"
#include "config/settings.h"
#include "gate/reason.h"
#include "gate/request.h"
#include "net/addr.h"
#include "net/dial.h"
#include "net/stream.h"
#include "proto/http.h"
#include "proto/http_answer.h"
#include "proto/ws.h"
#include "session/codec.h"
#include "session/context.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct log;

/* Bytes that came and are not used yet: the beginning of a request head, or what followed one. It exists only then, so a
 * connection that waits owns no buffer. */
struct input {
	char *buf;      /* NULL: nothing is kept */
	size_t len, room;
	size_t scanned; /* see http_head_length() */
	bool unseen;    /* the next request's, and not looked at yet */
};

struct session;

/* When a stream last made progress while it had something to deliver. */
struct stall {
	uint64_t progress;
	uint64_t since; /* clock_ms(); 0: nothing waits */
};

/* All that comes before OPEN, and what CLOSING needs of it to tell a refusal. */
struct opening {
	struct request request;   /* an upgrade's; the session's target points into it when a gate named one */
	const struct route *near; /* NO_ROUTE: whose path was probably meant, or NULL */
	struct dial *dial;        /* DIAL, until it answered */
	uint64_t deadline_ms;     /* the answer must be out by then; clock_ms() */
	bool asked;               /* a byte of the current request has come */
	bool head_only;           /* the current request is a HEAD */
	bool grace_used;          /* was given a little longer, see session_arm() */
};

/* ANSWER: what is left to be sent. */
struct sending {
	int fd; /* the file it is read from, or -1; open to the end, as the client's backlog may have a piece of it */
	uint64_t offset, left;
	bool keep_alive;
	struct stall stall;
};

/* OPEN, and CLOSING as long as something is under way: what flow.c, open.c and watch.c know. Times are clock_ms(). */
struct traffic {
	struct ws_rx rx;
	struct codec codec;
	uint64_t bytes_up, bytes_down;         /* payload */
	uint64_t opened_ms;                    /* 0: it never was */
	uint64_t heard_ms;                     /* the last byte from the client */
	uint64_t data_ms;                      /* the last payload byte either way */
	uint64_t pinged_ms;                    /* 0: no ping is unanswered */
	struct stall client_stall, backend_stall, pong_wait;
	struct meter frames;                   /* of the client */
	struct pace pace_up, pace_down;
	uint8_t control_payload[WS_CONTROL_PAYLOAD_MAX]; /* payload of the ping that is owed a pong, or of the client's Close */
	uint8_t control_len;
	bool pong_owed;
	bool close_sent;                       /* nothing may be sent to the client any more */
	bool peers_watched;                    /* by the kernel, see watch.h */
};

/* CLOSING, and what the log and the close(2) need of it. Times are clock_ms(). */
struct ending {
	void (*tell)(struct session *);        /* tells the client, or NULL; see state.def */
	uint64_t since_ms;
	uint64_t progress_mark, progress_ms;   /* when something last moved */
	uint64_t client_discarded, backend_discarded; /* bytes */
	bool client_done;                      /* the client has nothing more to say */
	bool reset_client;                     /* it would not take what is left, or may not: RST instead of FIN */
};

struct session {
	struct list_node link; /* in context->sessions[state] */
	struct session_context *context;
	struct generation *generation;
	const struct listen_settings *listen;
	const struct route *route;    /* NULL until the request was matched */
	const struct address *target; /* NULL until known */

	uint64_t id;
	struct peer peer;             /* who it is for; final from state HELLO on */
	struct peer proxy;            /* who connected in its stead, when proxied */
	enum session_state state;
	enum reason reason;           /* REASON_NONE until session_end() */
	uint16_t code;                /* for the log: the status or Close code that was sent or came last */
	enum reason refusal;          /* what it is told as soon as it asked; REASON_NONE: it is welcome */
	struct seat seat;             /* its places among all sessions and its source's */
	bool tallied;                 /* among its route's */
	bool proxied;                 /* peer is what a trusted proxy says */
	bool upgraded;                /* the 101 is out */
	bool echo;                    /* target is echo: */
	bool timer_failed;            /* there was no memory to set the timer */
	char *detail;                 /* what went wrong underneath, for the log; or NULL */

	struct stream client, backend;
	struct event timer;
	struct input input;           /* until OPEN, in PROXY of the header; then: frames behind what a codec was stopped with */
	uint64_t accepted_ms;
	uint64_t due_ms;              /* when the timer is to run */

	struct opening opening;
	struct sending sending;
	struct traffic traffic;
	struct ending ending;
};

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
void session_start(struct session_context *context, const struct arrival *arrival);

/* The end of an arrival that there was no memory to make a session of; any thread. */
void arrival_discard(const struct arrival *arrival, struct admission *admission, struct refusal_log *reject_log);

/* The only writer of state, by what state.def says of both; asserts that the step is allowed. The
 * next state may have gone on to others by then; a reason says that it is over already. */
enum reason session_enter(struct session *session, enum session_state next);

/* Whom limits and penalties are for; NULL as long as its proxy has named nobody, since a proxy is not to blame for its clients. */
const struct peer *session_source(const struct session *session);

/* The only way out, from any state; idempotent, cannot fail. The first reason wins. */
void session_end(struct session *session, enum reason reason);

/* Sets the session's one timer, from now. If it then runs much too late, the process has not lived in between (SIGSTOP, a
 * frozen machine), and that time counts against nobody but for lifetime: what the peers sent meanwhile is still to be read. */
void session_arm(struct session *session, uint64_t ms);

/* The gateway drains: ends it if its state says so. */
void session_drain(struct session *session);

/* Closes, logs and frees a DEAD one, outside of every callback of a session's. */
void session_reap(struct session *session);

enum reason session_drain_at_once(struct session *session); /* for state.def */

/* Its peer is only known now, so it is only now that the peer's source may be refused: then session->refusal says why, and the
 * answer to its request will. The same is returned if nobody is to wait for that. */
enum reason session_admit(struct session *session);

/* For an answer that it is given now. */
struct http_stamp session_stamp(const struct session *session);

void session_on_stream(void *owner, struct stream *stream, enum stream_event event);
