/* Where the gateway makes files of its own: its log, and the sockets it listens on. */
#pragma once

#include "base/err.h"
#include "config/settings.h"

/* Warns of each directory in which this process could not make what belongs there. It may still come to be before the start. */
void places_check(const struct settings *settings, struct err *warnings);
