/* What a client sends before it has a session: bytes that came and are not used yet (the beginning of a request head, or of a PROXY
 * header, or what followed one), and state REQUEST, in which they become a head and the head an upgrade or a plain request. */
#pragma once

#include "session/session.h"

/* Keeps bytes, which stand elsewhere, for later. They count against max_backlog. */
must_check enum reason input_keep(struct session *session, const char *bytes, size_t len);

/* Copies what is kept into the worker's scratch buffer, and returns its length. */
size_t input_take(struct session *session);

void input_drop(struct session *session);

/* For state.def. Begins with the first request, or the next of a connection that is kept alive: what is already there counts. */
enum reason input_enter(struct session *session);
enum reason input_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason input_on_timer(struct session *session);
