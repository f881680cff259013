/* The route table: which [route] a request gets. Most specific wins: a route that lists host names before one for the machine's
 * own, and that before one for any, then an exact path before the longest prefix. An upgrade sees only routes that lead somewhere
 * (target or token_file), any other request only those with a root. A prefix route with a root also gets the prefix itself,
 * without its slash, which handler/files.c turns into a redirection. Immutable; belongs to a generation. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "config/pool.h"
#include "config/settings.h"
#include "gate/gate.h"
#include "gate/tally.h"
#include "handler/handler.h"

struct route {
	const struct route_settings *set;
	struct span prefix; /* of path: "/vnc" for `/vnc/<anything>`, "" for `/<anything>` */
	bool exact;
	struct handler *handler; /* of plain requests; NULL: the route is for upgrades */
	struct gates gates;      /* of upgrades */
	struct pool pool;        /* of their targets; empty: the gates name one */
	struct tally *tally;     /* of its sessions */
};

struct routes {
	struct route *item; /* most specific first */
	size_t count;
	struct str_list own; /* names of this machine, for `host = own` */
};

/* Opens web roots and client contexts, by the opener if there is one. -1 and complaints on failure, with nothing left behind. */
must_check int routes_build(struct routes *routes, const struct settings *settings, struct opener *opener, struct err *err);
void routes_clear(struct routes *routes);

/* Reads what the gates will need to read, by an opener, and adds what is wrong with it. */
void routes_check_gates(const struct routes *routes, struct opener *opener, struct err *warnings);

/* Each route that has the name of one before takes over its tally and the health of its targets. Before anything else sees it. */
void routes_inherit(struct routes *routes, const struct routes *before);

/* The host that an authority names, as it is compared with a route's; absent if there is none. */
struct span route_host(struct span authority);

enum route_result {
	ROUTE_FOUND,
	ROUTE_NONE,       /* 404 */
	ROUTE_OTHER_HOST, /* a route has the path, but is for other hosts: 403 (DNS rebinding) */
	ROUTE_OTHER_KIND, /* only a route of the other kind has the path, or, for a plain request, one that is more specific has
	                   * exactly this path: 426 for a plain request, 404 for an upgrade */
};

/* listen: name of the listener; authority: host[:port] as the client sent it (may be absent, which is no browser's and so as good
 * as one's own); path: as it came. A host is compared without case, port and final dot. */
enum route_result routes_match(const struct routes *routes, bool upgrade, const char *listen, struct span authority,
                               struct span path, const struct route **route);

/* For a path that no route has, or only a web root without such a file: the route that has it but for slashes too many, or one
 * too many or too few at its end; NULL: none. Only to be named to who asked. It is never served instead: what stands in front of
 * us may protect the path that is meant, and not the one that was asked for. A plain request may have meant an upgrade's path. */
const struct route *routes_near(const struct routes *routes, bool upgrade, const char *listen, struct span authority,
                                struct span path);
