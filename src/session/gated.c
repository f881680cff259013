/* gated.c owns state GATE: the gates judge an upgrade, at once or after a wait; who passes has a target, and a place among its route's
 * sessions. DIAL is next.
 * It must never know what a gate asks. */
#include "base/clock.h"
#include "session/explain.h"

static enum reason gated_pass(struct session *s)
{
	static const enum reason full[] = {
		[TALLY_WELCOME] = REASON_NONE,
		[TALLY_SHARE] = REASON_SOURCE_SHARE,
		[TALLY_FULL] = REASON_ROUTE_SESSIONS,
		[TALLY_TOO_FAST] = REASON_ROUTE_RATE,
	};
	const struct request *request = &s->opening.request;
	const struct route_settings *set = s->route->set;
	const struct claimant claimant = admission_claimant(&s->generation->terms, session_source(s));
	if (request->target.text == NULL)
		s->member = pool_choose(&s->route->pool);
	s->target = s->member != NULL ? s->member->address : &request->target;
	enum reason reason = full[tally_enter(s->route->tally, &claimant, set->max_sessions, set->max_session_rate, clock_ms())];
	if (reason != REASON_NONE)
		return reason;
	s->tallied = true;
	s->echo = s->target->kind == ADDRESS_ECHO;
	return session_next(s, STATE_DIAL);
}

/* What the others send meanwhile comes to where the head stands. */
static enum reason gated_wait(struct session *s)
{
	struct request *request = &s->opening.request;
	struct stream_pool *pool = &s->context->backlogs;
	if (request->own != NULL)
		return REASON_NONE;
	if (stream_pool_is_full(pool))
		return REASON_BACKLOG_FULL;
	size_t size = request_own(request);
	pool->held += size;
	return size > 0 ? REASON_NONE : REASON_OUT_OF_MEMORY;
}

static enum reason gated_judged(struct session *s, enum verdict verdict)
{
	struct request *request = &s->opening.request;
	if (verdict == VERDICT_WAIT)
		return gated_wait(s);
	s->detail = request->detail; /* which is the session's from here on */
	request->detail = NULL;
	enum reason reason = verdict == VERDICT_PASS ? gated_pass(s) : request->reason;
	if (s->detail == NULL && reason != REASON_NONE)
		s->detail = explain_refusal(s, reason, request->head);
	return reason;
}

static bool gated_is_penalised(const struct session *s)
{
	return s->route->pool.count == 0 && admission_refuses(s->context->admission, &s->generation->terms, &s->peer);
}

/* The others that guessed while it waited may have cost its source the right to know. */
static void gated_on_decided(struct request *request, enum verdict verdict)
{
	struct session *s = list_entry(request, struct session, opening.request);
	if (gated_is_penalised(s))
		verdict = request_refuse(request, REASON_SOURCE_PENALTY);
	session_proceed(s, gated_judged(s, gates_go_on(&s->route->gates, request, verdict)));
}

/* The head was parsed in this turn of the loop. */
static enum reason gated_enter(struct session *s)
{
	struct request *request = &s->opening.request;
	request->head = &s->context->head;
	request->tls = s->client.ssl != NULL;
	request->penalised = gated_is_penalised(s);
	request->env = &s->context->request_env;
	request->decided = gated_on_decided;
	return gated_judged(s, gates_start(&s->route->gates, request));
}

static void gated_leave(struct session *s)
{
	gates_cancel(&s->route->gates, &s->opening.request);
	s->context->backlogs.held -= request_disown(&s->opening.request);
}

static enum reason gated_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	if (event == STREAM_READABLE) /* only now: a client that waits for its answer need not be held */
		stream_hold(&s->client, HOLD_STATE);
	return event == STREAM_BROKEN ? REASON_CLIENT_RESET : REASON_NONE;
}

static enum reason gated_on_timer(struct session *s)
{
	return s->opening.request.reason;
}

const struct state_ops gated_state = {
	.enter = gated_enter,
	.leave = gated_leave,
	.on_stream = gated_on_stream,
	.on_timer = gated_on_timer,
	.on_drain = session_drain,
	.tell = TELL_STATUS,
	.deadline = true,
};
