/* session.c owns the life of a session: its states, its one timer, its end and what the log says of it.
 * It must never read or write a stream: what a state does with them is where its row of state.def leads. */
#include "session/session.h"

#include "base/clock.h"
#include "net/stream_write.h"
#include "session/answer.h"
#include "session/closing.h"
#include "session/context.h"
#include "session/deadline.h"
#include "session/handshake.h"
#include "session/hello.h"
#include "session/input.h"
#include "session/open.h"
#include "session/proxied.h"
#include "session/refusal_log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a state means. Reasons that come back end the session. */
struct state_row {
	unsigned from;                              /* the states it may follow */
	bool deadline;                              /* the timer is the end of its time, and does not just look what time it is */
	enum reason (*enter)(struct session *);     /* it begins; may go on to the next */
	void (*leave)(struct session *);            /* frees what only it needed */
	enum reason (*on_stream)(struct session *, struct stream *, enum stream_event);
	enum reason (*on_timer)(struct session *);
	enum reason (*on_drain)(struct session *);  /* the gateway drains */
	void (*tell)(struct session *);             /* tells the client of an end here; NULL: it is cut, there is nobody to tell */
};

/* A timer that is so late ran after a time in which nothing did; and that moment. */
#define LATE_MS ((uint64_t)1000)

static enum reason session_die(struct session *s)
{
	input_drop(s);
	event_del(&s->timer);
	s->context->reap_soon(s->context);
	return REASON_NONE;
}

#define FROM(name) (1u << STATE_##name)
static const struct state_row state_row[STATE_COUNT] = {
#define STATE(name, ...) [STATE_##name] = { __VA_ARGS__ },
#include "session/state.def"
#undef STATE
};

static void session_act(struct session *s, enum reason reason)
{
	if (reason != REASON_NONE)
		session_end(s, reason);
}

void session_on_stream(void *owner, struct stream *stream, enum stream_event event)
{
	struct session *s = owner;
	if (state_row[s->state].on_stream != NULL)
		session_act(s, state_row[s->state].on_stream(s, stream, event));
}

/* Nothing but the timer ends a session whose peers just stay, so without one it is told to end, and then made to. */
static void session_on_timer_failure(struct session *s)
{
	s->timer_failed = false;
	if (s->reason == REASON_NONE)
		session_end(s, REASON_OUT_OF_MEMORY);
	else
		closing_abort(s);
}

/* Moves the marks from which silence is counted over a time in which the process did not live, and a moment further, in
 * which what came is read; but not into the future. */
static void session_skip_time(struct session *s, uint64_t ms)
{
	uint64_t now = clock_ms();
	uint64_t *marks[] = {
		&s->traffic.heard_ms, &s->traffic.data_ms, &s->traffic.pinged_ms, &s->ending.since_ms, &s->ending.progress_ms,
		&s->traffic.client_stall.since, &s->traffic.backend_stall.since, &s->traffic.pong_wait.since,
	};
	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (*marks[i] != 0)
			*marks[i] = *marks[i] + ms < now ? *marks[i] + ms : now;
}

/* Whether it may go on for a moment although its time is over: what it sent in time may wait to be read. */
static bool session_spare(struct session *s)
{
	if (!state_row[s->state].deadline || s->opening.grace_used)
		return false;
	s->opening.grace_used = true;
	session_arm(s, LATE_MS);
	return true;
}

/* True if the process was suspended, so that this tick must not judge any timeout. */
static bool session_was_frozen(struct session *s)
{
	uint64_t now = clock_ms();
	if (now < s->due_ms + LATE_MS)
		return false;
	session_skip_time(s, now - s->due_ms + LATE_MS);
	return session_spare(s);
}

static void session_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	(void)fd;
	(void)what;
	if (s->timer_failed)
		session_on_timer_failure(s);
	else if (!session_was_frozen(s) && state_row[s->state].on_timer != NULL)
		session_act(s, state_row[s->state].on_timer(s));
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

enum reason session_enter(struct session *s, enum session_state next)
{
	assert(state_row[next].from & (1u << s->state));
	if (state_row[s->state].leave != NULL)
		state_row[s->state].leave(s);
	list_remove(&s->context->sessions[s->state], &s->link);
	list_append(&s->context->sessions[next], &s->link);
	s->state = next;
	return state_row[next].enter != NULL ? state_row[next].enter(s) : REASON_NONE;
}

/* The cause underneath a reason is known now; later errors are only echoes of the closing. */
static void session_note_detail(struct session *s)
{
	char text[256] = "";
	if (stream_is_open(&s->backend))
		stream_error_text(&s->backend, text, sizeof(text));
	if (text[0] == '\0' && stream_is_open(&s->client))
		stream_error_text(&s->client, text, sizeof(text));
	if (text[0] != '\0' && s->detail == NULL)
		s->detail = strdup(text);
}

const struct peer *session_source(const struct session *s)
{
	return s->proxied || !s->listen->proxy_protocol ? &s->peer : NULL;
}

static void session_note_offence(const struct session *s)
{
	uint64_t refused = admission_note(s->context->admission, &s->generation->terms, &s->peer, s->reason);
	if (refused > 0)
		refusal_log_punished(s->context->refusals, &s->peer, s->reason, refused, s->generation->settings->server->max_refusal_lines);
}

void session_end(struct session *s, enum reason reason)
{
	if (s->reason != REASON_NONE)
		return;
	s->reason = reason;
	session_note_detail(s);
	if (session_source(s) != NULL)
		session_note_offence(s);
	s->ending.tell = state_row[s->state].tell;
	session_enter(s, STATE_CLOSING);
}

