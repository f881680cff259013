/* The set of listeners that a generation asks for. Changing it is a transaction: planning binds what is new and may fail,
 * committing swaps the sets and cannot. A listener whose address stays is kept, with all connections in its backlog. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"
#include "config/generation.h"
#include "net/listener.h"
#include "server/lookups.h"
#include "server/steward.h"

struct acceptor;
struct event_base;
struct listening;
struct listening_plan;

/* The acceptor takes what comes in, for the generation that was committed last. */
struct listening *listening_new(struct event_base *base, struct log *log, struct steward *steward, struct acceptor *acceptor);

/* lookups: what the names of new listeners lead to; NULL: they are looked up here, which may block. NULL and complaints on
 * failure: then nothing has changed. */
struct listening_plan *listening_plan(struct listening *listening, struct generation *generation, const struct lookups *lookups,
                                      struct err *err) must_check;
/* Starts what is new, closes what is gone. The plan is used up. */
void listening_commit(struct listening *listening, struct listening_plan *plan);
void listening_plan_drop(struct listening_plan *plan); /* instead of committing it */

/* Logs one line for each bound socket, and gives the first one as text. */
void listening_announce(const struct listening *listening, char first[ADDR_TEXT_MAX]);

void listening_free(struct listening *listening); /* closes them all; NULL is allowed */
