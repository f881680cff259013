/* bind.c owns how listening sockets come to be, and which socket file is ours to remove.
 * It must never accept a connection, nor remove a file that it did not make. */
#include "net/bind.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/tcp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */

/* What is being built, as it was asked for, and where to complain. */
struct build {
	struct bound *bound;
	const struct address *address;
	const struct bind_options *options;
	struct err *err;
};

static int complain(const struct build *b, const char *why)
{
	return err_add(b->err, "cannot listen on %s: %s", b->address->text, why);
}

static int complain_tcp(const struct build *b, const struct resolved_addr *at, int error)
{
	char text[ADDR_TEXT_MAX];
	const char *hint = "";

	if (error == EACCES && b->address->port != 0 && b->address->port < 1024)
		hint = " (ports under 1024 need root or CAP_NET_BIND_SERVICE)";
	else if (error == EADDRNOTAVAIL)
		hint = " (this host does not have that address)";
	addr_format((const void *)&at->sa, at->len, text);
	if (strcmp(text, b->address->text) == 0 || b->address->text[0] == '*')
		return err_add(b->err, "cannot listen on %s: %s%s", b->address->text, strerror(error), hint);
	return err_add(b->err, "cannot listen on %s (%s): %s%s", b->address->text, text, strerror(error), hint);
}

static void adopt(struct bound *bound, int fd)
{
	bound->fd = mem_resize(bound->fd, bound->count + 1, sizeof(*bound->fd));
	bound->fd[bound->count++] = fd;
}

/* Returns 0 or the errno. */
static int open_tcp(const struct build *b, const struct resolved_addr *at, bool dual_stack)
{
	int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	bool listens = socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
	               socket_set(fd, SOL_SOCKET, SO_REUSEPORT, b->options->beside) == 0 &&
	               (at->sa.ss_family != AF_INET6 || socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual_stack) == 0) &&
	               tcp_set_all(fd) == 0 && bind(fd, (const void *)&at->sa, at->len) == 0 &&
	               listen(fd, b->options->backlog) == 0 && socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 0) == 0; /* nobody else */
	if (!listens) {
		int error = errno;
		close(fd);
		return error;
	}
	adopt(b->bound, fd);
	return 0;
}

/* What a host without the address family, or without an address of it, answers. */
static bool is_missing_family(int error)
{
	return error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT;
}

static int open_any(const struct build *b, uint16_t port)
{
	struct resolved v4, v6;

	resolved_at_once("::", port, &v6);
	resolved_at_once("0.0.0.0", port, &v4);
	int error = open_tcp(b, v6.addr, true);
	if (is_missing_family(error))
		error = open_tcp(b, v4.addr, false);
	return error == 0 ? 0 : complain_tcp(b, v4.addr, error);
}

/* The hosts file may name one address twice. */
static bool seen_before(const struct resolved *found, const struct resolved_addr *at)
{
	for (const struct resolved_addr *before = found->addr; before != at; before++)
		if (before->len == at->len && memcmp(&before->sa, &at->sa, at->len) == 0)
			return true;
	return false;
}

static int open_all(const struct build *b, const struct resolved *found)
{
	const struct resolved_addr *missing = found->addr;
	int missing_error = 0;

	for (const struct resolved_addr *at = found->addr; at != found->addr + found->count; at++) {
		int error = seen_before(found, at) ? 0 : open_tcp(b, at, false);
		if (error == 0)
			continue;
		if (!is_missing_family(error))
			return complain_tcp(b, at, error);
		missing = at;
		missing_error = error;
	}
	/* "localhost" has two addresses even where the host has but one of them. */
	return b->bound->count > 0 ? 0 : complain_tcp(b, missing, missing_error);
}

