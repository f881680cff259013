/* stream.c owns one socket each: its descriptor, its events, its TLS session, and the bufferevent that drains its backlog.
 * It must never decide anything for the session: it reads when asked, and tells what happened. */
#include "net/stream.h"

#include "net/stream_internal.h"
#include "net/tls_reason.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As much as the backlog can hold: by default libevent writes 16 KiB a turn and waits for the next. */
#define DRAIN_MAX ((size_t)1 << 20)

static const struct timeval at_once = { 0, 0 };

/* What fails here and not in the connection, as for want of memory, would just be silent for ever, since the peer is well:
 * the next read, now, says that it failed. */
static void stream_fail(struct stream *st)
{
	if (st->ended == 0)
		st->ended = STREAM_FAILED;
	if (st->error == 0)
		st->error = ENOMEM;
	event_active(&st->rd, EV_READ, 1);
}

static void stream_watch(struct stream *st, const struct timeval *at_the_latest)
{
	if (event_add(&st->rd, at_the_latest) != 0)
		stream_fail(st);
}

void stream_hold(struct stream *st, enum stream_hold why)
{
	if (!stream_is_open(st))
		return;
	if (st->hold == 0)
		event_del(&st->rd);
	st->hold |= (uint8_t)why;
}

void stream_wake(struct stream *st)
{
	if (st->hold == 0)
		stream_watch(st, &at_once);
}

void stream_release(struct stream *st, enum stream_hold why)
{
	if (st->hold == 0 || !stream_is_open(st))
		return;
	st->hold &= (uint8_t)~why;
	if (st->hold == 0) {
		/* Bytes that already are inside the SSL wake nobody, nor does an end that was not told yet, hence the extra look on the
		 * next turn of the loop. */
		stream_watch(st, st->ssl != NULL || st->ended != 0 ? &at_once : NULL);
	}
}

static void stream_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *st = arg;
	if (st->hold != 0)
		return;
	if (what & EV_TIMEOUT)
		stream_watch(st, NULL); /* a time-out takes the whole event off the base, persistent or not */
	st->cb(st->owner, st, STREAM_READABLE);
}

static void stream_send_fin(struct stream *st)
{
	bool handshake_done = st->ssl != NULL && SSL_is_init_finished(st->ssl);
	if (handshake_done && !st->broken && !stream_tls_close_notify(st))
		return;
	shutdown(st->fd, SHUT_WR);
	st->finished = true;
}

static void stream_forget_room(struct stream *st)
{
	if (st->wr != NULL)
		event_free(st->wr);
	st->wr = NULL;
}

static void stream_on_room(evutil_socket_t fd, short what, void *arg)
{
	struct stream *st = arg;
	stream_forget_room(st);
	if (!st->finishing || st->finished || stream_backlog(st) > 0) {
		stream_on_readable(fd, EV_READ, st);
		return;
	}
	stream_send_fin(st);
	stream_wake(st); /* what SSL_read waited for, if it did */
	st->cb(st->owner, st, STREAM_DRAINED);
}

int stream_wait_for_room(struct stream *st)
{
	if (st->wr != NULL)
		return 0;
	st->wr = event_new(event_get_base(&st->rd), st->fd, EV_WRITE, stream_on_room, st);
	if (st->wr != NULL && event_add(st->wr, NULL) == 0)
		return 0;
	stream_forget_room(st);
	return -1;
}

static void stream_on_backlog(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
	struct stream_pool *pool = arg;
	pool->held += info->n_added;
	pool->held -= info->n_deleted;
}

static int stream_count_backlog(struct stream *st)
{
	struct evbuffer *output = bufferevent_get_output(st->bev);
	if (st->pool == NULL)
		return 0;
	if (evbuffer_add_cb(output, stream_on_backlog, st->pool) == NULL)
		return -1;
	st->pool->held += evbuffer_get_length(output);
	return 0;
}

static void stream_free_bufferevent(struct stream *st)
{
	struct evbuffer *output = bufferevent_get_output(st->bev);
	if (st->pool != NULL && evbuffer_remove_cb(output, stream_on_backlog, st->pool) == 0)
		st->pool->held -= evbuffer_get_length(output);
	bufferevent_free(st->bev);
	st->bev = NULL;
}

int stream_join_pool(struct stream *st, struct stream_pool *pool)
{
	if (st->pool == pool)
		return 0;
	st->pool = pool;
	if (st->bev != NULL && stream_count_backlog(st) != 0) {
		st->pool = NULL;
		return -1;
	}
	pool->held += st->in_ssl;
	return 0;
}

void stream_count_in_ssl(struct stream *st, size_t held)
{
	if (st->pool != NULL)
		st->pool->held += held - st->in_ssl;
	st->in_ssl = held;
}

ssize_t stream_break(struct stream *st, int error)
{
	st->broken = true;
	if (st->error == 0)
		st->error = error == ENOBUFS ? ENOMEM : error;
	if (st->error == ENOMEM || st->error == EPROTO || st->tls_error != 0)
		stream_fail(st);
	return STREAM_FAILED;
}

static void stream_on_drained(struct bufferevent *bev, void *arg)
{
	struct stream *st = arg;
	if (st->finishing && !st->finished && stream_backlog(st) == 0)
		stream_send_fin(st);
	st->cb(st->owner, st, STREAM_DRAINED);
}

static void stream_on_bufferevent(struct bufferevent *bev, short what, void *arg)
{
	struct stream *st = arg;
	if (what & BEV_EVENT_CONNECTED) {
		stream_free_bufferevent(st);
		/* Only now: libevent's handshake asks SSL_pending() and would overlook records that were read ahead. */
		SSL_set_read_ahead(st->ssl, 1);
		st->records = 0;
		stream_count_in_ssl(st, 0);
		stream_release(st, HOLD_TLS);
		st->cb(st->owner, st, STREAM_READY);
		return;
	}
	int error = what & BEV_EVENT_EOF ? 0 : EVUTIL_SOCKET_ERROR();
	if (st->ssl != NULL)
		st->tls_error = bufferevent_get_openssl_error(bev);
	stream_break(st, error);
	st->cb(st->owner, st, STREAM_BROKEN);
}

