/* Refusing without a session: a connection too many is told so and closed, at the least cost there is, while what lives
 * goes on undisturbed. What it is told has the same words and form as any refusal. */
#ifndef SERVER_REFUSAL_H
#define SERVER_REFUSAL_H

#include "base/attr.h"
#include "gate/reason.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct refusals;

/* NULL: out of memory. At most so many connections are held at a time, and none longer than timeout_ms; when one more
 * comes, the oldest is answered without having asked, and closed. */
struct refusals *refusals_new(struct event_base *base, unsigned most, uint64_t timeout_ms) must_check;
void refusals_free(struct refusals *refusals); /* closes what is held; NULL is allowed */

/* Takes fd over. It gets its answer as soon as it has said something; with may_be_tls not if that is the beginning of TLS. */
void refusals_take(struct refusals *refusals, int fd, enum reason reason, bool may_be_tls);

#endif
