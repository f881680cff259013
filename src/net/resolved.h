/* The addresses that a host name leads to, and how to have them without a resolver: they need no look-up, or one is waited for. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESOLVED_MAX 16 /* addresses of one answer that are kept, in getaddrinfo's order (RFC 6724) */

struct resolved {
	size_t count; /* 0: the name was not found, or the look-up failed */
	int error;    /* EAI_*: the look-up failed, and the addresses, if any, are those of an earlier one */
	struct resolved_addr {
		struct sockaddr_storage sa;
		socklen_t len;
	} addr[RESOLVED_MAX];
};

/* A number, or localhost, fills *answer and returns true. */
bool resolved_at_once(const char *host, uint16_t port, struct resolved *answer);

/* Fills *answer with stream addresses of host, or sets count 0 and an EAI_* error: by getaddrinfo(3), so it may block. */
void resolved_by_system(const char *host, uint16_t port, int flags, struct resolved *answer);

/* As answer, with another port. */
void resolved_copy(struct resolved *to, const struct resolved *answer, uint16_t port);

/* As answer in the order in which to connect (RFC 8305, section 4): the families in turn, the first address's first, and each in the
 * order it has. */
void resolved_interleave(struct resolved *to, const struct resolved *answer);
