/* The words of a refusal: to the client, and to the log. */
#pragma once

#include "session/session.h"

#define REFUSAL_MAX 1024

/* The response that tells a reason which has a status; meant: the path that was probably meant, or NULL. head_only: without its
 * body. Returns its length. */
size_t refusal_text(char buf[REFUSAL_MAX], enum reason reason, const char *meant, const struct http_stamp *stamp, bool head_only);

/* What the log says beyond the reason: what was asked for, the rule it met, and a cure. A text for session->detail, the caller's
 * to free; NULL when there is nothing to say, or no memory to say it. head is that of the request, as far as it was parsed. Never
 * shown: queries and credentials, which are secrets. */
char *explain_refusal(const struct session *session, enum reason reason, const struct http_head *head);
