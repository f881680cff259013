/* reach.c owns the meaning of the lists that say which requests a route takes.
 * It must never see a request: that is route.c's. */
#include "config/reach.h"

#include <string.h>

bool reach_has_listener(const struct route_settings *route, const char *listen)
{
	for (size_t i = 0; i < route->listen.count; i++)
		if (strcmp(route->listen.item[i], listen) == 0)
			return true;
	return route->listen.count == 0;
}

enum host_scope reach_of_hosts(const struct str_list *hosts)
{
	enum host_scope scope = hosts->count == 0 ? HOST_ANY : HOST_LISTED;

	for (size_t i = 0; i < hosts->count; i++) {
		if (strcmp(hosts->item[i], REACH_HOST_ANY) == 0)
			return HOST_ANY;
		if (strcmp(hosts->item[i], REACH_HOST_OWN) == 0)
			scope = HOST_OWN;
	}
	return scope;
}
