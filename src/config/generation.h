/* A generation: settings, routes and TLS contexts as one immutable whole. A reload builds a new one; sessions keep the one
 * they began with, and the last to leave frees it. Any thread may take and drop references. */
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

/* Does everything that can fail but binding addresses: opens web roots, which must not hold a secret, and
 * loads keys. Takes settings over, also on failure.
 * before: the one in whose place it comes, whose keys are still good where their files may no longer be read; NULL: none.
 * opener: who opens /etc/hosts; NULL: it is opened here.
 * warnings: what an operator should know though it works. NULL on failure; else with one reference, the caller's. */
struct generation *generation_build(struct settings *settings, const struct generation *before, struct opener *opener,
                                    struct err *err, struct err *warnings) must_check;

struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation); /* NULL is allowed */
