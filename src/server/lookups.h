/* The names of new listeners, looked up before a reload binds them: on the resolver's threads, as a look-up may hang. */
#pragma once

#include "base/attr.h"
#include "config/generation.h"
#include "net/addr.h"
#include "net/mailbox.h"
#include "net/resolve.h"

#include <stdbool.h>

struct lookups;

typedef void lookups_cb(void *arg);

/* Begins to look up the names that next listens on and before did not. Calls done once, later, on the thread of box, when all
 * are answered; if lookups_are_done() by the time this returns, never. next has to stay until lookups_free(). */
struct lookups *lookups_new(struct resolver *resolver, struct mailbox *box, const struct generation *next,
                            const struct generation *before, lookups_cb *done, void *arg) must_check;
bool lookups_are_done(const struct lookups *lookups);

/* The answer for an address of next's, with its port; NULL: it has no name to look up. lookups may be NULL. */
const struct resolved *lookups_find(const struct lookups *lookups, const struct address *address);

void lookups_free(struct lookups *lookups); /* cancels what is not answered; NULL is allowed */
