/* tool_backend.c owns the far end of a measurement: sockets that echo, swallow, flood or play dead.
 * It must never be the part that is measured, so each connection costs it as few system calls as its kind allows. */
#include "benchnet.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CHUNK (256 * 1024)

struct conn;

struct backend {
	int epoll_fd;
	uint8_t buffer[CHUNK];
};

struct kind {
	const char *name;
	uint32_t events;
	void (*on_ready)(struct conn *conn, uint32_t events);
};

/* A connection, or the listening socket whose kind its connections take over. */
struct conn {
	struct backend *backend;
	const struct kind *kind;
	uint8_t *rest;          /* echo: what the socket did not take yet; NULL while all is sent */
	size_t rest_len;
	int fd;
	bool listening;
};

static void conn_close(struct conn *conn)
{
	close(conn->fd);
	free(conn->rest);
	free(conn);
}

static void conn_watch(const struct conn *conn, int op, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = (void *)(uintptr_t)conn };

	if (epoll_ctl(conn->backend->epoll_fd, op, conn->fd, &event) < 0)
		die("epoll_ctl");
}

static bool passing(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* TCP drops the bytes in the kernel with MSG_TRUNC; a UNIX socket copies them all the same. */
static void sink_on_ready(struct conn *conn, uint32_t events)
{
	ssize_t n = recv(conn->fd, conn->backend->buffer, CHUNK, MSG_TRUNC);

	(void)events;
	if (n <= 0 && !passing(n))
		conn_close(conn);
}

static void source_on_ready(struct conn *conn, uint32_t events)
{
	ssize_t n;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = recv(conn->fd, conn->backend->buffer, CHUNK, MSG_TRUNC);
		if (n <= 0 && !passing(n)) {
			conn_close(conn);
			return;
		}
	}
	if (events & EPOLLOUT) {
		n = send(conn->fd, conn->backend->buffer, CHUNK, MSG_NOSIGNAL);
		if (n < 0 && !passing(n))
			conn_close(conn);
	}
}

static bool echo_keep(struct conn *conn, const uint8_t *data, size_t len)
{
	conn->rest = malloc(len);
	if (conn->rest == NULL)
		return false;
	memcpy(conn->rest, data, len);
	conn->rest_len = len;
	conn_watch(conn, EPOLL_CTL_MOD, EPOLLOUT);
	return true;
}

static void echo_read(struct conn *conn)
{
	ssize_t n = recv(conn->fd, conn->backend->buffer, CHUNK, 0);
	ssize_t sent;

	if (n <= 0) {
		if (!passing(n))
			conn_close(conn);
		return;
	}
	sent = send(conn->fd, conn->backend->buffer, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && passing(sent))
		sent = 0;
	if (sent < 0 || (sent < n && !echo_keep(conn, conn->backend->buffer + sent, (size_t)(n - sent))))
		conn_close(conn);
}

static void echo_flush(struct conn *conn)
{
	ssize_t sent = send(conn->fd, conn->rest, conn->rest_len, MSG_NOSIGNAL);

	if (sent < 0) {
		if (!passing(sent))
			conn_close(conn);
		return;
	}
	conn->rest_len -= (size_t)sent;
	memmove(conn->rest, conn->rest + sent, conn->rest_len);
	if (conn->rest_len > 0)
		return;
	free(conn->rest);
	conn->rest = NULL;
	conn_watch(conn, EPOLL_CTL_MOD, EPOLLIN);
}

static void echo_on_ready(struct conn *conn, uint32_t events)
{
	(void)events;
	if (conn->rest != NULL)
		echo_flush(conn);
	else
		echo_read(conn);
}

/* Neither reads nor writes; a reset ends it. */
static void stall_on_ready(struct conn *conn, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR))
		conn_close(conn);
}

static const struct kind kinds[] = {
	{ "echo", EPOLLIN, echo_on_ready },
	{ "sink", EPOLLIN, sink_on_ready },
	{ "source", EPOLLIN | EPOLLOUT, source_on_ready },
	{ "stall", 0, stall_on_ready },
};

static void conn_accept(const struct conn *listener)
{
	struct conn *conn;
	int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	conn = calloc(1, sizeof *conn);
	if (conn == NULL)
		die("calloc");
	conn->fd = fd;
	conn->backend = listener->backend;
	conn->kind = listener->kind;
	conn_watch(conn, EPOLL_CTL_ADD, conn->kind->events);
}

/* spec is KIND=ADDRESS. */
static void listener_add(struct backend *backend, const char *spec)
{
	struct endpoint endpoint;
	char text[160];
	struct conn *conn = calloc(1, sizeof *conn);
	const char *equals = strchr(spec, '=');

	if (conn == NULL)
		die("calloc");
	for (size_t i = 0; equals != NULL && i < sizeof kinds / sizeof *kinds; i++)
		if (strncmp(spec, kinds[i].name, (size_t)(equals - spec)) == 0 && kinds[i].name[equals - spec] == '\0')
			conn->kind = &kinds[i];
	if (conn->kind == NULL)
		usage_error("%s: not echo=, sink=, source= or stall=ADDRESS", spec);
	endpoint_parse(&endpoint, equals + 1);
	conn->backend = backend;
	conn->fd = endpoint_listen(&endpoint);
	conn->listening = true;
	conn_watch(conn, EPOLL_CTL_ADD, EPOLLIN);
	endpoint_print(conn->fd, text, sizeof text);
	printf("%s=%s\n", conn->kind->name, text);
}

/* A handler may free its connection: each appears at most once in a batch, so no stale pointer is left in it. */
static void run(int epoll_fd)
{
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			struct conn *conn = events[i].data.ptr;

			if (conn->listening)
				conn_accept(conn);
			else
				conn->kind->on_ready(conn, events[i].events);
		}
	}
}

int main(int argc, char **argv)
{
	struct backend *backend = calloc(1, sizeof *backend);

	if (argc < 2)
		usage_error("usage: tool_backend KIND=ADDRESS ...    KIND: echo sink source stall; prints where each listens");
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	if (backend == NULL)
		die("calloc");
	backend->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (backend->epoll_fd < 0)
		die("epoll_create1");
	for (int i = 1; i < argc; i++)
		listener_add(backend, argv[i]);
	fflush(stdout);
	run(backend->epoll_fd);
}
