/* test_flow.c lets one byte become very many, for a side that does not read, and sees that the flow stops and goes on. Its streams
 * only count; it must never need a descriptor. */
#include "session/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GROWTH ((size_t)1 << 20) /* bytes that each byte becomes */

static struct {
	struct session session;
	struct session_context context;
	struct route route;
	struct route_settings set;
	uint8_t memory[CONTEXT_HEADROOM + CONTEXT_SCRATCH];
	uint8_t came[64], kept[64]; /* what is there to be read; what kept.c keeps */
	size_t came_len, kept_len;
	size_t backlog, most;       /* of the side that does not read, now and at most */
	size_t sent[256];           /* payload of frames, and bytes for the target, by what they are */
	uint8_t last;               /* the byte that was sent last */
} world;

/* --- what stands below ---------------------------------------------------------------------------------------------- */

ssize_t stream_write(struct stream *stream, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t header = stream == &world.session.backend ? 0 : bytes[1] < 126 ? 2 : bytes[1] == 126 ? 4 : 10;
	for (size_t i = header; i < len; i++) {
		assert_true(bytes[i] >= world.last);
		world.last = bytes[i];
		world.sent[bytes[i]]++;
	}
	world.backlog += len;
	if (world.backlog > world.most)
		world.most = world.backlog;
	return (ssize_t)world.backlog;
}

ssize_t stream_read(struct stream *stream, void *buf, size_t cap)
{
	size_t n = world.came_len;
	(void)stream;
	assert_true(n <= cap);
	memcpy(buf, world.came, n);
	world.came_len = 0;
	return (ssize_t)n;
}

size_t stream_backlog(const struct stream *stream)
{
	(void)stream;
	return world.backlog;
}

void stream_hold(struct stream *stream, enum stream_hold why)
{
	stream->hold |= (uint8_t)why;
}

void stream_release(struct stream *stream, enum stream_hold why)
{
	stream->hold &= (uint8_t)~why;
}

enum reason kept_put(struct session *session, const char *bytes, size_t len)
{
	(void)session;
	assert_true(len <= sizeof(world.kept));
	memcpy(world.kept, bytes, len);
	world.kept_len = len;
	return REASON_NONE;
}

size_t kept_take(struct session *session)
{
	memcpy(session->context->scratch, world.kept, world.kept_len);
	return world.kept_len;
}

void kept_drop(struct session *session)
{
	(void)session;
	world.kept_len = 0;
}

/* --- a codec that makes much of little ------------------------------------------------------------------------------ */

static struct {
	uint8_t memory[WS_SERVER_HEADER_MAX + CODEC_PIECE_MAX];
	uint8_t todo[16];
	size_t len, at; /* of todo; bytes of todo[0] that are out */
} growing;

static enum reason grow(const uint8_t *bytes, size_t len, struct piece *piece)
{
	assert_true(len == 0 || growing.len == 0); /* no other input before it has said all */
	if (len > 0) {
		assert_true(len <= sizeof(growing.todo));
		memcpy(growing.todo, bytes, len);
		growing.len = len;
	}
	assert_true(growing.len > 0);
	piece->at = memset(growing.memory + WS_SERVER_HEADER_MAX, growing.todo[0], CODEC_PIECE_MAX);
	piece->len = CODEC_PIECE_MAX;
	piece->first = WS_BINARY | WS_FIN;
	piece->own = true;
	growing.at += piece->len;
	if (growing.at == GROWTH) {
		growing.at = 0;
		memmove(growing.todo, growing.todo + 1, --growing.len);
	}
	piece->more = growing.len > 0;
	return REASON_NONE;
}

static enum reason grow_up(struct codec *codec, const struct ws_run *run, struct piece *piece)
{
	(void)codec;
	return run != NULL ? grow(run->payload, run->len, piece) : grow(NULL, 0, piece);
}

static enum reason grow_down(struct codec *codec, uint8_t *bytes, size_t len, struct piece *piece)
{
	(void)codec;
	return grow(bytes, len, piece);
}

