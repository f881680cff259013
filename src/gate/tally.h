/* How many sessions there are, on a route or in all, and how many began this second; who comes near the limit is let in by
 * fair shares: who holds most is refused first. A route keeps its tally over reloads, so sessions of an old generation count
 * as well.
 *
 * Three quarters of a limit are anybody's. Of the last quarter nobody gets more who holds as much as is left of it: no source,
 * no /56 with twice as much, no /48 with four times as much. So a source alone comes to three quarters, a /48 to four
 * fifths, several of them to a little more together, and what is left is for those who hold less. An IPv4 address is not
 * counted with its neighbours, who are strangers to it.
 *
 * What a claimant holds is read from two counters, which it shares with others by a secret hash; it is the smaller one, so it
 * may be taken for more than it is, hardly ever by much, and never for less. Fixed memory, the same work for each call. Any
 * thread may call, without locks: counts that are changed at the same time may let in one too many. */
#pragma once

#include "base/attr.h"
#include "net/addr.h"

#include <stdbool.h>
#include <stdint.h>

#define CLAIMANT_GROUPS 3

/* Who asks: a source, its /56 and its /48. All zero: nobody in particular, who is not counted and has no share. */
struct claimant {
	uint64_t group[CLAIMANT_GROUPS];
};

/* The peer's, whose source is cut to so many bits as by source_key(). */
struct claimant claimant_of(const struct peer *peer, unsigned ipv4_bits, unsigned ipv6_bits);

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
