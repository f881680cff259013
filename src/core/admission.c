/* admission.c owns what the source_ options mean: who is exempt, what an offence costs, and how a verdict is named.
 * It must never keep anything: counts and penalties are the table's. */
#include "core/admission.h"

#include "base/clock.h"

static struct source_limits limits_of(const struct server_settings *set)
{
	return (struct source_limits){
		.sessions = set->source_max_sessions,
		.rate = set->source_max_rate,
		.penalty_min = set->source_penalty_min,
		.penalty_max = set->source_penalty_max,
	};
}

/* 0: it is exempt. */
static uint64_t key_of(const struct server_settings *set, const struct peer *peer)
{
	if (cidr_list_has(&set->source_exempt, peer))
		return 0;
	return source_key(peer, (unsigned)set->source_ipv4_prefix, (unsigned)set->source_ipv6_prefix);
}

enum reason admission_enter(struct sources *sources, const struct server_settings *set, const struct peer *peer, bool *counted)
{
	static const enum reason reasons[] = {
		[SOURCE_WELCOME] = REASON_NONE,
		[SOURCE_HAS_TOO_MANY] = REASON_SOURCE_SESSIONS,
		[SOURCE_IS_TOO_FAST] = REASON_SOURCE_RATE,
		[SOURCE_IS_REFUSED] = REASON_SOURCE_PENALTY,
	};
	const struct source_limits limits = limits_of(set);
	uint64_t key = key_of(set, peer);

	*counted = false;
	return key == 0 ? REASON_NONE : reasons[sources_enter(sources, key, &limits, clock_ms(), counted)];
}

void admission_leave(struct sources *sources, const struct server_settings *set, const struct peer *peer)
{
	sources_leave(sources, key_of(set, peer));
}

bool admission_tells(struct limiter *handshakes, const struct server_settings *set, const struct listen_settings *listen,
                     const struct peer *peer, enum reason refusal)
{
	if (refusal == REASON_SOURCE_PENALTY)
		return false;
	if (listen->tls != TLS_MODE_ON)
		return true;
	bool unnamed = listen->proxy_protocol && refusal == REASON_OVERLOAD; /* no proxy has said whose it is */
	uint64_t key = unnamed ? 0 : key_of(set, peer);
	return limiter_take(handshakes, key, key == 0 ? UINT8_MAX : 1, set->max_tls_refusals, clock_ms());
}

static uint64_t penalty_for(const struct server_settings *set, enum reason reason)
{
	unsigned flags = reason_row[reason].flags;
	if (flags & OFFENCE_TIMEOUT)
		return set->source_penalty_timeout;
	if (flags & OFFENCE_AUTH)
		return set->source_penalty_auth;
	return flags & OFFENCE_PROTOCOL ? set->source_penalty_protocol : 0;
}

void admission_note(struct sources *sources, const struct server_settings *set, struct refusal_log *news,
                    const struct peer *peer, enum reason reason)
{
	const struct source_limits limits = limits_of(set);
	uint64_t penalty = penalty_for(set, reason);
	uint64_t key = penalty > 0 ? key_of(set, peer) : 0;
	uint64_t refused = key != 0 ? sources_punish(sources, key, penalty, &limits, clock_ms()) : 0;

	if (refused > 0)
		refusal_log_punished(news, peer, reason, refused, set->max_refusal_lines);
}
