/* closing.c owns state CLOSING, from the reason until both connections are done.
 *
 * The client is told why: by an HTTP status before the 101, by a Close after it. Then each direction ends on its own:
 * the backend gets a FIN when the client has said its last and all of it was delivered; the client gets one when our Close is out
 * and its own has come. What a peer still sends meanwhile is relayed (the client's, until its Close) or read and
 * discarded, because closing on unread bytes would make the kernel reset the connection and destroy what was delivered.
 * Time runs only while nothing moves: a slow peer that still takes its data is waited for.
 * It must never end one connection while bytes that were promised to the other side are still under way and moving. */
#include "base/clock.h"
#include "session/explain.h"
#include "session/flow.h"
#include "session/watch.h"

/* Bytes a peer may still send that nobody wants: a client after both Closes or after a refusal, a backend after the client
 * went. Beyond that it is no longer read, and waits for the limit of time. */
#define CLIENT_DISCARD_MAX  ((uint64_t)1 << 20)
#define BACKEND_DISCARD_MAX ((uint64_t)64 << 20)
#define LOOKS               4 /* how often a limit is looked at before it runs out */

static void closing_send_close(struct session *s)
{
	const struct reason_row *row = &reason_row[s->reason];
	uint8_t frame[WS_CONTROL_FRAME_MAX];
	size_t len = 0;
	if (s->reason == REASON_CLIENT_CLOSED)
		len = ws_control_frame(frame, WS_CLOSE, s->traffic.control_payload, s->traffic.control_len);
	else if (row->ws_code == 0)
		s->code = 1006; /* RFC 6455 section 7.1.5: no Close was seen */
	else
		len = ws_close_frame(frame, s->code = row->ws_code, span_of(row->text));
	if (len == 0)
		return;
	if ((row->flags & END_CLIENT ? stream_write_last(&s->client, frame, len) : stream_write(&s->client, frame, len)) < 0)
		return; /* what the client sent before may still be there; reading will find the end */
}

static void closing_set_client_done(struct session *s)
{
	s->ending.client_done = true;
	stream_release(&s->client, HOLD_PEER);
}

/* Lets what the client still says pass. The log keeps the code of our Close, which was first. */
static void closing_relay(struct session *s, enum reason reason, uint16_t code)
{
	s->code = code;
	if (reason != REASON_NONE)
		closing_set_client_done(s);
}

static bool closing_prefers_close(const struct session *s)
{
	if (!(reason_row[s->reason].flags & END_BROWSER) || s->route == NULL || s->opening.request.key.p == NULL)
		return false;
	int how = s->route->set->connect_error;
	return how == CONNECT_ERROR_CLOSE || (how == CONNECT_ERROR_AUTO && s->opening.request.browser);
}

/* A script sees no HTTP status, but a Close it does. */
static void closing_refuse_by_close(struct session *s)
{
	if (handshake_answer(s) != REASON_NONE) {
		s->ending.client_done = true;
		return;
	}
	closing_send_close(s);
	s->traffic.close_sent = true; /* a ping that came early gets no pong behind the Close */
	size_t early = kept_take(s);
	uint16_t code = s->code;
	if (early > 0)
		closing_relay(s, flow_feed(s, s->context->scratch, early), code);
}

/* Before the 101. A connection on which nothing was asked gets no answer. */
static void closing_refuse(struct session *s)
{
	int status = reason_row[s->reason].http;
	if (closing_prefers_close(s)) {
		closing_refuse_by_close(s);
		return;
	}
	s->ending.client_done = true;
	if (status == 0 || !s->opening.asked)
		return;
	char text[REFUSAL_MAX];
	const struct http_stamp stamp = session_stamp(s);
	const char *meant = s->opening.near != NULL ? s->opening.near->set->path : NULL;
	size_t len = refusal_text(text, s->reason, meant, &stamp, s->opening.head_only);
	s->code = (uint16_t)status;
	if (stream_write_last(&s->client, text, len) == STREAM_FAILED)
		return; /* reading will find the end */
}

/* Does whatever has become possible; DEAD when nothing is left. */
static void closing_advance(struct session *s)
{
	if (s->ending.client_done) {
		stream_finish(&s->backend);
		stream_finish(&s->client);
	}
	if (stream_done(&s->client) && stream_done(&s->backend))
		session_next(s, STATE_DEAD);
}

/* When it ends even if something still moves: a session with its lifetime, but close_timeout is left to it in any case; one that
 * was refused when its time is up, as its place is for the next one. */
static uint64_t closing_end_of_life(const struct session *s)
{
	if (s->refusal != REASON_NONE)
		return s->opening.deadline_ms;
	if (s->traffic.opened_ms == 0 || s->route->set->lifetime == 0)
		return UINT64_MAX;
	uint64_t end = s->traffic.opened_ms + s->route->set->lifetime, least = s->ending.since_ms + s->route->set->close_timeout;
	return end > least ? end : least;
}

/* What is awaited changes without an event, when the kernel gets its acknowledgements: so the looks are as frequent as
 * the shortest limit wants. */
