/* Every section and option there is: the tables made of server.def, listen.def, tls.def and route.def. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "base/conf.h"

#define OPTION_KINDS 4
extern const struct conf_kind *const option_kinds[OPTION_KINDS];

#endif
