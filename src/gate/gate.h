/* A gate judges who may pass to a route's target, and may name that target. What it judges is a request, an upgrade that was asked
 * for on one of a listener's connections; there it notes what it finds. The gates of a route are a chain, in the order of gate.def;
 * the first that refuses ends it, and one that has to wait holds it up. A gate is a file gate/NAME.c, which has a struct gate_ops
 * gate_NAME, and its rows in gate.def. Immutable but for what a gate guards itself: any thread may judge. */
#pragma once

#include "base/conf_types.h"
#include "base/err.h"
#include "base/log.h"
#include "gate/reason.h"
#include "net/addr.h"
#include "proto/http.h"
#include "proto/upgrade.h"

#include <stdbool.h>
#include <stddef.h>

struct mailbox;
struct offload;
struct opener;

/* What a gate has of the worker it is asked on. */
struct request_env {
	struct log *log;
	struct mailbox *mailbox;
	struct offload *offload;      /* for what blocks; NULL: there are no helpers, and it is done at once */
	struct opener *const *opener; /* one for each of its threads */
};

enum verdict {
	VERDICT_PASS,   /* request->target may say where to */
	VERDICT_REFUSE, /* for request->reason */
	VERDICT_WAIT,   /* it is not known yet; request->reason: what to tell if the time is over before it is */
};

struct request {
	struct http_head *head; /* the worker's, for this turn of the loop; or own */
	struct http_head *own;  /* see request_own() */
	bool tls;               /* how the client reached us */
	bool penalised;         /* its source is refused for now: it may not guess anything */
	const struct request_env *env;

	size_t gate; /* of the chain: who is asked next */
	bool waits;  /* for the gate before that one */
	void *step;  /* that gate's own, as long as it waits */
	/* That gate calls it, on the worker's thread: no longer to wait. */
	void (*decided)(struct request *request, enum verdict verdict);

	enum reason reason;
	bool browser;    /* it has an Origin */
	struct span key; /* Sec-WebSocket-Key, in key_text; absent until it is known to be good */
	char key_text[UPGRADE_KEY_LEN];
	struct span subprotocol; /* that is agreed to; one of the route's, or absent */
	struct address target;   /* that a gate named, the receiver's to address_clear(); its text is NULL: the route's */
	char *detail;            /* what is wrong underneath, for the log, the receiver's to take and free; or NULL */
};

/* For gates, to return. */
static inline enum verdict request_refuse(struct request *request, enum reason reason)
{
	request->reason = reason;
	return VERDICT_REFUSE;
}

static inline enum verdict request_wait(struct request *request, enum reason late)
{
	request->reason = late;
	return VERDICT_WAIT;
}

/* What a [route] says to its gates: pointers to its fields. */
struct gate_options {
#define OPT(name, type, ...) CONF_##type const *name;
#include "gate/gate.def"
#undef OPT
};

struct gate {
	const struct gate_ops *ops;
	struct gate_options options;
	void *own; /* what build() made */
};

struct gate_ops {
	/* Whether by its options the route has this gate. NULL: every route has it, and there is nothing to make. */
	bool (*build)(struct gate *gate);
	/* Judges, and notes in the request what it found. VERDICT_WAIT: it will call request->decided() later, once, from the event loop of
	 * this thread; until then the head is the request's own. */
	enum verdict (*start)(const struct gate *gate, struct request *request);
	/* Of one that waits: it decides nothing. NULL: it never waits. */
	void (*cancel)(const struct gate *gate, struct request *request);
	/* Reads the files it will need, by the opener, and complains of what is wrong with them at the section's option. NULL: it
	 * has none. */
	void (*check)(const struct gate *gate, struct opener *opener, const void *section, struct err *warnings);
	void (*free)(struct gate *gate); /* NULL: build() made nothing */
};

#define OPT(...)
#define GATE(name) extern const struct gate_ops gate_##name;
#include "gate/gate.def"
enum {
#define GATE(name) GATE_NUMBER_##name,
#include "gate/gate.def"
	GATES_MAX
};
#undef OPT

/* The gates of one route. */
struct gates {
	struct gate item[GATES_MAX];
	size_t count;
};

/* What the options point to must outlive the gates. */
void gates_build(struct gates *gates, const struct gate_options *options);
void gates_clear(struct gates *gates);
void gates_check(const struct gates *gates, struct opener *opener, const void *section, struct err *warnings);

/* Asks the gates, from the first. The head's spans need to be valid for this call alone, unless it returns VERDICT_WAIT. */
enum verdict gates_start(const struct gates *gates, struct request *request);

/* The gate that was waited for has decided: the others are asked if it lets pass. */
enum verdict gates_go_on(const struct gates *gates, struct request *request, enum verdict verdict);

/* Nobody waits for their verdict any more, whether one does or not. A detail that was not taken is freed. */
void gates_cancel(const struct gates *gates, struct request *request);

/* Copies the head, for who has to wait: usually nobody has. Returns the bytes that it takes; 0: out of memory. */
must_check size_t request_own(struct request *request);

/* Frees the copy, if there is one: then there is no head any more. Returns its bytes. */
size_t request_disown(struct request *request);
