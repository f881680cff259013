/* The one deadline of a session that is not open yet: it runs from accept until the request is complete and answered. */
#pragma once

#include "session/session.h"

/* From now. */
void deadline_set(struct session *session, uint64_t ms);

uint64_t deadline_left(const struct session *session); /* at least 1 */

/* It is only to be told why it is refused: it has refusal_timeout for it, from now on until it is gone. */
void deadline_hurry(struct session *session);

/* What ends a session that asks, or is about to, when its worker drains, if anything yet: who has only just connected is told
 * then that this is no time for it, if that is within linger_timeout. */
enum reason deadline_drain(struct session *session);
