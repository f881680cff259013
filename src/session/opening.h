/* A session from accept to the 101 or the refusal: states REQUEST and DIAL, and TLS with hello.h.
 *
 * The backend is dialled before the upgrade is answered, so that the answer can say whether it could be reached. One
 * deadline runs from accept to the answer, whatever drips in. */
#ifndef SESSION_OPENING_H
#define SESSION_OPENING_H

#include "session/session.h"

/* Takes fd over. */
enum reason opening_start(struct session *session, int fd);

/* The session's peer is final: TLS, or the first request, begins. The one way there, with a proxy and without. */
enum reason opening_begin(struct session *session);

/* It is only to be told why it is refused: it has refusal_timeout for it, from now on until it is gone. */
void opening_hurry(struct session *session);

/* The first request is next. */
enum reason opening_expect_request(struct session *session);

/* Begins to read the next request of a connection that is kept alive; what is already in the buffer counts. */
enum reason opening_next_request(struct session *session);

/* Writes the 101 and makes the decoder ready. Also for closing.c, which tells a browser by 101 and Close why there will be
 * no session. */
enum reason opening_answer(struct session *session);

/* What ends a session in one of these states when its worker drains, if anything yet: who has only just connected is about to
 * ask, and told then that this is no time for it, if that is within linger_timeout. */
enum reason opening_drain(struct session *session);

enum reason opening_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason opening_on_timer(struct session *session);

#endif
