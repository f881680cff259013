/* What answers the plain requests of a route, those that are no upgrade. A handler knows nothing of connections: it turns a
 * request into a status, a head and, perhaps, an open descriptor with a range of bytes to send. Each kind is a file
 * handler/NAME.c, which has a struct handler_ops handler_NAME, and its rows in handler.def. */
#pragma once

#include "base/conf_types.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/http.h"
#include "proto/http_answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_HEAD_MAX 8192

struct answer {
	int status;
	char head[ANSWER_HEAD_MAX]; /* a complete response head, and the words behind it if there is no file to send */
	size_t head_len;
	int fd;                  /* the file, now the receiver's; -1: no body from a file (HEAD, 304, errors) */
	uint64_t offset, length; /* what to send of it */
	bool keep_alive;         /* what the head said */
	const char *warning;     /* for the log, with the request's path; or NULL */
};

struct handler {
	const struct handler_ops *ops;
};

struct opener; /* base/file.h: opens files for the calling thread */

/* What a section says to its handler: pointers to its fields, which outlive it; and, for complaints, where it says that. */
struct handler_options {
	const void *section;
	void (*place)(const void *section, const void *field, char *out, size_t cap); /* conf_place() */
#define OPT(name, type, ...) CONF_##type const *name;
#include "handler/handler.def"
#undef OPT
};

struct handler_ops {
	/* Makes the handler of the section whose options these are; *handler stays NULL: they ask for none of this kind. -1 and a
	 * complaint on failure. */
	int (*open)(struct handler **handler, const struct handler_options *options, struct err *err);
	/* prefix is what the route's path has in front of what the handler serves: for `/vnc/<anything>` it is "/vnc", for exact
	 * paths and `/<anything>` "". It is compared with the path as it came. Never fails: trouble is a status. With 404 there
	 * is no head: its caller answers as when there is no such route, and who asks can't tell the two. Any thread. */
	void (*answer)(struct handler *handler, struct opener *opener, struct span prefix, const struct http_head *request,
	               const struct http_stamp *stamp, struct answer *answer);
	void (*close)(struct handler *handler);
};

#define OPT(...)
#define HANDLER(name) extern const struct handler_ops handler_##name;
#include "handler/handler.def"
#undef OPT
