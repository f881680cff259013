/* Static files of a web root: which file a path names, and the head of the answer. Knows nothing of connections:
 * it turns a request into a status, a head and, perhaps, an open descriptor with a range of bytes to send. */
#ifndef HANDLER_FILES_H
#define HANDLER_FILES_H

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/http.h"
#include "proto/http_answer.h"

#include <stddef.h>
#include <stdint.h>

struct files_options {
	const char *cache_control;           /* "" leaves the field out; default no-cache */
	const char *content_security_policy; /* "" leaves the field out */
	const struct str_list *index;        /* names tried in a directory, in order */
};

#define FILES_POLICY_MAX 4096 /* bytes of the two texts above together */

struct files; /* a web root; immutable, shared by all threads */

/* Opens the directory (O_PATH): later the whole tree is reached from this descriptor alone, by openat2 with
 * RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS. options is copied by reference and must outlive it. Complains with
 * where, path and cause; a kernel without openat2 (before 5.6) is such a cause.
 *
 * Symbolic links are followed as long as they stay in the tree, as vnc_auto.html -> vnc.html of Debian's novnc
 * does, absolute ones too (sys/beneath.h). A link out of it is 404 even where the file is readable: a web root says what
 * may be read, and a link that a package or a user left there must not widen it. What such a link was for is a further
 * route with a root of its own. */
struct files *files_open(const char *where, const char *path, const struct files_options *options,
                         struct err *err) must_check;
void files_close(struct files *files); /* NULL is allowed */

#define FILES_HEAD_MAX 8192 /* holds a Location of HTTP_TARGET_MAX, FILES_POLICY_MAX and the rest */

struct files_answer {
	int status;                /* 200, 206, 301, 304, 400, 404, 405, 412, 416, 500, 503 */
	char head[FILES_HEAD_MAX]; /* a complete response head, and the words behind it if there is no file to send */
	size_t head_len;
	int fd;                  /* the file, now the receiver's; -1: no body from a file (HEAD, 304, errors) */
	uint64_t offset, length; /* what to send of it */
	bool leads_out;  /* by a link, hence the 404; true but once for one tree, so that whoever logs it says it once */
	bool keep_alive; /* what the head said: false when the client wants it so, and for 400, 500 and 503 */
};

/* prefix is what the route's path has in front of the tree: for `/vnc/<anything>` it is "/vnc", for exact paths
 * and `/<anything>` "". It is compared with the path as it came. Never fails: trouble is a status. With 404 there is no
 * head: its caller answers as it does when there is no such route, and who asks can't tell the two.
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
void files_answer(struct files *files, struct span prefix, const struct http_head *request,
                  const struct http_stamp *stamp, struct files_answer *answer);

#endif
