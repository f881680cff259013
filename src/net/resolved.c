/* resolved.c owns how addresses are put into an answer.
 * It must never keep one: that is the resolver's. */
#include "net/resolved.h"

#include "proto/ip.h"

#include <net/if.h>
#include <netdb.h>
#include <string.h>

static void add_address(struct resolved *answer, const void *sa, size_t len)
{
	if (answer->count == RESOLVED_MAX)
		return;
	memcpy(&answer->addr[answer->count].sa, sa, len);
	answer->addr[answer->count].len = (socklen_t)len;
	answer->count++;
}

static bool read_in6(const char *host, struct sockaddr_in6 *in6)
{
	struct span zone;

	if (!ip_read_zoned(span_of(host), in6->sin6_addr.s6_addr, &zone))
		return false;
	if (zone.p != NULL)
		in6->sin6_scope_id = if_nametoindex(zone.p);
	return zone.p == NULL || in6->sin6_scope_id != 0;
}

bool resolved_at_once(const char *host, uint16_t port, struct resolved *answer)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	answer->count = 0;
	answer->error = 0;
	if (ip_read(AF_INET, span_of(host), &in.sin_addr)) {
		add_address(answer, &in, sizeof(in));
	} else if (read_in6(host, &in6)) {
		add_address(answer, &in6, sizeof(in6));
	} else if (uri_is_localhost(span_of(host))) { /* more servers there are on the first alone than on the second */
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in6.sin6_addr = in6addr_loopback;
		add_address(answer, &in, sizeof(in));
		add_address(answer, &in6, sizeof(in6));
	}
	return answer->count > 0;
}

static void set_port(struct sockaddr_storage *sa, uint16_t port)
{
	if (sa->ss_family == AF_INET)
		((struct sockaddr_in *)sa)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)sa)->sin6_port = htons(port);
}

void resolved_by_system(const char *host, uint16_t port, int flags, struct resolved *answer)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
	struct addrinfo *all;

	answer->count = 0;
	answer->error = getaddrinfo(host, NULL, &hints, &all);
	if (answer->error != 0)
		return;
	for (const struct addrinfo *at = all; at != NULL; at = at->ai_next)
		if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
			add_address(answer, at->ai_addr, at->ai_addrlen);
	freeaddrinfo(all);
	for (size_t i = 0; i < answer->count; i++)
		set_port(&answer->addr[i].sa, port);
}

void resolved_copy(struct resolved *to, const struct resolved *answer, uint16_t port)
{
	to->count = answer->count;
	to->error = answer->error;
	for (size_t i = 0; i < answer->count; i++) {
		to->addr[i] = answer->addr[i];
		set_port(&to->addr[i].sa, port);
	}
}

void resolved_interleave(struct resolved *to, const struct resolved *answer)
{
	sa_family_t first = answer->addr[0].sa.ss_family;
	size_t next[2] = { 0, 0 }; /* where the next of the first's family may be, and of the other */

	to->count = 0;
	to->error = answer->error;
	for (size_t other = 0; to->count < answer->count; other = !other) {
		size_t *at = &next[other];
		while (*at < answer->count && (answer->addr[*at].sa.ss_family != first) != other)
			++*at;
		if (*at < answer->count)
			to->addr[to->count++] = answer->addr[(*at)++];
	}
}
