/* opening.c owns what happens between accept and the answer to an upgrade.
 * It must never write a refusal: it returns a reason, and closing.c turns that into an answer. */
#include "session/opening.h"

#include "base/clock.h"
#include "gate/origin.h"
#include "gate/token.h"
#include "net/stream_write.h"
#include "net/tls.h"
#include "proto/upgrade.h"
#include "session/context.h"
#include "session/explain.h"
#include "session/file.h"
#include "session/hello.h"
#include "session/input.h"
#include "session/lost_names.h"
#include "session/proxied.h"
#include "session/relay.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(HTTP_HEAD_MAX <= CONTEXT_SCRATCH, "a head is read into the scratch buffer");

/* What WebRTC sends begins with a STUN message's type (RFC 8489), or with the message's length in two bytes (RFC 4571), and a page
 * can make it some hundred bytes long by the name it gives. */
#define STUN_FIRST_MAX 3

static bool session_is_secure(const struct session *s)
{
	return s->client.ssl != NULL;
}

/* --- time ----------------------------------------------------------------------------------------------------------- */

static void opening_set_deadline(struct session *s, uint64_t ms)
{
	s->deadline_ms = clock_ms() + ms;
	session_arm(s, ms);
}

static uint64_t opening_time_left(const struct session *s)
{
	uint64_t now = clock_ms();
	return s->deadline_ms > now ? s->deadline_ms - now : 1;
}

void opening_hurry(struct session *s)
{
	uint64_t left = opening_time_left(s), most = s->generation->settings->server->refusal_timeout;
	opening_set_deadline(s, left < most ? left : most);
}

enum reason opening_expect_request(struct session *s)
{
	session_enter(s, STATE_REQUEST);
	stream_release(&s->client, HOLD_STATE);
	return REASON_NONE;
}

/* --- DIAL ----------------------------------------------------------------------------------------------------------- */

enum reason opening_answer(struct session *s)
{
	char response[UPGRADE_RESPONSE_MAX];
	const struct http_stamp stamp = session_stamp(s);
	size_t len = upgrade_response(response, sizeof(response), s->context->sha1, s->key, s->subprotocol, &stamp);
	if (len == 0)
		return REASON_OUT_OF_MEMORY;
	if (stream_write(&s->client, response, len) < 0)
		return REASON_CLIENT_RESET;
	s->upgraded = true;
	relay_init(s);
	return REASON_NONE;
}

static enum reason opening_established(struct session *s)
{
	enum reason reason = opening_answer(s);
	if (reason != REASON_NONE)
		return reason;
	size_t early = input_take(s);
	session_enter(s, STATE_OPEN);
	return relay_start(s, early);
}

static enum reason opening_backend_tls(struct session *s, int fd)
{
	SSL *ssl = s->target->tls ? tls_client_ssl(s->route->tls) : NULL;
	if (s->target->tls && ssl == NULL) {
		close(fd);
		return REASON_OUT_OF_MEMORY;
	}
	if (stream_open(&s->backend, s->context->base, fd, ssl, STREAM_CLIENT, session_on_stream, s) != 0)
		return REASON_OUT_OF_MEMORY;
	return ssl == NULL ? opening_established(s) : REASON_NONE;
}

/* The sandbox says no to a port that was not named in advance, which only tokens can lead to. */
static char *opening_dial_words(const struct session *s, const struct dial_outcome *outcome)
{
	if (outcome->result == DIAL_NOT_FOUND)
		return strdup(gai_strerror(outcome->error));
	if (outcome->error == EACCES && s->target->kind == ADDRESS_TCP && s->target == &s->token_target)
		return strdup("Permission denied: a firewall forbids it, or the port is missing in [server] sandbox_ports");
	return strdup(strerror(outcome->error));
}