static int stream_use_bufferevent(struct stream *st, enum bufferevent_ssl_state state)
{
	struct event_base *base = event_get_base(&st->rd);
	st->bev = st->ssl != NULL ? bufferevent_openssl_socket_new(base, st->fd, st->ssl, state, 0)
	                          : bufferevent_socket_new(base, st->fd, 0);
	if (st->bev == NULL)
		return -1;
	bufferevent_setcb(st->bev, NULL, stream_on_drained, stream_on_bufferevent, st);
	bufferevent_set_max_single_write(st->bev, DRAIN_MAX);
	bufferevent_setwatermark(st->bev, EV_WRITE, st->low_water, 0);
	if (stream_count_backlog(st) == 0)
		return 0;
	stream_free_bufferevent(st);
	return -1;
}

struct evbuffer *stream_output(struct stream *st)
{
	if (st->bev == NULL && stream_use_bufferevent(st, BUFFEREVENT_SSL_OPEN) != 0)
		return NULL;
	return bufferevent_get_output(st->bev);
}

int stream_start_tls(struct stream *st, SSL *ssl)
{
	st->ssl = ssl;
	stream_hold(st, HOLD_TLS);
	if (stream_tls_attach(st) != 0)
		return -1;
	return stream_use_bufferevent(st, SSL_is_server(ssl) ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING);
}

void stream_open(struct stream *st, struct event_base *base, int fd, stream_cb *cb, void *owner)
{
	*st = (struct stream){ .fd = fd, .open = true, .hold = HOLD_STATE, .cb = cb, .owner = owner };
	event_assign(&st->rd, base, fd, EV_READ | EV_PERSIST, stream_on_readable, st);
}

bool stream_done(const struct stream *st)
{
	return !stream_is_open(st) || (st->eof && (st->finished || st->broken));
}

void stream_close(struct stream *st, bool reset)
{
	if (!stream_is_open(st))
		return;
	if (reset) {
		struct linger none = { .l_onoff = 1, .l_linger = 0 };
		setsockopt(st->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	}
	event_del(&st->rd);
	stream_forget_room(st);
	if (st->bev != NULL)
		stream_free_bufferevent(st);
	stream_count_in_ssl(st, 0);
	SSL_free(st->ssl);
	close(st->fd);
	st->ssl = NULL;
	st->open = false;
}

ssize_t stream_end_reading(struct stream *st, int how, int error)
{
	st->eof = true;
	st->ended = (int8_t)how;
	if (how == STREAM_FAILED && st->error == 0)
		st->error = error;
	stream_hold(st, HOLD_EOF);
	return how;
}

/* recv(2), and what it means when it brings nothing. */
static ssize_t stream_receive(struct stream *st, void *buf, size_t cap, int flags)
{
	ssize_t n = recv(st->fd, buf, cap, flags);
	if (n > 0)
		return n;
	if (n == 0)
		return stream_end_reading(st, STREAM_EOF, 0);
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return STREAM_AGAIN;
	return stream_end_reading(st, STREAM_FAILED, errno);
}

ssize_t stream_read(struct stream *st, void *buf, size_t cap)
{
	if (st->ended != 0)
		return stream_end_reading(st, st->ended, st->error);

	ssize_t n = st->ssl != NULL ? stream_tls_read(st, buf, cap) : stream_receive(st, buf, cap, 0);
	if (n > 0)
		st->received += (uint64_t)n;
	return n;
}

ssize_t stream_peek(struct stream *st, void *buf, size_t cap)
{
	return st->ended != 0 ? stream_end_reading(st, st->ended, st->error) : stream_receive(st, buf, cap, MSG_PEEK);
}

int stream_skip(struct stream *st, void *buf, size_t len)
{
	ssize_t n = recv(st->fd, buf, len, 0);
	if (n == (ssize_t)len)
		return 0;
	stream_end_reading(st, STREAM_FAILED, n < 0 ? errno : EPROTO);
	return -1;
}

bool stream_heard(const struct stream *st)
{
	return st->received > 0 || (st->ssl != NULL && BIO_number_read(SSL_get_rbio(st->ssl)) > 0);
}

/* libevent tells what SSL_get_error() said where OpenSSL's queue is empty: a number without a library. */
bool stream_was_left(const struct stream *st)
{
	bool of_tls = ERR_GET_LIB(st->tls_error) != 0;
	bool cut = of_tls && ERR_GET_REASON(st->tls_error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
	bool lost = !of_tls && (st->error == 0 || st->error == ECONNRESET || st->error == EPIPE);
	return st->ended == STREAM_EOF || cut || lost;
}

void stream_finish(struct stream *st)
{
	if (!stream_is_open(st) || st->finishing)
		return;
	st->finishing = true;
	if (st->broken || stream_backlog(st) == 0)
		stream_send_fin(st);
}

void stream_error_text(const struct stream *st, char *out, size_t cap)
{
	if (st->crowded)
		snprintf(out, cap, "large TLS handshake");
	else if (st->flooded)
		snprintf(out, cap, "too many TLS records without data");
	else if (st->truncated)
		snprintf(out, cap, "connection cut without close_notify");
	else if (st->tls_error != 0)
		tls_reason(st->ssl, st->tls_error, out, cap);
	else
		snprintf(out, cap, "%s", st->error != 0 ? strerror(st->error) : "");
}
