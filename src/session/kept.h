/* Bytes of a client that came and can't be used yet: the beginning of a PROXY header or a request head, what followed one, and
 * frames behind what a codec was stopped with. They count against max_backlog. */
#pragma once

#include "session/session.h"

/* Keeps bytes, which stand elsewhere, instead of what was kept before. */
must_check enum reason kept_put(struct session *session, const char *bytes, size_t len);

/* Copies what is kept into the worker's scratch buffer, and returns its length. */
size_t kept_take(struct session *session);

void kept_drop(struct session *session);
