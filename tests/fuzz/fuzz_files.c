/* fuzz_files.c owns what a request for a static file may come to: nothing outside of the tree, and a head that is well-formed.
 * It must never leave its tree behind: it lies in TMPDIR and goes with the process. */
#include "check.h"
#include "handler/handler.h"
#include "sys/beneath.h"

#include <fcntl.h>
#include <limits.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_LIMIT 8192

struct tree {
	char base[128], root[160];
	struct handler *files;
};

/* What stands in the tree; a name that ends with '/' is a directory, one with '>' a link to what follows. */
static const char *const names[] = {
	"root/", "root/sub/", "root/empty/", "root/index.html", "root/vnc.html", "root/a b.js", "root/sub/index.html",
	"root/vnc.html.gz", "root/.hidden", "secret", "root/inside>vnc.html", "root/outside>../secret", "root/absolute>/etc",
};

static struct tree *the_tree(void)
{
	static struct tree tree;

	return &tree;
}

static void put_name(const char *base, const char *name)
{
	const char *target = strchr(name, '>');
	char path[512];

	snprintf(path, sizeof(path), "%s/%.*s", base, target != NULL ? (int)(target - name) : (int)strlen(name), name);
	if (target != NULL)
		CHECK(symlink(target + 1, path) == 0);
	else if (path[strlen(path) - 1] == '/')
		CHECK(mkdir(path, 0700) == 0);
	else {
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10 && close(fd) == 0);
	}
}

static void remove_tree(void)
{
	struct tree *tree = the_tree();

	tree->files->ops->close(tree->files);
	for (size_t i = ARRAY_LEN(names); i-- > 0;) {
		const char *target = strchr(names[i], '>');
		char path[512];
		snprintf(path, sizeof(path), "%s/%.*s", tree->base,
		         target != NULL ? (int)(target - names[i]) : (int)strlen(names[i]), names[i]);
		remove(path);
	}
	rmdir(tree->base);
}

static void put_place(const void *section, const void *field, char *out, size_t cap)
{
	(void)section;
	(void)field;
	snprintf(out, cap, "fuzz_files");
}

static void make_tree(struct tree *tree)
{
	static char index_name[] = "index.html", cache_control[] = "no-cache", policy[] = "default-src 'self'";
	static char *items[] = { index_name }, *root, *fields[] = { cache_control, policy };
	static const struct str_list index = { items, 1 };
	const struct handler_options options = {
		.place = put_place,
		.root = &root,
		.index = &index,
		.cache_control = &fields[0],
		.content_security_policy = &fields[1],
	};
	const char *where = getenv("TMPDIR");
	char real[PATH_MAX];
	struct err err;

	err_init(&err);
	CHECK(realpath(where != NULL ? where : "/tmp", real) != NULL);
	snprintf(tree->base, sizeof(tree->base), "%.100s/fuzz_files.XXXXXX", real);
	CHECK(mkdtemp(tree->base) != NULL);
	atexit(remove_tree);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put_name(tree->base, names[i]);
	snprintf(tree->root, sizeof(tree->root), "%s/root", tree->base);
	root = tree->root;
	CHECK(handler_files.open(&tree->files, &options, &err) == 0 && tree->files != NULL);
}

static void check_descriptor(const struct tree *tree, const struct answer *answer)
{
	char link[64], path[PATH_MAX] = "";
	struct stat st;
	size_t n = strlen(tree->root);

	snprintf(link, sizeof(link), "/proc/self/fd/%d", answer->fd);
	CHECK(readlink(link, path, sizeof(path) - 1) > 0);
	CHECK(strncmp(path, tree->root, n) == 0 && path[n] == '/' && strstr(path + n, "/.") == NULL);
	CHECK(fstat(answer->fd, &st) == 0 && S_ISREG(st.st_mode));
	CHECK(answer->offset + answer->length <= (uint64_t)st.st_size);
	close(answer->fd);
}

static void check_head(const struct answer *answer)
{
	const char *head = answer->head;
	size_t n = answer->head_len;

	CHECK(n > 12 && n <= ANSWER_HEAD_MAX && strncmp(head, "HTTP/1.1 ", 9) == 0 && atoi(head + 9) == answer->status);
	const char *end = memmem(head, n, "\r\n\r\n", 4);
	CHECK(end != NULL);
	for (size_t i = 0; i < (size_t)(end - head) + 4; i++)
		CHECK((head[i] == '\n') == (i > 0 && head[i - 1] == '\r') && head[i] != '\0');
}

/* A slash that came encoded parts nothing: it would belong to a name, and no name has one. */
static bool has_encoded_slash(struct span path)
{
	for (size_t i = 0; i + 3 <= path.n; i++)
		if (strncasecmp(path.p + i, "%2f", 3) == 0)
			return true;
	return false;
}

static void check_answer(const struct tree *tree, struct span prefix, const struct http_head *request)
{
	static const int statuses[] = { 200, 206, 301, 304, 400, 404, 405, 412, 416 };
	static const struct http_stamp stamp = { .now = 784111777 };
	struct answer answer;
	bool known = false;

	tree->files->ops->answer(tree->files, &beneath_opener, prefix, request, &stamp, &answer);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		known |= statuses[i] == answer.status;
	CHECK(known);
	if (answer.status == 404)
		CHECK(answer.head_len == 0);
	else
		check_head(&answer);
	if (answer.fd >= 0)
		check_descriptor(tree, &answer);
	CHECK(answer.fd < 0 || answer.status == 200 || answer.status == 206);
	CHECK(!has_encoded_slash(request->path) || answer.status == 400 || answer.status == 404 || answer.status == 405);
}

/* Decoding takes an escape for each byte that has one, and nothing else changes. */
static void check_decoding(struct span path)
{
	char *out = malloc(path.n + 1);
	long len = http_percent_decode(out, path, false);
	size_t at = 0;

	CHECK(len < 0 || (len <= (long)path.n && strlen(out) == (size_t)len));
	for (long i = 0; i < len; i++, at++) {
		char digits[3] = { 0 };
		if (path.p[at] == '%') {
			memcpy(digits, path.p + at + 1, 2);
			at += 2;
			CHECK(strspn(digits, "0123456789abcdefABCDEF") == 2);
			CHECK((unsigned char)out[i] == strtoul(digits, NULL, 16));
		} else {
			CHECK(out[i] == path.p[at]);
		}
	}
	CHECK(len < 0 || at == path.n);
	free(out);
}

/* A request head. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head;
	struct tree *tree = the_tree();
	size_t scanned = 0;
	int len = http_head_length((const char *)data, size, HEAD_LIMIT, &scanned);

	if (tree->files == NULL)
		make_tree(tree);
	if (len <= 0)
		return 0;
	char *copy = exact_copy(data, (size_t)len);
	if (http_parse_head(&head, copy, (size_t)len) == 0) {
		check_decoding(head.path);
		check_answer(tree, SPAN(""), &head);
		check_answer(tree, SPAN("/vnc"), &head);
	}
	free(copy);
	return 0;
}
