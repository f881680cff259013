/* kernel.c owns the system calls of a fuzzed session: each is defined here and so comes before the C library's.
 * It must never decide anything that the model outside did not: what it plays is what struct kernel says. */
#include "kernel.h"

#include "../check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_START ((uint64_t)1000000)

struct kernel kernel;

/* --- the table ---------------------------------------------------------------------------------------------------- */

void kernel_reset(void)
{
	int log_fd = kernel.log_fd;

	memset(&kernel, 0, sizeof(kernel));
	kernel.log_fd = log_fd;
	kernel.now_ms = CLOCK_START;
}

struct sock *kernel_find(int fd)
{
	bool played = fd >= KERNEL_FD_FIRST && fd < KERNEL_FD_FIRST + KERNEL_FDS;

	return played ? &kernel.sock[fd - KERNEL_FD_FIRST] : NULL;
}

/* A descriptor that is not open is used: a double close, or a use after it. */
static struct sock *find_open(int fd)
{
	struct sock *sock = kernel_find(fd);

	CHECK(sock == NULL || sock->kind != KERNEL_FREE);
	return sock;
}

/* There are enough, unless a session leaves some behind. */
static struct sock *open_new(enum kernel_kind kind)
{
	int i = 0;

	while (i < KERNEL_FDS && kernel.sock[i].kind != KERNEL_FREE)
		i++;
	CHECK(i < KERNEL_FDS);
	kernel.sock[i] = (struct sock){ .kind = kind, .fd = KERNEL_FD_FIRST + i };
	return &kernel.sock[i];
}

struct sock *kernel_socket(void)
{
	struct sock *sock = open_new(KERNEL_SOCKET);

