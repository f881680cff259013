/* describe.c owns what the world is told of a session: its fields, and the line at its end.
 * It must never change one. */
#include "session/describe.h"

#include "base/clock.h"
#include "base/log.h"
#include "session/context.h"
#include "session/refusal_log.h"

#define UNREACHED_FIELDS 3 /* the last of the record */

struct session_description session_describe(const struct session *s)
{
	return (struct session_description){
		.id = s->id,
		.state = s->state,
		.peer = &s->peer,
		.proxy = s->proxied ? &s->proxy : NULL,
		.listen = s->listen->section.name,
		.route = s->route != NULL ? s->route->set->section.name : NULL,
		.target = s->target != NULL ? s->target->text : NULL,
		.unreached = (reason_row[s->reason].flags & UNREACHED) != 0 ? s->member : NULL,
		.age_ms = clock_ms() - s->accepted_ms,
		.bytes_up = s->traffic.bytes_up,
		.bytes_down = s->traffic.bytes_down,
		.reason = s->reason,
		.code = s->code,
		.detail = s->detail,
	};
}

/* Before it was open anybody can make it end, as often as he likes: most of those ends are only counted. */
static enum log_level level_of(const struct session *s)
{
	enum log_level level = reason_row[s->reason].level;
	if (s->refusal != REASON_NONE) /* that was told when it was refused */
		return LEVEL_DEBUG;
	if (s->traffic.opened_ms != 0 || !log_enabled(s->context->log, level) || level == LEVEL_DEBUG)
		return level;
	if (refusal_log_spares_line(s->context->refusals, &s->peer, s->generation->settings->server->max_refusal_lines))
		return level;
	refusal_log_note(s->context->refusals, s->reason, &s->peer, s->listen);
	return LEVEL_DEBUG;
}

void session_log_end(const struct session *s)
{
	enum log_level level = level_of(s);
	if (!log_enabled(s->context->log, level))
		return;
	const struct session_description is = session_describe(s);
	char peer[ADDR_TEXT_MAX], proxy[ADDR_TEXT_MAX];
	peer_format(is.peer, peer);
	if (is.proxy != NULL)
		peer_format(is.proxy, proxy);
	const struct pool_health health = is.unreached != NULL ? pool_health(is.unreached) : (struct pool_health){ .since = 0 };
	const struct log_field fields[] = {
		log_count("id", is.id),
		log_text("peer", peer),
		log_text("proxy", is.proxy != NULL ? proxy : NULL),
		log_text("listen", is.listen),
		log_text("route", is.route),
		log_text("backend", is.target),
		log_text("reason", reason_row[is.reason].label),
		log_count("code", is.code),
		log_text("detail", is.detail),
		log_count("bytes_up", is.bytes_up),
		log_count("bytes_down", is.bytes_down),
		log_ms("duration", is.age_ms),
		log_count("failures", health.failures),
		log_ms("failing", clock_ms() - health.since),
		log_count("others", health.sessions),
	};
	log_record(s->context->log, level, "session end", fields,
	           ARRAY_LEN(fields) - (is.unreached != NULL ? 0 : UNREACHED_FIELDS));
}
