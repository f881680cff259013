/* Every section and option there is: the tables made of server.def, listen.def, tls.def and route.def. */
#pragma once

#include "base/conf.h"

#define OPTION_KINDS 4
extern const struct conf_kind *const option_kinds[OPTION_KINDS];
