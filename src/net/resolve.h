/* Host names to addresses, off the event loops: getaddrinfo runs in a few helper threads, because it blocks.
 *
 * An answer is used for RESOLVE_FRESH_MS without asking again, and a look-up of a name that is already being looked up shares that
 * one's answer. The last good answer is kept for at most RESOLVE_KEEP_MS: it is the answer when a later look-up fails for want of
 * a name server (a plain "no such name" is believed), and whoever has waited for a look-up for RESOLVE_PATIENCE_MS can take it by
 * resolve_last_good(). The look-up is made all the same.
 *
 * Names that were never found, or not within RESOLVE_PATIENCE_MS the last time, never take all threads, if there is more than
 * one: names that hang must not keep the others from being looked up. */
#pragma once

#include "base/attr.h"
#include "net/mailbox.h"
#include "net/resolved.h"

#include <stdbool.h>
#include <stdint.h>

struct resolver;
struct resolve; /* one look-up under way */

#define RESOLVE_NAMES_MAX   64 /* names whose answers are kept; those being looked up come on top */
#define RESOLVE_FRESH_MS    5000
#define RESOLVE_PATIENCE_MS 1000
#define RESOLVE_KEEP_MS     3600000

/* Fills *answer, as resolved_by_system() does. May block. Called on helper threads, several at a time; thread is the
 * number of this one, from 0. */
typedef void resolve_lookup(void *arg, unsigned thread, const char *host, struct resolved *answer);

struct resolver_options {
	unsigned threads;  /* look-ups at a time; all are started at once, with all signals blocked */
	uint64_t fresh_ms; /* 0: RESOLVE_FRESH_MS */
	resolve_lookup *lookup;
	void *lookup_arg;
};

/* NULL on failure, with errno. */
struct resolver *resolver_new(const struct resolver_options *options) must_check;

/* Every resolve must be done or cancelled. Waits for the look-ups that run: who could hang is told before to return. */
void resolver_free(struct resolver *resolver);

/* The last good answer for host, if one is kept. From any thread, while a look-up of host is under way. */
bool resolve_last_good(struct resolver *resolver, const char *host, uint16_t port, struct resolved *answer);

typedef void resolve_cb(void *arg, const struct resolved *answer);

/* Starts a look-up; cb runs once, later, on the thread that owns box; never from inside this call. NULL: out of memory. Before box
 * is freed every resolve that was started with it must be done or cancelled. */
struct resolve *resolve_start(struct resolver *resolver, struct mailbox *box, const char *host, uint16_t port, resolve_cb *cb,
                              void *arg) must_check;

/* On box's thread, before cb ran: it will not, and box may be freed. The answer is kept for the next one who asks. */
void resolve_cancel(struct resolve *resolve);
