/* http.c owns the reading of an HTTP/1 request head into spans.
 * It must never repair what it reads: a head that another parser might understand differently is refused. */
#include "proto/http.h"

#include "proto/ip.h"

#include <string.h>

enum { BAD_REQUEST = 400, BODY = 413, TARGET_TOO_LONG = 414, HEAD_TOO_LARGE = 431, VERSION_UNKNOWN = 505 };

static const struct span absent = { NULL, 0 };

int http_head_length(const char *buf, size_t len, size_t limit, size_t *scanned)
{
	size_t end = len < limit ? len : limit;

	for (size_t i = *scanned; i < end; i++) {
		bool after_cr = i > 0 && buf[i - 1] == '\r';
		if (buf[i] == '\0' || after_cr != (buf[i] == '\n'))
			return -BAD_REQUEST;
		if (after_cr && i > 1 && buf[i - 2] == '\n')
			return (int)(i + 1);
	}
	*scanned = end;
	return end == limit ? -HEAD_TOO_LARGE : 0;
}

size_t http_empty_line(struct span text)
{
	return span_starts(text, SPAN("\r\n")) ? 2 : 0;
}

/* Bytes by what they may be part of. */
enum { TOKEN = 1 << 0, TARGET = 1 << 1, VALUE = 1 << 2, REG_NAME = 1 << 3, DIGIT = 1 << 4 };

#define ANY_TEXT (TARGET | VALUE)
#define SYMBOL   (TOKEN | ANY_TEXT)
#define WORD     (TOKEN | ANY_TEXT | REG_NAME)

static const uint8_t byte_class[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = SYMBOL | REG_NAME,
	['"'] = ANY_TEXT,
	['#'] = TOKEN | VALUE, /* a fragment is never sent */
	['$'] = SYMBOL | REG_NAME,
	['%'] = SYMBOL,
	['&' ... '\''] = SYMBOL | REG_NAME,
	['(' ... ')'] = ANY_TEXT | REG_NAME,
	['*' ... '+'] = SYMBOL | REG_NAME,
	[','] = ANY_TEXT,
	['-' ... '.'] = WORD,
	['/'] = ANY_TEXT,
	['0' ... '9'] = WORD | DIGIT,
	[':'] = ANY_TEXT,
	[';'] = ANY_TEXT | REG_NAME,
	['<'] = ANY_TEXT,
	['='] = ANY_TEXT | REG_NAME,
	['>' ... '@'] = ANY_TEXT,
	['A' ... 'Z'] = WORD,
	['[' ... ']'] = ANY_TEXT,
	['^'] = SYMBOL,
	['_'] = WORD,
	['`'] = SYMBOL,
	['a' ... 'z'] = WORD,
	['{'] = ANY_TEXT,
	['|'] = SYMBOL,
	['}'] = ANY_TEXT,
	['~'] = WORD,
	[0x80 ... 0xff] = VALUE,
};

static bool all_of(struct span s, uint8_t class)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(byte_class[(unsigned char)s.p[i]] & class))
			return false;
	return true;
}

bool http_is_token(struct span s)
{
	return s.n > 0 && all_of(s, TOKEN);
}

bool http_split_authority(struct span authority, struct span *host, struct span *port)
{
	uint8_t address[IP_ADDRESS_MAX];
	uint16_t number;
	struct span rest;

	if (span_starts(authority, SPAN("["))) {
		*host = span_split(span_skip(authority, 1), ']', &rest);
		if (rest.p == NULL || (rest.n > 0 && rest.p[0] != ':') || !ip_read(AF_INET6, *host, address))
			return false;
		*port = span_skip(rest, 1);
	} else {
		*host = span_split(authority, ':', port);
		if (host->n == 0 || !all_of(*host, REG_NAME))
			return false;
	}
	if (port->n == 0)
		*port = absent; /* `host:` is a host with an empty port */
	return port->p == NULL || ip_read_port(*port, &number);
}

static int bad_request(struct http_head *head, const char *fault)
{
	head->fault = fault;
	return BAD_REQUEST;
}

