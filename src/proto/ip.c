/* ip.c owns the question what is an IP address or a port, and the forms of hosts and paths that mean the same.
 * It must never guess: what two programs could read in two ways is none. */
#include "proto/ip.h"

#include <string.h>

bool ip_read(int family, struct span text, void *address)
{
	char terminated[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof(terminated) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(terminated, text.p, text.n);
	terminated[text.n] = '\0';
	return inet_pton(family, terminated, address) == 1;
}

bool ip_read_zoned(struct span text, uint8_t address[IP_ADDRESS_MAX], struct span *zone)
{
	struct span number = span_split(text, '%', zone);

	return (zone->p == NULL || zone->n > 0) && ip_read(AF_INET6, number, address);
}

bool ip_is_number(struct span host)
{
	uint8_t any[IP_ADDRESS_MAX];
	return ip_read(AF_INET, host, any) || ip_read(AF_INET6, host, any);
}

bool ip_read_port(struct span digits, uint16_t *port)
{
	unsigned long value = 0;

	if (digits.n < 1 || digits.n > 5)
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
		value = value * 10 + (unsigned long)(digits.p[i] - '0');
	}
	*port = (uint16_t)value;
	return value <= UINT16_MAX;
}

bool ip_read_plain_port(struct span digits, uint16_t *port)
{
	return (digits.n < 2 || digits.p[0] != '0') && ip_read_port(digits, port);
}

static struct span without_dot(struct span host)
{
	return host.n > 1 && host.p[host.n - 1] == '.' ? (struct span){ host.p, host.n - 1 } : host;
}

struct span uri_host(struct span host)
{
	bool brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	return brackets ? (struct span){ host.p + 1, host.n - 2 } : without_dot(host);
}

bool uri_is_localhost(struct span host)
{
	static const struct span name = { "localhost", 9 };

	host = without_dot(host);
	if (host.n < name.n || !span_eq_nocase(span_skip(host, host.n - name.n), name))
		return false;
	return host.n == name.n || host.p[host.n - name.n - 1] == '.';
}

struct span uri_path_prefix(const char *path, bool *exact)
{
	struct span whole = span_of(path);

	*exact = whole.n < 2 || strcmp(path + whole.n - 2, "/*") != 0;
	return *exact ? whole : (struct span){ path, whole.n - 2 };
}
