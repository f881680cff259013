/* What connections have set: urgent data are part of the stream, no delay for small writes from the beginning, and probes
 * after 20 s of silence, 5 s apart, that find a dead peer after 35 s. The kernel's timers may be an eighth late. */
#pragma once

#include "base/attr.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A peer that acknowledges nothing of what it should for so long is dead, ms. */
#define TCP_DEAD_MS ((uint64_t)35000)

/* RFC 6093: a byte that is sent as urgent (telnet's IAC DM) has its place in the stream, where recv() leaves it out by
 * default. UNIX sockets have urgent bytes, too. -1 and errno on failure, as below. */
must_check static inline int tcp_keep_urgent(int fd)
{
	static const int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

/* Set on a listening TCP socket, Linux hands all three on to the accepted ones. */
must_check static inline int tcp_set_no_delay(int fd)
{
	static const int on = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

must_check static inline int tcp_set_probes(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 20 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) != 0)
			return -1;
	return 0;
}

/* All of it, for a TCP socket that will listen. */
must_check static inline int tcp_set_all(int fd)
{
	return tcp_keep_urgent(fd) == 0 && tcp_set_no_delay(fd) == 0 ? tcp_set_probes(fd) : -1;
}

/* Whether the connection was reset, or given up: nothing can pass it any more, though the kernel goes on counting what it
 * could not send. False of a socket that is not TCP's. */
static inline bool tcp_is_over(int fd)
{
	struct tcp_info info = { .tcpi_state = TCP_ESTABLISHED };
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}

/* Whether nothing was heard for TCP_DEAD_MS of a peer whose window is closed, and that was asked more than once whether it
 * still is: the kernel asks at growing distances, and a packet may be lost. */
static inline bool tcp_is_dead(const struct tcp_info *info)
{
	return info->tcpi_probes >= 2 && info->tcpi_last_ack_recv >= TCP_DEAD_MS;
}