static int parse_version(struct http_head *head, struct span version)
{
	if (version.n != 8 || !span_starts(version, SPAN("HTTP/")) || version.p[6] != '.' ||
	    !all_of((struct span){ version.p + 5, 1 }, DIGIT) || !all_of((struct span){ version.p + 7, 1 }, DIGIT))
		return bad_request(head, "version in the request line");
	head->minor = version.p[7] != '0';
	return version.p[5] == '1' ? 0 : VERSION_UNKNOWN;
}

/* `scheme://authority` in front of the path. Returns what follows it, absent when this is no absolute form of ours. */
static struct span parse_absolute(struct http_head *head)
{
	static const char *const schemes[] = { "http", "https", "ws", "wss" };
	struct span rest, host, port;
	struct span scheme = span_split(head->target, ':', &rest);
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		known |= span_eq_nocase(scheme, span_of(schemes[i]));
	if (!known || !span_starts(rest, SPAN("//")))
		return absent;

	rest = span_skip(rest, 2);
	size_t n = 0;
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	head->authority = (struct span){ rest.p, n };
	return http_split_authority(head->authority, &host, &port) ? span_skip(rest, n) : absent;
}

static int parse_target(struct http_head *head)
{
	struct span rest = head->target;

	if (rest.n > HTTP_TARGET_MAX)
		return TARGET_TOO_LONG;
	if (rest.n == 0 || !all_of(rest, TARGET))
		return bad_request(head, "request target");
	if (span_eq(rest, SPAN("*")) && span_eq(head->method, SPAN("OPTIONS"))) {
		head->path = rest;
		return 0;
	}
	if (rest.p[0] != '/')
		rest = parse_absolute(head);
	if (rest.p == NULL)
		return bad_request(head, "request target");
	head->path = span_split(rest, '?', &head->query);
	if (head->path.n == 0)
		head->path = SPAN("/");
	return 0;
}

static int parse_request_line(struct http_head *head, struct span line)
{
	struct span rest, version;

	head->method = span_split(line, ' ', &rest);
	head->target = span_split(rest, ' ', &version);
	if (!http_is_token(head->method))
		return bad_request(head, "method in the request line");
	int status = parse_version(head, version);
	return status != 0 ? status : parse_target(head);
}

static int parse_field(struct http_head *head, struct span line)
{
	struct span value;
	struct span name = span_split(line, ':', &value);

	if (!http_is_token(name) || value.p == NULL)
		return bad_request(head, "field name");
	if (!all_of(value, VALUE)) {
		head->browser_can = true; /* fetch() takes control bytes */
		return bad_request(head, "control byte in a field value");
	}
	if (head->fields_count == HTTP_FIELDS_MAX)
		return HEAD_TOO_LARGE;
	head->fields[head->fields_count++] = (struct http_field){ name, span_trim(value) };
	return 0;
}

static int check_host(struct http_head *head)
{
	const struct http_field *field = http_field(head, "Host");
	struct span host, port;

	if (field == NULL)
		return head->minor == 0 ? 0 : bad_request(head, "Host is missing");
	if (http_field_count(head, "Host") != 1)
		return bad_request(head, "more than one Host");
	if (!http_split_authority(field->value, &host, &port)) {
		head->browser_can = true; /* a URL may have a host such as a{b}.example, and its owner an address for it */
		return bad_request(head, "Host");
	}
	if (head->authority.p == NULL)
		head->authority = field->value;
	return 0;
}

/* RFC 9112 section 6.1: whose coding is not chunked in the end, or that also has a length or an older version, ends
 * nobody knows where. */
static int check_coding(struct http_head *head)
{
	struct http_list cursor = { 0 };
	struct span coding = absent, last = absent;

	while (http_list_next(head, "Transfer-Encoding", &cursor, &coding))
		last = coding;
	if (head->minor == 0 || http_field(head, "Content-Length") != NULL || !span_eq_nocase(last, SPAN("chunked")))
		return bad_request(head, "Transfer-Encoding");
	return BODY;
}

