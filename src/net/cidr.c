/* cidr.c owns the text of networks, and the question whether an address is in one.
 * It must never guess: a network that can be read in two ways is refused. */
#include "net/cidr.h"

#include "proto/ip.h"

#include <string.h>

#define MAPPED_BITS 96 /* the prefix of IPv4 addresses in IPv6, RFC 4291 section 2.5.5.2 */

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static unsigned width(int family)
{
	return family == AF_INET ? 32 : 128;
}

/* Turns IPv4 that is written as IPv6 into IPv4. A shorter prefix has host bits set, so it is refused elsewhere. */
static void cidr_unmap(struct cidr *cidr)
{
	if (cidr->family != AF_INET6 || cidr->bits < MAPPED_BITS || memcmp(cidr->address, mapped, sizeof(mapped)) != 0)
		return;
	cidr->family = AF_INET;
	cidr->bits = (uint8_t)(cidr->bits - MAPPED_BITS);
	memmove(cidr->address, cidr->address + sizeof(mapped), 4);
	memset(cidr->address + 4, 0, sizeof(cidr->address) - 4);
}

/* The first bits of an address, and zeros. */
static void mask(uint8_t out[16], const uint8_t address[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
		out[i] = (uint8_t)(address[i] & (0xff00U >> (keep < 8 ? keep : 8)));
	}
}

int cidr_parse(struct cidr *cidr, const char *text, struct err *err)
{
	struct cidr read = { .family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET };
	const char *slash = strchrnul(text, '/');
	uint64_t bits = width(read.family);
	uint8_t masked[16];

	if (!ip_read(read.family, (struct span){ text, (size_t)(slash - text) }, read.address))
		return err_add(err, "\"%s\" is not a network; write 192.0.2.0/24, 2001:db8::/32 or an address", text);
	if (*slash == '/' && str_to_number(slash + 1, 0, width(read.family), &bits) != 0)
		return err_add(err, "\"%s\": the length of the prefix must be a number from 0 to %u", text, width(read.family));
	read.bits = (uint8_t)bits;
	mask(masked, read.address, read.bits);
	if (memcmp(masked, read.address, sizeof(masked)) != 0) {
		char network[INET6_ADDRSTRLEN];
		inet_ntop(read.family, masked, network, sizeof(network));
		return err_add(err, "\"%s\" has host bits set; did you mean %s/%u?", text, network, read.bits);
	}
	cidr_unmap(&read);
	*cidr = read;
	return 0;
}

bool cidr_list_has(const struct cidr_list *list, const struct peer *peer)
{
	struct cidr single = { .family = peer->sa.any.sa_family }; /* the network of just the peer's address */
	uint8_t masked[16];

	single.bits = (uint8_t)width(single.family);
	if (single.family == AF_INET)
		memcpy(single.address, &peer->sa.in.sin_addr, 4);
	else if (single.family == AF_INET6)
		memcpy(single.address, &peer->sa.in6.sin6_addr, 16);
	cidr_unmap(&single);
	for (size_t i = 0; i < list->count; i++) {
		const struct cidr *network = &list->item[i];
		mask(masked, single.address, network->bits);
		if (network->family == single.family && memcmp(masked, network->address, sizeof(masked)) == 0)
			return true;
	}
	return false;
}
