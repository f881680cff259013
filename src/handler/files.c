/* files.c owns the way from a request's path to an open file and the head that describes it.
 * It must never reach outside the tree it was opened on, never list a directory, and never read a file's bytes. */
#include "handler/files.h"

#include "base/file.h"
#include "base/mem.h"
#include "handler/conditional.h"
#include "handler/mime.h"
#include "proto/http_answer.h"
#include "sys/beneath.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_ROOM (HTTP_TARGET_MAX + 256) /* a decoded path and the name of an index */

#define PLACE_MAX 512

struct files {
	struct handler handler; /* first: the one is the other */
	char *root;
	atomic_flag told;         /* that a link leads out */
	struct files_options own; /* when it was made for a section */
	const struct files_options *options;
};

/* A regular file, or fd -1. */
struct found {
	int fd;
	struct stat st;
	bool gzip;
	bool leads_out; /* what was looked for is elsewhere */
};

/* What one request came to, before it is written down. */
struct result {
	const struct http_head *request;
	struct opener *opener;
	char path[PATH_ROOM]; /* below the root, decoded; "" or with '/' at its end: a directory */
	bool bare;            /* the prefix itself, without the slash that makes it a directory */
	struct found found;
	bool varies; /* another coding of it stands beside it */
	time_t now;
	struct validators validators;
	struct file_part part;
};

/* Everything that a visitor could learn about the tree by an error's kind is one and the same 404. */
static int status_of_errno(int error)
{
	if (error == EAGAIN || error == EMFILE || error == ENFILE || error == ENOMEM)
		return 503;
	return error == EIO || error == ESTALE ? 500 : 404;
}

/* 200: found is a regular file. 301: a directory. Otherwise why there is nothing to send. */
static int look_up(const struct files *files, struct opener *opener, const char *path, struct found *found)
{
	found->gzip = false;
	found->fd = opener->open_below(opener, files->root, path);
	if (found->fd < 0 && errno == EISDIR)
		return 301;
	if (found->fd < 0) {
		found->leads_out = found->leads_out || errno == EXDEV;
		return status_of_errno(errno);
	}
	if (fstat(found->fd, &found->st) == 0)
		return 200;
	close(found->fd);
	found->fd = -1;
	return 500;
}

static bool segment_allowed(const char *segment, size_t len)
{
	if (len == 0 || segment[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)segment[i] < 0x20 || segment[i] == 0x7f || segment[i] == '/' || segment[i] == '\\')
			return false;
	return true;
}

/* Takes the segments of rest one by one, so that an encoded slash can't make two of one. Returns 200 or why not. */
static int decode_segments(struct span rest, char *out)
{
	while (rest.n > 0) {
		const char *slash = memchr(rest.p, '/', rest.n);
		struct span segment = { rest.p, slash == NULL ? rest.n : (size_t)(slash - rest.p) };
		long n = http_percent_decode(out, segment, false);
		if (n < 0)
			return 400;
		if (!segment_allowed(out, (size_t)n))
			return 404;
		out += n;
		if (slash != NULL)
			*out++ = '/';
		rest = span_skip(rest, segment.n + (slash != NULL));
	}
	*out = '\0';
	return 200;
}

static int map_path(struct span path, struct span prefix, struct result *result)
{
	if (path.n > HTTP_TARGET_MAX || !span_starts(path, prefix))
		return 404;
	struct span rest = span_skip(path, prefix.n), well_known = SPAN("/.well-known/");
	char *out = result->path;
	result->bare = rest.n == 0;
	out[0] = '\0';
	if (result->bare)
		return 301;
	if (rest.p[0] != '/')
		return 404;
	if (prefix.n == 0 && span_starts(rest, well_known)) { /* RFC 8615: only there may a name begin with a dot */
		memcpy(out, well_known.p + 1, well_known.n - 1);
		return decode_segments(span_skip(rest, well_known.n), out + well_known.n - 1);
	}
	return decode_segments(span_skip(rest, 1), out);
}

static bool append(char *path, size_t cap, const char *tail)
{
	size_t len = strlen(path), more = strlen(tail);
	if (len + more >= cap)
		return false;
	memcpy(path + len, tail, more + 1);
	return true;
}

