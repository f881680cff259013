/* What the lines of a value say: quotes, comments, and how lines become one. Pure; base/conf_read.h tells the form. */
#pragma once

#include "base/str.h"

#include <stdbool.h>

bool conf_text_is_comment(struct span line); /* one that is trimmed */

/* Makes one line of several, in place, with a blank between them, and without comments. NULL, or what is wrong. */
const char *conf_text_plain(char *text);

/* The same for a text that begins with a quote, up to the closing one; the opening one stays. */
const char *conf_text_quoted(char *text);