static const struct codec_ops codec_growing = { .rx = 0, .up = grow_up, .down = grow_down };

/* --- tests ---------------------------------------------------------------------------------------------------------- */

static int begin(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	memset(&growing, 0, sizeof(growing));
	struct session *s = &world.session;
	s->context = &world.context;
	s->route = &world.route;
	world.route.set = &world.set;
	world.context.scratch = world.memory + CONTEXT_HEADROOM;
	world.set.max_read = CONTEXT_SCRATCH;
	world.set.high_water = 128 << 10;
	s->client.open = s->backend.open = true;
	flow_init(s);
	s->traffic.codec.ops = &codec_growing;
	ws_rx_init(&s->traffic.rx, WS_RX_MASKED | WS_RX_BINARY, 0); /* as its rx says */
	return 0;
}

static void come(const char *bytes, size_t len)
{
	memcpy(world.came, bytes, len);
	world.came_len = len;
}

/* The side that did not read takes all that waits, as often as it takes. Returns how often; the last reason to *reason. */
static int let_it_read(struct stream *slow, const struct stream *source, enum reason *reason)
{
	int times = 0;
	while (world.backlog > 0 && *reason == REASON_NONE) {
		world.backlog = 0;
		*reason = flow_credit(&world.session, slow);
		times++;
	}
	assert_false(*reason == REASON_NONE && (source->hold & HOLD_PEER));
	return times;
}

static void up_stops_and_goes_on(void **state)
{
	struct session *s = &world.session;
	(void)state;
	/* "ab", "c", Close: masked with a key of zeros */
	come("\x82\x82\0\0\0\0" "ab" "\x82\x81\0\0\0\0" "c" "\x88\x80\0\0\0\0", 21);
	enum reason reason = flow_up(s);
	assert_int_equal(reason, REASON_NONE);
	assert_true(s->client.hold & HOLD_PEER);
	assert_true(world.sent['a'] < GROWTH);
	assert_int_equal(world.kept_len, 13);

	assert_true(let_it_read(&s->backend, &s->client, &reason) > 10);
	assert_int_equal(reason, REASON_CLIENT_CLOSED); /* not before all is out */
	assert_int_equal(world.sent['a'], GROWTH);
	assert_int_equal(world.sent['b'], GROWTH);
	assert_int_equal(world.sent['c'], GROWTH);
	assert_true(world.most <= FLOW_BACKLOG_MAX);
	assert_int_equal(s->traffic.bytes_up, 3);
}

static void down_stops_and_goes_on(void **state)
{
	struct session *s = &world.session;
	(void)state;
	come("xyz", 3);
	enum reason reason = flow_down(s);
	assert_int_equal(reason, REASON_NONE);
	assert_true(s->backend.hold & HOLD_PEER);
	assert_true(world.sent['x'] < GROWTH);

	assert_true(let_it_read(&s->client, &s->backend, &reason) > 10);
	assert_int_equal(reason, REASON_NONE);
	assert_int_equal(world.sent['x'], GROWTH);
	assert_int_equal(world.sent['y'], GROWTH);
	assert_int_equal(world.sent['z'], GROWTH);
	assert_true(world.most <= FLOW_BACKLOG_MAX);
	assert_int_equal(s->traffic.bytes_down, 3 * GROWTH);
}

static void nothing_goes_on_behind_our_close(void **state)
{
	struct session *s = &world.session;
	(void)state;
	come("x", 1);
	assert_int_equal(flow_down(s), REASON_NONE);
	size_t before = world.sent['x'];
	world.backlog = 0;
	s->traffic.close_sent = true;
	assert_int_equal(flow_credit(s, &s->client), REASON_NONE);
	assert_int_equal(world.sent['x'], before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(up_stops_and_goes_on, begin),
		cmocka_unit_test_setup(down_stops_and_goes_on, begin),
		cmocka_unit_test_setup(nothing_goes_on_behind_our_close, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
