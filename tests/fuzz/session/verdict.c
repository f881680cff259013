/* verdict.c owns what must hold for a session, whatever its peers, the network and the memory did.
 * It must never excuse a loss by more than what happened: world.harmed (calls failed, peers reset) and world.late
 * (limits of time may have run out) are all that there is. */
#include "world.h"

#include "../check.h"
#include "judge.h"
#include "place.h"

#define BACKLOG_MAX ((size_t)256 << 10)
#define AT_ONCE     900 /* ms: sooner than any limit */

static uint8_t up_at[1 << 20], down_at[2 << 20];
static struct frames up = { .payload = { up_at, 0, sizeof(up_at) } };
static struct frames down = { .payload = { down_at, 0, sizeof(down_at) } };
static struct answers answers;

/* --- reading what passed ------------------------------------------------------------------------------------------ */

static void read_all(const struct route_settings *route)
{
	static const struct rules any = { .text = true, .binary = true };
	const struct bytes *sent = &world.client.sent, *got = &world.client.got;
	struct rules rules = any;

	answers = (struct answers){ .asked_at = world.header_len };
	judge_answers(&answers, sent, got, &place_get()->file);
	if (!answers.upgraded)
		return;
	CHECK(route != NULL);
	rules.text = route->accept != MESSAGES_BINARY;
	rules.binary = route->accept != MESSAGES_TEXT;
	rules.max_message = route->max_message;
	judge_frames(&up, sent->at + answers.asked_at, sent->len - answers.asked_at, true, rules);
	judge_frames(&down, got->at + answers.frames_at, got->len - answers.frames_at, false, any);
}

static bool leads_to_echo(const struct route_settings *route)
{
	return route->target.text != NULL && route->target.kind == ADDRESS_ECHO;
}

/* Whether it can make sense of what the gateway sends it, and the other way round. */
static bool target_understands(const struct route_settings *route)
{
	return world.target.ssl != NULL || !route->target.tls;
}

/* Every message came back as it went, but for where frames begin; the last may be on its way. */
static void check_echo(void)
{
	for (size_t i = 0; i < down.messages; i++) {
		const struct message *back = &down.message[i], *there = &up.message[i];
		CHECK(i < up.messages && back->opcode == there->opcode && back->len <= there->len);
		CHECK(!back->whole || (there->whole && back->len == there->len));
		CHECK(back->whole || i + 1 == down.messages);
	}
}

static void check_frames(const struct route_settings *route)
{
	bool echo = leads_to_echo(route);
	const struct bytes *source = echo ? &up.payload : &world.target.sent;

	CHECK(!down.violation && !down.after_close);
	CHECK(down.pongs <= up.pings);
	CHECK(bytes_begin_with(source, down.payload.at, down.payload.len));
	CHECK(!target_understands(route) || bytes_begin_with(&up.payload, world.target.got.at, world.target.got.len));
	if (echo)
		check_echo();
	for (size_t i = 0; !echo && i < down.messages; i++)
		CHECK(down.message[i].opcode == (route->send == SEND_TEXT ? 1 : 2));
}

/* --- at any time -------------------------------------------------------------------------------------------------- */

void verdict_turn(void)
{
	const struct session *s = world_session();

	if (kernel.allocation_failed)
		world.harmed = true;
	if (s == NULL || s->route == NULL || s->route->handler != NULL)
		return;
	CHECK(stream_backlog(&s->client) <= BACKLOG_MAX);
	CHECK(stream_backlog(&s->backend) <= BACKLOG_MAX);
}

/* --- in the calm -------------------------------------------------------------------------------------------------- */

static bool same(const struct bytes *a, const struct bytes *b)
{
	return a->len == b->len && bytes_begin_with(a, b->at, b->len);
}

/* All that was sent is there: no one is held without need, nothing lies about, no ping waits. */
static void check_open(const struct session *s)
{
	const struct route_settings *route = s->route->set;
	size_t incomplete = s->traffic.codec.held_len;

	CHECK(answers.upgraded && !up.violation && !up.closed && !down.closed && !down.cut);
	CHECK(down.payload.len + incomplete == (leads_to_echo(route) ? up.payload.len : world.target.sent.len));
	CHECK(leads_to_echo(route) || world.target.got.len == up.payload.len);
	CHECK(up.pings == 0 || same(&up.ping, &down.pong));
}

