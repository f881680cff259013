/* A writer for the head of an HTTP/1.1 response, into the caller's buffer. Pure. */
#ifndef PROTO_HTTP_OUT_H
#define PROTO_HTTP_OUT_H

#include "base/attr.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

const char *http_status_text(int status); /* "Not Found"; "Unknown" for what we never send */

/* A head under construction; what does not fit is dropped whole and remembered. */
struct http_out {
	char *buf;
	size_t cap, len;
	bool overflow;
};

/* A field whose value holds a control byte is dropped as well: it would end the line. */
void http_out_start(struct http_out *out, char *buf, size_t cap, int status);
void http_out_text(struct http_out *out, const char *name, struct span text);
void http_out_field(struct http_out *out, const char *name, const char *format, ...) printf_like(3, 4);
void http_out_end(struct http_out *out); /* the blank line; check overflow afterwards */

#endif