static int look_up_index(const struct files *files, struct result *result)
{
	size_t base = strlen(result->path);
	for (size_t i = 0; i < files->options->index->count; i++) {
		result->path[base] = '\0';
		if (!append(result->path, sizeof(result->path), files->options->index->item[i]))
			continue;
		int status = look_up(files, result->opener, result->path, &result->found);
		if (status == 200 || status >= 500)
			return status;
	}
	return 404;
}

/* `;q=0`, `; q=0.000` and so on: the one weight that means "not at all". */
static bool weight_is_zero(struct span parameters)
{
	struct span item;
	while (span_next(&parameters, ';', &item)) {
		if (item.n < 3 || (item.p[0] | 0x20) != 'q' || item.p[1] != '=')
			continue;
		struct span weight = span_skip(item, 2);
		while (weight.n > 0 && (weight.p[0] == '0' || weight.p[0] == '.'))
			weight = span_skip(weight, 1);
		return weight.n == 0;
	}
	return false;
}

static bool accepts_gzip(const struct http_head *request)
{
	struct http_list cursor = { 0 };
	struct span element, coding;
	bool any = false;
	while (http_list_next(request, "Accept-Encoding", &cursor, &element)) {
		if (!span_next(&element, ';', &coding))
			continue;
		if (span_eq_nocase(coding, SPAN("gzip")) || span_eq_nocase(coding, SPAN("x-gzip")))
			return !weight_is_zero(element);
		if (span_eq(coding, SPAN("*")))
			any = !weight_is_zero(element);
	}
	return any;
}

static bool is_older(const struct stat *a, const struct stat *b)
{
	if (a->st_mtim.tv_sec != b->st_mtim.tv_sec)
		return a->st_mtim.tv_sec < b->st_mtim.tv_sec;
	return a->st_mtim.tv_nsec < b->st_mtim.tv_nsec;
}

/* A sibling older than its file was left behind by an edit: stale bytes would be worse than large ones. Where there is
 * a good one both answers vary, so that a cache does not give the one to who asked for the other. */
static void prefer_gzip(const struct files *files, struct result *result)
{
	char path[PATH_ROOM + 4];
	struct found sibling = { .leads_out = false };

	memcpy(path, result->path, strlen(result->path) + 1);
	if (!append(path, sizeof(path), ".gz") || look_up(files, result->opener, path, &sibling) != 200)
		return;
	result->varies = !is_older(&sibling.st, &result->found.st);
	if (!result->varies || !accepts_gzip(result->request)) {
		close(sibling.fd);
		return;
	}
	close(result->found.fd);
	result->found = sibling;
	result->found.gzip = true;
}

static int choose(const struct files *files, struct span prefix, struct result *result)
{
	const struct http_head *request = result->request;
	if (!span_eq(request->method, SPAN("GET")) && !span_eq(request->method, SPAN("HEAD")))
		return 405;
	int status = map_path(request->path, prefix, result);
	if (status != 200)
		return status;
	size_t len = strlen(result->path);
	status = len == 0 || result->path[len - 1] == '/' ? look_up_index(files, result)
	                                                  : look_up(files, result->opener, result->path, &result->found);
	if (status != 200)
		return status;
	prefer_gzip(files, result);
	validators_init(&result->validators, &result->found.st, result->found.gzip, result->now);
	return conditional_status(request, &result->validators, &result->part);
}

/* The words of an answer that is no file; an absent span when it is one. */
static struct span words_of(int status)
{
	static const struct {
		int status;
		const char *words;
	} rows[] = {
		{ 301, "The address of this directory ends with a slash." },
		{ 400, "The address of this page is malformed." },
		{ 405, "Only GET and HEAD can be used here." },
		{ 412, "The file is not in the state that was asked for." },
		{ 416, "The file has no such range." },
		{ 500, "The file can't be read." },
		{ 503, "The gateway is too busy to open the file; try again." },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return span_of(rows[i].words);
	return (struct span){ NULL, 0 };
}

static void put_option(struct http_answer *out, const char *name, const char *value)
{
	if (value[0] != '\0')
		http_answer_text(out, name, span_of(value));
}

static void put_file_fields(struct http_answer *out, const struct files_options *options, int status, const struct result *result)
{
	put_option(out, "Cache-Control", options->cache_control);
	put_option(out, "Content-Security-Policy", options->content_security_policy);
	http_answer_field(out, "ETag", "%s", result->validators.etag);
	put_option(out, "Last-Modified", result->validators.modified);
	if (result->varies)
		http_answer_field(out, "Vary", "Accept-Encoding");
	if (status == 304)
		return;
	http_answer_field(out, "Accept-Ranges", "bytes");
	if (result->found.gzip)
		http_answer_field(out, "Content-Encoding", "gzip");
	if (status == 206)
		http_answer_field(out, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, result->part.offset,
		                  result->part.offset + result->part.length - 1, result->validators.size);
	http_answer_field(out, "Content-Type", "%s", mime_type(result->path));
	http_answer_field(out, "Content-Length", "%" PRIu64, result->part.length);
}

static void write_head(const struct files *files, const struct result *result, const struct http_stamp *stamp,
                       struct answer *answer)
{
	struct http_answer out;
	struct span words = words_of(answer->status);

