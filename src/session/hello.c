/* hello.c owns state HELLO: of a listener that has TLS, or may have it, the first byte, which decides whether it is spoken, and the
 * handshake; of any other nothing. The session's peer is final by now, and REQUEST is next.
 * It must never take a byte that is not for the TLS library, nor judge who may pass. */
#include "net/tls.h"
#include "session/session.h"

#include <string.h>

/* What is neither is not left to the library, which would wait for the rest of a record: WebRTC lets pages send such bytes, and
 * to let the time run out is an offence. Who is refused gets no handshake here, as in the acceptor where TLS is a choice. */
static enum reason hello_by_first_byte(struct session *s, uint8_t first)
{
	bool method = first >= 'A' && first <= 'Z'; /* the first byte of one, with which no TLS connection begins */
	if (s->listen->tls == TLS_MODE_AUTO ? first != TLS_HANDSHAKE_BYTE : method)
		return session_next(s, STATE_REQUEST);
	if (first != TLS_HANDSHAKE_BYTE) {
		s->detail = strdup("peer does not speak TLS");
		return REASON_TLS_FAILED;
	}
	if (s->refusal != REASON_NONE && s->listen->tls != TLS_MODE_ON)
		return s->refusal;
	SSL *ssl = tls_server_ssl(s->generation->tls);
	bool counted = stream_join_pool(&s->client, &s->context->backlogs) == 0;
	if (ssl == NULL || stream_start_tls(&s->client, ssl) != 0 || !counted)
		return REASON_OUT_OF_MEMORY;
	return REASON_NONE;
}

/* The first byte decides whether it is TLS, also where it has to be: who speaks plain HTTP is told so. */
static enum reason hello_look(struct session *s)
{
	uint8_t first;
	if (s->listen->tls == TLS_MODE_OFF)
		return session_next(s, STATE_REQUEST);
	ssize_t n = stream_peek(&s->client, &first, 1);
	if (n < 0)
		return REASON_HTTP_DONE; /* closed without sending a request */
	if (n == STREAM_AGAIN) {
		stream_release(&s->client, HOLD_STATE);
		return REASON_NONE;
	}
	stream_hold(&s->client, HOLD_STATE);
	return hello_by_first_byte(s, first);
}

static enum reason hello_failed(const struct session *s)
{
	if (s->client.crowded)
		return REASON_BACKLOG_FULL;
	if (stream_was_left(&s->client))
		return REASON_TLS_ABANDONED;
	return tls_was_violated(s->client.ssl) ? REASON_TLS_VIOLATION : REASON_TLS_FAILED;
}

static enum reason hello_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	if (event == STREAM_READABLE)
		return hello_look(s);
	if (event == STREAM_READY)
		return session_next(s, STATE_REQUEST);
	return event == STREAM_BROKEN ? hello_failed(s) : REASON_NONE;
}

static enum reason hello_on_timer(struct session *s)
{
	if (s->context->draining)
		return REASON_DRAIN;
	if (s->refusal != REASON_NONE)
		return s->refusal; /* it was hurried, so to be late is no offence */
	if (!stream_heard(&s->client))
		return REASON_HTTP_DONE;
	bool asked = s->client.ssl != NULL && tls_asks_for_certificate(s->client.ssl);
	return asked ? REASON_TLS_NO_CERTIFICATE : REASON_TLS_TIMEOUT;
}

const struct state_ops hello_state = {
	.enter = hello_look,
	.on_stream = hello_on_stream,
	.on_timer = hello_on_timer,
	.on_drain = session_drain,
	.deadline = true,
};
