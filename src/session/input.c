/* input.c owns the bytes that a session has been sent and can't use yet.
 * It must never look at them. */
#include "session/input.h"

#include "session/context.h"
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

#define INPUT_MIN ((size_t)8192)

/* A buffer grows, so that who sends little costs little whatever head_limit is. */
static enum reason input_make_room(struct session *s, size_t len)
{
	struct stream_pool *pool = &s->context->backlogs;
	size_t room = s->input.room > 0 ? s->input.room : INPUT_MIN;
	while (room < len)
		room *= 2;
	if (room == s->input.room)
		return REASON_NONE;
	if (stream_pool_is_full(pool))
		return REASON_BACKLOG_FULL;
	char *buf = realloc(s->input.buf, room);
	if (buf == NULL)
		return REASON_OUT_OF_MEMORY;
	pool->held += room - s->input.room;
	s->input.buf = buf;
	s->input.room = room;
	return REASON_NONE;
}

enum reason input_keep(struct session *s, const char *bytes, size_t len)
{
	enum reason reason = len > 0 ? input_make_room(s, len) : REASON_NONE;
	if (reason != REASON_NONE)
		return reason;
	if (len > 0)
		memcpy(s->input.buf, bytes, len);
	s->input.len = len;
	return REASON_NONE;
}

void input_drop(struct session *s)
{
	s->context->backlogs.held -= s->input.room;
	free(s->input.buf);
	s->input = (struct input){ .buf = NULL };
}

size_t input_take(struct session *s)
{
	size_t early = s->input.len;
	if (early > 0)
		memcpy(s->context->scratch, s->input.buf, early);
	return early;
}
