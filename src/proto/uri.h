/* The parts of a URI as routes compare them. */
#pragma once

#include "base/str.h"

#include <stdbool.h>

/* What names of hosts are made of. */
#define HOST_NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* A host: without brackets and final dot. */
struct span uri_host(struct span host);

/* localhost or a name below it, in any case, perhaps with a final dot: always this host (RFC 6761, section 6.3). */
bool uri_is_localhost(struct span host);

/* A route's path, taken apart: "/vnc/<anything>" is the prefix "/vnc", "/<anything>" the prefix "", else exact. */
struct span uri_path_prefix(const char *path, bool *exact);
