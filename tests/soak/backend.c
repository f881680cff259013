/* backend.c owns the far ends of the sessions.
 * It must never wait for one of them: what does not fit into a socket is a mistake in the choice of sizes. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIN_ANSWER 100

struct far_end;

struct far_kind {
	const char *name;
	void (*on_data)(struct far_end *end, size_t n); /* n bytes are in the loop's scratch */
};

/* A connection, or the listening socket whose kind its connections take over. */
struct far_end {
	struct item item;
	struct loop *loop;
	const struct far_kind *kind;
};

static void far_close(struct far_end *end)
{
	close(end->item.fd);
	free(end);
}

static void far_send(struct far_end *end, size_t n)
{
	ssize_t sent = send(end->item.fd, end->loop->scratch, n, MSG_NOSIGNAL);

	if (sent >= 0 && (size_t)sent < n)
		usage_error("a backend's socket took only %zd of %zu bytes", sent, n);
}

static void far_end_sending(struct far_end *end, size_t n)
{
	(void)n;
	memcpy(end->loop->scratch, end->loop->pattern, FIN_ANSWER);
	far_send(end, FIN_ANSWER);
	shutdown(end->item.fd, SHUT_WR);
}

static void far_reset(struct far_end *end, size_t n)
{
	(void)n;
	reset_on_close(end->item.fd);
	far_close(end);
}

static const struct far_kind kinds[] = {
	{ "echo", far_send },
	{ "fin", far_end_sending },
	{ "rst", far_reset },
};

static void far_on_ready(struct item *item, uint32_t events)
{
	struct far_end *end = (struct far_end *)item;
	ssize_t n = recv(item->fd, end->loop->scratch, sizeof(end->loop->scratch), MSG_DONTWAIT);

	(void)events;
	if (n > 0) {
		end->kind->on_data(end, (size_t)n);
		return;
	}
	far_close(end);
}

static struct far_end *far_new(struct loop *loop, const struct far_kind *kind, int fd)
{
	struct far_end *end = calloc(1, sizeof(*end));

	if (end == NULL)
		die("calloc");
	*end = (struct far_end){ .item = { far_on_ready, fd, 0 }, .loop = loop, .kind = kind };
	return end;
}

static void far_on_connection(struct item *item, uint32_t events)
{
	const struct far_end *listener = (const struct far_end *)item;
	int fd;

	(void)events;
	while ((fd = accept4(item->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct far_end *end = far_new(listener->loop, listener->kind, fd);

		loop_watch(listener->loop, &end->item, EPOLLIN);
	}
}

static const struct far_kind *kind_find(const char *spec, const char *equals)
{
	for (size_t i = 0; equals != NULL && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strncmp(spec, kinds[i].name, (size_t)(equals - spec)) == 0 && kinds[i].name[equals - spec] == '\0')
			return &kinds[i];
	usage_error("%s: not echo=, fin= or rst=ADDRESS", spec);
}

void backend_listen(struct loop *loop, const char *spec)
{
	const char *equals = strchr(spec, '=');
	const struct far_kind *kind = kind_find(spec, equals);
	struct endpoint endpoint;
	struct far_end *listener;
	char text[160];

	endpoint_parse(&endpoint, equals + 1);
	listener = far_new(loop, kind, endpoint_listen(&endpoint));
	listener->item.on_ready = far_on_connection;
	loop_watch(loop, &listener->item, EPOLLIN);
	endpoint_print(listener->item.fd, text, sizeof(text));
	printf("backend %s=%s\n", kind->name, text);
}
