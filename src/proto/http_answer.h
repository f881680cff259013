/* Every answer to an HTTP request: the one writer of heads, and of bodies that are words. It writes into the caller's
 * buffer. Pure: the caller says what time it is. */
#pragma once

#include "base/attr.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

const char *http_status_text(int status); /* "Not Found"; "Unknown" for what we never send */

/* IMF-fixdate (RFC 9110 section 5.6.7), as in `Date`; "" when the year is beyond that. */
#define HTTP_DATE_MAX 32
void http_date(char out[HTTP_DATE_MAX], time_t when);

/* What an answer says of the moment and the connection it is sent on. */
struct http_stamp {
	time_t now;
	uint64_t hsts; /* seconds of Strict-Transport-Security's max-age; 0: none. Only for connections with TLS */
};

/* An answer under construction; a line that does not fit is dropped whole, and remembered. */
struct http_answer {
	char *buf;
	size_t cap, len;
	int status;
	bool overflow; /* to be looked at in the end */
};

/* The status line, and what all answers have: Date and X-Content-Type-Options (not a 1xx), Strict-Transport-Security. */
void http_answer_start(struct http_answer *answer, char *buf, size_t cap, int status, const struct http_stamp *stamp);

/* A field. One whose value holds a control byte is dropped as well: it would end the line. A formatted value has at most HTTP_TARGET_MAX + 127 bytes. */
void http_answer_text(struct http_answer *answer, const char *name, struct span text);
void http_answer_field(struct http_answer *answer, const char *name, const char *format, ...) printf_like(3, 4);

/* Connection, the last field, and the blank line. */
void http_answer_end(struct http_answer *answer, bool keep_alive);

/* All the rest of an answer that is words, without their line end: the fields that its status demands, those of a text that
 * nobody stores, the end, and the words. head_only leaves the words out. */
void http_answer_words(struct http_answer *answer, struct span words, bool keep_alive, bool head_only);
