/* benchnet.c owns the socket chores of the measuring tools.
 * It must never know what the sockets are used for. */
#include "benchnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

noreturn void usage_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t parse_number(const char *text)
{
	static const char units[] = "kmgt";
	char *end;
	uint64_t number = strtoull(text, &end, 10);
	const char *unit = *end == '\0' ? NULL : strchr(units, *end);

	if (end == text || (*end != '\0' && (unit == NULL || end[1] != '\0')))
		usage_error("%s: not a number", text);
	return unit == NULL ? number : number << (10 * (unit - units + 1));
}

static void endpoint_parse_unix(struct endpoint *endpoint, const char *name)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&endpoint->sa;
	size_t len = strlen(name);

	if (len >= sizeof un->sun_path)
		usage_error("unix:%s: too long", name);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, len);
	if (name[0] == '@')
		un->sun_path[0] = '\0';
	endpoint->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '@' ? 0 : 1));
}

void endpoint_parse(struct endpoint *endpoint, const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&endpoint->sa;
	char host[64];
	const char *colon = strrchr(text, ':');

	memset(endpoint, 0, sizeof *endpoint);
	if (strncmp(text, "unix:", 5) == 0) {
		endpoint_parse_unix(endpoint, text + 5);
		return;
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof host)
		usage_error("%s: not HOST:PORT or unix:NAME", text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)parse_number(colon + 1));
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		usage_error("%s: the host must be an IPv4 number", text);
	endpoint->len = sizeof *in;
}

void endpoint_print(int fd, char *out, size_t cap)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&sa;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&sa;
	char host[INET_ADDRSTRLEN];

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		die("getsockname");
	if (sa.ss_family == AF_INET)
		snprintf(out, cap, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host), ntohs(in->sin_port));
	else if (un->sun_path[0] == '\0')
		snprintf(out, cap, "unix:@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), un->sun_path + 1);
	else
		snprintf(out, cap, "unix:%s", un->sun_path);
}

static int socket_for(const struct endpoint *endpoint)
{
	int one = 1;
	int fd = socket(endpoint->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (endpoint->sa.ss_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	return fd;
}

int endpoint_listen(const struct endpoint *endpoint)
{
	int fd = socket_for(endpoint);

	if (bind(fd, (const struct sockaddr *)&endpoint->sa, endpoint->len) < 0)
		die("bind");
	if (listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

int endpoint_connect(const struct endpoint *endpoint, uint32_t source)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + source) };
	int one = 1;
	int fd = socket_for(endpoint);

	if (source > 0) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
			die("bind");
	}
	if (connect(fd, (const struct sockaddr *)&endpoint->sa, endpoint->len) < 0 && errno != EINPROGRESS)
		die("connect");
	return fd;
}

void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
