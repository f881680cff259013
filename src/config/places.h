/* Where the files lie that the configuration names. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"

/* Complains of each key, token file, log and configuration of the gateway itself that lies below a route's root, which would
 * publish it; by their real places. Returns -1 if there is one. */
must_check int places_check_roots(const struct settings *settings, struct err *err);

/* Warns of each directory in which this process could not make the log or a socket. It may still come to be before the start. */
void places_warn(const struct settings *settings, struct err *warnings);
