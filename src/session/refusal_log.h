/* What the log says of strangers: of connections that were refused, and of those that came to nothing. One for each thread.
 *
 * Nobody fills the log by knocking. Each reason has one line at once, then one a second as long as there are more, which says
 * how many there were and who was the last. Some have a line of their own as well, a few a second and still fewer from
 * one source, so that no flood of one source's takes the lines of others. */
#pragma once

#include "base/attr.h"
#include "base/log.h"
#include "config/settings.h"
#include "net/addr.h"
#include "gate/reason.h"

#include <event2/event.h>
#include <stdbool.h>

struct refusal_log;

struct refusal_log *refusal_log_new(struct event_base *base, struct log *log) must_check;
void refusal_log_free(struct refusal_log *reject_log); /* tells what it has not told yet; NULL is allowed */

/* One more that has no line of its own. */
void refusal_log_note(struct refusal_log *reject_log, enum reason reason, const struct peer *peer,
                      const struct listen_settings *listen);

/* Whether a line of its own is left for the peer in this second, of `most` for all; then it is taken. */
must_check bool refusal_log_spares_line(struct refusal_log *reject_log, const struct peer *peer, uint64_t most);

/* The peer's source is refused for so many ms from now on: a line, if one is left, else only at debug. */
void refusal_log_punished(struct refusal_log *reject_log, const struct peer *peer, enum reason offence, uint64_t ms,
                          uint64_t most);
