/* file.c owns the sending of one answer from a web root, a piece a turn.
 * It must never look at paths or fields: handler/files decides what is sent, this moves it. */
#include "session/file.h"

#include "base/clock.h"
#include "net/stream_write.h"
#include "session/context.h"
#include "session/flow.h"
#include "session/watch.h"

#include <errno.h>
#include <unistd.h>

static void file_log(const struct session *s, const struct http_head *head, int status, uint64_t bytes)
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

static void file_tell_link(const struct session *s, const struct http_head *head)
{
	const struct log_field fields[] = {
		{ .key = "route", .kind = FIELD_TEXT, .text = span_of(s->route->set->section.name) },
		{ .key = "root", .kind = FIELD_TEXT, .text = span_of(s->route->set->root) },
		{ .key = "path", .kind = FIELD_TEXT, .text = head->path },
	};
	log_record(s->context->log, LEVEL_WARN, "a link leads out of the web root and is not followed", fields, ARRAY_LEN(fields));
}

void file_close(struct session *s)
{
	if (s->file.fd >= 0)
		close(s->file.fd);
	s->file.fd = -1;
}

static enum reason file_finished(struct session *s)
{
	if (!s->file.keep_alive)
		return REASON_HTTP_DONE;
	file_close(s);
	return session_enter(s, STATE_REQUEST);
}

static enum reason file_broken(const struct session *s)
{
	switch (s->client.error) {
	case 0:
		return REASON_FILE_CUT;
	case ENOMEM:
		return REASON_NO_RESOURCE;
	default:
		return REASON_CLIENT_RESET;
	}
}

/* The timer looks for a client that takes nothing. */
static enum reason file_wait(struct session *s)
{
	uint64_t limit = s->route->set->stall_timeout;
	session_arm(s, limit > 0 ? limit / 2 : WATCH_TIMER_MAX);
	return REASON_NONE;
}

/* At most one buffer a turn; a backlog calls us again when it is gone, and without one the timer does. */
static enum reason file_pump(struct session *s)
{
	if (s->file.left > 0 && stream_backlog(&s->client) == 0) {
		ssize_t n = stream_write_file(&s->client, s->file.fd, s->file.offset, s->file.left, s->context->scratch,
		                              flow_share(s, &s->client));
		if (n == STREAM_FAILED)
			return file_broken(s);
		if (n == 0)
			return REASON_FILE_CUT; /* the missing length tells the client */
		s->file.offset += (uint64_t)n;
		s->file.left -= (uint64_t)n;
	}
	if (stream_backlog(&s->client) > 0)
		return file_wait(s);
	if (s->file.left == 0)
		return file_finished(s);
	session_arm(s, 0);
	return REASON_NONE;
}

enum reason file_enter(struct session *s)
{
	stream_hold(&s->client, HOLD_STATE);
	s->file.stall.since = 0;
	return REASON_NONE;
}

enum reason file_start(struct session *s, const struct http_head *head)
{
	struct files_answer answer;
	const struct http_stamp stamp = session_stamp(s);
	files_answer(s->route->files, s->route->prefix, head, &stamp, &answer);
	if (answer.leads_out)
		file_tell_link(s, head);
	if (answer.status == 404) { /* answered as any path that is not there */
		file_log(s, head, answer.status, 0);
		return REASON_NO_ROUTE;
	}

	session_enter(s, STATE_FILE);
	s->file.fd = answer.fd;
	s->file.offset = answer.offset;
	s->file.left = answer.fd >= 0 ? answer.length : 0;
	s->file.keep_alive = answer.keep_alive;
	s->code = (uint16_t)answer.status;
	file_log(s, head, answer.status, s->file.left);

	if (stream_write(&s->client, answer.head, answer.head_len) == STREAM_FAILED)
		return REASON_CLIENT_RESET;
	return file_pump(s);
}

enum reason file_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	(void)stream;
	switch (event) {
	case STREAM_DRAINED:
		return file_pump(s);
	case STREAM_BROKEN:
		return file_broken(s);
	default:
		return REASON_NONE;
	}
}

enum reason file_on_timer(struct session *s)
{
	uint64_t limit = s->route->set->stall_timeout;
	if (stream_backlog(&s->client) == 0)
		return file_pump(s);
	if (watch_stalled(&s->file.stall, &s->client, clock_ms(), limit))
		return REASON_CLIENT_STALLED;
	return file_wait(s);
}

enum reason file_drain(struct session *s)
{
	s->file.keep_alive = false;
	return REASON_NONE;
}
