/* ip.c owns the question what is an IP address or a port.
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
	const char *percent = text.n == 0 ? NULL : memchr(text.p, '%', text.n);
	size_t n = percent == NULL ? text.n : (size_t)(percent - text.p);

	*zone = percent == NULL ? span_of(NULL) : span_skip(text, n + 1);
	return (percent == NULL || zone->n > 0) && ip_read(AF_INET6, (struct span){ text.p, n }, address);
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