	http_answer_start(&out, answer->head, sizeof(answer->head), answer->status, stamp);
	if (words.p == NULL) {
		put_file_fields(&out, files->options, answer->status, result);
		http_answer_end(&out, answer->keep_alive);
	} else {
		struct span path = result->request->path, query = result->request->query;
		if (answer->status == 301)
			http_answer_field(&out, "Location", "%.*s/%s%.*s", (int)path.n, path.p, query.p != NULL ? "?" : "",
			                  (int)query.n, query.p != NULL ? query.p : "");
		if (answer->status == 416)
			http_answer_field(&out, "Content-Range", "bytes */%" PRIu64, result->validators.size);
		http_answer_words(&out, words, answer->keep_alive, span_eq(result->request->method, SPAN("HEAD")));
	}
	assert(!out.overflow); /* ANSWER_HEAD_MAX and FILES_POLICY_MAX see to it */
	answer->head_len = out.len;
}

static void files_answer(struct handler *handler, struct opener *opener, struct span prefix, const struct http_head *request,
                         const struct http_stamp *stamp, struct answer *answer)
{
	struct files *files = (struct files *)handler;
	struct result result = { .request = request, .opener = opener, .now = stamp->now, .found = { .fd = -1 } };
	int status = choose(files, prefix, &result);

	answer->status = status;
	answer->warning = result.found.leads_out && !atomic_flag_test_and_set(&files->told)
	                          ? "a link leads out of the web root and is not followed"
	                          : NULL;
	answer->keep_alive = request->keep_alive && status != 400 && status < 500;
	answer->fd = -1;
	answer->offset = result.part.offset;
	answer->length = 0;
	answer->head_len = 0;
	if (status != 404)
		write_head(files, &result, stamp, answer);

	bool sends = (status == 200 || status == 206) && !span_eq(request->method, SPAN("HEAD"));
	if (sends) {
		answer->length = result.part.length;
		answer->fd = result.found.fd;
	} else if (result.found.fd >= 0) {
		close(result.found.fd);
	}
}

static void files_close(struct handler *handler)
{
	struct files *files = (struct files *)handler;
	free(files->root);
	free(files);
}

static int look_at(const char *where, const char *path, struct err *err)
{
	struct stat st;
	int error = stat(path, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;

	return error == 0 ? 0 : err_add(err, "%s: can't open the directory %s: %s", where, path, strerror(error));
}

struct handler *files_open(const char *where, const char *path, const struct files_options *options, struct err *err)
{
	if (strlen(options->cache_control) + strlen(options->content_security_policy) > FILES_POLICY_MAX) {
		err_add(err, "%s: cache_control and content_security_policy are longer than %d bytes together", where,
		        FILES_POLICY_MAX);
		return NULL;
	}
	if (look_at(where, path, err) != 0)
		return NULL;

	struct files *files = mem_zalloc(sizeof(*files));
	files->handler.ops = &handler_files;
	files->root = mem_strdup(path);
	atomic_flag_clear(&files->told);
	files->options = options;
	return &files->handler;
}

/* For a section with a root. */
static int files_open_for(struct handler **handler, const struct handler_options *options, struct err *err)
{
	struct files_options own = { *options->cache_control, *options->content_security_policy, options->index };
	char place[PLACE_MAX];
	if ((*options->root)[0] == '\0')
		return 0;
	options->place(options->section, options->root, place, sizeof(place));
	*handler = files_open(place, *options->root, &own, err);
	if (*handler == NULL)
		return -1;
	struct files *files = (struct files *)*handler;
	files->own = own;
	files->options = &files->own;
	return 0;
}

const struct handler_ops handler_files = { .open = files_open_for, .answer = files_answer, .close = files_close };
