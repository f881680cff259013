/* flow.c owns the way of a session's bytes: up, down, and the credit between both.
 * It must never know which state the session is in, nor change it, nor free anything; it returns a reason instead. */
#include "session/flow.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

#define FLOW_SMALL ((size_t)1024) /* up to here moving costs less than a system call */
#define FLOW_PONGS 32             /* of one read, and the latest in any case */

#define FLOW_SHARES 8              /* one read takes at most this part of what max_backlog leaves */
#define FLOW_LEAST  ((size_t)4096) /* no share is smaller; a stream without a backlog has it in any case */

_Static_assert(FLOW_BACKLOG_MAX <= CONTEXT_SCRATCH, "what a read takes must fit the scratch buffer");

/* What the worker's backlogs leave for one read: the less is left, the smaller the share. When nothing is, a stream that
 * takes what it gets still gets a little at a time, and only one that does not waits. */
size_t flow_share(const struct session *s, const struct stream *to)
{
	const struct stream_pool *pool = &s->context->backlogs;
	if (pool->most == 0)
		return FLOW_BACKLOG_MAX;
	size_t share = pool->held < pool->most ? (pool->most - pool->held) / FLOW_SHARES : 0;
	if (share >= FLOW_LEAST)
		return share < FLOW_BACKLOG_MAX ? share : FLOW_BACKLOG_MAX;
	return stream_backlog(to) == 0 ? FLOW_LEAST : 0;
}

static size_t flow_least_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

uint64_t flow_rate(const struct session *s, const struct stream *from)
{
	return from == &s->client ? s->route->set->max_rate_up : s->route->set->max_rate_down;
}

static enum reason flow_first_of(enum reason first, enum reason second)
{
	return first != REASON_NONE ? first : second;
}

/* What may be read from `from` for the sake of `to`. 0: nothing before that has drained. */
static size_t flow_room(const struct session *s, const struct stream *from, const struct stream *to)
{
	size_t paced = flow_least_of(pace_room(flow_rate(s, from)), flow_share(s, to));
	size_t most = flow_least_of(paced, s->route->set->max_read);
	size_t full = stream_backlog(to) + WS_SERVER_HEADER_MAX + CODEC_HELD_MAX;
	if (to->broken)
		return FLOW_BACKLOG_MAX; /* it is all discarded */
	size_t room = full < FLOW_BACKLOG_MAX ? FLOW_BACKLOG_MAX - full : 0;
	return flow_least_of(room, most);
}

/* Sends, and stops reading the source when too much waits. */
static enum reason flow_send(struct session *s, struct stream *to, struct stream *from, const void *data, size_t len)
{
	ssize_t backlog = stream_write(to, data, len);
	if (backlog == STREAM_FAILED)
		return to->error == ENOMEM ? REASON_OUT_OF_MEMORY : REASON_NONE;
	if ((size_t)backlog > s->route->set->high_water)
		stream_hold(from, HOLD_PEER);
	return REASON_NONE;
}

/* Puts its header in front of a piece for the client. */
static void flow_frame(struct session *s, struct piece *piece)
{
	s->traffic.bytes_down += piece->len;
	size_t header = ws_push_header(piece->at, piece->first, piece->len);
	piece->at -= header;
	piece->len += header;
}

/* What a read becomes on its way up. A client can put 30,000 frames into one read, and a send for each would take a turn of
 * 100 ms: so what is small is moved behind what is to be sent already, and only so many pings are answered at once. It all
 * stands in the input itself, in front of what was not decoded yet. */
struct feed {
	uint8_t *at;
	size_t len;
	unsigned pongs;
};

static struct stream *flow_end_of_up(struct session *s)
{
	return s->echo ? &s->client : &s->backend;
}

static enum reason flow_flush(struct session *s, struct feed *feed)
{
	size_t len = feed->len;
	feed->len = 0;
	if (len == 0)
		return REASON_NONE;
	return flow_send(s, flow_end_of_up(s), &s->client, feed->at, len);
}

static enum reason flow_pass(struct session *s, struct feed *feed, struct piece *piece)
{
	if (piece->at == NULL)
		return REASON_NONE;
	if (s->echo)
		flow_frame(s, piece);
	enum reason reason = piece->own || piece->len > FLOW_SMALL ? flow_flush(s, feed) : REASON_NONE;
	if (piece->own)
		return reason != REASON_NONE ? reason : flow_send(s, flow_end_of_up(s), &s->client, piece->at, piece->len);
	if (feed->len == 0)
		feed->at = piece->at;
	else
		memmove(feed->at + feed->len, piece->at, piece->len);
	feed->len += piece->len;
	return reason;
}

