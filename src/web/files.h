/* Static files of a web root: which file a path names, and the head of the answer. Knows nothing of connections: it turns
 * a request into a status, a head and, perhaps, an open descriptor with a range of bytes to send. */
#ifndef WEB_FILES_H
#define WEB_FILES_H

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/http.h"

#include <stddef.h>
#include <stdint.h>

struct files_options {
	const char *cache_control;           /* "" leaves the field out; default no-cache */
	const char *content_security_policy; /* "" leaves the field out */
	const struct str_list *index;        /* names tried in a directory, in order */
};

struct files; /* a web root; immutable, shared by all threads */

/* Opens the directory (O_PATH): later the whole tree is reached from this descriptor alone, by openat2 with
 * RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS. options is copied by reference and must outlive it. Complains with where, path and cause. */
struct files *files_open(const char *where, const char *path, const struct files_options *options, struct err *err) must_check;
void files_close(struct files *files); /* NULL is allowed */

#define FILES_HEAD_MAX 2048

struct files_answer {
	int status;                 /* 200, 206, 301, 304, 400, 404, 405, 416, 500, 503 */
	char head[FILES_HEAD_MAX];  /* a complete response head, Content-Length and Connection included */
	size_t head_len;
	int fd;                     /* the file, now the receiver's; -1: no body from a file (HEAD, 304, errors) */
	uint64_t offset, length;    /* what to send of it */
	const char *body;           /* a short static text body, NULL if none; with its length in body_len */
	size_t body_len;
	bool keep_alive;            /* what the head said */
};

/* prefix is what the route's path has in front of the tree: for `/vnc/<anything>` it is "/vnc", for exact paths and `/<anything>` "".
 * GET and HEAD only, else 405 with Allow. Percent-decoded once; NUL, '\\', `..` segments, and dot-files are 404. A directory without a slash at
 * its end is 301 to the same path with it (path only, never `//host`), with one it is its index, else 404: there is no listing. Regular
 * files only. ETag (size, mtime with nanoseconds), Last-Modified, If-None-Match before If-Modified-Since, one byte range with If-Range (several ranges: the whole
 * file), X-Content-Type-Options, MIME type by suffix (text/javascript for .js and .mjs, application/wasm, json, svg, fonts ...), charset=utf-8 for text. If a
 * request accepts gzip and `name.gz` stands beside the file, that is sent with Content-Encoding and Vary. Never fails: trouble is a status. */
void files_answer(const struct files *files, struct span prefix, const struct http_head *request, struct files_answer *answer);

#endif
