/* files.c owns the handler of static files: the way from a request's path to an open file below a web root, and the head that
 * describes it. It must never reach outside the tree, never list a directory, and never read a file's bytes.
 *
 * Symbolic links are followed as long as they stay in the tree, as vnc_auto.html -> vnc.html of Debian's novnc does, absolute
 * ones too (sys/beneath.h). A link out of it is 404 even where the file is readable: a web root says what may be read, and a link
 * that a package or a user left there must not widen it. What such a link was for is a further route with a root of its own.
 *
 * Which file: GET and HEAD only, else 405 with Allow. Each segment is percent-decoded once, by itself; a malformed escape or an
 * encoded NUL is 400. Empty segments, those that begin with a dot (so `.`, `..` and dot-files, but for /.well-known/ of RFC
 * 8615), and those with a '/', '\\' or control byte once decoded are 404: `/a%2fb` must not get round a route for
 * `/a/<anything>`. A directory without a slash at its end is 301 to the same path with it, query kept (path only, never
 * `//host`); with one it is its index, else 404: there is no listing. Only regular files are sent; whatever else there is, or may
 * not be read, is 404. If a `name.gz` no older than the file stands beside it, the answer has Vary, and a request that accepts
 * gzip gets that one, with Content-Encoding. What of it is sent: handler/conditional.h. The head has Date, ETag, Last-Modified but
 * for the epoch, the options' texts, X-Content-Type-Options and a type by the suffix, for text with charset=utf-8. */
#include "handler/handler.h"

#include "base/file.h"
#include "base/mem.h"
#include "handler/conditional.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM  (HTTP_TARGET_MAX + 256) /* a decoded path and the name of an index */
#define POLICY_MAX 4096                    /* bytes of cache_control and content_security_policy together */
#define PLACE_MAX  512

struct files {
	struct handler handler; /* first: the one is the other */
	struct handler_options options;
	atomic_flag told; /* that a link leads out */
};

/* A regular file, or fd -1. */
struct found {
	int fd;
	struct stat st;
	bool leads_out; /* what was looked for is elsewhere */
};

/* What one request came to, before it is written down. */
struct result {
	const struct http_head *request;
	struct opener *opener;
	char path[PATH_ROOM]; /* below the root, decoded; "" or with '/' at its end: a directory */
	struct found found;
	bool gzip, varies; /* which coding it has; another one stands beside it */
	time_t now;
	struct validators validators;
	struct file_part part;
};

/* 200: found is a regular file. 301: a directory. Otherwise why there is nothing to send: everything that a visitor could learn
 * about the tree by an error's kind is one and the same 404. */
