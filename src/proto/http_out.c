/* http_out.c owns the writing of a response head, a whole line or nothing at a time.
 * It must never write a line that its caller's value could end early. */
#include "proto/http_out.h"

#include <stdarg.h>
#include <stdio.h>

const char *http_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 412, "Precondition Failed" },
		{ 414, "URI Too Long" },
		{ 416, "Range Not Satisfiable" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Unknown";
}

/* Writes at a place of its own, not at out->len, which commit() moves when a whole line has fitted. Returns the end of
 * what it wrote, or 0 when that did not fit. */
static size_t append(struct http_out *out, size_t at, const char *format, va_list args) printf_like(3, 0);
static size_t append(struct http_out *out, size_t at, const char *format, va_list args)
{
	if (at >= out->cap)
		return 0;
	int n = vsnprintf(out->buf + at, out->cap - at, format, args);
	return n < 0 || (size_t)n >= out->cap - at ? 0 : at + (size_t)n;
}

static size_t append_text(struct http_out *out, size_t at, const char *format, ...) printf_like(3, 4);
static size_t append_text(struct http_out *out, size_t at, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	size_t end = append(out, at, format, args);
	va_end(args);
	return end;
}

static void commit(struct http_out *out, size_t end)
{
	if (end == 0)
		out->overflow = true;
	else
		out->len = end;
}

static bool value_clean(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

void http_out_start(struct http_out *out, char *buf, size_t cap, int status)
{
	*out = (struct http_out){ .buf = buf, .cap = cap };
	commit(out, append_text(out, 0, "HTTP/1.1 %d %s\r\n", status, http_status_text(status)));
}

void http_out_field(struct http_out *out, const char *name, const char *format, ...)
{
	size_t value = append_text(out, out->len, "%s: ", name);
	size_t end = 0;

	if (value != 0) {
		va_list args;
		va_start(args, format);
		end = append(out, value, format, args);
		va_end(args);
	}
	if (end != 0 && !value_clean(out->buf + value, end - value))
		end = 0; /* a line end in a value would be a field, or a body, of the peer's making */
	commit(out, end == 0 ? 0 : append_text(out, end, "\r\n"));
}

void http_out_end(struct http_out *out)
{
	commit(out, append_text(out, out->len, "\r\n"));
}
