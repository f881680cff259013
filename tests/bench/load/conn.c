/* conn.c owns a connection's descriptor, its TLS and its way through the phases.
 * It must never know what a session is for: its mode does. */
#include "conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void conn_watch(struct load *load, struct conn *conn, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = conn };
	int op = conn->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (conn->watched == events)
		return;
	if (epoll_ctl(load->epoll_fd, op, conn->fd, &event) < 0)
		die("epoll_ctl");
	conn->watched = events;
}

uint32_t conn_reading(const struct load *load, const struct conn *conn)
{
	return load->set.deaf && conn->phase == OPEN ? EPOLLRDHUP : EPOLLIN;
}

void conn_start(struct load *load, struct conn *conn)
{
	uint32_t index = (uint32_t)(conn - load->conns);

	memset(conn, 0, sizeof *conn);
	conn->fd = endpoint_connect(&load->set.address, load->set.sources == 0 ? 0 : 2 + index % load->set.sources);
	conn->limit = UINT64_MAX;
	if (load->set.frames > 0)
		conn->limit = load->traffic.prefix_len + (uint64_t)load->traffic.frame_len * load->set.frames;
	conn->stamp = now_ns();
	conn_watch(load, conn, EPOLLOUT);
}

void conn_end(struct load *load, struct conn *conn, bool failed)
{
	load->tally.failed += failed && !load->over;
	SSL_free(conn->ssl);
	close(conn->fd);
	conn->phase = DONE;
	if (load->mode->repeats && !load->over && (!failed || load->tally.failed < 100))
		conn_start(load, conn);
	else
		load->live--;
}

