/* State HELLO of a session: the first byte, which decides whether TLS is spoken, and the handshake. The request is next. */
#pragma once

#include "session/session.h"

/* For state.def. The session's peer is final: looks at the first byte, now or when it comes, of a listener that has TLS or may have
 * it; of any other the request begins. The one way there, with a proxy and without. */
enum reason hello_enter(struct session *session);
enum reason hello_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason hello_on_timer(struct session *session);
