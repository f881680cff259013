/* A session: one client connection from accept to the last byte, and the backend connection that belongs to it.
 *
 * It lives on one worker's thread. Nothing is freed inside a callback: a DEAD session waits in its worker's list for the
 * end of the loop's turn. What a state means stands in a file of its own, which state.def names: it defines the struct state_ops
 * declared here. Its functions return what is to come, and session.c does it: so neither calls the other back. */
#pragma once

#include "base/limiter.h"
#include "base/list.h"
#include "config/generation.h"
#include "config/settings.h"
#include "gate/admission.h"
#include "gate/gate.h"
#include "gate/reason.h"
#include "net/addr.h"
#include "net/dial.h"
#include "net/stream.h"
#include "proto/http.h"
#include "proto/http_answer.h"
#include "proto/ws.h"
#include "session/codec.h"
#include "session/refusal_log.h"

#include <event2/event_struct.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

enum session_state {
#define STATE(name, ...) STATE_##name,
#include "session/state.def"
#undef STATE
	STATE_COUNT
};

/* The buffer that all reading of a worker goes through, and room in front of it for what is pushed there: a frame's header. */
#define CONTEXT_SCRATCH  ((size_t)256 * 1024)
#define CONTEXT_HEADROOM ((size_t)64)

struct session;

/* What a session needs of the worker it lives on, and all it knows of it. One for each worker, used by its thread alone. */
struct session_context {
	struct event_base *base;
	struct log *log;
	struct admission *admission;  /* shared with all other threads */
	struct refusal_log *refusals; /* what the log is told of strangers */
	struct dial_env dial_env;
	struct request_env request_env;
	struct opener *opener;             /* opens files for handlers */
	uint8_t *scratch;                  /* CONTEXT_SCRATCH bytes, with CONTEXT_HEADROOM in front */
	EVP_MD_CTX *sha1;                  /* for the answers to upgrades */
	struct http_head head;             /* the request being looked at; valid within one turn, as its spans are */
	struct stream_pool backlogs;       /* and all else that peers make it hold: max_backlog is for it */
	struct list sessions[STATE_COUNT]; /* each session is in the list of its state */
	bool draining;

	/* What the worker does for its sessions. */
	void (*reap_soon)(struct session_context *context); /* session_reap_all(), in this turn of the loop */
	/* Counts an admitted session as refused. False when it must be closed without an answer. */
	bool (*refuse)(struct session_context *context, const struct session *session);
	void (*gone)(struct session_context *context, bool was_refusal);
};

/* Bytes of a client that came and can't be used yet: the beginning of a PROXY header or a request head, what followed one, and
 * frames behind what a codec was stopped with. They count against max_backlog. The buffer exists only while it has something in
 * it, so a connection that waits owns none. */
struct kept {
	char *buf; /* NULL: nothing is kept */
	size_t len, room;
	size_t scanned; /* see http_head_length() */
	bool unseen;    /* the next request's, and not looked at yet */
};

/* How a session's client is told of its end. */
enum session_tell {
	TELL_CUT,     /* not at all: there is nothing to tell it by */
	TELL_NOTHING, /* its answer is on its way */
	TELL_STATUS,  /* by an HTTP status, or what stands for one */
	TELL_CLOSE,   /* by a Close */
};

/* What a state means. A reason that comes back ends the session; to go on, a function returns session_next(). What is NULL is not done. */
struct state_ops {
	enum reason (*enter)(struct session *); /* it begins */
	void (*leave)(struct session *);        /* frees what only it needed */
	enum reason (*on_stream)(struct session *, struct stream *, enum stream_event);
	enum reason (*on_timer)(struct session *);
	enum reason (*on_drain)(struct session *); /* the gateway drains */
	enum session_tell tell;                    /* of an end here */
	bool deadline;                             /* the timer is the end of its time, and does not just look what time it is */
};

#define STATE(name, file, from) extern const struct state_ops file##_state;
#include "session/state.def"
#undef STATE

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
	uint64_t bytes_up, bytes_down; /* payload */
	uint64_t opened_ms;            /* 0: it never was */
	uint64_t heard_ms;             /* the last byte from the client */
	uint64_t data_ms;              /* the last payload byte either way */
	uint64_t pinged_ms;            /* 0: no ping is unanswered */
	struct stall client_stall, backend_stall, pong_wait;
	struct meter frames; /* of the client */
	struct pace pace_up, pace_down;
	uint8_t control_payload[WS_CONTROL_PAYLOAD_MAX]; /* payload of the ping that is owed a pong, or of the client's Close */
	uint8_t control_len;
	bool pong_owed;
	bool close_sent;    /* nothing may be sent to the client any more */
	bool peers_watched; /* by the kernel, see watch.h */
};

