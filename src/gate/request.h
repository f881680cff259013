/* What gates judge, and what they find: an upgrade that was asked for on one of a listener's connections. */
#pragma once

#include "base/attr.h"
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
	void (*decided)(struct request *request,
	                enum verdict verdict); /* that gate calls it, on the worker's thread: no longer to wait */

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

/* Copies the head, for who has to wait: usually nobody has. Returns the bytes that it takes; 0: out of memory. */
must_check size_t request_own(struct request *request);

/* Frees the copy, if there is one: then there is no head any more. Returns its bytes. */
size_t request_disown(struct request *request);
