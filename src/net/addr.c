/* addr.c owns the text of addresses: the one place that knows how they are written, read and compared. It must never
 * resolve a name, open a descriptor, or abort for want of memory: targets are also read for live sessions. */
#include "net/addr.h"

#include "proto/ip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void peer_init(struct peer *peer, int fd, const struct sockaddr *sa, socklen_t len)
{
	*peer = (struct peer){ .sa.any.sa_family = AF_UNIX, .pid = 0, .uid = (uid_t)-1 };

	if (len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
		memcpy(&peer->sa.in, sa, sizeof(peer->sa.in));
	} else if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof(in6));
		peer->sa.in6 = in6;
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			peer->sa.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = in6.sin6_port };
			memcpy(&peer->sa.in.sin_addr, &in6.sin6_addr.s6_addr[12], sizeof(peer->sa.in.sin_addr));
		}
	} else {
		struct ucred who;
		socklen_t size = sizeof(who);
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
			peer->pid = who.pid;
			peer->uid = who.uid;
		}
	}
}

void peer_format(const struct peer *peer, char out[ADDR_TEXT_MAX])
{
	if (peer->sa.any.sa_family == AF_UNIX)
		snprintf(out, ADDR_TEXT_MAX, "unix:pid=%ld,uid=%ld", (long)peer->pid, (long)(int)peer->uid);
	else
		addr_format(&peer->sa.any, sizeof(peer->sa), out);
}

static void format_un(const struct sockaddr *sa, socklen_t len, char *out)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t prefix = (size_t)snprintf(out, ADDR_TEXT_MAX, "unix:");
	size_t start = offsetof(struct sockaddr_un, sun_path);

	if (len <= start)
		return; /* a socket without a name */
	size_t n = len - start < sizeof(un.sun_path) ? len - start : sizeof(un.sun_path);
	memcpy(un.sun_path, (const char *)sa + start, n);
	if (un.sun_path[0] == '\0')
		un.sun_path[0] = '@';
	else
		n = strnlen(un.sun_path, n);
	str_escape(out + prefix, ADDR_TEXT_MAX - prefix, (struct span){ un.sun_path, n });
}

void addr_format(const struct sockaddr *sa, socklen_t len, char out[ADDR_TEXT_MAX])
{
	char number[INET6_ADDRSTRLEN], scope[16] = "";

	if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = (const void *)sa;
		inet_ntop(AF_INET, &in->sin_addr, number, sizeof(number));
		snprintf(out, ADDR_TEXT_MAX, "%s:%u", number, ntohs(in->sin_port));
	} else if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		inet_ntop(AF_INET6, &in6->sin6_addr, number, sizeof(number));
		if (in6->sin6_scope_id != 0)
			snprintf(scope, sizeof(scope), "%%%u", in6->sin6_scope_id);
		snprintf(out, ADDR_TEXT_MAX, "[%s%s]:%u", number, scope, ntohs(in6->sin6_port));
	} else if (sa->sa_family == AF_UNIX) {
		format_un(sa, len, out);
	} else {
		snprintf(out, ADDR_TEXT_MAX, "family %d", sa->sa_family);
	}
}

socklen_t address_unix_sockaddr(const struct address *address, struct sockaddr_un *sa)
{
	size_t n = strlen(address->name);

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sa->sun_path, address->name, n);
	if (address->name[0] == '@')
		sa->sun_path[0] = '\0'; /* abstract: the length ends the name, a NUL after it would belong to it */
	else
		n++;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

/* One text being read. */
struct reading {
	struct address *address;
	const char *text; /* as it was written, for complaints */
	bool to_listen;   /* else a target */
	struct err *err;
};

static int refuse(const struct reading *r, const char *why)
{
	return err_add(r->err, "\"%s\": %s", r->text, why);
}

static int complete(const struct reading *r, char *text)
{
	r->address->text = text;
	return text == NULL ? refuse(r, "out of memory") : 0;
}

/* What is a name behind the form has no other spelling. */
static int complete_name(const struct reading *r, enum address_kind kind, const char *name)
{
	r->address->kind = kind;
	r->address->name = strdup(name);
	return complete(r, r->address->name != NULL ? strdup(r->text) : NULL);
}

