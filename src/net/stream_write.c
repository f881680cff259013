/* stream_write.c owns what is sent on a stream, straight to its socket and what that refuses to the backlog, and how the
 * other end is looked after that is to take it: by the kernel, and where that is not enough by us.
 * It must never read, nor end anything. */
#include "net/stream_internal.h"
#include "net/tcp.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <limits.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A bufferevent that cannot be told of room says nothing of it; asked to write, it does. */
static bool stream_will_drain(struct stream *st)
{
	return bufferevent_enable(st->bev, EV_WRITE) == 0;
}

static ssize_t stream_send_plain(struct stream *st, const uint8_t *data, size_t len, int more)
{
	ssize_t n;
	do
		n = send(st->fd, data, len, MSG_NOSIGNAL | more);
	while (n < 0 && errno == EINTR);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : stream_break(st, errno);
}

/* TCP_NOTSENT_LOWAT alone is not enough: send() goes on filling the last segment, up to 64 KiB, before it looks at it. What
 * is kept from it now is sent when the socket becomes writable, for which less than half of the mark counts. */
static bool stream_kernel_full(const struct stream *st)
{
	int unsent = 0;
	return st->notsent_lowat > 0 && ioctl(st->fd, SIOCOUTQNSD, &unsent) == 0 && unsent >= st->notsent_lowat;
}

/* In chunks that go one by one as they are sent: a single one would stay allocated until its last byte is gone. */
static int stream_append(struct evbuffer *output, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t piece = len < STREAM_PIECE ? len : STREAM_PIECE;
		if (evbuffer_add(output, data, piece) != 0)
			return -1;
		data += piece;
		len -= piece;
	}
	return 0;
}

static ssize_t stream_offer(struct stream *st, const void *data, size_t len, int more)
{
	assert(!st->finishing);
	if (st->broken)
		return STREAM_FAILED;

	ssize_t sent = 0;
	if (stream_backlog(st) == 0 && !stream_kernel_full(st))
		sent = st->ssl != NULL ? stream_tls_send(st, data, len) : stream_send_plain(st, data, len, more);
	if (sent < 0)
		return STREAM_FAILED;
	st->offered += len;
	if ((size_t)sent == len)
		return 0;
	struct evbuffer *output = stream_output(st);
	if (output == NULL || stream_append(output, (const uint8_t *)data + sent, len - (size_t)sent) != 0 ||
	    !stream_will_drain(st))
		return stream_break(st, ENOMEM);
	return (ssize_t)evbuffer_get_length(output);
}

ssize_t stream_write(struct stream *st, const void *data, size_t len)
{
	return stream_offer(st, data, len, 0);
}

ssize_t stream_write_last(struct stream *st, const void *data, size_t len)
{
	return stream_offer(st, data, len, MSG_MORE);
}

/* One sendfile() takes all of what is queued, and that while others wait. */
#define FILE_PIECE_MAX ((uint64_t)256 * 1024)

static ssize_t stream_queue_file(struct stream *st, int fd, uint64_t offset, uint64_t length)
{
	struct evbuffer *output = stream_output(st);
	struct evbuffer_file_segment *segment = NULL;
	if (length > FILE_PIECE_MAX)
		length = FILE_PIECE_MAX;
	if (output != NULL)
		segment = evbuffer_file_segment_new(fd, (ev_off_t)offset, (ev_off_t)length, 0);
	if (segment == NULL)
		return stream_break(st, ENOMEM);
	int added = evbuffer_add_file_segment(output, segment, 0, (ev_off_t)length);
	evbuffer_file_segment_free(segment); /* a reference, which is ours even if the buffer could not take one */
	if (added != 0 || !stream_will_drain(st))
		return stream_break(st, ENOMEM);
	st->offered += length;
	return (ssize_t)length;
}

ssize_t stream_write_file(struct stream *st, int fd, uint64_t offset, uint64_t length, void *buf, size_t cap)
{
	assert(!st->finishing);
	if (st->broken)
		return STREAM_FAILED;
	if (st->ssl == NULL)
		return stream_queue_file(st, fd, offset, length);

	/* Not pread(2): the sandbox has these two anyway, and keeps its list short. */
	if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return stream_break(st, errno);
	ssize_t n;
	do
		n = read(fd, buf, length < cap ? (size_t)length : cap);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return stream_break(st, errno);
	return n > 0 && stream_write(st, buf, (size_t)n) < 0 ? STREAM_FAILED : n;
}

size_t stream_backlog(const struct stream *st)
{
	return st->bev != NULL ? evbuffer_get_length(bufferevent_get_output(st->bev)) : 0;
}

/* Whether the connection was reset, or given up: nothing can pass it any more, though the kernel goes on counting what it
 * could not send. False of a socket that is not TCP's. */
static bool stream_is_over(const struct stream *st)
{
	struct tcp_info info = { .tcpi_state = TCP_ESTABLISHED };
	socklen_t len = sizeof(info);
	return getsockopt(st->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}

size_t stream_unsent(const struct stream *st)
{
	int held = 0;
	if (!stream_is_open(st) || st->broken)
		return 0;
	if (ioctl(st->fd, SIOCOUTQ, &held) != 0 || held < 0)
		held = 0;
	if (held > 0 && stream_is_over(st))
		return 0;
	return stream_backlog(st) + (size_t)held;
}

uint64_t stream_progress(const struct stream *st)
{
	return st->offered - stream_unsent(st);
}

void stream_set_low_water(struct stream *st, size_t low)
{
	st->low_water = low;
	if (st->bev != NULL)
		bufferevent_setwatermark(st->bev, EV_WRITE, low, 0);
}

void stream_set_notsent_lowat(struct stream *st, uint64_t bytes)
{
	int value = bytes > INT_MAX ? INT_MAX : (int)bytes;
	bool set = value > 0 && socket_set(st->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, value) == 0;
	st->notsent_lowat = set ? value : 0; /* UNIX sockets have none: fine */
}

static void stream_set_user_timeout(const struct stream *st, uint64_t ms)
{
	(void)socket_set(st->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms > INT_MAX ? INT_MAX : (int)ms);
}

void stream_watch_peer(struct stream *st)
{
	if (stream_is_open(st) && tcp_set_probes(st->fd) == 0) /* a UNIX socket has none */
		stream_set_user_timeout(st, TCP_DEAD_MS);
}

/* The kernel keeps bytes back with none under way only while the window has no room for them. It asks at growing distances
 * whether that is still so, and a packet may be lost. */
static enum stream_peer stream_peer_of(const struct stream *st)
{
	struct tcp_info info = { .tcpi_unacked = 0 };
	socklen_t len = sizeof(info);
	int unsent = 0;
	if (ioctl(st->fd, SIOCOUTQNSD, &unsent) != 0 || unsent <= 0)
		return STREAM_PEER_WELL;
	if (getsockopt(st->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_unacked > 0)
		return STREAM_PEER_WELL;
	return info.tcpi_probes >= 2 && info.tcpi_last_ack_recv >= TCP_DEAD_MS ? STREAM_PEER_DEAD : STREAM_PEER_FULL;
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
