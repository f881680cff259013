/* http_answer.c owns the writing of a response, a whole line or nothing at a time.
 * It must never write a line that its caller's value could end early. */
#include "proto/http_answer.h"

#include "proto/http.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX (HTTP_TARGET_MAX + 128) /* of one that is formatted: Location has a target in it */

const char *http_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 416, "Range Not Satisfiable" },
		{ 421, "Misdirected Request" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
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

/* The parts one behind the other, or nothing, and then that is remembered. */
static void append(struct http_answer *out, const struct span *part, size_t count)
{
	size_t end = out->len;

	for (size_t i = 0; i < count; i++) {
		if (part[i].n >= out->cap - end) { /* the last byte stays free */
			out->overflow = true;
			return;
		}
		memcpy(out->buf + end, part[i].p, part[i].n);
		end += part[i].n;
	}
	out->len = end;
}

void http_answer_text(struct http_answer *out, const char *name, struct span text)
{
	const struct span line[] = { span_of(name), SPAN(": "), text, SPAN("\r\n") };

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if ((c < ' ' && c != '\t') || c == 0x7f) {
			out->overflow = true; /* a line end in a value would be a field, or a body, of the peer's making */
			return;
		}
	}
	append(out, line, ARRAY_LEN(line));
}

void http_answer_field(struct http_answer *out, const char *name, const char *format, ...)
{
	char value[VALUE_MAX];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(value))
		http_answer_text(out, name, (struct span){ value, (size_t)n });
	else
		out->overflow = true;
}

void http_date(char out[HTTP_DATE_MAX], time_t when)
{
	struct tm tm;
	if (gmtime_r(&when, &tm) == NULL || strftime(out, HTTP_DATE_MAX, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		out[0] = '\0';
}

void http_answer_start(struct http_answer *out, char *buf, size_t cap, int status, const struct http_stamp *stamp)
{
	char line[64], date[HTTP_DATE_MAX];
	int n = snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, http_status_text(status));

	*out = (struct http_answer){ .buf = buf, .cap = cap, .status = status };
	append(out, &(struct span){ line, (size_t)n }, 1);
	if (stamp->hsts > 0)
		http_answer_field(out, "Strict-Transport-Security", "max-age=%" PRIu64, stamp->hsts);
	if (status < 200)
		return;
	http_date(date, stamp->now);
	if (date[0] != '\0')
		http_answer_text(out, "Date", span_of(date));
	http_answer_text(out, "X-Content-Type-Options", SPAN("nosniff"));
}

void http_answer_end(struct http_answer *out, bool keep_alive)
{
	/* RFC 9110 section 7.8: who is told to upgrade is told so in Connection as well. */
	http_answer_text(out, "Connection",
	                 out->status == 101   ? SPAN("Upgrade")
	                 : out->status == 426 ? SPAN("close, Upgrade")
	                 : keep_alive         ? SPAN("keep-alive")
	                                      : SPAN("close"));
	append(out, &SPAN("\r\n"), 1);
}

void http_answer_words(struct http_answer *out, struct span words, bool keep_alive, bool head_only)
{
	if (out->status == 405)
		http_answer_text(out, "Allow", SPAN("GET, HEAD"));
	if (out->status == 426) {
		http_answer_text(out, "Upgrade", SPAN("websocket"));
		http_answer_text(out, "Sec-WebSocket-Version", SPAN("13"));
	}
	if (out->status == 429 || out->status == 503)
		http_answer_text(out, "Retry-After", out->status == 429 ? SPAN("10") : SPAN("5"));
	http_answer_text(out, "Cache-Control", SPAN("no-store"));
	http_answer_text(out, "Content-Type", SPAN("text/plain; charset=utf-8"));
	http_answer_field(out, "Content-Length", "%zu", words.n + 1);
	http_answer_end(out, keep_alive);
	if (head_only)
		return;
	append(out, (struct span[]){ words, SPAN("\n") }, 2);
}
