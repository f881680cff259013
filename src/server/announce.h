/* What the log says of the gateway as a whole: what starts, where routes lead, and how much is left when it stops. */
#pragma once

#include "base/log.h"
#include "config/settings.h"

#include <stddef.h>
#include <stdint.h>

void announce_start(struct log *log, size_t workers);

/* One line for each route, up to so many. */
#define ANNOUNCE_ROUTES 32
void announce_routes(struct log *log, const struct settings *settings);

/* event: "stopping", or another that says how. sessions: those that are left. */
void announce_stop(struct log *log, enum log_level level, const char *event, uint64_t sessions, uint64_t timeout_ms);

/* The quick form says on stderr, for a terminal, what one wants to know next; nothing for another. */
void announce_quick(const struct settings *settings, const char *address);
