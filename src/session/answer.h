/* What a handler answered, on its way to the client: state ANSWER, between two requests of one connection. */
#pragma once

#include "session/session.h"

/* Answers a request of a session whose route has a handler. */
enum reason answer_start(struct session *session, const struct http_head *head);
