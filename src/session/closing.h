/* The end of a session: state CLOSING, from session_end() until both connections are done.
 *
 * The client is told why: by an HTTP status before the 101, by a Close after it. Then each direction ends on its own:
 * the backend gets a FIN when the client has said its last and all of it was delivered; the client gets one when our Close is out
 * and its own has come. What a peer still sends meanwhile is relayed (the client's, until its Close) or read and
 * discarded, because closing on unread bytes would make the kernel reset the connection and destroy what was delivered.
 * Time runs only while nothing moves: a slow peer that still takes its data is waited for. */
#pragma once

#include "session/session.h"

/* Gives up on a CLOSING session: what is not out yet is lost. */
void closing_abort(struct session *session);

/* For state.def. How a client is told of the end of: a request that has no answer yet, one whose answer is on its way, a session. */
void closing_refuse(struct session *session);
void closing_tell_nothing(struct session *session);
void closing_send_close(struct session *session);

enum reason closing_enter(struct session *session); /* by session_end() alone, with session->reason and tell set */
enum reason closing_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason closing_on_timer(struct session *session);
