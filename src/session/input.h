/* Bytes that came and are not used yet: the beginning of a request head, or of a PROXY header, or what followed one. */
#ifndef SESSION_INPUT_H
#define SESSION_INPUT_H

#include "base/attr.h"
#include "session/reason.h"

#include <stddef.h>

struct session;

/* Keeps bytes, which stand elsewhere, for later. They count against max_backlog. */
must_check enum reason input_keep(struct session *session, const char *bytes, size_t len);

/* Copies what is kept into the worker's scratch buffer, and returns its length. */
size_t input_take(struct session *session);

void input_drop(struct session *session);

#endif
