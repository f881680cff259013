/* What connections have set: urgent data are part of the stream, no delay for small writes from the beginning, and probes
 * after 20 s of silence, 5 s apart, that find a dead peer after 35 s. The kernel's timers may be an eighth late. */
#pragma once

#include "base/attr.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* A peer that acknowledges nothing of what it should for so long is dead, ms. */
#define TCP_DEAD_MS ((uint64_t)35000)

/* -1 and errno on failure, as all below. */
static inline int socket_set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* RFC 6093: a byte that is sent as urgent (telnet's IAC DM) has its place in the stream, where recv() leaves it out by
 * default. UNIX sockets have urgent bytes, too. */
must_check static inline int tcp_keep_urgent(int fd)
{
	return socket_set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
}

/* Set on a listening TCP socket, Linux hands all three on to the accepted ones. */
must_check static inline int tcp_set_no_delay(int fd)
{
	return socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

must_check static inline int tcp_set_probes(int fd)
{
	bool set = socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) == 0 && socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 20) == 0 &&
	           socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5) == 0 && socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3) == 0;
	return set ? 0 : -1;
}

/* All of it, for a TCP socket that will listen. */
must_check static inline int tcp_set_all(int fd)
{
	return tcp_keep_urgent(fd) == 0 && tcp_set_no_delay(fd) == 0 ? tcp_set_probes(fd) : -1;
}
