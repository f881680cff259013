/* A listening socket: bound or inherited, accepting at most 64 connections a wake-up, and pausing for a moment
 * instead of spinning when descriptors run out. It outlives configurations: a reload keeps the listeners whose
 * address stays. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "base/attr.h"
#include "base/err.h"
#include "net/addr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct listener;

struct listener_options {
	int backlog;
	mode_t unix_mode;      /* of a UNIX socket that is created, from its first moment on */
};

enum listener_trouble {
	LISTENER_PAUSED,       /* accept failed for want of descriptors or memory (errno in error); a pause of 100 to
	                          500 ms begins. Told at most once a second. */
};

struct listener_ops {
	/* fd: non-blocking, close-on-exec, now the receiver's. May stop the listener and must not free it; so may
	 * trouble(). */
	void (*accepted)(void *arg, struct listener *listener, int fd, const struct peer *peer);
	void (*trouble)(void *arg, struct listener *listener, enum listener_trouble trouble, int error);
};

/* Binds and listens, without accepting yet. A name that resolves to several addresses, and `*`, yield one listener
 * that covers them all (`*` is one dual-stack socket, or IPv4 alone where the host has no IPv6; `[::]` and every
 * other IPv6 address is IPv6 alone, so that 0.0.0.0 and [::] can be listened on side by side). Of a name's addresses
 * those that this host does not have are passed over, as long as one remains. TCP: SO_REUSEADDR and the options of
 * net/tcp.h are set here, once, because accepted sockets inherit them. May block on a look-up.
 *
 * UNIX path: a socket file on which nobody listens any more is replaced; anything else there (a live socket, a
 * regular file, a symbolic link) is refused. The file is removed again by listener_free, unless another one has taken
 * its place. The umask belongs to the whole process: call this on the main thread only, and nowhere else create files
 * at the same time.
 *
 * fd:NAME takes the descriptors of that name that the service manager passed (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES;
 * sd_listen_fds(3)), after checking that they are listening stream sockets, of any family. The listener has
 * duplicates: the originals stay open (close-on-exec) and the variables stay set, so that a later listener finds them
 * again.
 *
 * NULL and a complaint that names the address and the cause on failure. */
struct listener *listener_new(const struct address *address, const struct listener_options *options,
                              struct err *err) must_check;

/* Starts accepting on base's thread. */
must_check int listener_start(struct listener *listener, struct event_base *base, const struct listener_ops *ops,
                              void *arg);

void listener_stop(struct listener *listener);  /* stops accepting, on base's thread; what waits in the backlog stays */
void listener_free(struct listener *listener);  /* stops, closes, removes the socket file; NULL is allowed */

const char *listener_text(const struct listener *listener); /* the address's canonical text */

/* What it is really bound to ("127.0.0.1:43210" for port 0), the i-th socket; false when there is no i-th one. */
bool listener_bound(const struct listener *listener, size_t i, char out[ADDR_TEXT_MAX]);

#endif
