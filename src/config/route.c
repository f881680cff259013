/* route.c owns the order of the routes, and what each holds open: its handler, its targets.
 * It must never look at a request beyond its kind, listener, authority and path: who may pass is for the gates. */
#include "config/route.h"

#include "base/mem.h"
#include "proto/http.h"
#include "proto/ip.h"
#include "sys/beneath.h"
#include "sys/own_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct handler_ops *const handler_kinds[] = {
#define HANDLER(name) &handler_##name,
#define OPT(...)
#include "handler/handler.def"
#undef OPT
};

static int route_open(struct route *route, struct opener *opener, struct err *err)
{
	const struct route_settings *set = route->set;
	const struct handler_options options = {
		.section = set,
		.place = conf_place,
#define OPT(name, ...) .name = &set->name,
#include "handler/handler.def"
#undef OPT
	};
	struct tls_client *tls = NULL;

	if (opener == NULL && set->root[0] != '\0' && beneath_probe() != 0)
		return conf_complain_option(set, &set->root, err,
		                            "cannot confine look-ups to it: openat2 and /proc are needed: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(handler_kinds) && route->handler == NULL; i++)
		if (handler_kinds[i]->open(&route->handler, &options, err) != 0)
			return -1;
	if (set->target.tls) {
		const char *name = set->target_name[0] != '\0' ? set->target_name : set->target.host;
		const struct tls_where where = { conf_place_named, set, opener };
		tls = tls_client_new(&where, set->target_ca, name, set->target_verify, err);
		if (tls == NULL)
			return -1;
	}
	if (set->target.text != NULL)
		pool_add(&route->pool, &set->target, tls);
	return 0;
}

static void route_init(struct route *route, const struct route_settings *set)
{
	*route = (struct route){ .set = set, .tally = tally_new() };
	route->prefix = uri_path_prefix(set->path, &route->exact);
	const struct gate_options options = {
#define OPT(name, ...) .name = &set->name,
#include "gate/gate.def"
#undef OPT
	};
	gates_build(&route->gates, &options);
}

/* The most specific first. Routes that are equal here never match the same request: settings_read() saw to that. */
static int route_order(const void *left, const void *right)
{
	const struct route *a = left, *b = right;
	enum host_scope a_scope = reach_of_hosts(&a->set->host), b_scope = reach_of_hosts(&b->set->host);

	if (a_scope != b_scope)
		return a_scope > b_scope ? -1 : 1;
	if (a->exact != b->exact)
		return a->exact ? -1 : 1;
	return a->prefix.n == b->prefix.n ? 0 : a->prefix.n > b->prefix.n ? -1 : 1;
}

int routes_build(struct routes *routes, const struct settings *settings, struct opener *opener, struct err *err)
{
	int status = 0;

	*routes = (struct routes){ .item = mem_zalloc(settings->routes_count * sizeof(*routes->item)),
		                   .count = settings->routes_count };
	for (size_t i = 0; i < routes->count; i++)
		route_init(&routes->item[i], settings->routes[i]);
	qsort(routes->item, routes->count, sizeof(*routes->item), route_order);
	own_names_list(&routes->own, opener);
	for (size_t i = 0; i < routes->count; i++)
		if (route_open(&routes->item[i], opener, err) != 0)
			status = -1;
	if (status != 0)
		routes_clear(routes);
	return status;
}

void routes_clear(struct routes *routes)
{
	for (size_t i = 0; i < routes->count; i++) {
		if (routes->item[i].handler != NULL)
			routes->item[i].handler->ops->close(routes->item[i].handler);
		gates_clear(&routes->item[i].gates);
		pool_clear(&routes->item[i].pool);
		tally_unref(routes->item[i].tally);
	}
	free(routes->item);
	str_list_clear(&routes->own);
	*routes = (struct routes){ .item = NULL };
}

void routes_check_gates(const struct routes *routes, struct opener *opener, struct err *warnings)
{
	for (size_t i = 0; i < routes->count; i++)
		gates_check(&routes->item[i].gates, opener, routes->item[i].set, warnings);
}

void routes_inherit(struct routes *routes, const struct routes *before)
{
	for (size_t i = 0; i < routes->count; i++) {
		struct route *route = &routes->item[i];
		size_t k = 0;
		while (k < before->count && strcmp(before->item[k].set->section.name, route->set->section.name) != 0)
			k++;
		if (k == before->count)
			continue;
		tally_unref(route->tally);
		route->tally = tally_ref(before->item[k].tally);
		pool_inherit(&route->pool, &before->item[k].pool);
	}
}

static bool host_matches(const struct route *route, const struct str_list *own, struct span host)
{
	const struct str_list *names = &route->set->host;
	enum host_scope scope = reach_of_hosts(names);

	if (scope == HOST_ANY || (scope == HOST_OWN && (host.p == NULL || own_names_has(own, host))))
		return true;
	for (size_t i = 0; i < names->count && host.p != NULL; i++) {
		struct span name = uri_host(span_of(names->item[i]));
		if (span_eq_nocase(name, host) && !span_eq(name, SPAN(REACH_HOST_OWN)))
			return true;
	}
	return false;
}

static bool path_matches(const struct route *route, struct span path)
{
	if (route->exact)
		return span_eq(route->prefix, path);
	if (!span_starts(path, route->prefix))
		return false;
	return path.n > route->prefix.n ? path.p[route->prefix.n] == '/' : route->handler != NULL;
}

struct span route_host(struct span authority)
{
	struct span host, port;

	if (authority.p == NULL || !http_split_authority(authority, &host, &port))
		return (struct span){ NULL, 0 };
	return uri_host(host);
}

enum route_result routes_match(const struct routes *routes, bool upgrade, const char *listen, struct span authority,
                               struct span path, const struct route **found)
{
	struct span host = route_host(authority);
	bool other_host = false, other_kind = false, neither = false, upgrades_only = false;

	for (size_t i = 0; i < routes->count; i++) {
		const struct route *route = &routes->item[i];
		if (!reach_has_listener(route->set, listen) || !path_matches(route, path))
			continue;
		if ((route->handler == NULL) != upgrade) {
			bool matches = host_matches(route, &routes->own, host);
			other_kind = other_kind || matches;
			neither = neither || !matches;
			upgrades_only = upgrades_only || (matches && route->exact && !upgrade);
		} else if (host_matches(route, &routes->own, host)) {
			*found = route;
			return upgrades_only && !route->exact ? ROUTE_OTHER_KIND : ROUTE_FOUND;
		} else {
			other_host = true;
		}
	}
	if (other_kind && !other_host)
		return ROUTE_OTHER_KIND;
	return other_host || neither ? ROUTE_OTHER_HOST : ROUTE_NONE;
}

/* With one slash where there were several, and one at the end. Returns the length. */
static size_t squeeze(char out[HTTP_TARGET_MAX + 1], struct span path)
{
	size_t len = 0;

	for (size_t i = 0; i < path.n && i < HTTP_TARGET_MAX; i++)
		if (path.p[i] != '/' || len == 0 || out[len - 1] != '/')
			out[len++] = path.p[i];
	if (len == 0 || out[len - 1] != '/')
		out[len++] = '/';
	return len;
}

const struct route *routes_near(const struct routes *routes, bool upgrade, const char *listen, struct span authority,
                                struct span path)
{
	char squeezed[HTTP_TARGET_MAX + 1];
	size_t len = squeeze(squeezed, path);
	const struct route *route = NULL;

	if (routes_match(routes, true, listen, authority, path, &route) == ROUTE_FOUND)
		return NULL; /* a path for all, of which no other is a mistyped form */
	for (size_t shorter = 0; shorter < 2 && shorter < len; shorter++) {
		struct span near = { squeezed, len - shorter };
		if (routes_match(routes, upgrade, listen, authority, near, &route) == ROUTE_FOUND ||
		    (!upgrade && routes_match(routes, true, listen, authority, near, &route) == ROUTE_FOUND))
			return route;
	}
	return NULL;
}
