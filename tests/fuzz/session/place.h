/* What all runs of a fuzzed session have in common: a directory with a web root, tokens and a certificate, and the
 * generation that was built from a configuration of all kinds of routes. */
#pragma once

#include "kernel.h"

#include "base/log.h"
#include "config/generation.h"
#include "gate/admission.h"

#include <openssl/ssl.h>

struct place {
	struct generation *generation;
	struct log *log;
	struct admission *admission;
	struct bytes file;          /* what /big.bin holds */
	SSL_CTX *clients, *targets; /* for the far ends */
};

/* Made once; the directory is removed when the process ends. */
const struct place *place_get(void);

/* OpenSSL's random bytes begin anew, and are the same in each run. */
void place_reset_chance(void);
