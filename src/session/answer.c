/* answer.c owns the sending of what a handler answers, a file of it a piece a turn.
 * It must never look at paths or fields: the handler decides what is sent, this moves it. */
#include "base/clock.h"
#include "session/flow.h"
#include "session/watch.h"

#include <errno.h>
#include <unistd.h>

static void answer_log(const struct session *s, const struct http_head *head, int status, uint64_t bytes)
{
	if (!s->generation->settings->server->access_log)
		return;
	char peer[ADDR_TEXT_MAX];
	peer_format(&s->peer, peer);
	const struct log_field fields[] = {
		{ .key = "id", .kind = FIELD_COUNT, .number = s->id },
		{ .key = "peer", .kind = FIELD_TEXT, .text = span_of(peer) },
		{ .key = "route", .kind = FIELD_TEXT, .text = span_of(s->route->set->section.name) },
		{ .key = "method", .kind = FIELD_TEXT, .text = head->method },
		{ .key = "path", .kind = FIELD_TEXT, .text = head->path }, /* a query may have a password or a token in it */
		{ .key = "status", .kind = FIELD_COUNT, .number = (uint64_t)status },
		{ .key = "bytes", .kind = FIELD_COUNT, .number = bytes },
	};
	log_record(s->context->log, LEVEL_INFO, "request", fields, ARRAY_LEN(fields));
}

static enum reason answer_broken(const struct session *s)
{
	if (s->client.error == 0)
		return REASON_FILE_CUT;
	return s->client.error == ENOMEM ? REASON_NO_RESOURCE : REASON_CLIENT_RESET;
}

/* The timer looks for a client that takes nothing. */
static enum reason answer_wait(struct session *s)
{
	uint64_t limit = s->route->set->stall_timeout;
	session_arm(s, limit > 0 ? limit / 2 : WATCH_TIMER_MAX);
	return REASON_NONE;
}

/* At most one buffer a turn; a backlog calls us again when it is gone, and without one the timer does. */
static enum reason answer_pump(struct session *s)
{
	if (s->sending.left > 0 && stream_backlog(&s->client) == 0) {
		ssize_t n = stream_write_file(&s->client, s->sending.fd, s->sending.offset, s->sending.left, s->context->scratch,
		                              flow_share(s, &s->client));
		if (n == STREAM_FAILED)
			return answer_broken(s);
		if (n == 0)
			return REASON_FILE_CUT; /* the missing length tells the client */
		s->sending.offset += (uint64_t)n;
		s->sending.left -= (uint64_t)n;
	}
	if (stream_backlog(&s->client) > 0)
		return answer_wait(s);
	if (s->sending.left > 0) {
		session_arm(s, 0);
		return REASON_NONE;
	}
	if (!s->sending.keep_alive)
		return REASON_HTTP_DONE;
	if (s->sending.fd >= 0)
		close(s->sending.fd);
	s->sending.fd = -1;
	return session_next(s, STATE_REQUEST);
}

enum reason answer_start(struct session *s, const struct http_head *head)
{
	struct handler *handler = s->route->handler;
	struct answer answer;
	const struct http_stamp stamp = session_stamp(s);
	handler->ops->answer(handler, s->context->opener, s->route->prefix, head, &stamp, &answer);
	if (answer.warning != NULL) {
		const struct log_field fields[] = {
			{ .key = "route", .kind = FIELD_TEXT, .text = span_of(s->route->set->section.name) },
			{ .key = "root", .kind = FIELD_TEXT, .text = span_of(s->route->set->root) },
			{ .key = "path", .kind = FIELD_TEXT, .text = head->path },
		};
		log_record(s->context->log, LEVEL_WARN, answer.warning, fields, ARRAY_LEN(fields));
	}
	if (answer.status == 404) { /* answered as any path that is not there */
		answer_log(s, head, answer.status, 0);
		return REASON_NO_ROUTE;
	}

	s->sending.fd = answer.fd;
	s->sending.offset = answer.offset;
	s->sending.left = answer.fd >= 0 ? answer.length : 0;
	s->sending.keep_alive = answer.keep_alive;
	s->code = (uint16_t)answer.status;
	answer_log(s, head, answer.status, s->sending.left);

	if (stream_write(&s->client, answer.head, answer.head_len) == STREAM_FAILED)
		return REASON_CLIENT_RESET;
	return session_next(s, STATE_ANSWER);
}

static enum reason answer_enter(struct session *s)
{
	stream_hold(&s->client, HOLD_STATE);
	s->sending.stall.since = 0;
	return answer_pump(s);
}

static enum reason answer_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	if (event == STREAM_DRAINED)
		return answer_pump(s);
	return event == STREAM_BROKEN ? answer_broken(s) : REASON_NONE;
}

static enum reason answer_on_timer(struct session *s)
{
	uint64_t limit = s->route->set->stall_timeout;
	if (stream_backlog(&s->client) == 0)
		return answer_pump(s);
	if (watch_stalled(&s->sending.stall, &s->client, clock_ms(), limit))
		return REASON_CLIENT_STALLED;
	return answer_wait(s);
}

static enum reason answer_drain(struct session *s)
{
	s->sending.keep_alive = false;
	return REASON_NONE;
}

const struct state_ops answer_state = {
	.enter = answer_enter,
	.on_stream = answer_on_stream,
	.on_timer = answer_on_timer,
	.on_drain = answer_drain,
	.tell = TELL_NOTHING,
};
