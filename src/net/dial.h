/* Connecting to a backend: resolve, try the addresses (RFC 8305: families interleaved, the next one started when the
 * one before failed or after 250 ms), one deadline over all of it, cancellable at any moment. */
#pragma once

#include "base/attr.h"
#include "net/addr.h"
#include "net/resolve.h"

#include <stdint.h>

struct event_base;
struct dial; /* one attempt to reach a target, over all its addresses */

enum dial_result {
	DIAL_OK,
	DIAL_REFUSED,     /* refused or unreachable; error has the errno of the last address that gave such an answer */
	DIAL_TIMED_OUT,   /* no address answered within the deadline */
	DIAL_NOT_FOUND,   /* the name has no address; error has the EAI_* */
	DIAL_NO_RESOURCE, /* ours, and no address said otherwise: descriptors, ports, memory; error has the errno */
};

struct dial_outcome {
	enum dial_result result;
	int fd; /* DIAL_OK: connected, non-blocking, close-on-exec, without delay (TCP_NODELAY); the receiver's. Else -1 */
	int error;
};

typedef void dial_cb(void *arg, const struct dial_outcome *outcome);

/* What dialling needs from the thread it runs on, and how it is to be done; what it points to outlives the dials. */
struct dial_env {
	struct event_base *base;
	struct resolver *resolver;
	struct mailbox *mailbox;
	int receive_buffer; /* SO_RCVBUF of TCP connections, before they are made; 0: the kernel decides */

	/* Descriptors that all dials of the thread together may have beyond one each, and less those they have; without one the
	 * oldest attempt gives way to the next. NULL: any number. */
	unsigned *spare;
};

/* Starts to connect to target (ADDRESS_TCP or ADDRESS_UNIX), which must outlive the dial. cb runs exactly once,
 * later, never from inside this call, and the dial is gone after it. A UNIX socket whose backlog is full (EAGAIN)
 * makes no event, so it is retried by a timer. A look-up that takes longer than RESOLVE_PATIENCE_MS gives way to the last good
 * answer, where there is one. timeout_ms 0: no deadline of its own. NULL when out of memory. */
struct dial *dial_start(const struct dial_env *env, const struct address *target, uint64_t timeout_ms, dial_cb *cb,
                        void *arg) must_check;

/* Closes all that is under way, and cb will not run. Only before it ran: when cb is called the dial is gone, and cb may free what
 * is the caller's. */
void dial_cancel(struct dial *dial);
