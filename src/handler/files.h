/* The handler of static files of a web root: which file a path names, and the head of the answer. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "handler/handler.h"

struct files_options {
	const char *cache_control;           /* "" leaves the field out; default no-cache */
	const char *content_security_policy; /* "" leaves the field out */
	const struct str_list *index;        /* names tried in a directory, in order */
};

#define FILES_POLICY_MAX 4096 /* bytes of the two texts above together */

/* Looks whether the directory is there; each file below it is opened by the opener that comes with a request. options is copied by
 * reference and must outlive it. Complains with where, path and cause.
 *
 * Symbolic links are followed as long as they stay in the tree, as vnc_auto.html -> vnc.html of Debian's novnc
 * does, absolute ones too (sys/beneath.h). A link out of it is 404 even where the file is readable: a web root says what
 * may be read, and a link that a package or a user left there must not widen it. What such a link was for is a further
 * route with a root of its own.
 *
 * Which file: GET and HEAD only, else 405 with Allow. Each segment is percent-decoded once, by itself; a
 * malformed escape or an encoded NUL is 400. Empty segments, those that begin with a dot (so `.`, `..` and
 * dot-files, but for /.well-known/ of RFC 8615), and those with a '/', '\\' or control byte once decoded are 404: `/a%2fb` must not get round a route
 * for `/a/<anything>`. A directory without a slash at its end is 301 to the same path with it, query kept (path
 * only, never `//host`); with one it is its index, else 404: there is no listing. Only regular files are sent;
 * whatever else there is, or may not be read, is 404. If a `name.gz` no older than the file stands beside it, the
 * answer has Vary, and a request that accepts gzip gets that one, with Content-Encoding.
 *
 * What of it: If-Match before If-Unmodified-Since, If-None-Match before If-Modified-Since; one byte range, if If-Range
 * allows it (several: the whole file). Sent with Date, ETag, Last-Modified (unless it is the epoch), the options'
 * texts, X-Content-Type-Options and a type chosen by suffix, charset=utf-8 for text. */
struct handler *files_open(const char *where, const char *path, const struct files_options *options, struct err *err) must_check;