/* CLOSING, and what the log and the close(2) need of it. Times are clock_ms(). */
struct ending {
	enum session_tell tell;
	uint64_t since_ms;
	uint64_t progress_mark, progress_ms;          /* when something last moved */
	uint64_t client_discarded, backend_discarded; /* bytes */
	bool client_done;                             /* the client has nothing more to say */
	bool reset_client;                            /* it would not take what is left, or may not: RST instead of FIN */
};

struct session {
	struct list_node link; /* in context->sessions[state] */
	struct session_context *context;
	struct generation *generation;
	const struct listen_settings *listen;
	const struct route *route;    /* NULL until the request was matched */
	const struct member *member;  /* of the route's pool; NULL: none yet, or a gate named the target */
	const struct address *target; /* NULL until known */

	uint64_t id;
	struct peer peer;               /* who it is for; final from state HELLO on */
	struct peer proxy;              /* who connected in its stead, when proxied */
	enum session_state state, next; /* next: what session_next() has chosen, or state */
	enum reason reason;             /* REASON_NONE until it ends */
	uint16_t code;                  /* for the log: the status or Close code that was sent or came last */
	enum reason refusal;            /* what it is told as soon as it asked; REASON_NONE: it is welcome */
	struct seat seat;               /* its places among all sessions and its source's */
	bool tallied;                   /* among its route's */
	bool proxied;                   /* peer is what a trusted proxy says */
	bool upgraded;                  /* the 101 is out */
	bool echo;                      /* target is echo: */
	bool timer_failed;              /* there was no memory to set the timer */
	char *detail;                   /* what went wrong underneath, for the log; or NULL */

	struct stream client, backend;
	struct event timer;
	struct kept kept; /* until OPEN, in PROXY of the header; then: frames behind what a codec was stopped with */
	uint64_t accepted_ms;
	uint64_t due_ms; /* when the timer is to run */

	struct opening opening;
	struct sending sending;
	struct traffic traffic;
	struct ending ending;
};

/* Begins one of nothing but its context, in state NEW. NULL: out of memory. */
struct session *session_new(struct session_context *context) must_check;

/* For what a state's functions return: the next state begins as soon as they have. state.def says which may follow. */
static inline enum reason session_next(struct session *session, enum session_state next)
{
	session->next = next;
	return REASON_NONE;
}

/* What a callback that is neither a stream's nor the timer's does with what it would return: the session ends, if it has not before,
 * or goes on to the state that was chosen. */
void session_proceed(struct session *session, enum reason reason);

/* Whom limits and penalties are for; NULL as long as its proxy has named nobody, since a proxy is not to blame for its clients. */
const struct peer *session_source(const struct session *session);

/* Gives up on a CLOSING one: what is not out yet is lost. DEAD is next. */
void session_abort(struct session *session);

/* Sets the session's one timer, from now. If it then runs much too late, the process has not lived in between (SIGSTOP, a
 * frozen machine), and that time counts against nobody but for lifetime: what the peers sent meanwhile is still to be read. */
void session_arm(struct session *session, uint64_t ms);

/* The one deadline of a session that is not open yet runs from accept until the request is complete and answered: in so many ms
 * from now; how many are left, at least 1; and refusal_timeout at most, for one that is only to be told why it is refused. */
void deadline_set(struct session *session, uint64_t ms);
uint64_t deadline_left(const struct session *session);
void deadline_hurry(struct session *session);

/* For state_ops.on_drain of what does not end by itself: at once, but who has only just connected is told that this is no time
 * for it when he asks, if that is within linger_timeout. */
enum reason session_drain(struct session *session);

/* kept.c: keeps bytes, which stand elsewhere, instead of what was kept before. */
must_check enum reason kept_put(struct session *session, const char *bytes, size_t len);
size_t kept_take(struct session *session); /* copies them into the worker's scratch buffer, and returns their length */
void kept_drop(struct session *session);

/* answer.c: answers a request of a session whose route has a handler. */
enum reason answer_start(struct session *session, const struct http_head *head);

/* handshake.c: writes the 101 and makes the decoder ready. Also for closing.c, which tells a browser by 101 and Close why there
 * will be no session. */
enum reason handshake_answer(struct session *session);

/* For an answer that it is given now. */
struct http_stamp session_stamp(const struct session *session);

/* For its streams. */
void session_on_stream(void *owner, struct stream *stream, enum stream_event event);

/* For the worker, outside of every callback of a session's. Ends all whose states say so (REASON_DRAIN), and from now on whoever
 * comes; ends all at once (REASON_STOPPED); closes, logs and frees the DEAD ones. */
void session_drain_all(struct session_context *context);
void session_cut_all(struct session_context *context);
void session_reap_all(struct session_context *context);

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
