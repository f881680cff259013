/* The set of listeners that a generation asks for. Changing it is a transaction: a plan may fail, while it binds what is new;
 * committing it swaps the sets and cannot. A listener whose address stays is kept, with all connections in its backlog. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"
#include "config/generation.h"
#include "net/resolve.h"

struct acceptor;
struct event_base;
struct listening;
struct listening_plan;
struct steward;

/* The acceptor takes what comes in, for the generation that was committed last. */
struct listening *listening_new(struct event_base *base, struct log *log, struct steward *steward, struct acceptor *acceptor);

/* The generation has to stay until the plan is dropped, or another one committed. */
struct listening_plan *listening_plan(struct listening *listening, struct generation *generation) must_check;

/* Begins to look up the names of new listeners on the resolver's threads, as a look-up may hang; without it they are looked up as
 * they are bound. Returns whether there are any: then done is called once, later, on the thread of box. */
typedef void listening_cb(void *arg);
bool listening_look_up(struct listening_plan *plan, struct resolver *resolver, struct mailbox *box, listening_cb *done,
                       void *arg);

/* -1 and complaints on failure: nothing has changed, and the plan is to be dropped. */
must_check int listening_bind(struct listening_plan *plan, struct err *err);

/* Bound: starts what is new, closes what is gone. The plan is used up. */
void listening_commit(struct listening_plan *plan);
void listening_plan_drop(struct listening_plan *plan); /* instead of committing it, at any time; NULL is allowed */

/* Logs one line for each bound socket, and gives the first one as text. */
void listening_announce(const struct listening *listening, char first[ADDR_TEXT_MAX]);

void listening_free(struct listening *listening); /* closes them all; NULL is allowed */
