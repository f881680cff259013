/* The listening sockets of one address: accepting at most 64 connections a wake-up, and pausing for a moment instead of spinning
 * when descriptors run out. They outlive configurations: a reload keeps the listeners whose address stays. */
#pragma once

#include "base/attr.h"
#include "net/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct listener;
struct bound;

struct listener_ops {
	/* fd: non-blocking, close-on-exec, now the receiver's. Both may stop the listener, and must not free it. */
	void (*accepted)(void *arg, struct listener *listener, int fd, const struct peer *peer);
	/* Accepting failed for want of descriptors or memory (error: an errno), so a pause of 100 to 500 ms begins. Told at
	 * most once a second. */
	void (*paused)(void *arg, struct listener *listener, int error);
};

/* For the sockets of the address of that text, which net/bind.h has bound. Takes them over; does not accept yet. */
struct listener *listener_new(const char *text, const struct bound *bound) must_check;

/* Starts accepting on base's thread, if need be after a pause: it cannot fail, and may call paused(). */
void listener_start(struct listener *listener, struct event_base *base, const struct listener_ops *ops, void *arg);

void listener_stop(struct listener *listener); /* stops accepting, on base's thread; what waits in the backlog stays */
void listener_free(struct listener *listener); /* stops, closes, removes the socket file; NULL is allowed */

/* Whether other addresses of a TCP port may be bound `beside` (net/bind.h) while these sockets hold it. It can still fail. */
void listener_let_beside(const struct listener *listener, bool let);

const char *listener_text(const struct listener *listener); /* the address's canonical text */

/* What it is really bound to ("127.0.0.1:43210" for port 0), the i-th socket, or the address's text when the kernel does not
 * tell; false when there is no i-th one. */
bool listener_bound(const struct listener *listener, size_t i, char out[ADDR_TEXT_MAX]);
