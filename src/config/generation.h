/* A generation: settings, routes and TLS contexts as one immutable whole. A reload builds a new one; sessions keep the one they
 * began with, and the last to leave frees it. Any thread may take and drop references. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/route.h"
#include "config/settings.h"
#include "gate/admission.h"
#include "net/tls.h"

#include <stdatomic.h>

struct generation {
	atomic_uint refs;
	struct settings *settings;
	struct admission_terms terms; /* of its settings */
	struct routes routes;
	struct tls_server *tls; /* NULL: no [tls] section */
};

/* Does everything that can fail but binding addresses: looks at web roots, and loads keys. Takes settings over, also on failure.
 * opener: who opens files for a reload, and has looked below web roots (config/places.h); NULL: it is the first one, and looks
 * itself. warnings: what an operator should know though it works. NULL on failure; else with one reference, the caller's. */
struct generation *generation_build(struct settings *settings, struct opener *opener, struct err *err,
                                    struct err *warnings) must_check;

struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation); /* NULL is allowed */
