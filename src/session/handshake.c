/* handshake.c owns state DIAL: the target is reached, or an echo needs none, and the 101 is written. OPEN is next.
 * It must never write a refusal: it returns a reason, and closing.c turns that into an answer. */
#include "base/clock.h"
#include "net/tls.h"
#include "proto/upgrade.h"
#include "session/flow.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

enum reason handshake_answer(struct session *s)
{
	char response[UPGRADE_RESPONSE_MAX];
	const struct http_stamp stamp = session_stamp(s);
	size_t len = upgrade_response(response, sizeof(response), s->context->sha1, s->opening.request.key,
	                              s->opening.request.subprotocol, &stamp);
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
	return reason != REASON_NONE ? reason : session_next(s, STATE_OPEN);
}

static enum reason handshake_connected(struct session *s, int fd)
{
	SSL *ssl = s->target->tls ? tls_client_ssl(s->member->tls) : NULL;
	if (s->target->tls && ssl == NULL) {
		close(fd);
		return REASON_OUT_OF_MEMORY;
	}
	stream_open(&s->backend, s->context->base, fd, session_on_stream, s);
	if (ssl == NULL)
		return handshake_established(s);
	return stream_start_tls(&s->backend, ssl) == 0 ? REASON_NONE : REASON_OUT_OF_MEMORY;
}

/* The sandbox says no to a port that was not named in advance, which only tokens can lead to. */
static char *handshake_dial_words(const struct session *s, const struct dial_outcome *outcome)
{
	if (outcome->result == DIAL_NOT_FOUND)
		return strdup(gai_strerror(outcome->error));
	if (outcome->error == EACCES && s->target->kind == ADDRESS_TCP && s->member == NULL)
		return strdup("Permission denied: a firewall forbids it, or the port is missing in [server] sandbox_ports");
	return strdup(strerror(outcome->error));
}

static void handshake_on_dialled(void *arg, const struct dial_outcome *outcome)
{
	struct session *s = arg;
	s->opening.dial = NULL;
	if (outcome->result != DIAL_OK && outcome->error != 0)
		s->detail = handshake_dial_words(s, outcome);
	session_proceed(s, outcome->result == DIAL_OK ? handshake_connected(s, outcome->fd) : reason_from_dial(outcome->result));
}

static enum reason handshake_dial(struct session *s)
{
	if (s->echo)
		return handshake_established(s);
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

/* An end that is not the target's fault, as of a client that left, tells nothing of it. */
static void handshake_leave(struct session *s)
{
	bool reached = s->reason == REASON_NONE;
	if (s->member != NULL && (reached || (reason_row[s->reason].flags & UNREACHED) != 0))
		pool_done(s->member, reached, clock_ms());
	if (s->opening.dial != NULL)
		dial_cancel(s->opening.dial);
	s->opening.dial = NULL;
}

static enum reason handshake_on_stream(struct session *s, struct stream *stream, enum stream_event event)
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

static enum reason handshake_on_timer(struct session *s)
{
	return REASON_BACKEND_TIMEOUT;
}

const struct state_ops handshake_state = {
	.enter = handshake_dial,
	.leave = handshake_leave,
	.on_stream = handshake_on_stream,
	.on_timer = handshake_on_timer,
	.on_drain = session_drain,
	.tell = TELL_STATUS,
	.deadline = true,
};
