/* State PROXY: on a listener behind proxies a connection begins with a header that says where it comes from, before TLS and
 * before anything else is done for it (proxy_protocol = on). */
#pragma once

#include "session/session.h"

/* For state.def. The peer is a trusted proxy: the acceptor has refused all others. Goes on to HELLO once the header is there: the
 * session's peer is then the source it names, and what stands behind it is still unread. */
enum reason proxied_enter(struct session *session);
enum reason proxied_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason proxied_on_timer(struct session *session);
