/* What a web root would give away: the keys, token files, log and configuration of the gateway itself. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"

/* Complains of each such file that lies below a route's root, by their real places. Returns -1 if there is one. */
must_check int exposure_check(const struct settings *settings, struct err *err);
