/* The news of connections that were refused: one line at once, then one a second as long as there are more, so that nobody
 * fills the log by being refused. One for each thread. */
#ifndef CORE_REFUSAL_LOG_H
#define CORE_REFUSAL_LOG_H

#include "base/attr.h"
#include "base/log.h"
#include "core/reason.h"
#include "core/settings.h"
#include "net/addr.h"

#include <event2/event.h>

struct refusal_log;

struct refusal_log *refusal_log_new(struct event_base *base, struct log *log) must_check; /* NULL: out of memory */
void refusal_log_free(struct refusal_log *news); /* tells what it has not told yet; NULL is allowed */

void refusal_log_note(struct refusal_log *news, enum reason reason, const struct peer *peer, const struct listen_settings *listen);

#endif
