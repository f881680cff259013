/* kept.c owns the bytes of a client that came and can't be used yet.
 * It must never look at them. */
#include "session/kept.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MIN ((size_t)1024)

/* A buffer grows, so that who sends little costs little whatever head_limit is. */
static enum reason kept_make_room(struct session *s, size_t len)
{
	struct stream_pool *pool = &s->context->backlogs;
	struct kept *kept = &s->kept;
	size_t room = kept->room > 0 ? kept->room : KEPT_MIN;
	while (room < len)
		room *= 2;
	if (room == kept->room)
		return REASON_NONE;
	if (stream_pool_is_full(pool))
		return REASON_BACKLOG_FULL;
	char *buf = realloc(kept->buf, room);
	if (buf == NULL)
		return REASON_OUT_OF_MEMORY;
	pool->held += room - kept->room;
	kept->buf = buf;
	kept->room = room;
	return REASON_NONE;
}

enum reason kept_put(struct session *s, const char *bytes, size_t len)
{
	enum reason reason = len > 0 ? kept_make_room(s, len) : REASON_NONE;
	if (reason != REASON_NONE)
		return reason;
	if (len > 0)
		memcpy(s->kept.buf, bytes, len);
	s->kept.len = len;
	return REASON_NONE;
}

void kept_drop(struct session *s)
{
	s->context->backlogs.held -= s->kept.room;
	free(s->kept.buf);
	s->kept = (struct kept){ .buf = NULL };
}

size_t kept_take(struct session *s)
{
	size_t early = s->kept.len;
	if (early > 0)
		memcpy(s->context->scratch, s->kept.buf, early);
	return early;
}
