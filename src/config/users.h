/* The users and groups that the configuration names. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"

/* Whether they exist, and `user` is not root. -1 and a complaint with its line for each that is wrong. */
must_check int users_check(const struct settings *settings, struct err *err);
