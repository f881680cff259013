/* What a handler answered, on its way to the client: state ANSWER, between two requests of one connection. */
#pragma once

#include "session/session.h"

/* Answers a request of a session whose route has a handler. */
enum reason answer_start(struct session *session, const struct http_head *head);

void answer_close(struct session *session); /* not in ANSWER: the client's backlog may have a piece of a file to the end */

enum reason answer_enter(struct session *session);
enum reason answer_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason answer_on_timer(struct session *session);
enum reason answer_drain(struct session *session); /* it is the last one of its connection */
