/* listener.c owns listening sockets: how they come to be, when they accept, and which socket file is theirs to remove.
 * It must never spin when descriptors run out, nor remove a file that it did not make. */
#include "net/listener.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/tcp.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCEPTS_A_WAKE_UP 64
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 500
#define TROUBLE_EVERY_MS 1000
#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */

struct listen_socket {
	int fd;
	struct event *event; /* while started */
	struct listener *listener;
};

struct listener {
	char *text;
	struct listen_socket *sockets;
	size_t count;

	/* The socket file we made, NULL if there is none. Another one may stand in its place by the time we go. */
	char *path;
	dev_t dev;
	ino_t ino;

	/* While started. */
	struct event *resume;
	const struct listener_ops *ops;
	void *arg;
	unsigned pause_ms;       /* of the last pause, 0 after a successful accept */
	uint64_t trouble_not_before;
};

/* What is being built: a listener, and where to complain. */
struct build {
	struct listener *listener;
	const struct listener_options *options;
	struct err *err;
};

/* --- complaints --------------------------------------------------------------------------------------------------- */

static const char *hint_of(int error, uint16_t port)
{
	if (error == EACCES && port != 0 && port < 1024)
		return " (ports under 1024 need root or CAP_NET_BIND_SERVICE)";
	if (error == EADDRNOTAVAIL)
		return " (this host does not have that address)";
	return "";
}

static int complain(const struct build *b, int error)
{
	return err_add(b->err, "cannot listen on %s: %s", b->listener->text, strerror(error));
}

static int complain_tcp(const struct build *b, const struct addrinfo *at, int error)
{
	char text[ADDR_TEXT_MAX];
	const struct sockaddr_in *in = (const void *)at->ai_addr; /* sin6_port is at the same place */
	const char *hint = hint_of(error, ntohs(in->sin_port));

	addr_format(at->ai_addr, at->ai_addrlen, text);
	if (strcmp(text, b->listener->text) == 0 || b->listener->text[0] == '*')
		return err_add(b->err, "cannot listen on %s: %s%s", b->listener->text, strerror(error), hint);
	return err_add(b->err, "cannot listen on %s (%s): %s%s", b->listener->text, text, strerror(error), hint);
}

/* --- sockets in general ------------------------------------------------------------------------------------------- */

static void adopt(struct listener *listener, int fd)
{
	size_t count = listener->count + 1;

	listener->sockets = mem_resize(listener->sockets, count, sizeof(*listener->sockets));
	listener->sockets[listener->count] = (struct listen_socket){ .fd = fd, .listener = listener };
	listener->count = count;
}

static int set_flag(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

static int bind_tcp(int fd, const struct addrinfo *at, bool dual_stack, int backlog)
{
	if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
		return -1;
	if (at->ai_family == AF_INET6 && set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual_stack) != 0)
		return -1;
	if (tcp_set_options(fd) != 0 || bind(fd, at->ai_addr, at->ai_addrlen) != 0)
		return -1;
	return listen(fd, backlog);
}

/* Returns 0 or the errno. */
static int open_tcp(const struct build *b, const struct addrinfo *at, bool dual_stack)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	if (bind_tcp(fd, at, dual_stack, b->options->backlog) != 0) {
		int error = errno;
		close(fd);
		return error;
	}
	adopt(b->listener, fd);
	return 0;
}

/* What a host without the address family, or without an address of it, answers. */
static bool is_missing_family(int error)
{
	return error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT;
}

static int open_any(const struct build *b, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) }; /* INADDR_ANY is 0 */
	struct addrinfo v6 = { .ai_family = AF_INET6, .ai_addr = (void *)&in6, .ai_addrlen = sizeof(in6) };
	struct addrinfo v4 = { .ai_family = AF_INET, .ai_addr = (void *)&in, .ai_addrlen = sizeof(in) };

	int error = open_tcp(b, &v6, true);
	if (is_missing_family(error))
		error = open_tcp(b, &v4, false);
	return error == 0 ? 0 : complain_tcp(b, &v4, error);
}

/* The hosts file may name one address twice. */
static bool seen_before(const struct addrinfo *first, const struct addrinfo *at)
{
	for (; first != at; first = first->ai_next)
		if (first->ai_addrlen == at->ai_addrlen && memcmp(first->ai_addr, at->ai_addr, at->ai_addrlen) == 0)
			return true;
	return false;
}

static int open_all(const struct build *b, const struct addrinfo *all)
{
	const struct addrinfo *missing = NULL;
	int missing_error = 0;

	for (const struct addrinfo *at = all; at != NULL; at = at->ai_next) {
		int error = seen_before(all, at) ? 0 : open_tcp(b, at, false);
		if (error == 0)
			continue;
		if (!is_missing_family(error))
			return complain_tcp(b, at, error);
		missing = at;
		missing_error = error;
	}
	/* "localhost" has two addresses even where the host has but one of them. */
	return b->listener->count > 0 ? 0 : complain_tcp(b, missing, missing_error);
}