/* What the codec makes of a run, or has left of one (NULL), until it has no more or nobody takes it. */
static enum reason flow_encode_up(struct session *s, struct feed *feed, const struct ws_run *run)
{
	struct codec *codec = &s->traffic.codec;
	enum reason reason;
	do {
		struct piece piece = { .at = NULL };
		enum reason made = codec->ops->up(codec, run, &piece);
		reason = flow_first_of(flow_pass(s, feed, &piece), made);
		codec->more_up = piece.more && reason == REASON_NONE;
		run = NULL;
	} while (codec->more_up && !(s->client.hold & HOLD_PEER));
	return reason;
}

static void flow_pong(struct session *s)
{
	uint8_t frame[WS_CONTROL_FRAME_MAX];
	size_t len = ws_control_frame(frame, WS_PONG, s->traffic.control_payload, s->traffic.control_len);
	s->traffic.pong_owed = false;
	if (!s->traffic.close_sent && stream_write(&s->client, frame, len) == STREAM_FAILED)
		return; /* reading will find out why */
}

/* Only the latest ping is owed a pong (RFC 6455 section 5.5.3), so a client that reads none of them costs nothing, and one that
 * sends very many at once not much. What is echoed goes first. */
static enum reason flow_ping(struct session *s, struct feed *feed)
{
	s->traffic.pong_owed = true;
	if (feed->pongs >= FLOW_PONGS)
		return REASON_NONE;
	feed->pongs++;
	enum reason reason = s->echo ? flow_flush(s, feed) : REASON_NONE;
	if (stream_backlog(&s->client) == 0)
		flow_pong(s);
	return reason;
}

static enum reason flow_control(struct session *s, struct feed *feed, const struct ws_run *run)
{
	if (run->opcode == WS_PONG)
		return REASON_NONE;
	memcpy(s->traffic.control_payload, run->payload, run->len);
	s->traffic.control_len = (uint8_t)run->len;
	if (run->opcode == WS_PING)
		return flow_ping(s, feed);
	s->code = run->close_code != 0 ? run->close_code : 1005;
	return REASON_CLIENT_CLOSED;
}

static enum reason flow_violation(struct session *s, uint16_t close_code)
{
	enum reason reason = reason_from_ws(close_code);
	if (reason == REASON_MESSAGE_REFUSED && s->reason == REASON_NONE)
		s->detail = strdup(s->route->set->accept == MESSAGES_BINARY ? "a text message; the route has accept = binary"
		                                                            : "a binary message; the route has accept = text");
	return reason;
}

static enum reason flow_event(struct session *s, struct feed *feed, enum ws_status status, const struct ws_run *run)
{
	if (status == WS_DATA) {
		s->traffic.bytes_up += run->len;
		if (s->echo ? s->traffic.close_sent : !stream_is_open(&s->backend))
			return REASON_NONE;
		return flow_encode_up(s, feed, run);
	}
	if (status == WS_CONTROL)
		return flow_control(s, feed, run);
	return status == WS_BAD ? flow_violation(s, run->close_code) : REASON_NONE;
}

/* All that was decoded before an end is sent in front of it. What stands behind a codec that was stopped is kept. */
static enum reason flow_decode(struct session *s, struct feed *feed, uint8_t *input, size_t len)
{
	enum reason reason = REASON_NONE;
	while (len > 0 && reason == REASON_NONE && !s->traffic.codec.more_up) {
		struct ws_run run;
		enum ws_status status = ws_decode(&s->traffic.rx, input, len, &run);
		reason = flow_event(s, feed, status, &run);
		input += run.used;
		len -= run.used;
	}
	enum reason sent = flow_flush(s, feed);
	if (reason == REASON_NONE && len > 0)
		reason = kept_put(s, (const char *)input, len);
	return flow_first_of(reason, sent);
}

enum reason flow_feed(struct session *s, uint8_t *input, size_t len)
{
	struct feed feed = { .len = 0 };
	uint64_t before = s->traffic.bytes_up, frames = s->traffic.rx.frames;
	s->traffic.heard_ms = clock_ms();
	enum reason reason = flow_decode(s, &feed, input, len);
	if (reason != REASON_NONE)
		return reason;
	if (s->traffic.pong_owed && stream_backlog(&s->client) == 0)
		flow_pong(s);
	if (s->traffic.bytes_up != before)
		s->traffic.data_ms = s->traffic.heard_ms;
	uint64_t limit = s->route->set->max_frame_rate;
	if (limit > 0 && meter_add(&s->traffic.frames, s->traffic.rx.frames - frames, s->traffic.heard_ms) > limit)
		return REASON_FRAME_RATE;
	return REASON_NONE;
}