static int check_no_body(struct http_head *head)
{
	const struct http_field *length = http_field(head, "Content-Length");

	if (http_field(head, "Transfer-Encoding") != NULL)
		return check_coding(head);
	if (http_field_count(head, "Content-Length") > 1)
		return bad_request(head, "more than one Content-Length");
	if (length == NULL)
		return 0;
	if (length->value.n == 0 || !all_of(length->value, DIGIT))
		return bad_request(head, "Content-Length");
	return span_made_of(length->value, "0") ? 0 : BODY;
}

/* Takes a line off the front of *rest, without its CRLF; absent when there is no such line. */
static struct span take_line(struct span *rest)
{
	struct span after;
	struct span line = span_split(*rest, '\n', &after);

	*rest = after;
	if (after.p == NULL || line.n == 0 || line.p[line.n - 1] != '\r')
		return absent;
	return (struct span){ line.p, line.n - 1 };
}

static int parse_lines(struct http_head *head, struct span rest)
{
	struct span line = take_line(&rest);
	int status = line.p == NULL ? bad_request(head, "line end") : parse_request_line(head, line);

	while (status == 0) {
		line = take_line(&rest);
		if (line.p == NULL || (line.n == 0 && rest.n > 0))
			return bad_request(head, "line end");
		if (line.n == 0)
			return 0;
		status = parse_field(head, line);
	}
	return status;
}

int http_parse_head(struct http_head *head, const char *buf, size_t len)
{
	struct span text = { buf, len };
	memset(head, 0, offsetof(struct http_head, fields));
	head->text = text;

	int status = parse_lines(head, span_skip(text, http_empty_line(text)));
	if (status == 0)
		status = check_host(head);
	if (status == 0)
		status = check_no_body(head);
	head->keep_alive = status == 0 && !http_list_has(head, "Connection", SPAN("close")) &&
	                   (head->minor == 1 || http_list_has(head, "Connection", SPAN("keep-alive")));
	return status;
}

static size_t next_field(const struct http_head *head, struct span name, size_t from)
{
	while (from < head->fields_count && !span_eq_nocase(head->fields[from].name, name))
		from++;
	return from;
}

const struct http_field *http_field(const struct http_head *head, const char *name)
{
	size_t at = next_field(head, span_of(name), 0);

	return at < head->fields_count ? &head->fields[at] : NULL;
}

size_t http_field_count(const struct http_head *head, const char *name)
{
	struct span wanted = span_of(name);
	size_t count = 0;

	for (size_t at = 0; (at = next_field(head, wanted, at)) < head->fields_count; at++)
		count++;
	return count;
}

bool http_list_next(const struct http_head *head, const char *name, struct http_list *cursor, struct span *element)
{
	for (;;) {
		while (span_next(&cursor->rest, ',', element))
			if (element->n > 0)
				return true;
		cursor->field = next_field(head, span_of(name), cursor->field);
		if (cursor->field == head->fields_count)
			return false;
		cursor->rest = head->fields[cursor->field++].value;
	}
}

bool http_list_has(const struct http_head *head, const char *name, struct span token)
{
	struct http_list cursor = { 0 };
	struct span element;

	while (http_list_next(head, name, &cursor, &element))
		if (span_eq_nocase(element, token))
			return true;
	return false;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long http_percent_decode(char *out, struct span src, bool plus_is_space)
{
	size_t len = 0;

	for (; src.n > 0; len++) {
		bool escape = src.p[0] == '%';
		out[len] = src.p[0];
		if (src.p[0] == '+' && plus_is_space)
			out[len] = ' ';
		if (escape) {
			int high = src.n < 3 ? -1 : hex_digit(src.p[1]), low = src.n < 3 ? -1 : hex_digit(src.p[2]);
			if (high < 0 || low < 0 || (high | low) == 0)
				return -1;
			out[len] = (char)(high * 16 + low);
		}
		src = span_skip(src, escape ? 3 : 1);
	}
	out[len] = '\0';
	return (long)len;
}

struct span http_query_param(struct span query, struct span name)
{
	struct span parameter, value;

	while (span_next(&query, '&', &parameter)) {
		if (!span_eq(span_split(parameter, '=', &value), name))
			continue;
		return value.p != NULL ? value : (struct span){ parameter.p + parameter.n, 0 };
	}
	return absent;
}
