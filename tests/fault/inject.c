/* inject.c stands in front of the C library and of OpenSSL in the gateway (LD_PRELOAD), and fails the calls it is told to.
 * It must never change a call that was not asked for: what is not to fail goes on to where it would have gone. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define SHORT_COUNT 10000 /* instead of an errno: one byte is read or written */
#define EXEMPT_MAX  1024

/* The file that INJECT_CONTROL names, written by the test while the gateway runs; control.py has the same layout. */
struct control {
	char function[32];
	_Atomic uint32_t armed; /* nothing is counted before */
	_Atomic uint32_t nth;   /* the first call that fails */
	_Atomic uint32_t times; /* so many in a row */
	_Atomic int32_t error;
	_Atomic uint32_t calls, struck;
	uint8_t exempt[EXEMPT_MAX]; /* descriptors whose reading and writing neither counts nor fails */
};

static struct control *control;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("INJECT_CONTROL");
	int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		control = map;
}

static bool is_armed_for(const char *function)
{
	return control != NULL && atomic_load(&control->armed) != 0 && strcmp(control->function, function) == 0;
}

/* Whether this call of the function is to fail; errno is set then. */
static bool strikes(const char *function)
{
	if (!is_armed_for(function))
		return false;
	uint32_t call = atomic_fetch_add(&control->calls, 1) + 1, nth = atomic_load(&control->nth);
	if (call < nth || call - nth >= atomic_load(&control->times))
		return false;
	atomic_fetch_add(&control->struck, 1);
	errno = atomic_load(&control->error);
	return true;
}

static void *next(_Atomic(void *) * kept, const char *name)
{
	void *found = atomic_load(kept);
	if (found == NULL)
		atomic_store(kept, found = dlsym(RTLD_NEXT, name));
	return found;
}

