/* State OPEN: the session's traffic, its pace and its limits. */
#pragma once

#include "session/session.h"

/* For state.def. Begins with what the client sent before it had its answer. */
enum reason open_enter(struct session *session);
enum reason open_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason open_on_timer(struct session *session);
