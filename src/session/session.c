/* session.c owns the life of a session: its states, its one timer, its end and the line of the log at that.
 * It must never move a byte, nor know what a state does: that is in the file that the state's row of state.def names. */
#include "session/session.h"

#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A timer that is so late ran after a time in which nothing did; and that moment. */
#define LATE_MS ((uint64_t)1000)

#define UNREACHED_FIELDS 3 /* of the line at the end, its last */

static enum reason session_die(struct session *s)
{
	event_del(&s->timer);
	s->context->reap_soon(s->context);
	return REASON_NONE;
}

const struct state_ops dead_state = { .enter = session_die };

#define FROM(name)    (1u << STATE_##name)
#define FROM_ANYWHERE ~(FROM(CLOSING) | FROM(DEAD))
static const struct {
	const struct state_ops *ops;
	unsigned from; /* the states it may follow */
} state_row[STATE_COUNT] = {
#define STATE(name, file, from) [STATE_##name] = { &file##_state, from },
#include "session/state.def"
#undef STATE
};

static const struct state_ops *session_ops(const struct session *s)
{
	return state_row[s->state].ops;
}

/* The only writer of state. */
static enum reason session_enter_next(struct session *s)
{
	assert(state_row[s->next].from & (1u << s->state));
	if (session_ops(s)->leave != NULL)
		session_ops(s)->leave(s);
	list_remove(&s->context->sessions[s->state], &s->link);
	list_append(&s->context->sessions[s->next], &s->link);
	s->state = s->next;
	return session_ops(s)->enter != NULL ? session_ops(s)->enter(s) : REASON_NONE;
}

/* The cause underneath a reason is known now; later errors are only echoes of the closing. */
static void session_note_detail(struct session *s)
{
	char text[256] = "";
	if (s->detail != NULL)
		return;
	if (stream_is_open(&s->backend))
		stream_error_text(&s->backend, text, sizeof(text));
	if (text[0] == '\0' && stream_is_open(&s->client))
		stream_error_text(&s->client, text, sizeof(text));
	if (text[0] != '\0' && asprintf(&s->detail, "%s", text) < 0)
		s->detail = NULL; /* which it leaves undefined */
}

const struct peer *session_source(const struct session *s)
{
	return s->proxied || !s->listen->proxy_protocol ? &s->peer : NULL;
}

/* The only way out, from any state. The first reason wins. */
static void session_end(struct session *s, enum reason reason)
{
	if (reason == REASON_NONE || s->reason != REASON_NONE)
		return;
	s->reason = reason;
	session_note_detail(s);
	if (session_source(s) != NULL) {
		uint64_t refused = admission_note(s->context->admission, &s->generation->terms, &s->peer, reason);
		if (refused > 0)
			refusal_log_punished(s->context->refusals, &s->peer, reason, refused,
			                     s->generation->settings->server->max_refusal_lines);
	}
	s->ending.tell = session_ops(s)->tell;
	s->next = STATE_CLOSING;
}

void session_proceed(struct session *s, enum reason reason)
{
	session_end(s, reason);
	while (s->next != s->state)
		session_end(s, session_enter_next(s));
}

void session_on_stream(void *owner, struct stream *stream, enum stream_event event)
{
	struct session *s = owner;
	if (session_ops(s)->on_stream != NULL)
		session_proceed(s, session_ops(s)->on_stream(s, stream, event));
}

void session_abort(struct session *s)
{
	s->ending.reset_client = (reason_row[s->reason].flags & END_RESET) || stream_unsent(&s->client) > 0;
	stream_finish(&s->backend);
	stream_finish(&s->client);
	s->next = STATE_DEAD;
}

static void session_cut(struct session *s)
{
	session_abort(s);
	session_proceed(s, REASON_NONE);
}

/* Moves the marks from which silence is counted over a time in which the process did not live, and a moment further, in
 * which what came is read; but not into the future. */
static void session_skip_time(struct session *s, uint64_t ms)
{
	uint64_t now = clock_ms();
	uint64_t *marks[] = {
		&s->traffic.heard_ms,
		&s->traffic.data_ms,
		&s->traffic.pinged_ms,
		&s->ending.since_ms,
		&s->ending.progress_ms,
		&s->traffic.client_stall.since,
		&s->traffic.backend_stall.since,
		&s->traffic.pong_wait.since,
	};
	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (*marks[i] != 0)
			*marks[i] = *marks[i] + ms < now ? *marks[i] + ms : now;
}

/* True if the process was suspended, so that this tick must not judge any timeout. */
static bool session_was_frozen(struct session *s)
{
	uint64_t now = clock_ms();
	if (now < s->due_ms + LATE_MS)
		return false;
	session_skip_time(s, now - s->due_ms + LATE_MS);
	if (!session_ops(s)->deadline || s->opening.grace_used)
		return false;
	s->opening.grace_used = true; /* its time is over, but what it sent in time may wait to be read */
	session_arm(s, LATE_MS);
	return true;
}

static void session_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	if (s->timer_failed) {
		/* Nothing else ends a session whose peers just stay, so without one it is told to end, and then made to. */
		s->timer_failed = false;
		if (s->reason == REASON_NONE)
			session_proceed(s, REASON_OUT_OF_MEMORY);
		else
			session_cut(s);
	} else if (!session_was_frozen(s) && session_ops(s)->on_timer != NULL) {
		session_proceed(s, session_ops(s)->on_timer(s));
	}
}

