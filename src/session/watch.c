/* watch.c owns the limits of an OPEN session: how long it may last, be idle, stall, and be without a sign of life.
 * It must never move bytes between its streams. */
#include "session/watch.h"

bool watch_stalled(struct stall *stall, const struct stream *stream, uint64_t now, uint64_t limit)
{
	if (limit == 0 || !stream_is_open(stream) || stream_backlog(stream) == 0 || stream->broken) {
		stall->since = 0;
		return false;
	}
	uint64_t progress = stream_progress(stream);
	if (stall->since == 0 || stall->progress != progress) {
		stall->progress = progress;
		stall->since = now;
	}
	return now - stall->since >= limit;
}

/* Whether a limit that counts from since has run out; if not, *next is at most what is left of it. */
static bool watch_expired(uint64_t now, uint64_t since, uint64_t limit, uint64_t *next)
{
	if (limit == 0)
		return false;
	uint64_t passed = now - since;
	if (passed >= limit)
		return true;
	if (limit - passed < *next)
		*next = limit - passed;
	return false;
}

static void watch_ping(struct session *s, uint64_t now)
{
	uint8_t frame[WS_CONTROL_FRAME_MAX];
	size_t len = ws_control_frame(frame, WS_PING, s->traffic.control_payload, 0);
	s->traffic.pinged_ms = now;
	s->traffic.pong_wait = (struct stall){ .progress = stream_progress(&s->client), .since = now };
	if (stream_write(&s->client, frame, len) == STREAM_FAILED)
		return; /* reading will find out why */
}

/* The pong is awaited only while nothing but the client can be the cause of silence: not while we do not read it, not
 * while what stands in front of the ping still makes its way, in our backlog or in the kernel's, and not while the ping
 * cannot reach it because its window is closed, which is what stall_timeout is for. */
static bool watch_pong_overdue(struct session *s, uint64_t now, uint64_t *next)
{
	uint64_t progress = stream_progress(&s->client);
	if (s->client.hold != 0 || s->client.full || s->traffic.pong_wait.progress != progress)
		s->traffic.pong_wait = (struct stall){ .progress = progress, .since = now };
	return watch_expired(now, s->traffic.pong_wait.since, s->route->set->pong_timeout, next);
}

/* A client is heard by any byte. */
static enum reason watch_check_ping(struct session *s, uint64_t now, uint64_t *next)
{
	uint64_t interval = s->route->set->ping_interval;
	if (interval == 0)
		return REASON_NONE;
	if (s->traffic.pinged_ms != 0 && s->traffic.heard_ms >= s->traffic.pinged_ms)
		s->traffic.pinged_ms = 0;
	if (s->traffic.pinged_ms == 0 && watch_expired(now, s->traffic.heard_ms, interval, next))
		watch_ping(s, now);
	if (s->traffic.pinged_ms != 0 && watch_pong_overdue(s, now, next))
		return REASON_CLIENT_DEAD;
	return REASON_NONE;
}

static enum reason watch_check_stall(struct session *s, uint64_t now, uint64_t *next)
{
	uint64_t limit = s->route->set->stall_timeout;
	if (watch_stalled(&s->traffic.client_stall, &s->client, now, limit))
		return REASON_CLIENT_STALLED;
	if (watch_stalled(&s->traffic.backend_stall, &s->backend, now, limit))
		return REASON_BACKEND_STALLED;
	watch_expired(now, now, limit / 2, next); /* look again before it can run out unseen for long */
	return REASON_NONE;
}

/* Twice stall_timeout, so that a backlog that stalls is found, and named, by us first. */
enum reason watch_look(struct session *s, uint64_t *next)
{
	uint64_t patience = 2 * s->route->set->stall_timeout;
	enum stream_peer client = stream_look(&s->client, patience), backend = stream_look(&s->backend, patience);
	uint64_t again = s->client.full || s->backend.full ? WATCH_LOOK_FULL : WATCH_LOOK;
	if (again < *next)
		*next = again;
	if (client == STREAM_PEER_DEAD)
		return REASON_CLIENT_DEAD;
	return backend == STREAM_PEER_DEAD ? REASON_BACKEND_DEAD : REASON_NONE;
}

enum reason watch_check(struct session *s, uint64_t now, uint64_t *next)
{
	const struct route_settings *set = s->route->set;

	if (watch_expired(now, s->traffic.opened_ms, set->lifetime, next))
		return REASON_LIFETIME;
	if (watch_expired(now, s->traffic.data_ms, set->idle_timeout, next))
		return REASON_IDLE;
	enum reason reason = s->traffic.peers_watched ? watch_look(s, next) : REASON_NONE;
	if (reason == REASON_NONE)
		reason = watch_check_stall(s, now, next);
	return reason == REASON_NONE ? watch_check_ping(s, now, next) : reason;
}

void watch_peers(struct session *s)
{
	if (s->traffic.peers_watched)
		return;
	stream_watch_peer(&s->client);
	stream_watch_peer(&s->backend);
	s->traffic.peers_watched = true;
}
