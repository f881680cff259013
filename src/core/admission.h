/* Who may begin a session, as far as it depends on where a client comes from: the [server] options source_*. Which source
 * has how many, and what it did, is in the table of gate/sources.h, which all threads share. */
#ifndef CORE_ADMISSION_H
#define CORE_ADMISSION_H

#include "base/attr.h"
#include "base/limiter.h"
#include "core/reason.h"
#include "core/refusal_log.h"
#include "core/settings.h"
#include "gate/sources.h"

#include <stdbool.h>

/* A connection of the peer has come. REASON_NONE: it is welcome; if *counted, admission_leave() with the same settings has to
 * follow in the end. */
must_check enum reason admission_enter(struct sources *sources, const struct server_settings *set, const struct peer *peer,
                                       bool *counted);
void admission_leave(struct sources *sources, const struct server_settings *set, const struct peer *peer);

/* Whether who is refused for this reason is to be told so, where it would cost a worker: a handshake for the answer is dearer than
 * anything else that a stranger gets for nothing, so who is to be kept off gets none, and others max_tls_refusals a
 * second, a source only one of them. */
must_check bool admission_tells(struct limiter *handshakes, const struct server_settings *set, const struct listen_settings *listen,
                                const struct peer *peer, enum reason refusal);

/* A session of the peer ended for this reason: an offence is held against its source, and logged when it is refused now. */
void admission_note(struct sources *sources, const struct server_settings *set, struct refusal_log *news,
                    const struct peer *peer, enum reason reason);

#endif
