/* How many sessions there are, on a route or in all, and how many began this second; who comes near the limit is let in by
 * fair shares (gate/shares.h). A route keeps its tally over reloads, so sessions of an old generation count as well. Any
 * thread may call. */
#pragma once

#include "base/attr.h"
#include "gate/shares.h"

#include <stdbool.h>
#include <stdint.h>

struct tally;

struct tally *tally_new(void); /* for load time: never NULL; one reference, the caller's */
struct tally *tally_ref(struct tally *tally);
void tally_unref(struct tally *tally); /* NULL is allowed */

/* TALLY_SHARE: there is room, but not for this claimant. */
enum tally_verdict { TALLY_WELCOME, TALLY_FULL, TALLY_TOO_FAST, TALLY_SHARE };

/* One more session, unless there are so many already, or so many began in this second; 0: any number. A welcome one has
 * to leave in the end, as the same claimant. now: clock_ms(). */
must_check enum tally_verdict tally_enter(struct tally *tally, const struct claimant *claimant, uint64_t sessions, uint64_t rate,
                                          uint64_t now);
void tally_leave(struct tally *tally, const struct claimant *claimant);

/* One that entered as nobody turns out to be of that claimant. false: it has no share, and has left. */
must_check bool tally_name(struct tally *tally, const struct claimant *claimant, uint64_t sessions);
