/* Which requests a route takes, as far as its settings alone can tell. */
#pragma once

#include "config/settings.h"

#include <stdbool.h>

/* What a route's list of hosts takes. HOST_OWN: the names of this machine (sys/own_names.h), and those listed. */
enum host_scope { HOST_ANY, HOST_OWN, HOST_LISTED };
#define REACH_HOST_ANY "*"
#define REACH_HOST_OWN "own"
enum host_scope reach_of_hosts(const struct str_list *hosts);

/* Whether the route is for the listener of that name: it names it, or none. */
bool reach_has_listener(const struct route_settings *route, const char *listen);
