/* The texts of hosts and ports, and of paths as routes compare them. All else that is read from an address or a port asks here
 * what a number is. */
#pragma once

#include "base/attr.h"
#include "base/str.h"

#include <arpa/inet.h> /* AF_INET, AF_INET6 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP_ADDRESS_MAX 16 /* bytes of an address: 4 or 16 */

/* Each reads the whole of text, in the forms of inet_pton(3) alone: no "127.1", no leading zeros, no brackets. */
must_check bool ip_read(int family, struct span text, void *address); /* AF_INET or AF_INET6; in network order */
must_check bool ip_read_zoned(struct span text, uint8_t address[IP_ADDRESS_MAX],
                              struct span *zone); /* v6[%zone]; zone may be absent */
must_check bool ip_is_number(struct span host);   /* of either family */

/* 1 to 5 digits that come to 65535 at most. Plain: in the form in which programs write a port, without zeros in front. */
must_check bool ip_read_port(struct span digits, uint16_t *port);
must_check bool ip_read_plain_port(struct span digits, uint16_t *port);

/* What follows takes texts apart and judges none: which names and paths are good ones others say.
 *
 * What names of hosts are made of. */
#define HOST_NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* A host: without brackets and final dot. */
struct span uri_host(struct span host);

/* localhost or a name below it, in any case, perhaps with a final dot: always this host (RFC 6761, section 6.3). */
bool uri_is_localhost(struct span host);

/* A route's path, taken apart: "/vnc/<anything>" is the prefix "/vnc", "/<anything>" the prefix "", else exact. */
struct span uri_path_prefix(const char *path, bool *exact);