void session_arm(struct session *s, uint64_t ms)
{
	struct timeval after = clock_timeval(ms);
	s->due_ms = clock_ms() + ms;
	if (event_add(&s->timer, &after) == 0)
		return;
	s->timer_failed = true;
	event_active(&s->timer, EV_TIMEOUT, 1); /* which takes no memory */
}

void deadline_set(struct session *s, uint64_t ms)
{
	s->opening.deadline_ms = clock_ms() + ms;
	session_arm(s, ms);
}

uint64_t deadline_left(const struct session *s)
{
	uint64_t now = clock_ms();
	return s->opening.deadline_ms > now ? s->opening.deadline_ms - now : 1;
}

void deadline_hurry(struct session *s)
{
	uint64_t left = deadline_left(s), most = s->generation->settings->server->refusal_timeout;
	deadline_set(s, left < most ? left : most);
}

enum reason session_drain(struct session *s)
{
	if (s->opening.asked || s->route != NULL)
		return REASON_DRAIN;
	uint64_t left = deadline_left(s);
	session_arm(s, left < s->listen->linger_timeout ? left : s->listen->linger_timeout);
	return REASON_NONE;
}

struct http_stamp session_stamp(const struct session *s)
{
	return (struct http_stamp){
		.now = time(NULL),
		.hsts = s->client.ssl != NULL ? s->listen->hsts / 1000 : 0,
	};
}

struct session *session_new(struct session_context *context)
{
	struct session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->context = context;
	s->state = s->next = STATE_NEW;
	s->sending.fd = -1;
	s->accepted_ms = clock_ms();
	list_append(&context->sessions[STATE_NEW], &s->link);
	evtimer_assign(&s->timer, context->base, session_on_timer, s);
	return s;
}

/* Before it was open anybody can make it end, as often as he likes: most of those ends are only counted. */
static enum log_level session_end_level(const struct session *s)
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

static void session_log_end(const struct session *s)
{
	enum log_level level = session_end_level(s);
	if (!log_enabled(s->context->log, level))
		return;
	char peer[ADDR_TEXT_MAX], proxy[ADDR_TEXT_MAX];
	peer_format(&s->peer, peer);
	if (s->proxied)
		peer_format(&s->proxy, proxy);
	bool unreached = s->member != NULL && (reason_row[s->reason].flags & UNREACHED) != 0;
	const struct pool_health health = unreached ? pool_health(s->member) : (struct pool_health){ .since = 0 };
	const struct log_field fields[] = {
		log_count("id", s->id),
		log_text("peer", peer),
		log_text("proxy", s->proxied ? proxy : NULL),
		log_text("listen", s->listen->section.name),
		log_text("route", s->route != NULL ? s->route->set->section.name : NULL),
		log_text("backend", s->target != NULL ? s->target->text : NULL),
		log_text("reason", reason_row[s->reason].label),
		log_count("code", s->code),
		log_text("detail", s->detail),
		log_count("bytes_up", s->traffic.bytes_up),
		log_count("bytes_down", s->traffic.bytes_down),
		log_ms("duration", clock_ms() - s->accepted_ms),
		log_count("failures", health.failures),
		log_ms("failing", clock_ms() - health.since),
		log_count("others", health.sessions),
	};
	log_record(s->context->log, level, "session end", fields, ARRAY_LEN(fields) - (unreached ? 0 : UNREACHED_FIELDS));
}

static void session_reap(struct session *s)
{
	assert(s->state == STATE_DEAD);
	list_remove(&s->context->sessions[STATE_DEAD], &s->link);
	stream_close(&s->client, s->ending.reset_client);
	stream_close(&s->backend, stream_backlog(&s->backend) > 0);
	if (s->sending.fd >= 0)
		close(s->sending.fd);
	const struct claimant claimant = admission_claimant(&s->generation->terms, session_source(s));
	if (s->tallied)
		tally_leave(s->route->tally, &claimant);
	if (s->member != NULL)
		pool_leave(s->member);
	admission_leave(s->context->admission, &s->generation->terms, session_source(s), &s->seat);
	s->context->gone(s->context, s->refusal != REASON_NONE);
	session_log_end(s); /* when its places are free */
	address_clear(&s->opening.request.target);
	generation_unref(s->generation);
	free(s->detail);
	free(s);
}

void session_drain_all(struct session_context *context)
{
	context->draining = true;
	for (int state = 0; state < STATE_COUNT; state++)
		list_each (&context->sessions[state], node, after) {
			struct session *s = list_entry(node, struct session, link);
			if (session_ops(s)->on_drain != NULL)
				session_proceed(s, session_ops(s)->on_drain(s));
		}
}

void session_cut_all(struct session_context *context)
{
	context->draining = true;
	for (int state = 0; state < STATE_COUNT; state++)
		list_each (&context->sessions[state], node, after)
			session_proceed(list_entry(node, struct session, link), REASON_STOPPED);
	list_each (&context->sessions[STATE_CLOSING], node, after)
		session_cut(list_entry(node, struct session, link));
}

void session_reap_all(struct session_context *context)
{
	list_each (&context->sessions[STATE_DEAD], node, after)
		session_reap(list_entry(node, struct session, link));
}
