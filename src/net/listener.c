/* listener.c owns when listening sockets accept, and the pause they make when that fails.
 * It must never spin when descriptors run out. */
#include "net/listener.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/bind.h"
#include "net/tcp.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_WAKE_UP 64
#define PAUSE_MIN_MS      100
#define PAUSE_MAX_MS      500
#define TOLD_EVERY_MS     1000

struct listener {
	char *text;
	struct bound bound;

	struct event *event; /* one a socket; initialised while started, as is resume */
	struct event resume;
	bool started;
	const struct listener_ops *ops;
	void *arg;
	unsigned pause_ms; /* of the last pause, 0 after a successful accept */
	uint64_t told_not_before;
};

struct listener *listener_new(const char *text, const struct bound *bound)
{
	struct listener *listener = mem_zalloc(sizeof(*listener));

	listener->bound = *bound;
	listener->text = mem_strdup(text);
	listener->event = mem_zalloc(bound->count * sizeof(struct event));
	return listener;
}

void listener_free(struct listener *listener)
{
	if (listener == NULL)
		return;
	listener_stop(listener);
	bind_close(&listener->bound);
	free(listener->event);
	free(listener->text);
	free(listener);
}

void listener_let_beside(const struct listener *listener, bool let)
{
	for (size_t i = 0; i < listener->bound.count; i++)
		(void)socket_set(listener->bound.fd[i], SOL_SOCKET, SO_REUSEPORT, let); /* if not, binding says so */
}

const char *listener_text(const struct listener *listener)
{
	return listener->text;
}

bool listener_bound(const struct listener *listener, size_t i, char out[ADDR_TEXT_MAX])
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (i >= listener->bound.count)
		return false;
	if (getsockname(listener->bound.fd[i], (struct sockaddr *)&sa, &len) == 0)
		addr_format((const struct sockaddr *)&sa, len, out);
	else
		snprintf(out, ADDR_TEXT_MAX, "%s", listener->text);
	return true;
}

static void listener_pause(struct listener *listener, int error)
{
	uint64_t now = clock_ms();
	unsigned ms = listener->pause_ms == 0 ? PAUSE_MIN_MS : listener->pause_ms * 2;

	listener->pause_ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
	struct timeval pause = clock_timeval(listener->pause_ms);
	if (event_add(&listener->resume, &pause) != 0) {
		/* Not even memory for a timer: trying again at once is dear, but nobody would end the pause. */
		event_active(&listener->resume, EV_TIMEOUT, 1);
	} else {
		for (size_t i = 0; i < listener->bound.count; i++)
			event_del(&listener->event[i]);
	}
	if (now < listener->told_not_before)
		return;
	listener->told_not_before = now + TOLD_EVERY_MS;
	listener->ops->paused(listener->arg, listener, error);
}

/* At the start, and when a pause is over. */
static void listener_watch(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	int result = 0;
	for (size_t i = 0; i < listener->bound.count; i++)
		result |= event_add(&listener->event[i], NULL);
	if (result != 0)
		listener_pause(listener, ENOMEM);
}

/* Errors of the connection that was to be accepted, not of the accepting: the next one may be fine (accept(2)). */
static bool is_of_one_connection(int error)
{
	static const int errors[] = { ECONNABORTED, EPROTO, EINTR,        EPERM,      ENETDOWN,   ENOPROTOOPT,
		                      EHOSTDOWN,    ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH };

	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (errors[i] == error)
			return true;
	return false;
}

/* Returns 0 or the errno of accept. */
static int accept_one(struct listener *listener, int listening)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	struct peer peer;

	int fd = accept4(listening, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno;
	if (sa.ss_family == AF_UNIX && tcp_keep_urgent(fd) != 0) {
		close(fd); /* a fault of this one connection, as below */
		return EPROTO;
	}
	listener->pause_ms = 0;
	peer_init(&peer, fd, (const struct sockaddr *)&sa, len);
	listener->ops->accepted(listener->arg, listener, fd, &peer);
	return 0;
}

static void listener_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	for (int i = 0; i < ACCEPTS_A_WAKE_UP && listener->started; i++) {
		int error = accept_one(listener, fd);
		if (error == EAGAIN)
			return;
		if (error != 0 && !is_of_one_connection(error)) {
			listener_pause(listener, error);
			return;
		}
	}
}

void listener_start(struct listener *listener, struct event_base *base, const struct listener_ops *ops, void *arg)
{
	listener->ops = ops;
	listener->arg = arg;
	listener->started = true;
	event_assign(&listener->resume, base, -1, 0, listener_watch, listener);
	for (size_t i = 0; i < listener->bound.count; i++)
		event_assign(&listener->event[i], base, listener->bound.fd[i], EV_READ | EV_PERSIST, listener_on_readable,
		             listener);
	listener_watch(-1, 0, listener);
}

void listener_stop(struct listener *listener)
{
	if (!listener->started)
		return;
	listener->started = false;
	event_del(&listener->resume);
	for (size_t i = 0; i < listener->bound.count; i++)
		event_del(&listener->event[i]);
	listener->pause_ms = 0;
}