static void opening_on_dialled(void *arg, const struct dial_outcome *outcome)
{
	struct session *s = arg;
	s->dial = NULL;
	if (outcome->lookup_error != 0 && s->context->lost_names != NULL)
		lost_names_look(s->context->lost_names);
	if (outcome->result != DIAL_OK && outcome->error != 0)
		s->detail = opening_dial_words(s, outcome);

	enum reason reason = outcome->result == DIAL_OK ? opening_backend_tls(s, outcome->fd)
	                                                : reason_from_dial(outcome->result);
	if (reason != REASON_NONE)
		session_end(s, reason);
}

static enum reason opening_dial(struct session *s)
{
	uint64_t left = opening_time_left(s);
	uint64_t limit = s->route->set->connect_timeout < left ? s->route->set->connect_timeout : left;
	struct dial_env env = s->context->dial_env;

	env.receive_buffer = (int)s->route->set->target_buffer;
	session_enter(s, STATE_DIAL);
	s->dial = dial_start(&env, s->target, limit, opening_on_dialled, s);
	if (s->dial == NULL)
		return REASON_OUT_OF_MEMORY;
	session_arm(s, limit + 1); /* the dial has its own deadline; this one is for the TLS handshake after it */
	return REASON_NONE;
}

static enum reason opening_on_dial(struct session *s, const struct stream *stream, enum stream_event event)
{
	bool backend = stream == &s->backend;
	if (event == STREAM_READABLE) /* only now: a client that waits for its answer need not be held */
		stream_hold(&s->client, HOLD_STATE);
	if (event == STREAM_READY && backend)
		return opening_established(s);
	if (event == STREAM_BROKEN)
		return backend ? REASON_BACKEND_TLS : REASON_CLIENT_RESET;
	return REASON_NONE;
}

/* --- REQUEST -------------------------------------------------------------------------------------------------------- */

static enum reason opening_find_target(struct session *s, const struct http_head *head)
{
	const struct route_settings *set = s->route->set;
	if (set->token_file[0] == '\0') {
		s->target = &set->target;
		return REASON_NONE;
	}
	struct token_answer answer;
	enum token_result result = tokens_look_up(s->route->tokens, head->query, &answer);
	log_lines(s->context->log, LEVEL_WARN, &answer.report);
	switch (result) {
	case TOKEN_FOUND:
		s->token_target = answer.target;
		s->target = &s->token_target;
		return REASON_NONE;
	case TOKEN_UNREADABLE:
		s->detail = strdup(answer.detail);
		return REASON_TOKENS_UNREADABLE;
	case TOKEN_MISSING:
		return REASON_TOKEN_MISSING;
	default:
		return REASON_UNKNOWN_TOKEN;
	}
}

static enum reason opening_check_origin(struct session *s, const struct http_head *head)
{
	size_t count = http_field_count(head, "Origin");
	struct span origin = { NULL, 0 };
	if (count > 0)
		origin = count == 1 ? http_field(head, "Origin")->value : SPAN("");
	s->browser = count > 0;
	return origin_allowed(origin, head->authority, session_is_secure(s), &s->route->set->origin)
	               ? REASON_NONE
	               : REASON_FORBIDDEN_ORIGIN;
}

static enum reason opening_choose_subprotocol(struct session *s, const struct http_head *head)
{
	s->subprotocol = upgrade_subprotocol(head, &s->route->set->subprotocol);
	if (s->subprotocol.p == NULL && s->route->set->require_subprotocol)
		return REASON_SUBPROTOCOL_REQUIRED;
	return REASON_NONE;
}

static enum reason opening_match(struct session *s, const struct http_head *head, bool upgrade)
{
	switch (routes_match(&s->generation->routes, upgrade, s->listen->section.name, head->authority, head->path,
	                     &s->route)) {
	case ROUTE_FOUND:
		return REASON_NONE;
	case ROUTE_OTHER_HOST:
		return REASON_FORBIDDEN_HOST;
	case ROUTE_OTHER_KIND:
		return upgrade ? REASON_NO_ROUTE : REASON_UPGRADE_REQUIRED;
	default:
		s->near = routes_near(&s->generation->routes, upgrade, s->listen->section.name, head->authority, head->path);
		return REASON_NO_ROUTE;
	}
}

