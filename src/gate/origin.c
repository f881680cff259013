/* origin.c owns the question whether a web page of that origin may use the gateway.
 * It must never be lenient: what it can't read it refuses, and of a name it never matches a part of a label. */
#include "gate/origin.h"

#include "gate/gate.h"
#include "proto/http.h"
#include "proto/ip.h"

#include <string.h>

struct origin {
	struct span scheme, host;                         /* host: empty for `file://` and its like */
	uint16_t port;                                    /* 0: the scheme has no default and none was given */
	enum { REACH_ONE, REACH_BELOW, REACH_ALL } reach; /* of an entry of the allow list: which hosts it is for */
};

static uint16_t default_port(struct span scheme)
{
	static const struct {
		struct span scheme;
		uint16_t port;
	} defaults[] = { { { "http", 4 }, 80 }, { { "https", 5 }, 443 }, { { "ws", 2 }, 80 }, { { "wss", 3 }, 443 } };
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (span_eq_nocase(scheme, defaults[i].scheme))
			return defaults[i].port;
	return 0;
}

/* The way a browser writes it. */
static bool read_port(struct span text, uint16_t *port)
{
	return ip_read_plain_port(text, port) && *port > 0;
}

static bool take_scheme(struct span *rest, struct span *scheme)
{
	const char *end = rest->n > 0 ? memmem(rest->p, rest->n, "://", 3) : NULL;
	if (end == NULL || end == rest->p)
		return false;
	*scheme = (struct span){ rest->p, (size_t)(end - rest->p) };
	*rest = span_skip(*rest, scheme->n + 3);
	return span_made_of(*scheme, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
}

/* What follows the scheme. Pages that come from no server, those of an application's own files, have a scheme alone. */
static bool read_authority(struct span text, struct origin *origin)
{
	struct span port;
	origin->host = text;
	origin->port = default_port(origin->scheme);
	if (text.n == 0)
		return origin->port == 0;
	if (!http_split_authority(text, &origin->host, &port) || origin->host.n == 0)
		return false;
	if (text.p[text.n - 1] == ':') /* an authority may end so, with a port that is absent */
		return false;
	return port.p == NULL || read_port(port, &origin->port);
}

/* An entry of the allow list is an origin, or has the host `*.domain`, or `*`: of applications, whose hosts are often random
 * numbers. Of web servers that would be the whole world, for which there is a word. */
static bool entry_parse(struct span text, struct origin *listed)
{
	listed->reach = REACH_ONE;
	if (!take_scheme(&text, &listed->scheme))
		return false;
	if (span_eq(text, SPAN("*"))) {
		listed->reach = REACH_ALL;
		return default_port(listed->scheme) == 0;
	}
	if (span_starts(text, SPAN("*."))) {
		listed->reach = REACH_BELOW;
		text = span_skip(text, 2);
	}
	if (!read_authority(text, listed))
		return false;
	if (listed->reach == REACH_BELOW && (listed->host.n == 0 || text.p[0] == '[')) /* there are no names below an address */
		return false;
	return listed->host.n == 0 || memchr(listed->host.p, '*', listed->host.n) == NULL;
}

/* An entry of the configuration may write an IPv6 address in another way than a browser does. */
static bool host_eq(struct span a, struct span b)
{
	uint8_t x[IP_ADDRESS_MAX], y[IP_ADDRESS_MAX];
	return span_eq_nocase(a, b) || (ip_read(AF_INET6, a, x) && ip_read(AF_INET6, b, y) && memcmp(x, y, sizeof(x)) == 0);
}

/* A page that came unencrypted may be anybody's, so over TLS it is another origin. The reverse is not so: without TLS
 * here a proxy in front of us may have ended it, and the page is https on the same name. */
static bool is_own(const struct origin *origin, struct span authority, bool tls)
{
	bool https = span_eq_nocase(origin->scheme, SPAN("https"));
	uint16_t own_port = default_port(origin->scheme);
	struct span host, port;
	if (!https && (tls || !span_eq_nocase(origin->scheme, SPAN("http"))))
		return false;
	if (authority.p == NULL || !http_split_authority(authority, &host, &port))
		return false;
	if (port.p != NULL && port.n > 0 && !read_port(port, &own_port))
		return false;
	return origin->port == own_port && host_eq(origin->host, host);
}

/* By one whole label or more. */
static bool is_below(struct span host, struct span domain)
{
	struct span labels, label;
	if (host.n < domain.n + 2 || !span_eq_nocase(span_skip(host, host.n - domain.n), domain))
		return false;
	labels = (struct span){ host.p, host.n - domain.n - 1 };
	if (labels.p[labels.n] != '.')
		return false;
	while (span_next(&labels, '.', &label))
		if (label.n == 0)
			return false;
	return true;
}

static bool is_listed(struct span text, const struct origin *origin, const char *entry)
{
	struct origin listed;
	if (strcmp(entry, "*") == 0)
		return true;
	if (strcmp(entry, "null") == 0)
		return span_eq(text, SPAN("null"));
	if (origin == NULL || !entry_parse(span_of(entry), &listed) || !span_eq_nocase(origin->scheme, listed.scheme))
		return false;
	if (listed.reach == REACH_ALL)
		return true;
	return origin->port == listed.port &&
	       (listed.reach == REACH_BELOW ? is_below(origin->host, listed.host) : host_eq(origin->host, listed.host));
}

bool origin_allowed(struct span origin, struct span authority, bool tls, const struct str_list *allow)
{
	struct origin parsed;
	struct span rest = origin;
	if (origin.p == NULL)
		return true;
	/* RFC 6454 section 6.2: scheme://host[:port] and not one byte more. */
	bool well_formed = take_scheme(&rest, &parsed.scheme) && read_authority(rest, &parsed);
	for (size_t i = 0; i < allow->count; i++)
		if (is_listed(origin, well_formed ? &parsed : NULL, allow->item[i]))
			return true;
	return well_formed && is_own(&parsed, authority, tls);
}

bool origin_entry_valid(const char *entry)
{
	struct origin parsed;
	return strcmp(entry, "*") == 0 || strcmp(entry, "null") == 0 || entry_parse(span_of(entry), &parsed);
}

static enum verdict origin_start(const struct gate *gate, struct request *request)
{
	size_t count = http_field_count(request->head, "Origin");
	struct span origin = { NULL, 0 };
	if (count > 0)
		origin = count == 1 ? http_field(request->head, "Origin")->value : SPAN("");
	request->browser = count > 0;
	if (!origin_allowed(origin, request->head->authority, request->tls, gate->options.origin))
		return request_refuse(request, REASON_FORBIDDEN_ORIGIN);
	return VERDICT_PASS;
}

const struct gate_ops gate_origin = { .start = origin_start };
