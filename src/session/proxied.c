/* proxied.c owns state PROXY: on a listener behind proxies a connection begins with a header that says where it comes from, before
 * TLS and before anything else is done for it. The peer is a trusted proxy: the acceptor has refused all others. HELLO is next, with
 * the source that the header names for the session's peer.
 * It must never take a byte that stands behind the header. */
#include "proto/proxyhdr.h"
#include "session/session.h"

#include <arpa/inet.h>
#include <string.h>

static enum reason proxied_refuse(struct session *s, const char *why)
{
	s->detail = strdup(why);
	return REASON_PROXY_HEADER;
}

static void proxied_name_peer(struct session *s, const struct proxyhdr *header)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(header->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(header->port) };

	if (header->family != PROXYHDR_IN && header->family != PROXYHDR_IN6)
		return; /* it is the proxy's own connection, or says nothing that could be told apart from others */
	s->proxied = true;
	s->proxy = s->peer;
	memcpy(&in.sin_addr, header->address, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, header->address, sizeof(in6.sin6_addr));
	if (header->family == PROXYHDR_IN)
		peer_init(&s->peer, -1, (const struct sockaddr *)&in, sizeof(in));
	else
		peer_init(&s->peer, -1, (const struct sockaddr *)&in6, sizeof(in6));
}

/* Its source is only known now, so it is only now that it may be refused: then session->refusal says why, and the answer to its
 * request will. The same is returned if nobody is to wait for that. */
static enum reason proxied_admit(struct session *s)
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

/* had bytes of the header were taken before; behind them stand the next n that came, which were not. All of them are in the
 * scratch buffer. */
static enum reason proxied_bytes(struct session *s, size_t had, size_t n)
{
	struct proxyhdr header;
	uint8_t *bytes = s->context->scratch;
	int length = proxyhdr_parse(&header, bytes, had + n);

	if (length == PROXYHDR_BAD)
		return proxied_refuse(s, "missing or malformed");
	if (stream_skip(&s->client, bytes + had, length == PROXYHDR_MORE ? n : (size_t)length - had) != 0)
		return REASON_CLIENT_RESET;
	if (length == PROXYHDR_MORE)
		return kept_put(s, (const char *)bytes, had + n);
	proxied_name_peer(s, &header);
	stream_hold(&s->client, HOLD_STATE);
	enum reason refusal = s->proxied ? proxied_admit(s) : REASON_NONE;
	return refusal != REASON_NONE ? refusal : session_next(s, STATE_HELLO);
}

/* Looks first and takes then: what stands behind the header may be for the TLS library, which reads for itself. */
static enum reason proxied_read(struct session *s)
{
	size_t had = kept_take(s);
	ssize_t n = stream_peek(&s->client, s->context->scratch + had, PROXYHDR_MAX - had);

	if (n > 0)
		return proxied_bytes(s, had, (size_t)n);
	if (n == STREAM_AGAIN)
		return REASON_NONE;
	if (had == 0)
		return REASON_HTTP_DONE; /* a proxy that looks whether we are there */
	return n == STREAM_EOF ? proxied_refuse(s, "cut short") : REASON_CLIENT_RESET;
}

static enum reason proxied_enter(struct session *s)
{
	stream_release(&s->client, HOLD_STATE);
	return proxied_read(s);
}

static enum reason proxied_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	return event == STREAM_READABLE ? proxied_read(s) : REASON_NONE;
}

static enum reason proxied_on_timer(struct session *s)
{
	if (s->context->draining)
		return REASON_DRAIN;
	return s->kept.len == 0 ? REASON_HTTP_DONE : proxied_refuse(s, "took too long");
}

const struct state_ops proxied_state = {
	.enter = proxied_enter,
	.leave = kept_drop,
	.on_stream = proxied_on_stream,
	.on_timer = proxied_on_timer,
	.on_drain = session_drain,
	.deadline = true,
};
