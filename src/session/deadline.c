/* deadline.c owns how much time a session has until it is open.
 * It must never end one: it says when the timer runs, and the state says what that means. */
#include "session/deadline.h"

#include "base/clock.h"
#include "session/context.h"

void deadline_set(struct session *s, uint64_t ms)
{
	s->opening.deadline_ms = clock_ms() + ms;
	session_arm(s, ms);
}

uint64_t deadline_left(const struct session *s)
{
	uint64_t now = clock_ms();
	return s->opening.deadline_ms > now ? s->opening.deadline_ms - now : 1;
}

void deadline_hurry(struct session *s)
{
	uint64_t left = deadline_left(s), most = s->generation->settings->server->refusal_timeout;
	deadline_set(s, left < most ? left : most);
}

enum reason deadline_drain(struct session *s)
{
	if (s->opening.asked || s->route != NULL)
		return REASON_DRAIN;
	uint64_t left = deadline_left(s);
	session_arm(s, left < s->listen->linger_timeout ? left : s->listen->linger_timeout);
	return REASON_NONE;
}