static enum reason opening_tally(struct session *s)
{
	const struct route_settings *set = s->route->set;
	const struct claimant claimant = admission_claimant(s->generation->settings->server, session_source(s));
	switch (tally_enter(s->route->tally, &claimant, set->max_sessions, set->max_session_rate, clock_ms())) {
	case TALLY_SHARE:
		return REASON_SOURCE_SHARE;
	case TALLY_FULL:
		return REASON_ROUTE_SESSIONS;
	case TALLY_TOO_FAST:
		return REASON_ROUTE_RATE;
	default:
		s->tallied = true;
		return REASON_NONE;
	}
}

static enum reason opening_upgrade(struct session *s, struct http_head *head)
{
	enum reason reason;
	struct span key;
	if ((reason = opening_match(s, head, true)) != REASON_NONE ||
	    (reason = opening_check_origin(s, head)) != REASON_NONE) /* first: a foreign page commits no offence */
		return reason;
	int status = upgrade_check(head, &key);
	if (status == 400 && !http_list_has(head, "Connection", SPAN("Upgrade")))
		return REASON_CONNECTION_DROPPED;
	if (status != 0)
		return reason_from_http(status);
	memcpy(s->key_text, key.p, sizeof(s->key_text));
	s->key = (struct span){ s->key_text, sizeof(s->key_text) };
	if ((reason = opening_choose_subprotocol(s, head)) != REASON_NONE ||
	    (reason = opening_find_target(s, head)) != REASON_NONE || (reason = opening_tally(s)) != REASON_NONE)
		return reason;

	s->echo = s->target->kind == ADDRESS_ECHO;
	return s->echo ? opening_established(s) : opening_dial(s);
}

static enum reason opening_plain(struct session *s, const struct http_head *head)
{
	if (!s->head_only && !span_eq(head->method, SPAN("GET")))
		return REASON_METHOD_NOT_ALLOWED;
	enum reason reason = opening_match(s, head, false);
	return reason != REASON_NONE ? reason : file_start(s, head);
}

/* Who may pass was asked of the name that TLS began with; a request that names another is judged by what that one asks. */
static bool opening_is_misdirected(const struct session *s, const struct http_head *head)
{
	return session_is_secure(s) && !tls_server_admits(s->generation->tls, s->client.ssl, route_host(head->authority));
}

static enum reason opening_judge(struct session *s, struct http_head *head, size_t length)
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
	if (opening_is_misdirected(s, head))
		return REASON_MISDIRECTED;
	if (span_eq(head->path, SPAN("*")))
		return REASON_SERVER_OPTIONS;
	return upgrade_requested(head) ? opening_upgrade(s, head) : opening_plain(s, head);
}

/* A complete head, which stands in the scratch buffer with rest bytes behind it. */
static enum reason opening_request(struct session *s, size_t length, size_t rest)
{
	struct http_head *head = &s->context->head;
	const char *text = (const char *)s->context->scratch;
	s->route = NULL; /* the last request's was needed until here: its answer may still have been on its way */
	s->input.scanned = 0;
	enum reason reason = input_keep(s, text + length, rest);
	if (reason == REASON_NONE)
		reason = opening_judge(s, head, length);
	if (s->detail == NULL && reason != REASON_NONE)
		s->detail = explain_refusal(s, reason, head);
	return reason;
}

/* Bytes that will never be a head; the first one tells whether they were meant to be. */
static enum reason opening_no_head(char first, int status)
{
	if (first == TLS_HANDSHAKE_BYTE)
		return REASON_TLS_ON_PLAIN_PORT;
	return first >= 0 && first <= STUN_FIRST_MAX ? REASON_NOT_HTTP : reason_from_http(status);
}

