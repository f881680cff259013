/* admission.c owns what max_sessions and the source_ options mean: who is exempt, what an offence costs.
 * It must never count: counts and penalties are the table's and the tally's. */
#include "gate/admission.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

struct admission {
	struct sources *sources;
	struct tally *tally;
	uint64_t sessions;
};

struct admission *admission_new(uint64_t sources, uint64_t sessions)
{
	struct sources *table = sources_new((size_t)sources);
	if (table == NULL)
		return NULL;
	struct admission *a = mem_zalloc(sizeof(*a));
	*a = (struct admission){ .sources = table, .tally = tally_new(), .sessions = sessions };
	return a;
}

void admission_free(struct admission *a)
{
	if (a == NULL)
		return;
	tally_unref(a->tally);
	sources_free(a->sources);
	free(a);
}

struct claimant admission_claimant(const struct admission_terms *terms, const struct peer *peer)
{
	if (peer == NULL || cidr_list_has(terms->exempt, peer))
		return (struct claimant){ .group = { 0 } };
	return claimant_of(peer, terms->ipv4_prefix, terms->ipv6_prefix);
}

/* The source; 0: it is exempt, or nobody yet. */
static uint64_t key_of(const struct admission_terms *terms, const struct peer *peer)
{
	return admission_claimant(terms, peer).group[0];
}

/* Last, as what the source is refused gives back what the claimant had got. */
static enum reason admission_ask_source(struct admission *a, const struct admission_terms *terms, const struct claimant *claimant,
                                        struct seat *seat)
{
	uint64_t key = claimant->group[0];
	enum reason reason = key == 0 ? REASON_NONE : sources_enter(a->sources, key, &terms->limits, clock_ms(), &seat->counted);
	if (reason != REASON_NONE) {
		tally_leave(a->tally, claimant);
		seat->taken = false;
	}
	return reason;
}

enum reason admission_enter(struct admission *a, const struct admission_terms *terms, const struct peer *peer, struct seat *seat)
{
	const struct claimant claimant = admission_claimant(terms, peer);
	enum tally_verdict verdict = tally_enter(a->tally, &claimant, a->sessions, 0, 0);
	*seat = (struct seat){ .taken = verdict == TALLY_WELCOME };
	if (!seat->taken)
		return verdict == TALLY_SHARE ? REASON_SOURCE_SHARE : REASON_OVERLOAD;
	return admission_ask_source(a, terms, &claimant, seat);
}

enum reason admission_name(struct admission *a, const struct admission_terms *terms, const struct peer *peer, struct seat *seat)
{
	const struct claimant claimant = admission_claimant(terms, peer);
	seat->taken = tally_name(a->tally, &claimant, a->sessions);
	return seat->taken ? admission_ask_source(a, terms, &claimant, seat) : REASON_SOURCE_SHARE;
}

void admission_leave(struct admission *a, const struct admission_terms *terms, const struct peer *peer, const struct seat *seat)
{
	const struct claimant claimant = admission_claimant(terms, peer);
	if (seat->taken)
		tally_leave(a->tally, &claimant);
	if (seat->counted)
		sources_leave(a->sources, claimant.group[0]);
}

bool admission_spares_handshake(struct limiter *handshakes, const struct admission_terms *terms, const struct peer *peer,
                                uint64_t most)
{
	uint64_t key = key_of(terms, peer);
	return limiter_take(handshakes, key, key == 0 ? UINT8_MAX : 1, most, clock_ms());
}

bool admission_refuses(struct admission *a, const struct admission_terms *terms, const struct peer *peer)
{
	uint64_t key = key_of(terms, peer);
	return key != 0 && sources_refuses(a->sources, key, &terms->limits, clock_ms());
}

uint64_t admission_note(struct admission *a, const struct admission_terms *terms, const struct peer *peer, enum reason reason)
{
	unsigned flags = reason_row[reason].flags;
	uint64_t penalty = 0;
	if (flags & OFFENCE_TIMEOUT)
		penalty = terms->penalty_timeout;
	else if (flags & OFFENCE_AUTH)
		penalty = terms->penalty_auth;
	else if (flags & OFFENCE_PROTOCOL)
		penalty = terms->penalty_protocol;
	uint64_t key = penalty > 0 ? key_of(terms, peer) : 0;
	return key != 0 ? sources_punish(a->sources, key, penalty, &terms->limits, clock_ms()) : 0;
}