/* Bytes moved, 0 for the end, -1 for not now (and then the right event is watched), -2 for a failure. */
static ssize_t conn_result(struct load *load, struct conn *conn, ssize_t n)
{
	if (conn->ssl == NULL)
		return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : -2;
	if (n > 0)
		return n;
	switch (SSL_get_error(conn->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
		conn_watch(load, conn, conn->phase == HANDSHAKE ? EPOLLIN : conn->watched | EPOLLIN);
		return -1;
	case SSL_ERROR_WANT_WRITE:
		conn_watch(load, conn, EPOLLIN | EPOLLOUT);
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return -2;
	}
}

static ssize_t conn_read(struct load *load, struct conn *conn, bool look)
{
	ssize_t n;

	ERR_clear_error();
	if (conn->ssl != NULL)
		n = SSL_read(conn->ssl, load->buffer, CHUNK);
	else
		n = recv(conn->fd, load->buffer, CHUNK, look ? 0 : MSG_TRUNC);
	n = conn_result(load, conn, n);
	if (n > 0)
		load->tally.wire_in += (uint64_t)n;
	return n;
}

ssize_t conn_write(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
	ssize_t n;

	ERR_clear_error();
	if (conn->ssl != NULL)
		n = SSL_write(conn->ssl, data, len > CHUNK ? CHUNK : (int)len);
	else
		n = send(conn->fd, data, len, MSG_NOSIGNAL);
	return conn_result(load, conn, n);
}

void conn_send(struct load *load, struct conn *conn, const void *data, size_t len)
{
	ssize_t n = conn_write(load, conn, data, len);

	if (n < -1) {
		conn_end(load, conn, true);
		return;
	}
	if (n < 0)
		n = 0;
	conn->out = (const uint8_t *)data + n;
	conn->out_len = len - (size_t)n;
	conn_watch(load, conn, conn->out_len > 0 ? EPOLLIN | EPOLLOUT : conn_reading(load, conn));
}

void conn_finish(struct load *load, struct conn *conn)
{
	if (load->set.abrupt) {
		conn_end(load, conn, false);
		return;
	}
	conn->phase = CLOSING;
	if (!load->set.raw) {
		conn_send(load, conn, load->traffic.close_frame, load->traffic.close_len);
		if (conn->phase == CLOSING)
			conn_watch(load, conn, conn->out_len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
		return;
	}
	if (conn->ssl != NULL)
		SSL_shutdown(conn->ssl);
	else
		shutdown(conn->fd, SHUT_WR);
	conn_watch(load, conn, EPOLLIN);
}

static void conn_open(struct load *load, struct conn *conn)
{
	conn->phase = OPEN;
	conn_watch(load, conn, conn_reading(load, conn));
	if (++load->opened == load->set.sessions) {
		tally_begin(&load->tally);
		printf("open %u\n", load->opened);
		fflush(stdout);
	}
	if (load->over)
		conn_finish(load, conn);
	else
		load->mode->on_open(load, conn);
}

static void conn_handshaken(struct load *load, struct conn *conn)
{
	if (conn->resumes && !SSL_session_reused(conn->ssl)) {
		conn_end(load, conn, true);
		return;
	}
	if (load->set.raw) {
		conn_open(load, conn);
		return;
	}
	conn->phase = HEAD;
	conn_send(load, conn, load->traffic.request, load->traffic.request_len);
}

static void conn_offer_session(struct load *load, struct conn *conn)
{
	SSL_SESSION *session = load->session != NULL ? SSL_SESSION_dup(load->session) : NULL;

	conn->resumes = session != NULL && SSL_set_session(conn->ssl, session) == 1;
	SSL_SESSION_free(session);
}

static void conn_handshake(struct load *load, struct conn *conn)
{
	int n;

	if (conn->ssl == NULL) {
		conn->ssl = SSL_new(load->ctx);
		if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1)
			die("SSL_new");
		conn_offer_session(load, conn);
		conn->phase = HANDSHAKE;
	}
	ERR_clear_error();
	n = SSL_connect(conn->ssl);
	if (n == 1)
		conn_handshaken(load, conn);
	else if (conn_result(load, conn, n) != -1)
		conn_end(load, conn, true);
}

static void conn_connected(struct load *load, struct conn *conn)
{
	int error = 0;
	socklen_t len = sizeof error;

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		conn_end(load, conn, true);
	else if (load->set.tls)
		conn_handshake(load, conn);
	else
		conn_handshaken(load, conn);
}

/* Whatever follows the head in the same read belongs to the stream already. */
static void conn_head(struct load *load, struct conn *conn)
{
	ssize_t n = conn_read(load, conn, true);
	size_t room = sizeof conn->head - 1 - conn->head_len;
	size_t take = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room;
	size_t before = conn->head_len;
	char *end;

	if (n == -1)
		return;
	memcpy(conn->head + before, load->buffer, take);
	conn->head_len += take;
	conn->head[conn->head_len] = '\0';
	end = strstr(conn->head, "\r\n\r\n");
	if (n <= 0 || (end == NULL && take == room) || (end != NULL && strncmp(conn->head, "HTTP/1.1 101", 12) != 0)) {
		if (load->tally.failed == 0 && !load->over)
			fprintf(stderr, "refused: %.60s\n", conn->head);
		conn_end(load, conn, true);
		return;
	}
	if (end == NULL)
		return;
	take = (size_t)(end - conn->head) + 4 - before;
	conn_open(load, conn);
	if (conn->phase == OPEN && (size_t)n > take && load->mode->on_data != NULL)
		load->mode->on_data(load, conn, load->buffer + take, (size_t)n - take);
}

static void conn_readable(struct load *load, struct conn *conn)
{
	bool look = load->mode->on_data != NULL && conn->phase == OPEN;
	ssize_t n = conn_read(load, conn, look);

	if (n == -1)
		return;
	if (n <= 0)
		conn_end(load, conn, conn->phase != CLOSING || n < 0);
	else if (look)
		load->mode->on_data(load, conn, load->buffer, (size_t)n);
}

static void conn_writable(struct load *load, struct conn *conn)
{
	if (conn->out_len > 0)
		conn_send(load, conn, conn->out, conn->out_len);
	else if (conn->phase == OPEN && load->mode->on_writable != NULL)
		load->mode->on_writable(load, conn);
	else
		conn_watch(load, conn, conn->phase == CLOSING ? EPOLLIN : conn_reading(load, conn));
}

void conn_ready(struct load *load, struct conn *conn, uint32_t events)
{
	switch (conn->phase) {
	case CONNECTING:
		conn_connected(load, conn);
		return;
	case HANDSHAKE:
		conn_handshake(load, conn);
		return;
	case HEAD:
		if (conn->out_len > 0)
			conn_send(load, conn, conn->out, conn->out_len);
		else
			conn_head(load, conn);
		return;
	default:
		break;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		conn_readable(load, conn);
	if ((events & EPOLLOUT) && conn->phase != DONE && (conn->watched & EPOLLOUT))
		conn_writable(load, conn);
}
