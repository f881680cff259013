/* What TCP connections have set: no delay for small writes from the beginning, and probes that find a dead peer after 45 s
 * of silence (30 s, then 3 probes 5 s apart). */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "base/attr.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

/* Set on a listening socket, Linux hands both on to the accepted ones. -1 and errno on failure. */
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
		{ IPPROTO_TCP, TCP_KEEPIDLE, 30 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) != 0)
			return -1;
	return 0;
}

#endif
