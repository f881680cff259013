/* http_answer.c owns the writing of a response, a whole line or nothing at a time.
 * It must never write a line that its caller's value could end early. */
#include "proto/http_answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

/* Both write at a place of their own, not at out->len, which commit() moves when a whole line has fitted. They return the end
 * of what they wrote, or 0 when that did not fit, with a byte to spare for what vsnprintf adds. */
static size_t append(const struct http_answer *out, size_t at, struct span text)
{
	if (at >= out->cap || text.n >= out->cap - at)
		return 0;
	memcpy(out->buf + at, text.p, text.n);
	return at + text.n;
}

static size_t append_format(const struct http_answer *out, size_t at, const char *format, va_list args) printf_like(3, 0);
static size_t append_format(const struct http_answer *out, size_t at, const char *format, va_list args)
{
	if (at >= out->cap)
		return 0;
	int n = vsnprintf(out->buf + at, out->cap - at, format, args);
	return n < 0 || (size_t)n >= out->cap - at ? 0 : at + (size_t)n;
}

static void commit(struct http_answer *out, size_t end)
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

static size_t append_name(const struct http_answer *out, const char *name)
{
	size_t end = append(out, out->len, span_of(name));
	return end != 0 ? append(out, end, SPAN(": ")) : 0;
}

/* A line end in a value would be a field, or a body, of the peer's making. */
static void commit_value(struct http_answer *out, size_t value, size_t end)
{
	bool good = value != 0 && end != 0 && value_clean(out->buf + value, end - value);
	commit(out, good ? append(out, end, SPAN("\r\n")) : 0);
}

void http_answer_text(struct http_answer *out, const char *name, struct span text)
{
	size_t value = append_name(out, name);
	commit_value(out, value, value != 0 ? append(out, value, text) : 0);
}

void http_answer_field(struct http_answer *out, const char *name, const char *format, ...)
{
	size_t value = append_name(out, name), end = 0;

	if (value != 0) {
		va_list args;
		va_start(args, format);
		end = append_format(out, value, format, args);
		va_end(args);
	}
	commit_value(out, value, end);
}

void http_date(char out[HTTP_DATE_MAX], time_t when)
{
	struct tm tm;
	out[0] = '\0';
	if (gmtime_r(&when, &tm) != NULL && strftime(out, HTTP_DATE_MAX, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		out[0] = '\0';
}

void http_answer_start(struct http_answer *out, char *buf, size_t cap, int status, const struct http_stamp *stamp)
{
	char date[HTTP_DATE_MAX];

	*out = (struct http_answer){ .buf = buf, .cap = cap, .status = status };
	int n = snprintf(out->buf, out->cap, "HTTP/1.1 %d %s\r\n", out->status, http_status_text(out->status));
	commit(out, n < 0 || (size_t)n >= out->cap ? 0 : (size_t)n);
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
	commit(out, append(out, out->len, SPAN("\r\n")));
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
	size_t end = append(out, out->len, words);
	commit(out, end != 0 ? append(out, end, SPAN("\n")) : 0);
}
