/* stream_peer.c owns how the other end of a connection that lasts is looked after: by the kernel, and where that is not
 * enough by us. It must never end anything: the kernel does, or the session that asked. */
#include "net/stream_peer.h"

#include "net/tcp.h"

#include <limits.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

static void stream_set_user_timeout(struct stream *st, uint64_t ms)
{
	unsigned int value = ms > INT_MAX ? INT_MAX : (unsigned int)ms;
	setsockopt(st->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof(value));
}

void stream_watch_peer(struct stream *st)
{
	if (stream_is_open(st) && tcp_set_probes(st->fd) == 0) /* a UNIX socket has none */
		stream_set_user_timeout(st, TCP_DEAD_MS);
}

/* The kernel keeps bytes back with none under way only while the window has no room for them. */
static enum stream_peer stream_peer_of(const struct stream *st)
{
	struct tcp_info info = { .tcpi_unacked = 0 };
	socklen_t len = sizeof(info);
	int unsent = 0;
	if (ioctl(st->fd, SIOCOUTQNSD, &unsent) != 0 || unsent <= 0)
		return STREAM_PEER_WELL;
	if (getsockopt(st->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_unacked > 0)
		return STREAM_PEER_WELL;
	return tcp_is_dead(&info) ? STREAM_PEER_DEAD : STREAM_PEER_FULL;
}

enum stream_peer stream_look(struct stream *st, uint64_t patience_ms)
{
	if (!stream_is_open(st) || st->broken)
		return STREAM_PEER_WELL;
	enum stream_peer peer = stream_peer_of(st);
	bool full = peer != STREAM_PEER_WELL;
	if (full != st->full)
		stream_set_user_timeout(st, full ? patience_ms : TCP_DEAD_MS);
	st->full = full;
	return peer;
}
