/* Networks as an administrator writes them: 192.0.2.0/24, 2001:db8::/32, or one address alone. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "net/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One network. It owns nothing. */
struct cidr {
	int family;   /* AF_INET or AF_INET6; never an IPv4 network in the form of an IPv6 one */
	uint8_t bits; /* how many of address count: 0 to 32, or 0 to 128 */
	uint8_t address[16];
};

struct cidr_list {
	struct cidr *item; /* from malloc; NULL while it is empty */
	size_t count;
};

/* Fills *cidr, or adds a complaint and returns -1. An address alone is the network of just that one. Bits set behind the
 * prefix are refused: either the address or the length is not what was meant. ::ffff:192.0.2.0/120 is 192.0.2.0/24. */
must_check int cidr_parse(struct cidr *cidr, const char *text, struct err *err);

/* Whether one of the networks has the peer's address, be it written as IPv4 or as IPv4 in IPv6. IPv6 networks, ::/0 too,
 * have no IPv4 address, and no network has the peer of a UNIX socket. */
bool cidr_list_has(const struct cidr_list *list, const struct peer *peer);
