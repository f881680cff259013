/* A strict parser for the head of an HTTP/1 request (RFC 9112 sections 2 to 6). Pure: works on the caller's bytes,
 * gives spans into them, and keeps nothing.
 *
 * Everything that parsers are known to disagree about is an error: bare CR or LF, NUL, white space before a colon,
 * folded lines, names that are not tokens, none or several Host fields, a body. One empty line in front of the request
 * line is skipped (section 2.2), and a minor version above 1 is read as 1 (RFC 9110 section 2.5). */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MIN   1024  /* the limit to a head's bytes is the caller's, and from this */
#define HTTP_HEAD_MAX   65536 /* to that */
#define HTTP_FIELDS_MAX 100   /* else 431 */
#define HTTP_TARGET_MAX 2048  /* else 414 */

/* Looks for the blank line that ends a head in buf[0..len). *scanned (0 at first) remembers how far earlier calls came,
 * so feeding byte by byte costs no more than feeding at once. An empty line in front belongs to the head.
 * Returns the length of the head including the blank line, 0 when it is not complete, or minus a status: -400 for a
 * bare CR, bare LF or NUL, -431 when limit bytes hold no end. */
int http_head_length(const char *buf, size_t len, size_t limit, size_t *scanned);

/* The bytes of the empty line in front of text, if there is one: 2 or 0. */
size_t http_empty_line(struct span text);

struct http_field {
	struct span name, value; /* value without the white space around it */
};

struct http_head {
	struct span text; /* all of it, as it was parsed */
	struct span method;
	struct span target;    /* as it came */
	int minor;             /* HTTP/1.minor: 0 or 1 */
	struct span authority; /* host[:port] of the absolute-form target if there was one, else of Host */
	struct span path;      /* begins with '/', without query; as it came, not percent-decoded. "*": asterisk-form */
	struct span query;     /* without '?'; absent when there was none */
	bool keep_alive;       /* the client allows another request after this one (RFC 9112 section 9.3) */
	const char *fault;     /* of a head that was refused with 400: which part of it is wrong, for the log; or NULL */
	bool browser_can;      /* ... and a page can make a browser send the like */
	size_t fields_count;
	struct http_field fields[HTTP_FIELDS_MAX];
};

/* Parses a complete head of len bytes (as http_head_length measured it). Returns 0, or the status to refuse with:
 *   400 malformed: request line, field syntax, Host (none, several, invalid), Content-Length malformed or repeated,
 *       Transfer-Encoding that does not end in chunked, beside Content-Length or in HTTP/1.0; a target form other than
 *       origin-form, absolute-form http(s)/ws(s), and asterisk-form with OPTIONS
 *   413 Content-Length above 0, or Transfer-Encoding: there is a body
 *   414 target longer than HTTP_TARGET_MAX      431 too many fields      505 major version other than 1
 * The method is not judged here beyond being a token. For HTTP/1.0 a missing Host is allowed: authority is absent. */
int http_parse_head(struct http_head *head, const char *buf, size_t len);

/* The first field of that name (any case), NULL when there is none; and how many there are. */
const struct http_field *http_field(const struct http_head *head, const char *name);
size_t http_field_count(const struct http_head *head, const char *name);

/* Walks the comma-separated elements of all fields of one name, as if they were one (RFC 9110 section 5.3); empty
 * elements are passed over. Start with a zeroed cursor; returns false at the end. */
struct http_list {
	size_t field;     /* the next one */
	struct span rest; /* of the one before it */
};
bool http_list_next(const struct http_head *head, const char *name, struct http_list *cursor, struct span *element);

/* True when such a list has the token, compared without case. */
bool http_list_has(const struct http_head *head, const char *name, struct span token);

/* RFC 9110 token. */
bool http_is_token(struct span s);

/* Splits host[:port] ("[::1]:80" included; the host keeps no brackets, the port is absent when not given or empty).
 * Returns false when it is not of that form (RFC 3986 section 3.2.2 and 3.2.3; no user info). Two things that the RFC
 * allows in a name are refused, because parsers read them differently: a comma, which may be two Hosts joined, and
 * percent-encoding. */
bool http_split_authority(struct span authority, struct span *host, struct span *port);

/* Percent-decodes src into out, which has room for src.n + 1 bytes. Returns the length, or -1 for a malformed escape or
 * an encoded NUL: then out holds nothing of use. '+' stays unless plus_is_space. */
long http_percent_decode(char *out, struct span src, bool plus_is_space);

/* The raw (still encoded) value of the first parameter of that name in a query; absent span when there is none. */
struct span http_query_param(struct span query, struct span name);