static enum reason flow_client_ended(const struct session *s)
{
	if (s->client.flooded)
		return REASON_TLS_RECORDS;
	switch (s->client.error) {
	case 0:
	case EPIPE:
		return REASON_CLIENT_GONE;
	case ENOMEM:
		return REASON_OUT_OF_MEMORY;
	case ETIMEDOUT:
		return REASON_CLIENT_DEAD;
	default:
		return REASON_CLIENT_RESET;
	}
}

enum reason flow_up(struct session *s)
{
	uint8_t *scratch = s->context->scratch;
	/* what would be echoed after our Close goes nowhere, so it needs no room */
	bool discards = s->echo && s->traffic.close_sent;
	size_t room = discards ? FLOW_BACKLOG_MAX : flow_room(s, &s->client, flow_end_of_up(s));
	if (room == 0) {
		stream_hold(&s->client, HOLD_PEER);
		return REASON_NONE;
	}
	ssize_t n = stream_read(&s->client, scratch, room);
	if (n == STREAM_AGAIN)
		return REASON_NONE;
	if (n < 0)
		return flow_client_ended(s);
	return flow_feed(s, scratch, (size_t)n);
}

/* The codec was stopped, and the frames behind its rest are kept. */
static enum reason flow_go_on_up(struct session *s)
{
	struct feed feed = { .len = 0 };
	enum reason reason = flow_encode_up(s, &feed, NULL);
	if (reason != REASON_NONE || s->traffic.codec.more_up)
		return reason;
	size_t kept = kept_take(s);
	kept_drop(s);
	return kept > 0 ? flow_feed(s, s->context->scratch, kept) : REASON_NONE;
}

static enum reason flow_encode_down(struct session *s, uint8_t *bytes, size_t len)
{
	struct codec *codec = &s->traffic.codec;
	enum reason reason;
	do {
		struct piece piece = { .at = NULL };
		reason = codec->ops->down(codec, bytes, len, &piece);
		if (piece.at != NULL) {
			flow_frame(s, &piece);
			reason = flow_first_of(flow_send(s, &s->client, &s->backend, piece.at, piece.len), reason);
		}
		codec->more_down = piece.more && reason == REASON_NONE;
		len = 0;
	} while (codec->more_down && !(s->backend.hold & HOLD_PEER));
	s->traffic.data_ms = clock_ms();
	return reason;
}

static enum reason flow_backend_ended(const struct session *s)
{
	if (s->backend.error == ENOMEM)
		return REASON_OUT_OF_MEMORY;
	if (s->backend.error == ETIMEDOUT)
		return REASON_BACKEND_DEAD;
	if (s->backend.truncated || (s->backend.error != 0 && s->backend.error != EPIPE))
		return REASON_BACKEND_RESET;
	return s->traffic.codec.ops->end(&s->traffic.codec);
}

enum reason flow_down(struct session *s)
{
	uint8_t *scratch = s->context->scratch;
	struct codec *codec = &s->traffic.codec;
	size_t held = codec->held_len, room = flow_room(s, &s->backend, &s->client);
	if (room == 0) {
		stream_hold(&s->backend, HOLD_PEER);
		return REASON_NONE;
	}
	memcpy(scratch, codec->held, held);
	ssize_t n = stream_read(&s->backend, scratch + held, room);
	if (n == STREAM_AGAIN)
		return REASON_NONE;
	if (n < 0)
		return flow_backend_ended(s);
	return flow_encode_down(s, scratch, held + (size_t)n);
}

enum reason flow_credit(struct session *s, const struct stream *stream)
{
	const struct codec *codec = &s->traffic.codec;
	enum reason up = REASON_NONE, down = REASON_NONE;
	if (stream == flow_end_of_up(s)) {
		stream_release(&s->client, HOLD_PEER);
		up = codec->more_up ? flow_go_on_up(s) : REASON_NONE;
	}
	if (stream == &s->client) {
		stream_release(&s->backend, HOLD_PEER);
		down = codec->more_down && !s->traffic.close_sent ? flow_encode_down(s, NULL, 0) : REASON_NONE;
		if (s->traffic.pong_owed)
			flow_pong(s);
	}
	return flow_first_of(up, down);
}

static const struct codec_ops *flow_codec(const struct session *s)
{
#define CODEC(name, sessions)                                                                                                    \
	if (sessions)                                                                                                            \
		return &codec_##name;
#include "session/codec.def"
#undef CODEC
}

void flow_init(struct session *s)
{
	uint8_t flags = WS_RX_MASKED;
	if (s->route->set->accept != MESSAGES_BINARY)
		flags |= WS_RX_TEXT;
	if (s->route->set->accept != MESSAGES_TEXT)
		flags |= WS_RX_BINARY;
	struct codec *codec = &s->traffic.codec;
	codec->ops = flow_codec(s);
	flags |= codec->ops->rx;
	ws_rx_init(&s->traffic.rx, flags, s->route->set->max_message);
}