static int look_up(const struct files *files, struct opener *opener, const char *path, struct found *found)
{
	found->fd = opener->open_below(opener, *files->options.root, path);
	if (found->fd >= 0 && fstat(found->fd, &found->st) == 0)
		return 200;
	if (found->fd >= 0) {
		close(found->fd);
		found->fd = -1;
		return 500;
	}
	if (errno == EISDIR)
		return 301;
	found->leads_out = found->leads_out || errno == EXDEV;
	if (errno == EAGAIN || errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return 503;
	return errno == EIO || errno == ESTALE ? 500 : 404;
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
	if (rest.n == 0)
		return 301; /* the prefix itself, without the slash that makes it a directory */
	if (rest.p[0] != '/')
		return 404;
	if (prefix.n == 0 && span_starts(rest, well_known)) { /* RFC 8615: only there may a name begin with a dot */
		memcpy(out, well_known.p + 1, well_known.n - 1);
		return decode_segments(span_skip(rest, well_known.n), out + well_known.n - 1);
	}
	return decode_segments(span_skip(rest, 1), out);
}

static int look_up_index(const struct files *files, struct result *result)
{
	const struct str_list *names = files->options.index;
	size_t base = strlen(result->path), room = sizeof(result->path) - base;
	for (size_t i = 0; i < names->count; i++) {
		if ((size_t)snprintf(result->path + base, room, "%s", names->item[i]) >= room)
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
	while (span_next(&parameters, ';', &item))
		if (item.n >= 3 && (item.p[0] | 0x20) == 'q' && item.p[1] == '=')
			return span_made_of(span_skip(item, 2), "0.");
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
	return a->st_mtim.tv_sec < b->st_mtim.tv_sec ||
	       (a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec < b->st_mtim.tv_nsec);
}

/* A sibling older than its file was left behind by an edit: stale bytes would be worse than large ones. Where there is a good one
 * both answers vary, so that a cache does not give the one to who asked for the other. */
static void prefer_gzip(const struct files *files, struct result *result)
{
	char path[PATH_ROOM + 4];
	struct found sibling = { .leads_out = false };

	snprintf(path, sizeof(path), "%s.gz", result->path);
	if (look_up(files, result->opener, path, &sibling) != 200)
		return;
	result->varies = !is_older(&sibling.st, &result->found.st);
	if (!result->varies || !accepts_gzip(result->request)) {
		close(sibling.fd);
		return;
	}
	close(result->found.fd);
	result->found = sibling;
	result->gzip = true;
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
	validators_init(&result->validators, &result->found.st, result->gzip, result->now);
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

/* A value for Content-Type by the suffix, charset included for text. */
static const char *mime_type(const char *path)
{
	static const struct {
		const char *type, *suffixes;
	} rows[] = {
		{ "text/html; charset=utf-8", "html htm" },
		{ "text/javascript; charset=utf-8", "js mjs" },
		{ "text/css; charset=utf-8", "css" },
		{ "text/plain; charset=utf-8", "txt" },
		{ "text/markdown; charset=utf-8", "md" },
		{ "text/csv; charset=utf-8", "csv" },
		{ "application/json", "json map" },
		{ "application/manifest+json", "webmanifest" },
		{ "application/wasm", "wasm" },
		{ "application/xml", "xml" },
		{ "application/xhtml+xml", "xhtml" },
		{ "application/pdf", "pdf" },
		{ "application/gzip", "gz" },
		{ "application/zip", "zip" },
		{ "image/svg+xml", "svg" },
		{ "image/png", "png" },
		{ "image/jpeg", "jpg jpeg" },
		{ "image/gif", "gif" },
		{ "image/webp", "webp" },
		{ "image/avif", "avif" },
		{ "image/bmp", "bmp" },
		{ "image/vnd.microsoft.icon", "ico cur" },
		{ "font/woff", "woff" },
		{ "font/woff2", "woff2" },
		{ "font/ttf", "ttf" },
		{ "font/otf", "otf" },
		{ "audio/mpeg", "mp3" },
		{ "audio/ogg", "oga ogg" },
		{ "audio/wav", "wav" },
		{ "video/mp4", "mp4" },
		{ "video/webm", "webm" },
		{ "video/ogg", "ogv" },
	};
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	for (size_t i = 0; i < ARRAY_LEN(rows) && dot != NULL && (slash == NULL || dot > slash); i++)
		for (struct span rest = span_of(rows[i].suffixes), suffix; span_next(&rest, ' ', &suffix);)
			if (span_eq_nocase(suffix, span_of(dot + 1)))
				return rows[i].type;
	return "application/octet-stream";
}

static void put_text(struct http_answer *out, const char *name, const char *value)
{
	if (value[0] != '\0')
		http_answer_text(out, name, span_of(value));
}

static void put_file_fields(struct http_answer *out, const struct handler_options *options, int status,
                            const struct result *result)
{
	put_text(out, "Cache-Control", *options->cache_control);
	put_text(out, "Content-Security-Policy", *options->content_security_policy);
	http_answer_field(out, "ETag", "%s", result->validators.etag);
	put_text(out, "Last-Modified", result->validators.modified);
	if (result->varies)
		http_answer_field(out, "Vary", "Accept-Encoding");
	if (status == 304)
		return;
	http_answer_field(out, "Accept-Ranges", "bytes");
	if (result->gzip)
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
		put_file_fields(&out, &files->options, answer->status, result);
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
	assert(!out.overflow); /* ANSWER_HEAD_MAX and POLICY_MAX see to it */
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
	answer->head_len = 0;
	if (status != 404)
		write_head(files, &result, stamp, answer);

	bool sends = (status == 200 || status == 206) && !span_eq(request->method, SPAN("HEAD"));
	answer->fd = sends ? result.found.fd : -1;
	answer->offset = result.part.offset;
	answer->length = sends ? result.part.length : 0;
	if (!sends && result.found.fd >= 0)
		close(result.found.fd);
}

static void files_close(struct handler *handler)
{
	free(handler);
}

static int files_open(struct handler **handler, const struct handler_options *options, struct err *err)
{
	const char *root = *options->root;
	char place[PLACE_MAX];
	struct stat st;

	if (root[0] == '\0')
		return 0;
	options->place(options->section, options->root, place, sizeof(place));
	if (strlen(*options->cache_control) + strlen(*options->content_security_policy) > POLICY_MAX)
		return err_add(err, "%s: cache_control and content_security_policy are longer than %d bytes together", place,
		               POLICY_MAX);
	int error = stat(root, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
	if (error != 0)
		return err_add(err, "%s: can't open the directory %s: %s", place, root, strerror(error));

	struct files *files = mem_zalloc(sizeof(*files));
	files->handler.ops = &handler_files;
	files->options = *options;
	atomic_flag_clear(&files->told);
	*handler = &files->handler;
	return 0;
}

const struct handler_ops handler_files = { .open = files_open, .answer = files_answer, .close = files_close };
