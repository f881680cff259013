/* Makes the listening sockets of one address: bound, or inherited from the service manager. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "net/addr.h"
#include "net/resolved.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Listening, non-blocking, close-on-exec. */
struct bound {
	int *fd;
	size_t count;

	/* The socket file we made, NULL if there is none. Another one may stand in its place by the time we go. */
	char *path;
	dev_t dev;
	ino_t ino;
};

/* Whose a socket file that is created is to be; (uid_t)-1, (gid_t)-1: as it comes. */
struct bind_owner {
	uid_t user;
	gid_t group;
};

struct bind_options {
	int backlog;
	mode_t unix_mode;               /* of a UNIX socket file that is created, from its first moment on */
	const struct bind_owner *owner; /* and this; NULL: as it comes */
	const struct resolved *found;   /* what a name leads to, with the port; NULL: it is looked up, which may block */
	bool beside;                    /* TCP: sockets of the same user may hold the port, if they let (listener_let_beside) */
};

/* Opens all that the address stands for, at least one socket, or complains with the address and the cause and returns -1,
 * having opened nothing.
 *
 * A name that resolves to several addresses, and `*`, yield sockets that cover them all (`*` is one dual-stack socket, or IPv4
 * alone where the host has no IPv6; every IPv6 address, `[::]` too, is IPv6 alone, so that 0.0.0.0 and [::] can be listened on
 * side by side). Of a name's addresses those that this host does not have are passed over, as long as one remains. TCP:
 * SO_REUSEADDR and the options of net/tcp.h are set here, once, because accepted sockets inherit them.
 *
 * UNIX path: a socket file on which nobody listens any more is replaced; anything else there (a live socket, a regular file, a
 * symbolic link) is refused. The umask belongs to the whole process: call this on one thread only, and nowhere else create files
 * at the same time.
 *
 * fd:NAME takes the descriptors of that name that the service manager passed (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES;
 * sd_listen_fds(3)), if they are listening stream sockets, of any family. These are duplicates: the originals stay open
 * (close-on-exec) and the variables stay set, so that a later call finds them again. */
must_check int bind_open(struct bound *bound, const struct address *address, const struct bind_options *options, struct err *err);

/* Closes the sockets alone: the socket file stays, and bind_close()'s to remove. */
void bind_release(struct bound *bound);

/* Closes them, and removes the socket file unless another one has taken its place. */
void bind_close(struct bound *bound);
