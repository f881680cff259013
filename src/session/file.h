/* A static file on its way to the client: state FILE, between two requests of one connection. */
#ifndef SESSION_FILE_H
#define SESSION_FILE_H

#include "session/session.h"

/* Answers a request of a session whose route has a root. */
enum reason file_start(struct session *session, const struct http_head *head);

void file_close(struct session *session); /* not in FILE: the client's backlog may have a piece of it to the end */

enum reason file_enter(struct session *session);
enum reason file_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason file_on_timer(struct session *session);
enum reason file_drain(struct session *session); /* it is the last one of its connection */

#endif