/* Numbers get their one shortest form and names lower case, so that equal addresses have equal texts. */
static char *canonical_host(struct span host)
{
	char number[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (ip_read(AF_INET6, host, &in6))
		return strdup(inet_ntop(AF_INET6, &in6, number, sizeof(number)));
	char *copy = strndup(host.p, host.n);
	bool zoned = memchr(host.p, '%', host.n) != NULL; /* the name of an interface after it keeps its case */
	for (char *at = copy; at != NULL && !zoned && *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at | 0x20);
	return copy;
}

/* The C library takes "127.1" and "0x7f.1" for numbers too; whoever writes those hides something or errs. */
static bool looks_like_in4(struct span host)
{
	const char *dot = memrchr(host.p, '.', host.n);
	struct span last = dot == NULL ? host : span_skip(host, (size_t)(dot + 1 - host.p));

	if (last.n > 2 && last.p[0] == '0' && (last.p[1] | 0x20) == 'x')
		return span_made_of(span_skip(last, 2), "0123456789abcdefABCDEF");
	return last.n > 0 && span_made_of(last, "0123456789");
}

static bool is_name(struct span host)
{
	return host.n <= 253 && host.p[0] != '.' && host.p[0] != '-' && span_made_of(host, HOST_NAME_BYTES) &&
	       memmem(host.p, host.n, "..", 2) == NULL;
}

/* In brackets: an IPv6 number, perhaps with %interface. */
static const char *check_host(const struct reading *r, struct span host, bool brackets)
{
	uint8_t address[IP_ADDRESS_MAX];
	struct span zone;

	if (brackets)
		return ip_read_zoned(host, address, &zone) ? NULL : "what is in brackets is not an IPv6 address";
	if (host.n == 0)
		return r->to_listen ? NULL : "a target needs a host: HOST:PORT";
	if (memchr(host.p, ':', host.n) != NULL)
		return strstr(r->text, "://") != NULL ? "an address has no scheme: write HOST:PORT"
		                                      : "an IPv6 address needs brackets: [::1]:PORT";
	if (!is_name(host))
		return "a host name has letters, digits, '-', '_' and '.' only";
	return looks_like_in4(host) && !ip_is_number(host) ? "the host looks like an IPv4 address but is not one" : NULL;
}

static char *print_tcp(const struct address *address)
{
	static const char *const forms[] = { "tcp", "tls", "unix", "fd" };

	const char *host = address->host == NULL ? "*" : address->host;
	const char *scheme = address->tls ? "tls:" : "";
	bool in6 = strchr(host, ':') != NULL;
	char *text;

	/* A host that is called like a form of address can only be told from it by the form of its own. */
	for (size_t i = 0; i < ARRAY_LEN(forms) && !address->tls; i++)
		if (strcmp(host, forms[i]) == 0)
			scheme = "tcp:";
	return asprintf(&text, "%s%s%s%s:%u", scheme, in6 ? "[" : "", host, in6 ? "]" : "", address->port) < 0 ? NULL : text;
}

static int read_tcp(const struct reading *r, const char *rest)
{
	struct address *address = r->address;
	const char *colon = strrchr(rest, ':');
	struct span host = { rest, colon == NULL ? 0 : (size_t)(colon - rest) };
	bool brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	uint64_t port;

	address->kind = ADDRESS_TCP;
	if (r->to_listen && span_eq(host, SPAN("*")))
		host.n = 0;
	if (brackets)
		host = (struct span){ host.p + 1, host.n - 2 };
	if (colon == NULL && !r->to_listen)
		return refuse(r, "a target is HOST:PORT, unix:/path, unix:@name, tls:HOST:PORT or echo:");
	const char *why = check_host(r, host, brackets);
	if (why != NULL)
		return refuse(r, why);
	if (str_to_number(colon == NULL ? rest : colon + 1, r->to_listen ? 0 : 1, 65535, &port) != 0)
		return refuse(r, r->to_listen ? "the port must be a number from 0 to 65535"
		                              : "the port must be a number from 1 to 65535");
	address->port = (uint16_t)port;
	if (host.n > 0 && (address->host = canonical_host(host)) == NULL)
		return refuse(r, "out of memory");
	return complete(r, print_tcp(address));
}

static int read_tls(const struct reading *r, const char *rest)
{
	if (r->to_listen)
		return refuse(r, "tls: is for targets; a listener has the option tls = on");
	r->address->tls = true;
	return read_tcp(r, rest);
}

static int read_unix(const struct reading *r, const char *rest)
{
	/* A path is stored with its NUL, an abstract name with a NUL in the place of the '@': both have the same limit
	 * here, one byte below the kernel's for abstract names, so that every name fits where a path fits. */
	if (strlen(rest) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return refuse(r, "the name of a UNIX socket has at most 107 bytes");
	if (rest[0] != '/' && rest[0] != '@')
		return refuse(r, "a UNIX socket is unix:/path (absolute) or unix:@name");
	if (rest[1] == '\0')
		return refuse(r, "the UNIX socket has no name");
	return complete_name(r, ADDRESS_UNIX, rest);
}

static int read_fd(const struct reading *r, const char *rest)
{
	if (!r->to_listen)
		return refuse(r, "fd: is for listeners, not for targets");
	if (rest[0] == '\0' || strchr(rest, ':') != NULL)
		return refuse(r, "an inherited socket is fd:NAME, with a name of LISTEN_FDNAMES");
	return complete_name(r, ADDRESS_FD, rest);
}

static int read_echo(const struct reading *r, const char *rest)
{
	if (rest[0] != '\0')
		return read_tcp(r, r->text); /* a host may be called "echo" */
	if (r->to_listen)
		return refuse(r, "echo: is for targets, not for listeners");
	r->address->kind = ADDRESS_ECHO;
	return complete(r, strdup(r->text));
}

static int read_address(const struct reading *r)
{
	static const struct {
		struct span prefix;
		int (*read)(const struct reading *r, const char *rest);
	} forms[] = {
		{ { "tcp:", 4 }, read_tcp }, { { "tls:", 4 }, read_tls },   { { "unix:", 5 }, read_unix },
		{ { "fd:", 3 }, read_fd },   { { "echo:", 5 }, read_echo },
	};

	size_t i = 0;

	*r->address = (struct address){ .text = NULL };
	while (i < ARRAY_LEN(forms) && !span_starts(span_of(r->text), forms[i].prefix))
		i++;
	int result = i < ARRAY_LEN(forms) ? forms[i].read(r, r->text + forms[i].prefix.n) : read_tcp(r, r->text);
	if (result != 0)
		address_clear(r->address);
	return result;
}

int address_parse_listen(struct address *address, const char *text, struct err *err)
{
	return read_address(&(struct reading){ address, text, true, err });
}

int address_parse_target(struct address *address, const char *text, struct err *err)
{
	return read_address(&(struct reading){ address, text, false, err });
}

void address_clear(struct address *address)
{
	free(address->text);
	free(address->host);
	free(address->name);
	*address = (struct address){ .text = NULL };
}