#define NEXT(name)                                                                                                     \
	({                                                                                                             \
		static _Atomic(void *) kept;                                                                           \
		(__typeof__(&(name)))next(&kept, #name);                                                               \
	})

static bool is_nameless(int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_un name;
	socklen_t n = sizeof(name);

	return ask(fd, (struct sockaddr *)&name, &n) == 0 && name.sun_family == AF_UNIX && n == sizeof(sa_family_t);
}

/* A pipe, as libevent has for signals, an eventfd or a socket pair: the kernel fails none of them, and libevent ends the process
 * when it is told so. */
static bool talks_to_itself(int fd)
{
	struct stat st = { 0 };
	int error = errno; /* OpenSSL has cleared it, and looks at it even when a read says that there is an end */
	bool is_there = NEXT(fstat)(fd, &st) == 0;
	bool is_pair = S_ISSOCK(st.st_mode) && is_nameless(fd, getpeername) && is_nameless(fd, NEXT(getsockname));

	errno = error;
	return is_pair || (is_there && (S_ISFIFO(st.st_mode) || (st.st_mode & S_IFMT) == 0)); /* the last are eventfds */
}

/* A connection that is said to be broken has to be, or nobody else would hear of it. */
static bool strikes_at(const char *function, int fd)
{
	if (!is_armed_for(function) || (fd >= 0 && fd < EXEMPT_MAX && control->exempt[fd] != 0) || talks_to_itself(fd))
		return false;
	if (!strikes(function))
		return false;
	int error = errno;
	if (error == ECONNRESET || error == EPIPE || error == ETIMEDOUT)
		shutdown(fd, SHUT_RDWR);
	errno = error;
	return true;
}

static bool only_short(void)
{
	return errno == SHORT_COUNT;
}

/* A function whose failure is one value, and errno. */
#define WRAP(type, name, failure, params, args)                                                                        \
	type name params                                                                                               \
	{                                                                                                              \
		if (strikes(#name))                                                                                    \
			return failure;                                                                                \
		return NEXT(name) args;                                                                                \
	}

/* --- memory: all the ways to it are one function, "malloc" ----------------------------------------------------------- */

void *malloc(size_t n)
{
	return strikes("malloc") ? NULL : NEXT(malloc)(n);
}

void *calloc(size_t count, size_t n)
{
	return strikes("malloc") ? NULL : NEXT(calloc)(count, n);
}

void *realloc(void *old, size_t n)
{
	return strikes("malloc") ? NULL : NEXT(realloc)(old, n);
}

/* A sanitizer's own would not come by malloc() above. */
char *strndup(const char *text, size_t max)
{
	size_t n = strnlen(text, max);
	char *copy = malloc(n + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

char *strdup(const char *text)
{
	return strndup(text, SIZE_MAX);
}

/* --- descriptors ------------------------------------------------------------------------------------------------------ */

WRAP(int, accept4, -1, (int fd, struct sockaddr *sa, socklen_t *len, int flags), (fd, sa, len, flags))
WRAP(int, bind, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(int, connect, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(int, dup3, -1, (int from, int to, int flags), (from, to, flags))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, eventfd, -1, (unsigned start, int flags), (start, flags))
WRAP(int, fstat, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, getsockname, -1, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))
WRAP(int, getsockopt, -1, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len))
WRAP(int, listen, -1, (int fd, int backlog), (fd, backlog))
WRAP(int, setsockopt, -1, (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len))
WRAP(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, socketpair, -1, (int domain, int type, int protocol, int pair[2]), (domain, type, protocol, pair))
WRAP(ssize_t, pread, -1, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at))
WRAP(int, epoll_wait, -1, (int fd, struct epoll_event *events, int max, int ms), (fd, events, max, ms))
WRAP(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))
WRAP(FILE *, fopen64, NULL, (const char *path, const char *mode), (path, mode))
WRAP(int, scandirat, -1,
     (int directory, const char *path, struct dirent ***list, int (*filter)(const struct dirent *),
      int (*order)(const struct dirent **, const struct dirent **)),
     (directory, path, list, filter, order))

/* To take a descriptor off needs neither memory nor room: the kernel does not fail it. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	return what != EPOLL_CTL_DEL && strikes("epoll_ctl") ? -1 : NEXT(epoll_ctl)(epoll, what, fd, event);
}

/* One word behind is all that the gateway and its libraries ever pass. */
int fcntl(int fd, int what, ...)
{
	va_list args;
	va_start(args, what);
	void *word = va_arg(args, void *);
	va_end(args);
	return strikes("fcntl") ? -1 : NEXT(fcntl)(fd, what, word);
}

int ioctl(int fd, unsigned long what, ...)
{
	va_list args;
	va_start(args, what);
	void *word = va_arg(args, void *);
	va_end(args);
	return strikes("ioctl") ? -1 : NEXT(ioctl)(fd, what, word);
}

/* --- files: all the ways to open one are one function, "open" ------------------------------------------------------------ */

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(args, int) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return strikes("open") ? -1 : NEXT(open)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return strikes("open") ? -1 : NEXT(openat)(dir, path, flags, mode);
}

long syscall(long number, ...)
{
	va_list args;
	long word[6];
	va_start(args, number);
	for (int i = 0; i < 6; i++)
		word[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && strikes("open"))
		return -1;
	return NEXT(syscall)(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}

/* --- bytes ------------------------------------------------------------------------------------------------------------- */

ssize_t read(int fd, void *buf, size_t n)
{
	if (!strikes_at("read", fd))
		return NEXT(read)(fd, buf, n);
	return only_short() ? NEXT(read)(fd, buf, n > 0) : -1;
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	if (!strikes_at("recv", fd))
		return NEXT(recv)(fd, buf, n, flags);
	return only_short() ? NEXT(recv)(fd, buf, n > 0, flags) : -1;
}

ssize_t write(int fd, const void *buf, size_t n)
{
	if (!strikes_at("write", fd))
		return NEXT(write)(fd, buf, n);
	return only_short() ? NEXT(write)(fd, buf, n > 0) : -1;
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	if (!strikes_at("send", fd))
		return NEXT(send)(fd, buf, n, flags);
	return only_short() ? NEXT(send)(fd, buf, n > 0, flags) : -1;
}

ssize_t readv(int fd, const struct iovec *piece, int count)
{
	struct iovec one = { count > 0 ? piece[0].iov_base : NULL, count > 0 && piece[0].iov_len > 0 };
	if (!strikes_at("readv", fd))
		return NEXT(readv)(fd, piece, count);
	return only_short() ? NEXT(readv)(fd, &one, 1) : -1;
}

ssize_t writev(int fd, const struct iovec *piece, int count)
{
	struct iovec one = { count > 0 ? piece[0].iov_base : NULL, count > 0 && piece[0].iov_len > 0 };
	if (!strikes_at("writev", fd))
		return NEXT(writev)(fd, piece, count);
	return only_short() ? NEXT(writev)(fd, &one, 1) : -1;
}

ssize_t sendfile(int to, int from, off_t *at, size_t n)
{
	if (!strikes_at("sendfile", to))
		return NEXT(sendfile)(to, from, at, n);
	return only_short() ? NEXT(sendfile)(to, from, at, n > 0) : -1;
}

/* --- what tells its error by its result ------------------------------------------------------------------------------------ */

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return strikes("pthread_create") ? errno : NEXT(pthread_create)(thread, attr, run, arg);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	return strikes("getaddrinfo") ? errno : NEXT(getaddrinfo)(host, service, hints, found);
}

/* --- OpenSSL --------------------------------------------------------------------------------------------------------------- */

WRAP(SSL *, SSL_new, NULL, (SSL_CTX * ctx), (ctx))
WRAP(int, SSL_read_ex, 0, (SSL * ssl, void *buf, size_t n, size_t *done), (ssl, buf, n, done))
WRAP(int, SSL_write_ex, 0, (SSL * ssl, const void *buf, size_t n, size_t *done), (ssl, buf, n, done))
WRAP(int, SSL_shutdown, -1, (SSL * ssl), (ssl))
