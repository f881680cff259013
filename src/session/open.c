/* open.c owns state OPEN, which begins with what the client sent before it had its answer: what its events mean, and the one timer
 * that both paces and limits share.
 * It must never touch a byte; flow.c does. */
#include "base/clock.h"
#include "session/flow.h"
#include "session/watch.h"

/* The timer is for the first of: what waits for its pace, and next. In ms from now. */
static uint64_t open_next(const struct session *s, uint64_t now, uint64_t next)
{
	uint64_t up = pace_left(&s->traffic.pace_up, now), down = pace_left(&s->traffic.pace_down, now);
	if (up > 0 && up < next)
		next = up;
	return down > 0 && down < next ? down : next;
}

static void open_resume(const struct session *s, struct stream *stream, const struct pace *pace)
{
	if (flow_rate(s, stream) > 0 && pace_left(pace, clock_ms()) == 0)
		stream_release(stream, HOLD_PACE);
}

static enum reason open_check(struct session *s, uint64_t next)
{
	uint64_t now = clock_ms();
	enum reason reason = watch_check(s, now, &next);
	if (reason == REASON_NONE)
		session_arm(s, open_next(s, now, next) + 1);
	return reason;
}

static enum reason open_on_timer(struct session *s)
{
	watch_peers(s);
	open_resume(s, &s->client, &s->traffic.pace_up);
	open_resume(s, &s->backend, &s->traffic.pace_down);
	return open_check(s, WATCH_LOOK);
}

static enum reason open_read(struct session *s, struct stream *from)
{
	bool up = from == &s->client;
	uint64_t before = from->received, rate = flow_rate(s, from);
	enum reason reason = up ? flow_up(s) : flow_down(s);
	if (reason != REASON_NONE || rate == 0)
		return reason;
	/* With limited bandwidth the next bytes have to wait for their time. */
	uint64_t now = clock_ms();
	uint64_t wait = pace_take(up ? &s->traffic.pace_up : &s->traffic.pace_down, rate, (size_t)(from->received - before), now);
	if (wait > 0) {
		stream_hold(from, HOLD_PACE);
		session_arm(s, open_next(s, now, wait));
	}
	return REASON_NONE;
}

static enum reason open_on_stream(struct session *s, struct stream *stream, enum stream_event event)
{
	if (event == STREAM_READABLE)
		return open_read(s, stream);
	/* The side of one that broke is read until the end that must come. */
	return event == STREAM_DRAINED || event == STREAM_BROKEN ? flow_credit(s, stream) : REASON_NONE;
}

static enum reason open_enter(struct session *s)
{
	size_t early = kept_take(s);
	kept_drop(s);
	s->traffic.opened_ms = s->traffic.heard_ms = s->traffic.data_ms = clock_ms();
	stream_set_low_water(&s->client, s->route->set->low_water);
	stream_set_notsent_lowat(&s->client, s->route->set->notsent_lowat);
	if (stream_is_open(&s->backend))
		stream_set_low_water(&s->backend, s->route->set->low_water);
	struct stream_pool *pool = &s->context->backlogs; /* a plain client joins only now: pieces of files are not counted */
	bool counted = stream_join_pool(&s->client, pool) == 0 && stream_join_pool(&s->backend, pool) == 0;

	if (early > 0) { /* in any case: the client's frames go on behind it, also while the session closes */
		enum reason reason = flow_feed(s, s->context->scratch, early);
		if (reason != REASON_NONE)
			return reason;
	}
	if (!counted)
		return REASON_OUT_OF_MEMORY;
	stream_release(&s->client, HOLD_STATE);
	stream_release(&s->backend, HOLD_STATE);
	return open_check(s, WATCH_LASTING);
}

const struct state_ops open_state = {
	.enter = open_enter,
	.on_stream = open_on_stream,
	.on_timer = open_on_timer,
	.on_drain = session_drain,
	.tell = TELL_CLOSE,
};
