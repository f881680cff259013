/* kept.c owns the bytes of a client that came and can't be used yet.
 * It must never look at them. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MIN ((size_t)1024)

enum reason kept_put(struct session *s, const char *bytes, size_t len)
{
	struct stream_pool *pool = &s->context->backlogs;
	struct kept *kept = &s->kept;
	if (len > kept->room) { /* it grows, so that who sends little costs little whatever head_limit is */
		size_t room = kept->room > 0 ? kept->room : KEPT_MIN;
		while (room < len)
			room *= 2;
		if (stream_pool_is_full(pool))
			return REASON_BACKLOG_FULL;
		char *buf = realloc(kept->buf, room);
		if (buf == NULL)
			return REASON_OUT_OF_MEMORY;
		pool->held += room - kept->room;
		kept->buf = buf;
		kept->room = room;
	}
	if (len > 0)
		memcpy(kept->buf, bytes, len);
	kept->len = len;
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