static void check_request(void)
{
	const struct bytes *sent = &world.client.sent;

	CHECK(!answers.cut && !answers.upgraded);
	CHECK(memmem(sent->at + answers.asked_at, sent->len - answers.asked_at, "\r\n\r\n", 4) == NULL);
}

void verdict_calm(void)
{
	const struct session *s = world_session();
	unsigned pace = s != NULL ? (s->client.hold | s->backend.hold) & HOLD_PACE : 0;

	if (pace != 0)
		world.late = true; /* what is left takes its time */
	if (pace != 0 || world.ending == ENDING_SILENCE || world.ending == ENDING_SILENT_DRAIN || world.harmed ||
	    s == NULL)
		return;
	read_all(s->route != NULL ? s->route->set : NULL);
	CHECK(s->state != STATE_ANSWER);
	if (answers.upgraded)
		check_frames(s->route->set);
	if (s->state == STATE_OPEN)
		check_open(s);
	if (s->state == STATE_REQUEST)
		check_request();
}

/* --- at the end --------------------------------------------------------------------------------------------------- */

/* The value of a field in the one line that the log has of the session's end. */
static struct span log_value(const char *key)
{
	const char *at = strstr(kernel.log, key);

	if (at == NULL)
		return (struct span){ NULL, 0 };
	at += strlen(key);
	return (struct span){ at, strcspn(at, " \n") };
}

static enum reason logged_reason(void)
{
	struct span label = log_value(" reason=");
	int reason = REASON_NONE + 1;

	while (reason < REASON_COUNT && !span_eq(label, span_of(reason_row[reason].label)))
		reason++;
	CHECK(reason < REASON_COUNT);
	return (enum reason)reason;
}

static const struct route_settings *logged_route(void)
{
	const struct settings *settings = place_get()->generation->settings;
	struct span name = log_value(" route=");

	for (size_t i = 0; i < settings->routes_count; i++)
		if (span_eq(name, span_of(settings->routes[i]->section.name)))
			return settings->routes[i];
	return NULL;
}

static void check_close(enum reason reason)
{
	const struct reason_row *row = &reason_row[reason];

	CHECK(!down.cut);
	if (reason == REASON_CLIENT_CLOSED)
		CHECK(down.closed && up.closed && same(&down.close, &up.close));
	else if (row->ws_code != 0)
		CHECK(down.closed && down.close.len >= 2 && down.close.at[0] * 256 + down.close.at[1] == row->ws_code);
	else
		CHECK(!down.closed);
}

/* A refusal is the last thing that is said. Whether one is due, after answers out of a web root, depends on what had
 * been asked by the time of the end, which nobody knows here. */
static void check_refusal(int status)
{
	CHECK(status == 0 || answers.count == 0 || answers.of_files || answers.status == status);
}

/* Both were there to the end, and no time passed: then nothing is lost. */
static void check_orderly(const struct route_settings *route, enum reason reason)
{
	if (!answers.upgraded) {
		check_refusal(reason_row[reason].http);
		return;
	}
	check_close(reason);
	if (reason == REASON_BACKEND_CLOSED)
		CHECK(same(&down.payload, &world.target.sent));
	if (world.target.was_connected && reason_row[reason].ws_code != 1014) /* too many frames may also come while it closes */
		CHECK((world.target.got.len >= up.sure || route->max_frame_rate > 0) && world.target.got_fin);
	/* What a target says that was never reached as it should be is not read. */
	CHECK(!world.client.got_reset && (!world.target.got_reset || reason_row[reason].ws_code == 1014));
}

static bool is_orderly(void)
{
	bool answered = world.ending == ENDING_TARGET || world.ending == ENDING_CLIENT ||
	                world.ending == ENDING_CLIENT_LEAVES || world.ending == ENDING_DRAIN;

	return answered && !world.harmed && !world.late;
}

void verdict_end(void)
{
	if (kernel.allocation_failed)
		world.harmed = true;
	if (kernel.log_len == 0) {
		CHECK(kernel.allocation_failed); /* of the session itself */
		return;
	}
	CHECK(strstr(strchr(kernel.log, '\n'), " reason=") == NULL);
	enum reason reason = logged_reason();
	const struct route_settings *route = logged_route();
	read_all(route);
	if (answers.upgraded)
		check_frames(route);
	if (!is_orderly())
		return;
	check_orderly(route, reason);
	CHECK(kernel.now_ms - world.calm_ms < AT_ONCE);
}
