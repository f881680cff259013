/* A load-time failure, told to the operator in words. A struct err gathers complaints, one a line and without a trailing newline,
 * so that one pass over a configuration can report all that is wrong with it. It is bounded: complaints that no longer fit are
 * counted, not kept. Only code that runs at start-up or at reload uses it; a live session ends with an enum reason instead. */
#pragma once

#include "base/attr.h"

#include <stddef.h>

#define ERR_TEXT_MAX 8192

struct err {
	unsigned count; /* complaints, also those that did not fit */
	size_t len;
	char text[ERR_TEXT_MAX]; /* NUL-terminated, '\n' between complaints */
};

void err_init(struct err *err);

/* Adds a complaint: behind all others, or, when it begins with "FILE:LINE: ", in the order of the lines of that file. Each
 * control byte becomes '?': a complaint is one line, whatever names are in it, and does nothing to a terminal. Always
 * returns -1, so that a caller can write `return err_add(err, ...)`. */
int err_add(struct err *err, const char *format, ...) printf_like(2, 3);