enum reason session_admit(struct session *s)
{
	if (s->refusal != REASON_NONE)
		return REASON_NONE;
	s->refusal = admission_name(s->context->admission, &s->generation->terms, &s->peer, &s->seat);
	if (s->refusal == REASON_NONE)
		return REASON_NONE;
	if (!s->context->refuse(s->context, s))
		return s->refusal;
	deadline_hurry(s);
	return REASON_NONE;
}

struct http_stamp session_stamp(const struct session *s)
{
	return (struct http_stamp){
		.now = time(NULL),
		.hsts = s->client.ssl != NULL ? s->listen->hsts / 1000 : 0,
	};
}

static struct session *session_new(struct session_context *context, const struct arrival *arrival)
{
	struct session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->context = context;
	s->generation = arrival->generation;
	s->listen = arrival->listen;
	s->id = arrival->id;
	s->peer = arrival->peer;
	s->refusal = arrival->refusal;
	s->seat = arrival->seat;
	s->sending.fd = -1;
	s->accepted_ms = clock_ms();
	list_append(&context->sessions[STATE_NEW], &s->link);
	evtimer_assign(&s->timer, context->base, session_on_timer, s);
	return s;
}

static struct log_field field_text(const char *key, const char *text)
{
	return (struct log_field){ .key = key, .kind = FIELD_TEXT, .text = span_of(text) };
}

static struct log_field field_number(const char *key, uint64_t number)
{
	return (struct log_field){ .key = key, .kind = FIELD_COUNT, .number = number };
}

/* Before it was open anybody can make it end, as often as he likes: most of those ends are only counted. */
static enum log_level session_log_level(const struct session *s)
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

static void session_log(const struct session *s)
{
	struct log *log = s->context->log;
	const struct reason_row *row = &reason_row[s->reason];
	enum log_level level = session_log_level(s);
	if (!log_enabled(log, level))
		return;

	char peer[ADDR_TEXT_MAX], proxy[ADDR_TEXT_MAX];
	peer_format(&s->peer, peer);
	if (s->proxied)
		peer_format(&s->proxy, proxy);
	const struct log_field fields[] = {
		field_number("id", s->id),
		field_text("peer", peer),
		field_text("proxy", s->proxied ? proxy : NULL),
		field_text("listen", s->listen->section.name),
		field_text("route", s->route != NULL ? s->route->set->section.name : NULL),
		field_text("backend", s->target != NULL ? s->target->text : NULL),
		field_text("reason", row->label),
		field_number("code", s->code),
		field_text("detail", s->detail),
		field_number("bytes_up", s->traffic.bytes_up),
		field_number("bytes_down", s->traffic.bytes_down),
		{ .key = "duration", .kind = FIELD_MS, .number = clock_ms() - s->accepted_ms },
	};
	log_record(log, level, "session end", fields, ARRAY_LEN(fields));
}

void arrival_discard(const struct arrival *arrival, struct admission *admission, struct refusal_log *reject_log)
{
	refusal_log_note(reject_log, REASON_OUT_OF_MEMORY, &arrival->peer, arrival->listen);
	close(arrival->fd);
	admission_leave(admission, &arrival->generation->terms, arrival->listen->proxy_protocol ? NULL : &arrival->peer,
	                &arrival->seat);
	generation_unref(arrival->generation);
}

static enum reason session_begin(struct session *s, int fd)
{
	if (stream_open(&s->client, s->context->base, fd, NULL, STREAM_SERVER, session_on_stream, s) != 0)
		return REASON_OUT_OF_MEMORY;
	deadline_set(s, s->listen->handshake_timeout);
	if (s->refusal != REASON_NONE)
		deadline_hurry(s);
	return session_enter(s, s->listen->proxy_protocol ? STATE_PROXY : STATE_HELLO);
}

void session_start(struct session_context *context, const struct arrival *arrival)
{
	struct session *s = session_new(context, arrival);
	if (s == NULL) {
		arrival_discard(arrival, context->admission, context->refusals);
		context->gone(context, arrival->refusal != REASON_NONE);
		return;
	}
	session_act(s, session_begin(s, arrival->fd));
}

/* Gives its places back. */
static void session_leave(const struct session *s)
{
	const struct claimant claimant = admission_claimant(&s->generation->terms, session_source(s));
	if (s->tallied)
		tally_leave(s->route->tally, &claimant);
	admission_leave(s->context->admission, &s->generation->terms, session_source(s), &s->seat);
	s->context->gone(s->context, s->refusal != REASON_NONE);
}

void session_reap(struct session *s)
{
	assert(s->state == STATE_DEAD);
	list_remove(&s->context->sessions[STATE_DEAD], &s->link);
	stream_close(&s->client, s->ending.reset_client);
	stream_close(&s->backend, stream_backlog(&s->backend) > 0);
	answer_close(s);
	session_leave(s); /* before the log says so: its place is free then */
	session_log(s);
	address_clear(&s->opening.request.target);
	generation_unref(s->generation);
	free(s->detail);
	free(s);
}

/* What opens or lasts is over when the gateway drains; what ends by itself has no function for it. */
enum reason session_drain_at_once(struct session *s)
{
	(void)s;
	return REASON_DRAIN;
}

void session_drain(struct session *s)
{
	if (state_row[s->state].on_drain != NULL)
		session_act(s, state_row[s->state].on_drain(s));
}
