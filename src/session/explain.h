/* What the log says of a refused request beyond its reason: what was asked for, the rule it met, and a cure. */
#pragma once

#include "session/session.h"

/* A text for session->detail, the caller's to free; NULL when there is nothing to say, or no memory to say it. head is that of
 * the request, as far as it was parsed. Never shown: queries and credentials, which are secrets. */
char *explain_refusal(const struct session *session, enum reason reason, const struct http_head *head);
