/* Where we listen, what we dial, and who is at the other end: parsing and printing of addresses. Text forms:
 *
 *     listen   [HOST:]PORT   *:PORT   [V6]:PORT   unix:/path   unix:@abstract   fd:NAME (inherited, LISTEN_FDNAMES)
 *     target   HOST:PORT   tcp:HOST:PORT   [V6]:PORT   unix:/path   unix:@abstract   tls:HOST:PORT   echo: */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* The other end of an accepted connection, small enough to live in every session. */
struct peer {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa;      /* any.sa_family: AF_INET, AF_INET6 or AF_UNIX */
	pid_t pid; /* AF_UNIX: from SO_PEERCRED */
	uid_t uid;
};

#define ADDR_TEXT_MAX 160

/* Reads the peer of a connected socket from what accept4() returned. IPv4-mapped IPv6 addresses become IPv4. */
void peer_init(struct peer *peer, int fd, const struct sockaddr *sa, socklen_t len);

/* "192.0.2.1:4711", "[2001:db8::1]:80", "unix:pid=7,uid=1000" */
void peer_format(const struct peer *peer, char out[ADDR_TEXT_MAX]);

/* Any socket address as text, the way a target or listen address is written. */
void addr_format(const struct sockaddr *sa, socklen_t len, char out[ADDR_TEXT_MAX]);

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX, ADDRESS_FD, ADDRESS_ECHO };

/* A listen address or a target, parsed but not resolved. */
struct address {
	enum address_kind kind;
	bool tls;      /* target: speak TLS to it */
	char *text;    /* canonical form; two addresses are the same exactly when their texts are */
	char *host;    /* ADDRESS_TCP: name or number without brackets; NULL: all of this host (listen only) */
	uint16_t port; /* ADDRESS_TCP */
	char *name;    /* ADDRESS_UNIX: the path, or '@' and the abstract name; ADDRESS_FD: the name */
};

/* Each fills *address, or adds a complaint that says what is wrong and what would be right, and returns -1. UNIX names
 * that do not fit sun_path, relative UNIX paths, port 0 for a target, and ports above 65535 are refused here. Port 0 to
 * listen on lets the kernel choose. `*` as a listen host, or no host, is NULL; a target without host is refused. */
must_check int address_parse_listen(struct address *address, const char *text, struct err *err);
must_check int address_parse_target(struct address *address, const char *text, struct err *err);
void address_clear(struct address *address);

/* For ADDRESS_UNIX: fills sa (a leading '@' becomes NUL) and returns its length. */
socklen_t address_unix_sockaddr(const struct address *address, struct sockaddr_un *sa);
