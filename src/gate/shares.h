/* Fair shares of a limit: when it is near, who holds most is refused first.
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

struct shares;

struct shares *shares_new(void) must_check; /* for load time: never NULL */
void shares_free(struct shares *shares);    /* NULL is allowed */

/* Whether the claimant may have one more of a limit of which so much is used. limit 0: there is none. */
must_check bool shares_allow(const struct shares *shares, const struct claimant *claimant, uint64_t used, uint64_t limit);

void shares_add(struct shares *shares, const struct claimant *claimant);
void shares_take_back(struct shares *shares, const struct claimant *claimant);
void shares_clear(struct shares *shares); /* nobody holds anything */
