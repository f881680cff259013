/* Who may begin a session, as far as it depends on how many there are and on where a client comes from: the [server] options
 * max_sessions and source_*. Which source has how many, and what it did, is in the table of gate/sources.h; how near the limit of
 * all sessions is, and whose share is used up, in a tally. One for all threads; any may call. */
#pragma once

#include "base/attr.h"
#include "base/limiter.h"
#include "gate/reason.h"
#include "gate/sources.h"
#include "gate/tally.h"
#include "net/cidr.h"

#include <stdbool.h>
#include <stdint.h>

struct admission;

/* What a configuration says of sources. What it points to must outlive it. */
struct admission_terms {
	struct source_limits limits;
	const struct cidr_list *exempt; /* networks without limits and penalties */
	unsigned ipv4_prefix, ipv6_prefix;
	uint64_t penalty_timeout, penalty_auth, penalty_protocol; /* ms, for each kind of offence */
};

/* sources: how many are remembered; sessions: how many there may be. NULL: out of memory, with errno. */
struct admission *admission_new(uint64_t sources, uint64_t sessions) must_check;
void admission_free(struct admission *admission); /* NULL is allowed */

/* What a connection holds until admission_leave(). All zero: nothing. */
struct seat {
	bool taken;   /* one of all sessions */
	bool counted; /* one of its source's */
};

/* Which claimant a peer is where shares are fair; NULL, or exempt: nobody in particular. */
struct claimant admission_claimant(const struct admission_terms *terms, const struct peer *peer);

/* A connection has come. peer is NULL as long as its proxy has not said whose it is. REASON_NONE: it is welcome and has its
 * seat, with which admission_leave() with the same terms has to follow in the end. */
must_check enum reason admission_enter(struct admission *admission, const struct admission_terms *terms, const struct peer *peer,
                                       struct seat *seat);

/* The proxy named the peer of one that has its seat. Refused, it has none any more. */
must_check enum reason admission_name(struct admission *admission, const struct admission_terms *terms, const struct peer *peer,
                                      struct seat *seat);

/* peer: NULL if it was never named. */
void admission_leave(struct admission *admission, const struct admission_terms *terms, const struct peer *peer,
                     const struct seat *seat);

/* Whether one more of those that are refused gets a TLS handshake for the answer, which is dearer than anything else that a
 * stranger gets for nothing: `most` do a second, a source only one of them. peer: as above. */
must_check bool admission_spares_handshake(struct limiter *handshakes, const struct admission_terms *terms,
                                           const struct peer *peer, uint64_t most);

/* Whether the peer's source is under a penalty by now. Asked before a guess on an older connection. */
must_check bool admission_refuses(struct admission *admission, const struct admission_terms *terms, const struct peer *peer);

/* A session of the peer ended for this reason: an offence is held against its source. Returns for how many ms the source is refused
 * from now on, if it was not before; else 0. */
uint64_t admission_note(struct admission *admission, const struct admission_terms *terms, const struct peer *peer,
                        enum reason reason);
