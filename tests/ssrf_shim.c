/* ssrf_shim.c owns a record of whatever the process it is preloaded into wants to reach, and its children: each address of
 * connect(), sendto() and each name of getaddrinfo(), a line each, in the file that CONNECTS_FD says, which is mapped so that
 * nobody loses it by closing descriptors. Its first bytes count those that are in use. It must never change what a call does. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int format_un(char *out, size_t cap, const struct sockaddr_un *un, socklen_t len)
{
	size_t n = len - offsetof(struct sockaddr_un, sun_path);

	if (n > 0 && un->sun_path[0] == '\0')
		return snprintf(out, cap, "unix:@%.*s\n", (int)n - 1, un->sun_path + 1);
	return snprintf(out, cap, "unix:%.*s\n", (int)strnlen(un->sun_path, n), un->sun_path);
}

static int format(char *out, size_t cap, const struct sockaddr *address, socklen_t len)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (address->sa_family == AF_UNIX)
		return format_un(out, cap, (const struct sockaddr_un *)(const void *)address, len);
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		return snprintf(out, cap, "tcp:%s:%u\n", text, ntohs(in->sin_port));
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		return snprintf(out, cap, "tcp:[%s]:%u\n", text, ntohs(in6->sin6_port));
	}
	return snprintf(out, cap, "family:%d\n", address->sa_family);
}

struct record {
	atomic_size_t used;
	char lines[];
};

static struct record *record;
static size_t room; /* for lines */

__attribute__((constructor)) static void open_record(void)
{
	const char *fd = getenv("CONNECTS_FD");
	struct stat st;

	if (fd == NULL)
		return;
	if (fstat(atoi(fd), &st) != 0)
		abort();
	record = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(fd), 0);
	if (record == MAP_FAILED)
		abort();
	room = (size_t)st.st_size - sizeof(*record);
}

static void tell(const char *line, int n)
{
	if (record == NULL || n <= 0)
		return;
	size_t at = atomic_fetch_add(&record->used, (size_t)n);
	if (at + (size_t)n > room)
		abort(); /* a record with gaps would prove nothing */
	memcpy(record->lines + at, line, (size_t)n);
}

static void tell_address(const struct sockaddr *address, socklen_t len)
{
	char line[256];

	if (address != NULL)
		tell(line, format(line, sizeof(line), address, len));
}

/* POSIX wants dlsym()'s object pointer to become a function's, ISO C does not have it. */
#define REAL(type, name)                                                                                               \
	union {                                                                                                        \
		void *object;                                                                                          \
		type *call;                                                                                            \
	} real = { dlsym(RTLD_NEXT, name) }

typedef int connect_fn(int, const struct sockaddr *, socklen_t);
typedef ssize_t sendto_fn(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	REAL(connect_fn, "connect");

	tell_address(address, len);
	return real.call(fd, address, len);
}

ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *address, socklen_t len)
{
	REAL(sendto_fn, "sendto");

	tell_address(address, len);
	return real.call(fd, data, n, flags, address, len);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	REAL(getaddrinfo_fn, "getaddrinfo");
	char line[1100];
	int n = snprintf(line, sizeof(line), "name:%.1000s\n", name != NULL ? name : "");

	if (hints == NULL || (hints->ai_flags & AI_NUMERICHOST) == 0) /* else nobody is asked */
		tell(line, n);
	return real.call(name, service, hints, result);
}
