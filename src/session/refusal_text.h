/* What a client that is refused before the 101 is told: the status and the words of its reason. */
#pragma once

#include "proto/http_answer.h"
#include "gate/reason.h"

#include <stdbool.h>
#include <stddef.h>

#define REFUSAL_MAX 1024

/* The response that tells a reason which has a status; meant: the path that was probably meant, or NULL. head_only: without its
 * body. Returns its length. */
size_t refusal_text(char buf[REFUSAL_MAX], enum reason reason, const char *meant, const struct http_stamp *stamp, bool head_only);
