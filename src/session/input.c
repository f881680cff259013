/* input.c owns state REQUEST: bytes become a head, and the head an upgrade or a plain request, the first of a connection or the
 * next of one that is kept alive.
 * It must never judge who may pass, nor answer. */
#include "net/tls.h"
#include "proto/upgrade.h"
#include "session/explain.h"

_Static_assert(HTTP_HEAD_MAX <= CONTEXT_SCRATCH, "a head is read into the scratch buffer");

/* What WebRTC sends begins with a STUN message's type (RFC 8489), or with the message's length in two bytes (RFC 4571), and a page
 * can make it some hundred bytes long by the name it gives. */
#define STUN_FIRST_MAX 3

static enum reason input_no_route(struct session *s, const struct http_head *head, bool upgrade)
{
	s->opening.near = routes_near(&s->generation->routes, upgrade, s->listen->section.name, head->authority, head->path);
	return REASON_NO_ROUTE;
}

static enum reason input_match(struct session *s, const struct http_head *head, bool upgrade)
{
	enum route_result result =
	        routes_match(&s->generation->routes, upgrade, s->listen->section.name, head->authority, head->path, &s->route);
	if (result == ROUTE_FOUND)
		return REASON_NONE;
	if (result == ROUTE_OTHER_HOST)
		return REASON_FORBIDDEN_HOST;
	return result == ROUTE_OTHER_KIND && !upgrade ? REASON_UPGRADE_REQUIRED : input_no_route(s, head, upgrade);
}

static enum reason input_dispatch(struct session *s, struct http_head *head)
{
	bool upgrade = upgrade_requested(head);
	if (!upgrade && !s->opening.head_only && !span_eq(head->method, SPAN("GET")))
		return REASON_METHOD_NOT_ALLOWED;
	enum reason reason = input_match(s, head, upgrade);
	if (reason != REASON_NONE)
		return reason;
	if (upgrade)
		return session_next(s, STATE_GATE);
	reason = answer_start(s, head);
	return reason == REASON_NO_ROUTE ? input_no_route(s, head, true)
	                                 : reason; /* a web root took what was meant for a target */
}

static enum reason input_judge(struct session *s, struct http_head *head, size_t length)
{
	int status = http_parse_head(head, (const char *)s->context->scratch, length);
	if (status != 0)
		return head->browser_can ? REASON_BAD_FIELD : reason_from_http(status);
	if (s->listen->keepalive_timeout == 0)
		head->keep_alive = false;
	if (s->refusal != REASON_NONE)
		return s->refusal;
	if (s->context->draining)
		return REASON_DRAIN;
	/* Who may pass was asked of the name TLS began with; a request that names another is judged by what that one asks. */
	if (s->client.ssl != NULL && !tls_server_admits(s->generation->tls, s->client.ssl, route_host(head->authority)))
		return REASON_MISDIRECTED;
	if (span_eq(head->path, SPAN("*")))
		return REASON_SERVER_OPTIONS;
	return input_dispatch(s, head);
}

/* A complete head, which stands in the scratch buffer with rest bytes behind it. */
static enum reason input_request(struct session *s, size_t length, size_t rest)
{
	struct http_head *head = &s->context->head;
	const char *text = (const char *)s->context->scratch;
	s->route = NULL; /* the last request's was needed until here: its answer may still have been on its way */
	s->kept.scanned = 0;
	enum reason reason = kept_put(s, text + length, rest);
	if (reason == REASON_NONE)
		reason = input_judge(s, head, length);
	if (s->detail == NULL && reason != REASON_NONE)
		s->detail = explain_refusal(s, reason, head);
	return reason;
}

/* len bytes of input stand in the scratch buffer: a complete head, a part, or what never will be one. */
static enum reason input_look(struct session *s, size_t len)
{
	const char *text = (const char *)s->context->scratch;
	int length = http_head_length(text, len, s->listen->head_limit, &s->kept.scanned);
	struct span line = span_skip((struct span){ text, len }, http_empty_line((struct span){ text, len }));
	if (!s->opening.asked && s->route != NULL) /* a connection that was kept alive: the time for this request begins */
		deadline_set(s, s->listen->handshake_timeout);
	s->opening.asked = true;
	s->opening.head_only = span_starts(line, SPAN("HEAD ")); /* known also of a head that is refused */
	if (s->listen->tls == TLS_MODE_ON && s->client.ssl == NULL)
		return REASON_HTTP_ON_TLS_PORT;
	if (length > 0)
		return input_request(s, (size_t)length, len - (size_t)length);
	if (length == 0)
		return kept_put(s, text, len);
	/* It will never be a head; the first byte tells whether it was meant to be. */
	if (text[0] == TLS_HANDSHAKE_BYTE)
		return REASON_TLS_ON_PLAIN_PORT;
	return text[0] >= 0 && text[0] <= STUN_FIRST_MAX ? REASON_NOT_HTTP : reason_from_http(-length);
}

/* Who has asked nothing, or has all it asked for, may leave as it likes. */
static enum reason input_lost(const struct session *s)
{
	if (s->client.flooded)
		return REASON_TLS_RECORDS;
	if (!s->opening.asked && stream_was_left(&s->client))
		return REASON_HTTP_DONE;
	return s->client.ended == STREAM_EOF ? REASON_CLIENT_GONE : REASON_CLIENT_RESET;
}

static enum reason input_read(struct session *s)
{
	size_t had = kept_take(s);
	if (s->kept.unseen) {
		s->kept.unseen = false;
		stream_wake(&s->client); /* this look was for what is kept; what an SSL still holds needs another */
		return input_look(s, had);
	}
	ssize_t n = stream_read(&s->client, s->context->scratch + had, s->listen->head_limit - had);
	if (n == STREAM_AGAIN)
		return REASON_NONE;
	if (n < 0)
		return input_lost(s);
	return input_look(s, had + (size_t)n);
}

static enum reason input_enter(struct session *s)
{
	stream_release(&s->client, HOLD_STATE);
	if (s->route == NULL) /* the first request, which by now is often there */
		return s->client.ssl == NULL ? input_read(s) : REASON_NONE;
	s->opening.asked = s->opening.head_only = false;
	s->kept.unseen = s->kept.len > 0;
	if (!s->kept.unseen)
		kept_drop(s);
	deadline_set(s, s->listen->keepalive_timeout);
	if (s->kept.unseen) /* on the next turn of the loop: a client that sends many requests at once gets one answer a turn */
		stream_wake(&s->client);
	return REASON_NONE;
}

static enum reason input_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	if (event == STREAM_READABLE)
		return input_read(s);
	return event == STREAM_BROKEN ? input_lost(s) : REASON_NONE;
}

static enum reason input_on_timer(struct session *s)
{
	if (s->context->draining)
		return REASON_DRAIN;
	if (!s->opening.asked)
		return REASON_HTTP_DONE; /* nothing was asked, so nothing is answered */
	return s->refusal != REASON_NONE ? s->refusal
	                                 : REASON_REQUEST_TIMEOUT; /* who was hurried commits no offence by being late */
}

const struct state_ops input_state = {
	.enter = input_enter,
	.on_stream = input_on_stream,
	.on_timer = input_on_timer,
	.on_drain = session_drain,
	.tell = TELL_STATUS,
	.deadline = true,
};