	sock->connected = true;
	return sock;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static bool told_to_fail(enum kernel_call call)
{
	int error = kernel.fail[call];

	kernel.fail[call] = 0;
	errno = error;
	return error != 0;
}

void bytes_add(struct bytes *bytes, const void *data, size_t len)
{
	size_t n = len < bytes->cap - bytes->len ? len : bytes->cap - bytes->len;

	if (n > 0)
		memcpy(bytes->at + bytes->len, data, n);
	bytes->len += n;
}

static uint32_t weather_next(void)
{
	kernel.weather ^= kernel.weather << 13;
	kernel.weather ^= kernel.weather >> 17;
	kernel.weather ^= kernel.weather << 5;
	return kernel.weather;
}

/* How much of a read or write of n bytes is done. 0: it fails, with errno. */
static size_t weathered(size_t n)
{
	static const int errors[] = { EAGAIN, EINTR };

	if (kernel.weather == 0 || n == 0)
		return n;
	uint32_t r = weather_next();
	if (r % 16 < 2) {
		errno = errors[r % 2];
		return 0;
	}
	return r % 16 < 9 ? n : 1 + (r >> 8) % n;
}

/* --- sockets: reading --------------------------------------------------------------------------------------------- */

static size_t unread(const struct sock *sock)
{
	return sock->in != NULL ? sock->in->len - sock->in_at : 0;
}

static ssize_t sock_read(struct sock *sock, void *buf, size_t len, bool peek)
{
	if (told_to_fail(CALL_RECV))
		return -1;
	size_t n = len < unread(sock) ? len : unread(sock);
	if (n > 0) {
		n = len <= sock->peeked ? len : weathered(n); /* what was shown is there */
		if (n == 0)
			return -1;
		memcpy(buf, sock->in->at + sock->in_at, n);
		sock->in_at += peek ? 0 : n;
		sock->peeked = peek ? n : 0;
		kernel.moves += !peek;
		return (ssize_t)n;
	}
	if (sock->error != 0) {
		errno = sock->error;
		sock->error = 0;
		return -1;
	}
	return sock->in_fin || sock->reset ? 0 : fail(EAGAIN);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct sock *sock = find_open(fd);

	if (sock == NULL)
		return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
	return sock_read(sock, buf, len, flags & MSG_PEEK);
}

ssize_t read(int fd, void *buf, size_t len)
{
	struct sock *sock = find_open(fd);

	return sock == NULL ? syscall(SYS_read, fd, buf, len) : sock_read(sock, buf, len, false);
}

/* --- sockets: writing --------------------------------------------------------------------------------------------- */

void kernel_take(struct sock *sock, size_t n)
{
	if (n > sock->held)
		n = sock->held;
	sock->held -= n;
	sock->room += n;
	kernel.moves += n > 0;
}

static ssize_t sock_write(struct sock *sock, const void *data, size_t len)
{
	if (told_to_fail(CALL_SEND))
		return -1;
	if (sock->error != 0) {
		errno = sock->error;
		sock->error = 0;
		return -1;
	}
	if (sock->out_fin || sock->reset)
		return fail(EPIPE);
	if (sock->room == 0)
		return fail(EAGAIN);
	size_t n = weathered(len < sock->room ? len : sock->room);
	if (n == 0)
		return len == 0 ? 0 : -1;
	if (sock->out != NULL)
		bytes_add(sock->out, data, n);
	sock->room -= n;
	sock->held += n;
	kernel.moves++;
	if (sock->takes_all)
		kernel_take(sock, n);
	return (ssize_t)n;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	struct sock *sock = find_open(fd);

	return sock == NULL ? syscall(SYS_sendto, fd, data, len, flags, NULL, 0) : sock_write(sock, data, len);
}

/* Only how sessions ended. */
static ssize_t log_write(const void *data, size_t len)
{
	if (memmem(data, len, " session end ", 13) == NULL)
		return (ssize_t)len;
	size_t room = sizeof(kernel.log) - kernel.log_len - 1, n = len < room ? len : room;

	memcpy(kernel.log + kernel.log_len, data, n);
	kernel.log_len += n;
	return (ssize_t)len;
}

ssize_t write(int fd, const void *data, size_t len)
{
	struct sock *sock = find_open(fd);

	if (sock != NULL)
		return sock_write(sock, data, len);
	return kernel.running && fd == kernel.log_fd ? log_write(data, len) : syscall(SYS_write, fd, data, len);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	struct sock *sock = find_open(fd);
	ssize_t total = 0;

	if (sock == NULL)
		return syscall(SYS_writev, fd, iov, count);
	for (int i = 0; i < count; i++) {
		ssize_t n = sock_write(sock, iov[i].iov_base, iov[i].iov_len);
		if (n < 0)
			return total > 0 ? total : n;
		total += n;
		if ((size_t)n < iov[i].iov_len)
			break;
	}
	return total;
}

ssize_t sendfile(int fd, int file, off_t *offset, size_t count)
{
	struct sock *sock = find_open(fd);
	char buf[16384];

	CHECK(sock != NULL && offset != NULL);
	ssize_t n = pread(file, buf, count < sizeof(buf) ? count : sizeof(buf), *offset);
	if (n > 0)
		n = sock_write(sock, buf, (size_t)n);
	*offset += n > 0 ? n : 0;
	return n;
}

int shutdown(int fd, int how)
{
	struct sock *sock = find_open(fd);

	CHECK(sock != NULL && how == SHUT_WR && !sock->out_fin);
	if (sock->reset)
		return fail(ENOTCONN);
	sock->out_fin = true;
	kernel.moves++;
	return 0;
}

int close(int fd)
{
	struct sock *sock = find_open(fd);

	if (sock == NULL) {
		int result = (int)syscall(SYS_close, fd);
		CHECK(result == 0 || !kernel.running); /* or it was closed before */
		return result;
	}
	sock->was_closed_unread = unread(sock) > 0;
	if (sock->kind == KERNEL_SOCKET)
		world_on_close(sock);
	sock->kind = KERNEL_FREE;
	return 0;
}

/* --- sockets: connecting ------------------------------------------------------------------------------------------ */

int socket(int family, int type, int protocol)
{
	if (!kernel.running)
		return (int)syscall(SYS_socket, family, type, protocol);
	if (told_to_fail(CALL_SOCKET))
		return -1;
	struct sock *sock = open_new(KERNEL_SOCKET);
	sock->is_unix = family == AF_UNIX;
	return sock->fd;
}

static int sock_connected(struct sock *sock)
{
	sock->connecting = false;
	if (sock->connect_error != 0)
		return sock->connect_error;
	sock->connected = true;
	if (!sock->at_itself)
		world_on_connect(sock);
	return 0;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	struct sock *sock = find_open(fd);

	if (sock == NULL)
		return (int)syscall(SYS_connect, fd, address, len);
	if (told_to_fail(CALL_CONNECT))
		return -1;
	CHECK(!sock->connected);
	if (sock->connecting && !sock->connect_known)
		return fail(EALREADY);
	sock->at_itself = kernel.meets_itself && address->sa_family == AF_INET;
	if (!sock->connecting && kernel.accept_connects == -1 && !sock->is_unix) {
		sock->connecting = true;
		return fail(EINPROGRESS);
	}
	if (!sock->connecting)
		sock->connect_error = kernel.accept_connects == -1 ? EAGAIN : kernel.accept_connects;
	int error = sock_connected(sock);
	return error == 0 ? 0 : fail(error);
}

/* Probes of its closed window are answered, or are not. */
static int tcp_info(const struct sock *sock, void *value, socklen_t len)
{
	struct tcp_info info = { .tcpi_probes = 9, .tcpi_last_ack_recv = kernel.silent ? 1000000 : 0 };

	info.tcpi_state = sock->reset ? TCP_CLOSE : TCP_ESTABLISHED;

	if (sock->is_unix)
		return fail(EOPNOTSUPP);
	memcpy(value, &info, len < sizeof(info) ? len : sizeof(info));
	return 0;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	struct sock *sock = find_open(fd);

	if (sock == NULL)
		return (int)syscall(SYS_getsockopt, fd, level, name, value, len);
	if (level == IPPROTO_TCP && name == TCP_INFO)
		return tcp_info(sock, value, *len);
	CHECK(level == SOL_SOCKET && name == SO_ERROR && *len == sizeof(int));
	int error = sock->error;
	sock->error = 0;
	if (sock->connecting && sock->connect_known)
		error = sock_connected(sock);
	memcpy(value, &error, sizeof(error));
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct sock *sock = find_open(fd);

	if (sock == NULL)
		return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
	if (told_to_fail(CALL_SETSOCKOPT))
		return -1;
	if (level == SOL_SOCKET && name == SO_LINGER)
		sock->aborts = true;
	return sock->is_unix && level != SOL_SOCKET ? fail(EOPNOTSUPP) : 0;
}

/* Nobody's own address is what was dialled, but where a connection met itself. */
int getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
	struct sock *sock = find_open(fd);
	struct sockaddr_in own = { .sin_family = AF_INET,
		                   .sin_port = htons(sock != NULL && sock->at_itself ? 7000 : 1) };

	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (sock == NULL)
		return (int)syscall(SYS_getsockname, fd, address, len);
	memcpy(address, &own, sizeof(own));
	*len = sizeof(own);
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	struct sock *sock = find_open(fd);
	va_list args;