static int open_host(const struct build *b, const struct address *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *all;
	char port[8];

	if (address->host == NULL)
		return open_any(b, address->port);
	snprintf(port, sizeof(port), "%u", address->port);
	int failure = getaddrinfo(address->host, port, &hints, &all);
	if (failure == EAI_SYSTEM)
		return complain(b, errno);
	if (failure != 0)
		return err_add(b->err, "cannot listen on %s: %s", address->text, gai_strerror(failure));
	int result = open_all(b, all);
	freeaddrinfo(all);
	return result;
}

/* --- UNIX --------------------------------------------------------------------------------------------------------- */

/* Returns 0 when nobody listens on the socket file any more, else the errno that says why it must stay. */
static int test_stale(const struct sockaddr_un *sa, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	int error = connect(fd, (const void *)sa, len) == 0 ? EADDRINUSE : errno;
	close(fd);
	if (error == ECONNREFUSED)
		return 0;
	return error == EAGAIN ? EADDRINUSE : error; /* a full backlog is somebody's */
}

static int make_room(const struct build *b, const struct sockaddr_un *sa, socklen_t len)
{
	struct stat st;

	if (lstat(sa->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : complain(b, errno);
	if (!S_ISSOCK(st.st_mode))
		return err_add(b->err, "cannot listen on %s: the file exists and is not a socket", b->listener->text);
	int error = test_stale(sa, len);
	if (error != 0)
		return complain(b, error);
	return unlink(sa->sun_path) == 0 || errno == ENOENT ? 0 : complain(b, errno);
}

/* The mode must be right from the first moment on; fchmod() on a socket does not reach its file. */
static int bind_with_mode(int fd, const struct sockaddr_un *sa, socklen_t len, mode_t mode)
{
	mode_t before = umask(~mode & 0777);
	int result = bind(fd, (const void *)sa, len);
	int error = errno;

	umask(before);
	errno = error;
	return result;
}

/* From the moment of the bind on the file is ours, and goes with the listener. */
static int own_file(struct listener *listener, const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return -1;
	listener->path = mem_strdup(path);
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	return 0;
}

static int open_unix(const struct build *b, const struct address *address)
{
	struct sockaddr_un sa;
	socklen_t len = address_unix_sockaddr(address, &sa);
	bool is_file = sa.sun_path[0] != '\0';

	if (is_file && make_room(b, &sa, len) != 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return complain(b, errno);
	adopt(b->listener, fd);
	if (bind_with_mode(fd, &sa, len, b->options->unix_mode) != 0)
		return complain(b, errno);
	if (is_file && own_file(b->listener, sa.sun_path) != 0)
		return complain(b, errno);
	return listen(fd, b->options->backlog) == 0 ? 0 : complain(b, errno);
}

/* --- inherited ---------------------------------------------------------------------------------------------------- */

static int int_option(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

/* The original stays open, so that a later reload finds it again whatever becomes of this listener. */
static int inherit_one(const struct build *b, int inherited)
{
	if (int_option(inherited, SO_TYPE) != SOCK_STREAM || int_option(inherited, SO_ACCEPTCONN) != 1)
		return err_add(b->err, "cannot listen on %s: descriptor %d is not a listening stream socket",
		               b->listener->text, inherited);

	int fd = fcntl(inherited, F_DUPFD_CLOEXEC, LISTEN_FDS_START);
	if (fd < 0)
		return complain(b, errno);
	adopt(b->listener, fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(inherited, F_SETFD, FD_CLOEXEC) != 0)
		return complain(b, errno);
	if (int_option(fd, SO_DOMAIN) != AF_UNIX && tcp_set_options(fd) != 0)
		return complain(b, errno);
	return 0;
}

static uint64_t number_from_environment(const char *name, uint64_t max)
{
	const char *text = getenv(name);
	uint64_t value;

	return text != NULL && str_to_number(text, 0, max, &value) == 0 ? value : 0;
}

static int open_inherited(const struct build *b, const struct address *address)
{
	uint64_t count = number_from_environment("LISTEN_FDS", INT32_MAX - LISTEN_FDS_START);
	const char *names = getenv("LISTEN_FDNAMES");
	struct span rest = span_of(names), name;

	if (count == 0 || number_from_environment("LISTEN_PID", INT32_MAX) != (uint64_t)getpid())
		return err_add(b->err,
		               "cannot listen on %s: no sockets were passed to this process (LISTEN_PID, LISTEN_FDS)",
		               address->text);
	for (int i = 0; i < (int)count; i++) {
		if (names == NULL || !span_next(&rest, ':', &name))
			name = SPAN("unknown"); /* what sd_listen_fds_with_names(3) calls them */
		if (span_eq(name, span_of(address->name)) && inherit_one(b, LISTEN_FDS_START + i) != 0)
			return -1;
	}
	if (b->listener->count > 0)
		return 0;
	return err_add(b->err, "cannot listen on %s: no socket of that name was passed (LISTEN_FDNAMES is \"%s\")",
	               address->text, names == NULL ? "" : names);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int open_address(const struct build *b, const struct address *address)
{
	switch (address->kind) {
	case ADDRESS_TCP:
		return open_host(b, address);
	case ADDRESS_UNIX:
		return open_unix(b, address);
	case ADDRESS_FD:
		return open_inherited(b, address);
	case ADDRESS_ECHO:
		break;
	}
	return err_add(b->err, "cannot listen on %s", address->text);
}

struct listener *listener_new(const struct address *address, const struct listener_options *options, struct err *err)
{
	struct listener *listener = mem_zalloc(sizeof(*listener));
	struct build b = { .listener = listener, .options = options, .err = err };

	listener->text = mem_strdup(address->text);
	if (open_address(&b, address) == 0)
		return listener;
	listener_free(listener);
	return NULL;
}

static void remove_own_file(const struct listener *listener)
{
	struct stat st;

	if (listener->path == NULL || lstat(listener->path, &st) != 0)
		return;
	if (st.st_dev == listener->dev && st.st_ino == listener->ino)
		unlink(listener->path); /* may fail once privileges are gone; the next start finds it stale */
}

void listener_free(struct listener *listener)
{
	if (listener == NULL)
		return;
	listener_stop(listener);
	remove_own_file(listener);
	for (size_t i = 0; i < listener->count; i++)
		close(listener->sockets[i].fd);
	free(listener->sockets);
	free(listener->path);
	free(listener->text);
	free(listener);
}

const char *listener_text(const struct listener *listener)
{
	return listener->text;
}

bool listener_bound(const struct listener *listener, size_t i, char out[ADDR_TEXT_MAX])
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (i >= listener->count || getsockname(listener->sockets[i].fd, (struct sockaddr *)&sa, &len) != 0)
		return false;
	addr_format((const struct sockaddr *)&sa, len, out);
	return true;
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static bool is_started(const struct listener *listener)
{
	return listener->resume != NULL;
}

static int watch_all(struct listener *listener)
{
	int result = 0;

	for (size_t i = 0; i < listener->count; i++)
		result |= event_add(listener->sockets[i].event, NULL);
	return result;
}

static void pause_all(struct listener *listener)
{
	struct timeval pause;

	for (size_t i = 0; i < listener->count; i++)
		event_del(listener->sockets[i].event);
	listener->pause_ms = listener->pause_ms == 0 ? PAUSE_MIN_MS : listener->pause_ms * 2;
	if (listener->pause_ms > PAUSE_MAX_MS)
		listener->pause_ms = PAUSE_MAX_MS;
	pause = clock_timeval(listener->pause_ms);
	event_add(listener->resume, &pause);
}

static void listener_pause(struct listener *listener, int error)
{
	uint64_t now = clock_ms();

	pause_all(listener);
	if (now < listener->trouble_not_before)
		return;
	listener->trouble_not_before = now + TROUBLE_EVERY_MS;
	listener->ops->trouble(listener->arg, listener, LISTENER_PAUSED, error);
}

static void listener_on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	if (watch_all(listener) != 0)
		listener_pause(listener, ENOMEM);
}

/* Errors of the connection that was to be accepted, not of the accepting: the next one may be fine (accept(2)). */
static bool is_of_one_connection(int error)
{
	static const int errors[] = { ECONNABORTED, EPROTO, EINTR, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN,
		                      ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH };

	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (errors[i] == error)
			return true;
	return false;
}

/* Returns 0 or the errno of accept. */
static int accept_one(struct listener *listener, int listening)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct peer peer;

	int fd = accept4(listening, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno;
	listener->pause_ms = 0;
	peer_init(&peer, fd, (const struct sockaddr *)&sa, len);
	listener->ops->accepted(listener->arg, listener, fd, &peer);
	return 0;
}

static void listener_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = ((const struct listen_socket *)arg)->listener;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_WAKE_UP && is_started(listener); i++) {
		int error = accept_one(listener, fd);
		if (error == EAGAIN)
			return;
		if (error != 0 && !is_of_one_connection(error)) {
			listener_pause(listener, error);
			return;
		}
	}
}

int listener_start(struct listener *listener, struct event_base *base, const struct listener_ops *ops, void *arg)
{
	bool ready = true;

	listener->ops = ops;
	listener->arg = arg;
	listener->resume = event_new(base, -1, 0, listener_on_resume, listener);
	for (size_t i = 0; i < listener->count; i++) {
		struct listen_socket *s = &listener->sockets[i];
		s->event = event_new(base, s->fd, EV_READ | EV_PERSIST, listener_on_readable, s);
		ready = ready && s->event != NULL;
	}
	if (listener->resume != NULL && ready && watch_all(listener) == 0)
		return 0;
	listener_stop(listener);
	return -1;
}

static void drop_event(struct event **event)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
}

void listener_stop(struct listener *listener)
{
	drop_event(&listener->resume);
	for (size_t i = 0; i < listener->count; i++)
		drop_event(&listener->sockets[i].event);
	listener->pause_ms = 0;
}
