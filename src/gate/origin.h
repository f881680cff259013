/* The same-origin gate (RFC 6455 section 10.2): a browser sends Origin, and a page of another site may not use the
 * gateway with the user's credentials or network position. */
#pragma once

#include "base/str.h"

#include <stdbool.h>

/* origin: the Origin field's value, absent when there was none (then it is no browser, and passes). authority:
 * host[:port] of the request. tls: how the client reached us. Passes when
 * - it is our own: http or https, and the authority's host and port, where the default port on both sides is that of
 *   origin's scheme. Over TLS only https will do; without TLS both, as a proxy in front may have ended TLS; or
 * - the allow list has it: "*" (any), a serialised origin `scheme://host[:port]` compared by scheme, host and port
 *   (default ports filled in, host without case, IPv6 by value), the same with a host of the form `*.domain` for
 *   every name below the domain (but not itself), "null" for the literal null, and for schemes of applications (not http,
 *   https, ws, wss) `scheme://` alone for pages without a host, such as `file://`, and the host `*` for any.
 * Anything malformed, several origins, an origin with path or user info: refused unless "*" is listed. A request with
 * two Origin fields is the caller's to refuse, and a foreign Host is the affair of the route's `host` list. */
bool origin_allowed(struct span origin, struct span authority, bool tls, const struct str_list *allow);

/* For configuration: is this a well-formed entry of the allow list? */
bool origin_entry_valid(const char *entry);