	va_start(args, request);
	int *value = va_arg(args, int *);
	va_end(args);
	if (sock == NULL)
		return (int)syscall(SYS_ioctl, fd, request, value);
	CHECK(request == SIOCOUTQ || request == SIOCOUTQNSD);
	*value = (int)(request == SIOCOUTQ || !sock->takes_all ? sock->held
	                                                       : 0); /* held by a closed window, not on the way */
	return 0;
}

int fcntl(int fd, int command, ...)
{
	va_list args;

	va_start(args, command);
	void *value = va_arg(args, void *);
	va_end(args);
	return find_open(fd) != NULL ? 0 : (int)syscall(SYS_fcntl, fd, command, value);
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static uint32_t readiness(const struct sock *sock)
{
	uint32_t ready = 0;

	if (sock->kind == KERNEL_SIGNAL)
		return sock->count > 0 ? EPOLLIN : 0;
	if (sock->kind != KERNEL_SOCKET)
		return 0;
	if (sock->connecting)
		return !sock->connect_known ? 0 : sock->connect_error != 0 ? EPOLLOUT | EPOLLERR | EPOLLHUP : EPOLLOUT;
	if (unread(sock) > 0 || sock->in_fin || sock->reset)
		ready |= EPOLLIN;
	if (sock->room > 0 || sock->reset)
		ready |= EPOLLOUT;
	if (sock->error != 0)
		ready |= EPOLLERR;
	if (sock->reset || (sock->in_fin && sock->out_fin))
		ready |= EPOLLHUP;
	return ready;
}

static uint32_t told_readiness(const struct sock *sock)
{
	return sock->watched ? readiness(sock) & (sock->watch.events | EPOLLERR | EPOLLHUP) : 0;
}

bool kernel_anything_ready(void)
{
	for (size_t i = 0; i < KERNEL_FDS; i++)
		if (told_readiness(&kernel.sock[i]) != 0)
			return true;
	return false;
}

int epoll_create1(int flags)
{
	return kernel.running ? open_new(KERNEL_EPOLL)->fd : (int)syscall(SYS_epoll_create1, flags);
}

/* A bufferevent that is freed in its own callback takes its events off when that returns, and its descriptor is closed
 * by then. */
int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	struct sock *sock = kernel_find(fd);

	if (sock == NULL)
		return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
	if (sock->kind == KERNEL_FREE && op != EPOLL_CTL_ADD)
		return fail(EBADF);
	CHECK(sock->kind != KERNEL_FREE);
	if (op == EPOLL_CTL_ADD && told_to_fail(CALL_EPOLL_CTL)) /* the others need nothing that could be missing */
		return -1;
	if ((op == EPOLL_CTL_ADD) == sock->watched)
		return fail(sock->watched ? EEXIST : ENOENT);
	sock->watched = op != EPOLL_CTL_DEL;
	if (sock->watched)
		sock->watch = *event;
	return 0;
}

