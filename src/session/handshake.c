/* handshake.c owns an upgrade from its parsed head to the 101: who may pass, the dial, the answer.
 * It must never write a refusal: it returns a reason, and closing.c turns that into an answer. */
#include "session/handshake.h"

#include "base/clock.h"
#include "net/stream_write.h"
#include "net/tls.h"
#include "proto/upgrade.h"
#include "session/context.h"
#include "session/deadline.h"
#include "session/explain.h"
#include "session/flow.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the answer ----------------------------------------------------------------------------------------------------- */

enum reason handshake_answer(struct session *s)
{
	char response[UPGRADE_RESPONSE_MAX];
	const struct http_stamp stamp = session_stamp(s);
	size_t len = upgrade_response(response, sizeof(response), s->context->sha1, s->opening.request.key, s->opening.request.subprotocol, &stamp);
	if (len == 0)
		return REASON_OUT_OF_MEMORY;
	if (stream_write(&s->client, response, len) < 0)
		return REASON_CLIENT_RESET;
	s->upgraded = true;
	flow_init(s);
	return REASON_NONE;
}

static enum reason handshake_established(struct session *s)
{
	enum reason reason = handshake_answer(s);
	return reason != REASON_NONE ? reason : session_enter(s, STATE_OPEN);
}

/* --- the dial ------------------------------------------------------------------------------------------------------- */

static enum reason handshake_backend_tls(struct session *s, int fd)
{
	SSL *ssl = s->target->tls ? tls_client_ssl(s->route->tls) : NULL;
	if (s->target->tls && ssl == NULL) {
		close(fd);
		return REASON_OUT_OF_MEMORY;
	}
	if (stream_open(&s->backend, s->context->base, fd, ssl, STREAM_CLIENT, session_on_stream, s) != 0)
		return REASON_OUT_OF_MEMORY;
	return ssl == NULL ? handshake_established(s) : REASON_NONE;
}

/* The sandbox says no to a port that was not named in advance, which only tokens can lead to. */
static char *handshake_dial_words(const struct session *s, const struct dial_outcome *outcome)
{
	if (outcome->result == DIAL_NOT_FOUND)
		return strdup(gai_strerror(outcome->error));
	if (outcome->error == EACCES && s->target->kind == ADDRESS_TCP && s->target == &s->opening.request.target)
		return strdup("Permission denied: a firewall forbids it, or the port is missing in [server] sandbox_ports");
	return strdup(strerror(outcome->error));
}

static void handshake_on_dialled(void *arg, const struct dial_outcome *outcome)
{
	struct session *s = arg;
	s->opening.dial = NULL;
	if (outcome->result != DIAL_OK && outcome->error != 0)
		s->detail = handshake_dial_words(s, outcome);

	enum reason reason = outcome->result == DIAL_OK ? handshake_backend_tls(s, outcome->fd)
	                                                : reason_from_dial(outcome->result);
	if (reason != REASON_NONE)
		session_end(s, reason);
}

enum reason handshake_dial(struct session *s)
{
	uint64_t left = deadline_left(s);
	uint64_t limit = s->route->set->connect_timeout < left ? s->route->set->connect_timeout : left;
	struct dial_env env = s->context->dial_env;

	env.receive_buffer = (int)s->route->set->target_buffer;
	s->opening.dial = dial_start(&env, s->target, limit, handshake_on_dialled, s);
	if (s->opening.dial == NULL)
		return REASON_OUT_OF_MEMORY;
	session_arm(s, limit + 1); /* the dial has its own deadline; this one is for the TLS handshake after it */
	return REASON_NONE;
}

void handshake_cancel(struct session *s)
{
	if (s->opening.dial != NULL)
		dial_cancel(s->opening.dial);
	s->opening.dial = NULL;
}

enum reason handshake_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	bool backend = stream == &s->backend;
	if (event == STREAM_READABLE) /* only now: a client that waits for its answer need not be held */
		stream_hold(&s->client, HOLD_STATE);
	if (event == STREAM_READY && backend)
		return handshake_established(s);
	if (event == STREAM_BROKEN)
		return backend ? REASON_BACKEND_TLS : REASON_CLIENT_RESET;
	return REASON_NONE;
}

enum reason handshake_on_timer(struct session *s)
{
	(void)s;
	return REASON_BACKEND_TIMEOUT;
}

/* --- who may pass --------------------------------------------------------------------------------------------------- */

static enum reason handshake_tally(struct session *s)
{
	const struct route_settings *set = s->route->set;
	const struct claimant claimant = admission_claimant(&s->generation->terms, session_source(s));
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

static enum reason handshake_admitted(struct session *s)
{
	struct request *request = &s->opening.request;
	s->target = request->target.text != NULL ? &request->target : &s->route->set->target;
	enum reason reason = handshake_tally(s);
	if (reason != REASON_NONE)
		return reason;
	s->echo = s->target->kind == ADDRESS_ECHO;
	return s->echo ? handshake_established(s) : session_enter(s, STATE_DIAL);
}

static enum reason handshake_judged(struct session *s, enum verdict verdict)
{
	struct request *request = &s->opening.request;
	if (verdict == VERDICT_WAIT)
		return s->state == STATE_GATE ? REASON_NONE : session_enter(s, STATE_GATE);
	s->detail = request->detail; /* which is the session's from here on */
	return verdict == VERDICT_PASS ? handshake_admitted(s) : request->reason;
}

static bool handshake_is_penalised(const struct session *s)
{
	return s->route->set->target.text == NULL && admission_refuses(s->context->admission, &s->generation->terms, &s->peer);
}

/* The others that guessed while it waited may have cost its source the right to know. */
static void handshake_decided(struct request *request, enum verdict verdict)
{
	struct session *s = list_entry(request, struct session, opening.request);
	if (handshake_is_penalised(s))
		verdict = request_refuse(request, REASON_SOURCE_PENALTY);
	enum reason reason = handshake_judged(s, gates_go_on(&s->route->gates, request, verdict));
	if (reason == REASON_NONE)
		return;
	if (s->detail == NULL && request->head != NULL)
		s->detail = explain_refusal(s, reason, request->head);
	session_end(s, reason);
}

enum reason handshake_start(struct session *s, struct http_head *head)
{
	struct request *request = &s->opening.request;
	request->head = head;
	request->tls = s->client.ssl != NULL;
	request->penalised = handshake_is_penalised(s);
	request->log = s->context->log;
	request->decided = handshake_decided;
	enum reason reason = handshake_judged(s, gates_start(&s->route->gates, request));
	if (request->own == NULL)
		request->head = NULL;
	return reason;
}

/* --- the state GATE ------------------------------------------------------------------------------------------------- */

/* What the others send meanwhile comes to where the head stands. */
enum reason handshake_gate_enter(struct session *s)
{
	struct stream_pool *pool = &s->context->backlogs;
	if (stream_pool_is_full(pool))
		return REASON_BACKLOG_FULL;
	size_t size = request_own(&s->opening.request);
	pool->held += size;
	return size > 0 ? REASON_NONE : REASON_OUT_OF_MEMORY;
}

void handshake_gate_leave(struct session *s)
{
	gates_cancel(&s->route->gates, &s->opening.request);
	s->context->backlogs.held -= request_disown(&s->opening.request);
}

enum reason handshake_gate_on_timer(struct session *s)
{
	return s->opening.request.reason;
}
