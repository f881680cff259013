/* What no single option can tell: whether the settings make sense together. */
#pragma once

#include "base/err.h"
#include "config/settings.h"

#include <stdbool.h>

/* Adds a complaint for all that does not go together; settings_read() lists what is looked at. where: what complaints
 * about a section that is nowhere begin with. whole: every section could be read, so one that is missing is missing. */
void settings_check(const struct settings *settings, const char *where, bool whole, struct err *err);

/* Adds what works, but an operator should know. */
void settings_warn(const struct settings *settings, struct err *warnings);