int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
	int n = 0;

	if (find_open(epoll) == NULL)
		return (int)syscall(SYS_epoll_wait, epoll, events, max, timeout);
	world_turn(timeout);
	for (size_t i = 0; i < KERNEL_FDS && n < max; i++) {
		uint32_t ready = told_readiness(&kernel.sock[i]);
		if (ready != 0)
			events[n++] = (struct epoll_event){ ready, kernel.sock[i].watch.data };
	}
	return n;
}

int eventfd(unsigned int count, int flags)
{
	return kernel.running ? open_new(KERNEL_SIGNAL)->fd : (int)syscall(SYS_eventfd2, count, flags);
}

int eventfd_write(int fd, eventfd_t value)
{
	kernel_find(fd)->count += value;
	return 0;
}

int eventfd_read(int fd, eventfd_t *value)
{
	*value = kernel_find(fd)->count;
	kernel_find(fd)->count = 0;
	return 0;
}

/* libevent's own, for signals. */
int pipe2(int fds[2], int flags)
{
	if (!kernel.running)
		return (int)syscall(SYS_pipe2, fds, flags);
	fds[0] = open_new(KERNEL_SIGNAL)->fd;
	fds[1] = open_new(KERNEL_SIGNAL)->fd;
	return 0;
}

int socketpair(int family, int type, int protocol, int fds[2])
{
	return kernel.running ? pipe2(fds, 0) : (int)syscall(SYS_socketpair, family, type, protocol, fds);
}

/* Always the same, and long after the files here were written: what has only just changed may change again unseen, and would
 * be read again in each run. */
time_t __wrap_time(time_t *out);
time_t __wrap_time(time_t *out)
{
	const time_t now = 2000000000;

	if (out != NULL)
		*out = now;
	return now;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	if (!kernel.running || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
		return (int)syscall(SYS_clock_gettime, id, now);
	now->tv_sec = (time_t)(kernel.now_ms / 1000);
	now->tv_nsec = (long)(kernel.now_ms % 1000) * 1000000;
	return 0;
}