/* len bytes of input stand in the scratch buffer: a complete head, a part, or the news that it never will be one. */
static enum reason opening_input(struct session *s, size_t len)
{
	const char *text = (const char *)s->context->scratch;
	int length = http_head_length(text, len, s->listen->head_limit, &s->input.scanned);
	struct span line = span_skip((struct span){ text, len }, http_empty_line((struct span){ text, len }));
	if (!s->asked && s->route != NULL) /* a connection that was kept alive: the time for this request begins */
		opening_set_deadline(s, s->listen->handshake_timeout);
	s->asked = true;
	s->head_only = span_starts(line, SPAN("HEAD ")); /* known also of a head that is refused */
	if (s->listen->tls == TLS_MODE_ON && !session_is_secure(s))
		return REASON_HTTP_ON_TLS_PORT;
	if (length > 0)
		return opening_request(s, (size_t)length, len - (size_t)length);
	if (length < 0)
		return opening_no_head(text[0], -length);
	return input_keep(s, text, len);
}

/* Who has asked nothing, or has all it asked for, may leave as it likes. */
static enum reason opening_lost(const struct session *s)
{
	if (s->client.flooded)
		return REASON_TLS_RECORDS;
	if (!s->asked && stream_was_left(&s->client))
		return REASON_HTTP_DONE;
	return s->client.ended == STREAM_EOF ? REASON_CLIENT_GONE : REASON_CLIENT_RESET;
}

static enum reason opening_read(struct session *s)
{
	size_t had = input_take(s);
	if (s->input.unseen) {
		s->input.unseen = false;
		stream_wake(&s->client); /* this look was for what is kept; what an SSL still holds needs another */
		return opening_input(s, had);
	}
	ssize_t n = stream_read(&s->client, s->context->scratch + had, s->listen->head_limit - had);
	if (n == STREAM_AGAIN)
		return REASON_NONE;
	if (n < 0)
		return opening_lost(s);
	return opening_input(s, had + (size_t)n);
}

/* On the next turn of the loop: a client that sends many requests at once gets one answer a turn. */
enum reason opening_next_request(struct session *s)
{
	s->asked = s->head_only = false;
	s->input.unseen = s->input.len > 0;
	if (!s->input.unseen)
		input_drop(s);
	opening_set_deadline(s, s->listen->keepalive_timeout);
	opening_expect_request(s);
	if (s->input.unseen)
		stream_wake(&s->client);
	return REASON_NONE;
}

static enum reason opening_on_request(struct session *s, enum stream_event event)
{
	switch (event) {
	case STREAM_READABLE:
		return opening_read(s);
	case STREAM_BROKEN:
		return opening_lost(s);
	default:
		return REASON_NONE;
	}
}

/* --- the beginning -------------------------------------------------------------------------------------------------- */

enum reason opening_begin(struct session *s)
{
	if (s->listen->tls != TLS_MODE_OFF)
		return hello_start(s);
	opening_expect_request(s);
	return opening_read(s); /* by now the request is often there */
}

enum reason opening_start(struct session *s, int fd)
{
	if (stream_open(&s->client, s->context->base, fd, NULL, STREAM_SERVER, session_on_stream, s) != 0)
		return REASON_OUT_OF_MEMORY;
	opening_set_deadline(s, s->listen->handshake_timeout);
	if (s->refusal != REASON_NONE)
		opening_hurry(s);
	return s->state == STATE_PROXY ? proxied_start(s) : opening_begin(s);
}

/* --- events --------------------------------------------------------------------------------------------------------- */

enum reason opening_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	return s->state == STATE_REQUEST ? opening_on_request(s, event) : opening_on_dial(s, stream, event);
}

enum reason opening_drain(struct session *s)
{
	bool is_new = s->state != STATE_REQUEST || (!s->asked && s->route == NULL);
	if (!is_new)
		return REASON_DRAIN;
	uint64_t left = opening_time_left(s);
	session_arm(s, left < s->listen->linger_timeout ? left : s->listen->linger_timeout);
	return REASON_NONE;
}

enum reason opening_on_timer(struct session *s)
{
	if (s->state == STATE_DIAL)
		return REASON_BACKEND_TIMEOUT;
	if (s->context->draining)
		return REASON_DRAIN;
	if (!s->asked)
		return REASON_HTTP_DONE; /* nothing was asked, so nothing is answered */
	return s->refusal != REASON_NONE ? s->refusal : REASON_REQUEST_TIMEOUT; /* who was hurried commits no offence by being late */
}
