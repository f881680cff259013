/* connect.c owns how a socket for a connection is made and connected.
 * It must never close one that it has handed out. */
#include "net/connect.h"

#include "net/tcp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Has to be done before connecting: a sender waits until half of the largest window it ever saw is free, so one made
 * small later on may only move by the sender's timers. */
static void limit_window(int fd, int bytes)
{
	if (bytes > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static int prepare(int fd, sa_family_t family, int receive_buffer)
{
	if (tcp_keep_urgent(fd) != 0)
		return -1;
	if (family == AF_UNIX)
		return 0;
	limit_window(fd, receive_buffer);
	return tcp_set_no_delay(fd);
}

int connect_socket(sa_family_t family, int receive_buffer)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && prepare(fd, family, receive_buffer) != 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* A connect to a local port on which nobody listens can meet itself, if that port is chosen as its own. */
static bool is_connected_to_itself(int fd, const struct sockaddr_storage *to, socklen_t len)
{
	struct sockaddr_storage own = { .ss_family = AF_UNSPEC };
	socklen_t own_len = sizeof(own);
	return to->ss_family != AF_UNIX && getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 && own_len == len &&
	       memcmp(&own, to, len) == 0;
}

static int connect_once(int fd, const struct sockaddr_storage *to, socklen_t len)
{
	return connect(fd, (const struct sockaddr *)to, len) == 0 ? 0 : errno;
}

/* Within one host the handshake is over before connect() returns, although it says EINPROGRESS: asked again, it knows. That
 * saves a turn of the loop and all the watching. */
int connect_start(int fd, const struct sockaddr_storage *to, socklen_t len)
{
	int error = connect_once(fd, to, len);
	if (error == EINPROGRESS)
		error = connect_once(fd, to, len);
	return error == 0 && is_connected_to_itself(fd, to, len) ? ECONNREFUSED : error;
}

int connect_result(int fd, const struct sockaddr_storage *to, socklen_t len)
{
	int error = 0;
	socklen_t size = sizeof(error);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		return errno;
	return error == 0 && is_connected_to_itself(fd, to, len) ? ECONNREFUSED : error;
}