static void closing_arm(struct session *s)
{
	uint64_t shortest = s->listen->linger_timeout, now = clock_ms(), end = closing_end_of_life(s);
	if (s->route != NULL && s->route->set->close_timeout < shortest)
		shortest = s->route->set->close_timeout;
	uint64_t next = shortest / LOOKS, left = end > now ? end - now : 0;
	session_arm(s, (left < next ? left : next) + 1);
}

static enum reason closing_enter(struct session *s)
{
	unsigned flags = reason_row[s->reason].flags;
	if (flags & END_CUT) {
		session_abort(s);
		return REASON_NONE;
	}
	if ((flags & END_BACKEND_RESET) || !s->upgraded)
		stream_close(&s->backend, flags & END_BACKEND_RESET);
	if (s->ending.tell == TELL_CLOSE)
		closing_send_close(s);
	else if (s->ending.tell == TELL_STATUS)
		closing_refuse(s);
	s->traffic.close_sent = true;
	if (flags & END_RESET)
		stream_close(&s->client, true);
	if ((flags & END_CLIENT) || s->client.eof || s->ending.tell == TELL_NOTHING)
		s->ending.client_done = true;
	if (s->ending.tell == TELL_CUT) { /* without a session nothing can be read, and an alert is on its way already */
		stream_finish(&s->client);
		return session_next(s, STATE_DEAD);
	}
	/* Data that nobody will receive is read and discarded, so every hold goes. */
	stream_release(&s->backend, HOLD_PEER | HOLD_STATE | HOLD_PACE);
	stream_release(&s->client, HOLD_STATE | HOLD_PACE);
	if (s->echo || s->ending.client_done)
		stream_release(&s->client, HOLD_PEER);
	s->ending.since_ms = s->ending.progress_ms = clock_ms();
	closing_arm(s);
	closing_advance(s);
	return REASON_NONE;
}

static void closing_discard(struct session *s, struct stream *stream)
{
	bool client = stream == &s->client;
	uint64_t *discarded = client ? &s->ending.client_discarded : &s->ending.backend_discarded;
	ssize_t n = stream_read(stream, s->context->scratch, CONTEXT_SCRATCH);
	if (n <= 0)
		return;
	*discarded += (uint64_t)n;
	if (*discarded > (client ? CLIENT_DISCARD_MAX : BACKEND_DISCARD_MAX))
		stream_hold(stream, HOLD_STATE);
}

static enum reason closing_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	uint16_t code = s->code;
	if (event == STREAM_READABLE && (stream != &s->client || s->ending.client_done))
		closing_discard(s, stream);
	else if (event == STREAM_READABLE)
		closing_relay(s, flow_up(s), code);
	else if (event == STREAM_DRAINED || event == STREAM_BROKEN)
		closing_relay(s, flow_credit(s, stream), code);
	closing_advance(s);
	return REASON_NONE;
}

/* Whether what is under way to the backend is waited for. A client that has not answered our Close may have sent much
 * before it saw it, but not for ever: one that just goes on sending has no claim to be waited for. */
static bool closing_waits_for_backend(const struct session *s, uint64_t now)
{
	if (s->ending.client_done || s->route == NULL)
		return true;
	uint64_t stall = s->route->set->stall_timeout;
	return now - s->ending.since_ms < (stall > 0 ? stall : s->route->set->close_timeout);
}

/* How long nothing may move, given what is still awaited. A WebSocket client that has ended its direction, too, has most
 * likely gone, and stays as long as it takes what waits for it. */
static uint64_t closing_limit(const struct session *s, bool waits_for_backend)
{
	if (s->route == NULL)
		return s->listen->linger_timeout;
	const struct route_settings *set = s->route->set;
	uint64_t stall = set->stall_timeout > 0 ? set->stall_timeout : UINT64_MAX;
	if (waits_for_backend && stream_unsent(&s->backend) > 0)
		return stall;
	if (stream_unsent(&s->client) > 0)
		return s->upgraded && s->client.eof ? set->close_timeout : stall;
	if (s->ending.client_done && stream_done(&s->backend))
		return s->listen->linger_timeout;
	return set->close_timeout;
}

static enum reason closing_on_timer(struct session *s)
{
	uint64_t now = clock_ms(), next = UINT64_MAX;
	if (s->upgraded) { /* for the kernel's limits alone: that a peer died is seen below, as nothing moves */
		watch_peers(s);
		(void)watch_look(s, &next);
	}
	bool waits_for_backend = closing_waits_for_backend(s, now);
	uint64_t mark = stream_progress(&s->client);
	if (waits_for_backend)
		mark += stream_progress(&s->backend) + s->traffic.bytes_up;
	if (mark != s->ending.progress_mark)
		s->ending.progress_ms = now;
	s->ending.progress_mark = mark;
	bool stuck = now - s->ending.progress_ms >= closing_limit(s, waits_for_backend);
	if (now >= closing_end_of_life(s) || (stuck && s->ending.client_done)) {
		session_abort(s);
	} else if (!stuck) {
		closing_arm(s);
	} else { /* its Close never came */
		closing_set_client_done(s);
		s->ending.progress_ms = now;
		closing_arm(s);
		closing_advance(s);
	}
	return REASON_NONE;
}

const struct state_ops closing_state = {
	.enter = closing_enter,
	.leave = kept_drop,
	.on_stream = closing_on_stream,
	.on_timer = closing_on_timer,
};
