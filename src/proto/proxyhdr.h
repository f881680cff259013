/* The header that a proxy puts in front of a connection to say where it came from: the PROXY protocol, version 1 (a line of
 * text) and version 2 (binary), as HAProxy's doc/proxy-protocol.txt has it. A trusted peer must
 * always send one: were it optional, clients could send their own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* No header is longer. Version 1 has at most 107 bytes; of version 2, which could have 64 KiB, more is refused. */
#define PROXYHDR_MAX 4096

/* Who is named as the source. */
enum proxyhdr_family {
	PROXYHDR_NOBODY, /* UNKNOWN, LOCAL, or a family the proxy has no name for: the connection is the proxy's own */
	PROXYHDR_IN,     /* IPv4 over TCP */
	PROXYHDR_IN6,    /* IPv6 over TCP */
	PROXYHDR_UNIX,   /* a UNIX stream socket; its path is not told, since most clients have none */
};

/* The source; all zero behind family unless that is PROXYHDR_IN or PROXYHDR_IN6. */
struct proxyhdr {
	enum proxyhdr_family family;
	uint8_t address[16]; /* in network order; the first 4 for IPv4 */
	uint16_t port;       /* in host order */
};

#define PROXYHDR_MORE 0
#define PROXYHDR_BAD  (-1)

/* Looks at the first bytes of a connection, all that came so far. Returns the length of the header they begin with, and
 * then fills *header; or PROXYHDR_MORE: they may be the beginning of one; or PROXYHDR_BAD: they are not. More bytes never
 * change an answer but PROXYHDR_MORE, so it is the same however they come in, and at PROXYHDR_MAX bytes there is one.
 *
 * Strict: single spaces, CR LF, decimal numbers without leading zeros, addresses of the family; no datagrams, no unassigned
 * byte, a block as long as its family needs, TLVs that fill the rest exactly, and a CRC32C that is right if there is one.
 * What follows UNKNOWN up to the CR, and the block of LOCAL and of an unspecified family, is passed over unread, as the
 * protocol demands. */
int proxyhdr_parse(struct proxyhdr *header, const uint8_t *bytes, size_t len);