static int open_host(const struct build *b)
{
	const struct address *address = b->address;
	const struct resolved *found = b->options->found;
	struct resolved here;

	if (address->host == NULL)
		return open_any(b, address->port);
	if (found == NULL) {
		if (!resolved_at_once(address->host, address->port, &here))
			resolved_by_system(address->host, address->port, 0, &here);
		found = &here;
	}
	if (found->count > 0)
		return open_all(b, found);
	return complain(b, found->error == EAI_SYSTEM ? strerror(errno) : gai_strerror(found->error));
}

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
		return errno == ENOENT ? 0 : complain(b, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return complain(b, "the file exists and is not a socket");
	int error = test_stale(sa, len);
	if (error != 0)
		return complain(b, strerror(error));
	return unlink(sa->sun_path) == 0 || errno == ENOENT ? 0 : complain(b, strerror(errno));
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

/* From the moment of the bind on the file is ours, and goes with the socket. */
static int own_file(struct bound *bound, const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return -1;
	bound->path = mem_strdup(path);
	bound->dev = st.st_dev;
	bound->ino = st.st_ino;
	return 0;
}

/* Nobody can have connected yet: that takes listen(). */
static int give_file(const struct build *b, const char *path)
{
	const struct bind_owner *owner = b->options->owner;
	if (owner == NULL || fchownat(AT_FDCWD, path, owner->user, owner->group, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	const char *cure = errno == EPERM
	                           ? "; only root can, at a start, in a directory in which nobody else writes. Any user can give "
	                             "it to a group of its own"
	                           : "";
	return err_add(b->err, "cannot listen on %s: its owner or group cannot be set: %s%s", b->address->text, strerror(errno),
	               cure);
}

static int open_unix(const struct build *b)
{
	struct sockaddr_un sa;
	socklen_t len = address_unix_sockaddr(b->address, &sa);
	bool is_file = sa.sun_path[0] != '\0';

	if (is_file && make_room(b, &sa, len) != 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return complain(b, strerror(errno));
	adopt(b->bound, fd);
	if (bind_with_mode(fd, &sa, len, b->options->unix_mode) != 0 || (is_file && own_file(b->bound, sa.sun_path) != 0))
		return complain(b, strerror(errno));
	if (is_file && give_file(b, sa.sun_path) != 0)
		return -1;
	return listen(fd, b->options->backlog) == 0 ? 0 : complain(b, strerror(errno));
}

static int int_option(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

/* The original stays open, so that a later reload finds it again whatever becomes of this one. */
static int inherit_one(const struct build *b, int inherited)
{
	if (int_option(inherited, SO_TYPE) != SOCK_STREAM || int_option(inherited, SO_ACCEPTCONN) != 1)
		return err_add(b->err, "cannot listen on %s: descriptor %d is not a listening stream socket", b->address->text,
		               inherited);

	int fd = fcntl(inherited, F_DUPFD_CLOEXEC, LISTEN_FDS_START);
	if (fd < 0)
		return complain(b, strerror(errno));
	adopt(b->bound, fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(inherited, F_SETFD, FD_CLOEXEC) != 0 ||
	    (int_option(fd, SO_DOMAIN) != AF_UNIX && tcp_set_all(fd) != 0))
		return complain(b, strerror(errno));
	return 0;
}

static uint64_t number_from_environment(const char *name, uint64_t max)
{
	const char *text = getenv(name);
	uint64_t value;

	return text != NULL && str_to_number(text, 0, max, &value) == 0 ? value : 0;
}

static int open_inherited(const struct build *b)
{
	uint64_t count = number_from_environment("LISTEN_FDS", INT32_MAX - LISTEN_FDS_START);
	const char *names = getenv("LISTEN_FDNAMES");
	struct span rest = span_of(names), name;

	if (count == 0 || number_from_environment("LISTEN_PID", INT32_MAX) != (uint64_t)getpid())
		return complain(b, "no sockets were passed to this process (LISTEN_PID, LISTEN_FDS)");
	for (int i = 0; i < (int)count; i++) {
		if (names == NULL || !span_next(&rest, ':', &name))
			name = SPAN("unknown"); /* what sd_listen_fds_with_names(3) calls them */
		if (span_eq(name, span_of(b->address->name)) && inherit_one(b, LISTEN_FDS_START + i) != 0)
			return -1;
	}
	if (b->bound->count > 0)
		return 0;
	return err_add(b->err, "cannot listen on %s: no socket of that name was passed (LISTEN_FDNAMES is \"%s\")",
	               b->address->text, names == NULL ? "" : names);
}

int bind_open(struct bound *bound, const struct address *address, const struct bind_options *options, struct err *err)
{
	*bound = (struct bound){ .fd = NULL };
	struct build b = { bound, address, options, err };
	assert(address->kind != ADDRESS_ECHO); /* which address_parse_listen() refuses */
	int result = address->kind == ADDRESS_TCP    ? open_host(&b)
	             : address->kind == ADDRESS_UNIX ? open_unix(&b)
	                                             : open_inherited(&b);
	if (result != 0)
		bind_close(bound);
	return result;
}

void bind_release(struct bound *bound)
{
	for (size_t i = 0; i < bound->count; i++)
		close(bound->fd[i]);
	free(bound->fd);
	bound->fd = NULL;
	bound->count = 0;
}

void bind_close(struct bound *bound)
{
	struct stat st;

	if (bound->path != NULL && lstat(bound->path, &st) == 0 && st.st_dev == bound->dev && st.st_ino == bound->ino)
		unlink(bound->path); /* if it fails, the next start finds it stale */
	bind_release(bound);
	free(bound->path);
	bound->path = NULL;
}
