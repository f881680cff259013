/* Which file a request gets, and what stands in the head of the answer: the tree is real, the requests are text. */
#include "handler/handler.h"

#include "sys/beneath.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define HEAD_LIMIT 8192

#define CANARY "outside the tree"

/* One tree for the whole run: BASE/tree is the root, BASE/outside and BASE/tree-twin are what must not be reached. */
struct fixture {
	char base[64];
	char *index_names[2];
	struct str_list index;
	char *root, *cache_control, *content_security_policy;
	struct handler_options options;
	struct handler *files;
	struct http_head request;
	char text[HEAD_LIMIT];
	char tag[64]; /* what stands for `@` in the fields of a request */
	struct answer answer;
};

/* --- the tree ------------------------------------------------------------------------------------------------------
 */

static void set_time(struct fixture *f, const char *path, struct timespec time)
{
	char *full = mem_printf("%s/%s", f->base, path);
	struct timespec times[2] = {time, time};
	assert_int_equal(utimensat(AT_FDCWD, full, times, 0), 0);
	free(full);
}

static void put_file(struct fixture *f, const char *path, const char *content)
{
	char *full = mem_printf("%s/%s", f->base, path);
	FILE *out = fopen(full, "w");
	assert_non_null(out);
	fputs(content, out);
	assert_int_equal(fclose(out), 0);
	free(full);
	set_time(f, path, (struct timespec){784111777, 5}); /* Sun, 06 Nov 1994 08:49:37 GMT, and a bit */
}

static void put_dir(struct fixture *f, const char *path)
{
	char *full = mem_printf("%s/%s", f->base, path);
	assert_int_equal(mkdir(full, 0755), 0);
	free(full);
}

static void put_link(struct fixture *f, const char *target, const char *path)
{
	char *full = mem_printf("%s/%s", f->base, path);
	assert_int_equal(symlink(target, full), 0);
	free(full);
}

static void put_special_files(struct fixture *f)
{
	char *path = mem_printf("%s/tree/fifo", f->base);
	assert_int_equal(mkfifo(path, 0644), 0);
	free(path);

	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/tree/socket", f->base);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void put_links(struct fixture *f)
{
	put_link(f, "vnc.html", "tree/auto.html");
	put_link(f, "../vnc.html", "tree/app/up.html");
	put_link(f, "app", "tree/link-to-dir");
	put_link(f, "../outside/secret.txt", "tree/escape-relative.txt");
	put_link(f, "../outside", "tree/escape-dir");
	put_link(f, "/etc/passwd", "tree/escape-absolute");
	put_link(f, "/", "tree/escape-root");
	put_link(f, "/proc/self/root", "tree/escape-magic");
	put_link(f, "/proc/self/cwd", "tree/escape-cwd");
	put_link(f, "loop", "tree/loop");
	put_link(f, "nowhere", "tree/dangling");
	put_link(f, "absolute-inside.html", "tree/to-absolute.html");
	put_link(f, "absolute-dir", "tree/to-dir");
	put_link(f, "absolute-loop", "tree/to-loop");
	static const char *const absolute[][2] = {
	        {"tree/vnc.html", "tree/absolute-inside.html"}, {"tree/app", "tree/absolute-dir"},
	        {"alias/app/../vnc.html", "tree/absolute-alias.html"}, {"tree/to-loop", "tree/absolute-loop"},
	        {"tree-twin/secret.txt", "tree/absolute-twin"}, {"tree/../outside/secret.txt", "tree/absolute-up"},
	        {"tree", "tree/absolute-self"},
	};
	for (size_t i = 0; i < ARRAY_LEN(absolute); i++) {
		char *full = mem_printf("%s/%s", f->base, absolute[i][0]);
		put_link(f, full, absolute[i][1]);
		free(full);
	}
}

static void put_tree(struct fixture *f)
{
	put_dir(f, "tree");
	put_dir(f, "tree/app");
	put_dir(f, "tree/app/empty");
	put_dir(f, "tree/.git");
	put_dir(f, "tree/fake");
	put_dir(f, "tree/fake/index.html");
	put_dir(f, "outside");
	put_dir(f, "tree-twin");
	put_link(f, "tree", "alias");
	put_file(f, "outside/secret.txt", CANARY);
	put_file(f, "tree-twin/secret.txt", CANARY);
	put_file(f, "tree/.htpasswd", CANARY);
	put_file(f, "tree/.git/config", CANARY);
	put_file(f, "tree/app/.hidden", CANARY);
	put_dir(f, "tree/.well-known");
	put_dir(f, "tree/app/.well-known");
	put_file(f, "tree/.well-known/.hidden", CANARY);
	put_file(f, "tree/app/.well-known/x", CANARY);
	put_file(f, "tree/.well-known/security.txt", "Contact: us");
	put_file(f, "tree/vnc.html", "<html>0123456789");
	put_file(f, "tree/app/index.html", "app index");
	put_file(f, "tree/app/ui.js", "0123456789");
	put_file(f, "tree/app/ui.js.gz", "gzipped");
	put_file(f, "tree/app/stale.js", "fresh");
	put_file(f, "tree/app/with space.txt", "space");
	put_file(f, "tree/app/empty.txt", "");
	put_file(f, "tree/a\\b.txt", CANARY);
	put_links(f);
	put_special_files(f);
}

static void put_place(const void *section, const void *field, char *out, size_t cap)
{
	(void)section;
	(void)field;
	snprintf(out, cap, "[route x]");
}

/* The handler of another root. */
static struct handler *open_root(struct fixture *f, const char *root, struct err *err)
{
	char *own = f->root;
	struct handler *files = NULL;
	err_init(err);
	f->root = (char *)root;
	int status = handler_files.open(&files, &f->options, err);
	f->root = own;
	assert_int_equal(status, err->count == 0 ? 0 : -1);
	return files;
}

static int tree_setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	*state = f;
	snprintf(f->base, sizeof(f->base), "/tmp/test_files.XXXXXX");
	if (mkdtemp(f->base) == NULL)
		return -1;
	put_tree(f);
	f->index_names[0] = mem_strdup("index.html");
	f->index_names[1] = mem_strdup("vnc.html");
	f->index = (struct str_list){f->index_names, 2};
	f->cache_control = (char *)"no-cache";
	f->content_security_policy = (char *)"default-src 'self'";
	f->root = mem_printf("%s/alias", f->base); /* a link, as /srv/current is: both names of the tree lead into it */
	f->options = (struct handler_options){.place = put_place,
	                                      .root = &f->root,
	                                      .index = &f->index,
	                                      .cache_control = &f->cache_control,
	                                      .content_security_policy = &f->content_security_policy};
	struct err err;
	f->files = open_root(f, f->root, &err);
	f->answer.fd = -1;
	return f->files == NULL ? -1 : 0;
}

static int tree_teardown(void **state)
{
	struct fixture *f = *state;
	char *command = mem_printf("rm -rf '%s'", f->base);
	int rc = system(command);
	free(command);
	f->files->ops->close(f->files);
	free(f->root);
	free(f->index_names[0]);
	free(f->index_names[1]);
	free(f);
	return rc;
}

/* --- asking --------------------------------------------------------------------------------------------------------
 */

static int open_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void drop_answer(struct fixture *f)
{
	if (f->answer.fd >= 0)
		close(f->answer.fd);
	f->answer.fd = -1;
}

static int put_tagged(struct fixture *f, int len, const char *fields)
{
	for (; *fields != '\0'; fields++)
		len += snprintf(f->text + len, sizeof(f->text) - (size_t)len, *fields == '@' ? "%s" : "%.1s",
		                *fields == '@' ? f->tag : fields);
	return len;
}

/* fields: whole lines with their CRLF. */
static void ask_as(struct fixture *f, const char *prefix, const char *method, const char *target, const char *fields)
{
	drop_answer(f);
	int len = snprintf(f->text, sizeof(f->text), "%s %s HTTP/1.1\r\nHost: h\r\n", method, target);
	len = put_tagged(f, len, fields);
	len += snprintf(f->text + len, sizeof(f->text) - (size_t)len, "\r\n");
	assert_int_equal(http_parse_head(&f->request, f->text, (size_t)len), 0);
	int before = open_descriptors();
	const struct http_stamp stamp = { .now = time(NULL) };
	f->files->ops->answer(f->files, &beneath_opener, span_of(prefix), &f->request, &stamp, &f->answer);
	assert_int_equal(open_descriptors() - before, f->answer.fd >= 0 ? 1 : 0);
}

static void ask(struct fixture *f, const char *target, const char *fields)
{
	ask_as(f, "", "GET", target, fields);
}

/* The value of a field of the answer's head, in a buffer that the next call reuses; NULL when it is not there. */
static const char *field(struct fixture *f, const char *name)
{
	const char *at = f->answer.head, *blank = memmem(at, f->answer.head_len, "\r\n\r\n", 4);
	const char *end = blank != NULL ? blank + 2 : at;
	size_t name_len = strlen(name);
	while (at < end) {
		const char *eol = memmem(at, (size_t)(end - at), "\r\n", 2);
		assert_non_null(eol);
		if ((size_t)(eol - at) > name_len + 1 && memcmp(at, name, name_len) == 0 && at[name_len] == ':') {
			size_t n = (size_t)(eol - at) - name_len - 2;
			memcpy(f->text, at + name_len + 2, n);
			f->text[n] = '\0';
			return f->text;
		}
		at = eol + 2;
	}
	return NULL;
}

static void learn_tag(struct fixture *f, const char *target, const char *fields)
{
	ask(f, target, fields);
	snprintf(f->tag, sizeof(f->tag), "%s", field(f, "ETag"));
}

static void check_field(struct fixture *f, const char *name, const char *want)
{
	const char *got = field(f, name);
	if (want == NULL) {
		assert_null(got);
	} else {
		assert_non_null(got);
		assert_string_equal(got, want);
	}
}

static void check_body(struct fixture *f, const char *want)
{
	char got[256];
	assert_true(f->answer.fd >= 0);
	assert_true(f->answer.length < sizeof(got));
	ssize_t n = pread(f->answer.fd, got, (size_t)f->answer.length, (off_t)f->answer.offset);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(got, want, strlen(want));
	char length[24];
	snprintf(length, sizeof(length), "%zu", strlen(want));
	check_field(f, "Content-Length", length);
}

/* What stands behind the blank line. */
static struct span words(const struct fixture *f)
{
	const char *end = memmem(f->answer.head, f->answer.head_len, "\r\n\r\n", 4);
	assert_non_null(end);
	return (struct span){ end + 4, f->answer.head_len - (size_t)(end + 4 - f->answer.head) };
}

static void check_status(struct fixture *f, int want)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "HTTP/1.1 %d ", want);
	if (f->answer.status != want)
		print_error("%s", f->text);
	assert_int_equal(f->answer.status, want);
	if (want == 404)
		assert_int_equal(f->answer.head_len, 0); /* the caller's to answer */
	else
		assert_memory_equal(f->answer.head, line, (size_t)n);
	if (want != 200 && want != 206)
		assert_int_equal(f->answer.fd, -1);
}

static void check_child(pid_t child)
{
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- opening -------------------------------------------------------------------------------------------------------
 */

static void test_open_complains(void **state)
{
	struct fixture *f = *state;
	struct err err;
	assert_null(open_root(f, "/nonexistent/web", &err));
	assert_string_equal(err.text,
	                    "[route x]: can't open the directory /nonexistent/web: No such file or directory");

	assert_null(open_root(f, "/etc/passwd", &err));
	assert_non_null(strstr(err.text, "Not a directory"));

	assert_null(open_root(f, "", &err)); /* which is none */
	assert_int_equal(err.count, 0);
}

static void test_open_refuses_endless_policy(void **state)
{
	struct fixture *f = *state;
	char policy[4096 + 1], *kept = f->content_security_policy; /* with cache_control too long by that */
	struct err err;

	memset(policy, 'x', sizeof(policy) - 1);
	policy[sizeof(policy) - 1] = '\0';
	f->content_security_policy = policy;
	assert_null(open_root(f, f->base, &err));
	f->content_security_policy = kept;
	assert_int_equal(err.count, 1);
}

/* A kernel that has no openat2 must be told at start-up, not by a 404 for every file. */
static void test_open_without_openat2(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		struct sock_filter code[] = {
		        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		struct sock_fprog program = {ARRAY_LEN(code), code};
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
			_exit(2);
		_exit(beneath_probe() != 0 && errno == ENOSYS ? 0 : 1);
	}
	check_child(child);
}

/* --- which file ----------------------------------------------------------------------------------------------------
 */

static void test_sends_files(void **state)
{
	static const struct {
		const char *prefix, *target, *body;
	} rows[] = {
	        {"", "/vnc.html", "<html>0123456789"},
	        {"", "/vnc.html?autoconnect=1&path=%2e%2e", "<html>0123456789"},
	        {"", "http://h/vnc.html", "<html>0123456789"},
	        {"", "/app/ui.js", "0123456789"},
	        {"", "/%61pp/u%69.js", "0123456789"},
	        {"", "/app/with%20space.txt", "space"},
	        {"", "/app/empty.txt", ""},
	        {"", "/", "<html>0123456789"},
	        {"", "/app/", "app index"},
	        {"/vnc", "/vnc/", "<html>0123456789"},
	        {"/vnc", "/vnc/app/ui.js", "0123456789"},
	        {"/app", "/app/app/ui.js", "0123456789"},
	        {"/a%20b", "/a%20b/vnc.html", "<html>0123456789"},
	        {"", "/auto.html", "<html>0123456789"},
	        {"", "/app/up.html", "<html>0123456789"},
	        {"", "/link-to-dir/ui.js", "0123456789"},
	        {"", "/link-to-dir/", "app index"},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask_as(f, rows[i].prefix, "GET", rows[i].target, "");
		check_status(f, 200);
		check_body(f, rows[i].body);
	}
}

/* What must lead nowhere. The parser refuses some of these first, which is as good. */
static const char *const traversals[] = {
        "/../outside/secret.txt",
        "/../../../../../../../../etc/passwd",
        "/app/../../outside/secret.txt",
        "/app/../vnc.html",
        "/..",
        "/../",
        "/.",
        "/./",
        "/./vnc.html",
        "/app/.",
        "/app/..",
        "/app/./ui.js",
        "/.../outside/secret.txt",
        "/..../secret.txt",
        "/..;/outside/secret.txt",
        "/..?/outside/secret.txt",
        "/%2e%2e/outside/secret.txt",
        "/%2E%2E/outside/secret.txt",
        "/%2e./outside/secret.txt",
        "/.%2e/outside/secret.txt",
        "/..%2foutside/secret.txt",
        "/..%2Foutside%2Fsecret.txt",
        "/%2e%2e%2foutside%2fsecret.txt",
        "/app%2f..%2f..%2foutside%2fsecret.txt",
        "/app%2fui.js",
        "/app%2F",
        "/%2f",
        "/%2fetc/passwd",
        "/%2f%2fetc%2fpasswd",
        "/%2e%2e%5coutside%5csecret.txt",
        "/..%5coutside/secret.txt",
        "/..\\outside\\secret.txt",
        "/\\..\\outside\\secret.txt",
        "/%5c../outside/secret.txt",
        "/a\\b.txt",
        "/a%5cb.txt",
        "/%252e%252e/outside/secret.txt",
        "/%252e%252e%252foutside%252fsecret.txt",
        "/..%252foutside/secret.txt",
        "/%25%32%65%25%32%65/outside/secret.txt",
        "/%c0%ae%c0%ae/outside/secret.txt",
        "/%c0%ae%c0%ae%c0%afoutside%c0%afsecret.txt",
        "/..%c0%afoutside/secret.txt",
        "/%e0%80%ae%e0%80%ae/outside/secret.txt",
        "/%f0%80%80%ae./outside/secret.txt",
        "/%u002e%u002e/outside/secret.txt",
        "/%uff0e%uff0e/outside/secret.txt",
        "/%ef%bc%8e%ef%bc%8e/outside/secret.txt",
        "/..%00/outside/secret.txt",
        "/vnc.html%00",
        "/vnc.html%00.png",
        "/%00",
        "/../outside/secret.txt%00.html",
        "/vnc.html%0a",
        "/vnc.html%0d%0aX:%20y",
        "/%7f",
        "/%09",
        "/%",
        "/%2",
        "/%zz",
        "/vnc.html%",
        "/%2%65%2%65/outside/secret.txt",
        "//etc/passwd",
        "///etc/passwd",
        "//",
        "//vnc.html",
        "/app//ui.js",
        "/app/ui.js//",
        "/vnc.html/",
        "/vnc.html/x",
        "/vnc.html/../vnc.html",
        "/etc/passwd",
        "/~root/.bashrc",
        "/.htpasswd",
        "/%2ehtpasswd",
        "/.git/config",
        "/.git/",
        "/.git",
        "/app/.hidden",
        "/app/%2ehidden",
        "/app/.well-known/x",
        "/.well-known",
        "/.well-known/",
        "/.well-known/.hidden",
        "/.well-known/../.htpasswd",
        "/.well-known//security.txt",
        "/.well-knownx/security.txt",
        "/escape-relative.txt",
        "/escape-dir/secret.txt",
        "/escape-dir/",
        "/escape-dir",
        "/escape-absolute",
        "/escape-root/etc/passwd",
        "/escape-root/",
        "/escape-magic/etc/passwd",
        "/escape-cwd/",
        "/absolute-loop",
        "/absolute-twin",
        "/absolute-up",
        "/absolute-dir/../../outside/secret.txt",
        "/loop",
        "/loop/x",
        "/dangling",
        "/fifo",
        "/socket",
        "/-twin/secret.txt",
        "/../tree-twin/secret.txt",
        "/VNC.HTML",
        "/app/empty/",
        "/fake/",
        "/nothing",
        "/proc/self/fd/0",
        "http://h/../outside/secret.txt",
        "http://h//etc/passwd",
        "http://h/%2e%2e/outside/secret.txt",
};

/* Opening one would let go who waits to write to it, and end it by SIGPIPE. */
static void test_opens_no_fifo(void **state)
{
	struct fixture *f = *state;
	char event[256], *path = mem_printf("%s/tree/fifo", f->base);
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
	ask(f, "/fifo", "");
	assert_int_equal(f->answer.status, 404);
	assert_int_equal(read(watch, event, sizeof(event)), -1);
	int fd = open(path, O_RDONLY | O_NONBLOCK); /* that would have been seen */
	assert_int_not_equal(read(watch, event, sizeof(event)), -1);
	close(fd);
	close(watch);
	free(path);
}

static void test_absolute_links_that_stay_inside(void **state)
{
	static const char *const paths[][2] = {
	        {"/absolute-inside.html", "<html>0123456789"}, {"/absolute-alias.html", "<html>0123456789"},
	        {"/to-absolute.html", "<html>0123456789"},     {"/absolute-dir/ui.js", "0123456789"},
	        {"/to-dir/ui.js", "0123456789"},               {"/to-dir/", "app index"},
	        {"/absolute-self/app/index.html", "app index"},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		ask(f, paths[i][0], "");
		check_status(f, 200);
		check_body(f, paths[i][1]);
		assert_null(f->answer.warning);
	}
}

/* As often as one likes to ask, the log is told once. */
static void test_a_link_that_leads_out_is_told_once(void **state)
{
	static const char *const paths[] = {"/nothing", "/escape-absolute", "/escape-relative.txt", "/escape-absolute"};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		ask(f, paths[i], "");
		check_status(f, 404);
		assert_int_equal(f->answer.warning != NULL, i == 1);
	}
}

/* RFC 8615: at the root of the host, and nowhere else. */
static void test_well_known(void **state)
{
	struct fixture *f = *state;
	ask(f, "/.well-known/security.txt", "");
	check_status(f, 200);
	check_body(f, "Contact: us");
	ask_as(f, "/vnc", "GET", "/vnc/.well-known/security.txt", "");
	check_status(f, 404);
}

static void test_traversals(void **state)
{
	struct fixture *f = *state;
	size_t wrong = 0;
	for (size_t i = 0; i < ARRAY_LEN(traversals); i++) {
		int len = snprintf(f->text, sizeof(f->text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", traversals[i]);
		if (http_parse_head(&f->request, f->text, (size_t)len) != 0)
			continue;
		ask(f, traversals[i], "");
		if (f->answer.status == 404 || f->answer.status == 400)
			continue;
		print_error("%s: %d\n", traversals[i], f->answer.status);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void test_traversals_below_a_prefix(void **state)
{
	static const char *const targets[] = {
	        "/vncx/vnc.html",
	        "/vncxvnc.html",
	        "/vn/vnc.html",
	        "/vnc.html",
	        "/vnc//vnc.html",
	        "/vnc/../vnc.html",
	        "/vnc%2fvnc.html",
	        "/vnc/%2fetc/passwd",
	        "/vnc/..",
	        "/%76nc/vnc.html",
	        "/vnc/%2e%2e/outside/secret.txt",
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		ask_as(f, "/vnc", "GET", targets[i], "");
		check_status(f, 404);
	}
}

static void test_error_answers(void **state)
{
	static const struct {
		const char *method, *target;
		int status;
	} rows[] = {
	        {"GET", "/%zz", 400},       {"GET", "/%00", 400},
	        {"POST", "/vnc.html", 405}, {"OPTIONS", "/", 405},        {"DELETE", "/../x", 405},
	        {"get", "/vnc.html", 405},  {"HEADER", "/vnc.html", 405},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask_as(f, "", rows[i].method, rows[i].target, "");
		check_status(f, rows[i].status);
		char length[24];
		snprintf(length, sizeof(length), "%zu", words(f).n);
		check_field(f, "Content-Length", length);
		assert_true(words(f).n > 1);
		check_field(f, "Content-Type", "text/plain; charset=utf-8");
		check_field(f, "X-Content-Type-Options", "nosniff");
		check_field(f, "Allow", rows[i].status == 405 ? "GET, HEAD" : NULL);
		check_field(f, "Connection", rows[i].status == 400 ? "close" : "keep-alive");
		assert_int_equal(f->answer.keep_alive, rows[i].status != 400);
	}
}

static void test_directory_redirect(void **state)
{
	static const struct {
		const char *prefix, *target, *location;
	} rows[] = {
	        {"", "/app", "/app/"},
	        {"", "/app?autoconnect=1&x=%2f", "/app/?autoconnect=1&x=%2f"},
	        {"", "/app?", "/app/?"},
	        {"", "/%61pp", "/%61pp/"},
	        {"", "/link-to-dir", "/link-to-dir/"},
	        {"", "http://evil.example/app", "/app/"},
	        {"/vnc", "/vnc", "/vnc/"},
	        {"/vnc", "/vnc/app", "/vnc/app/"},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask_as(f, rows[i].prefix, "GET", rows[i].target, "");
		check_status(f, 301);
		check_field(f, "Location", rows[i].location);
		assert_true(words(f).n > 0);
	}
}

/* The longest target there can be, as a redirect: its head must still fit. */
static void test_longest_redirect(void **state)
{
	struct fixture *f = *state;
	char target[HTTP_TARGET_MAX + 1], want[HTTP_TARGET_MAX + 2];
	memset(target, 'q', sizeof(target) - 1);
	memcpy(target, "/app?", 5);
	target[sizeof(target) - 1] = '\0';
	snprintf(want, sizeof(want), "/app/%s", target + 4);
	ask(f, target, "");
	check_status(f, 301);
	check_field(f, "Location", want);
}

static void test_longest_path(void **state)
{
	struct fixture *f = *state;
	char target[HTTP_TARGET_MAX + 1];
	memset(target, 'x', sizeof(target) - 1);
	target[0] = '/';
	target[sizeof(target) - 1] = '\0';
	ask(f, target, "");
	check_status(f, 404);
	for (size_t i = 2; i < sizeof(target) - 1; i += 2)
		target[i] = '/';
	ask(f, target, "");
	check_status(f, 404);
}

static void test_index_order(void **state)
{
	struct fixture *f = *state;
	put_file(f, "tree/app/vnc.html", "second");
	ask(f, "/app/", "");
	check_body(f, "app index");

	size_t count = f->index.count;
	f->index.count = 0;
	ask(f, "/app/", "");
	f->index.count = count;
	check_status(f, 404);
}

/* root (tests may run as it) opens unreadable files all the same, hence a child without its powers. */
static void test_unreadable_file(void **state)
{
	struct fixture *f = *state;
	put_file(f, "tree/unreadable.txt", CANARY);
	char *path = mem_printf("%s/tree/unreadable.txt", f->base);
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(chmod(f->base, 0755), 0);
	free(path);
	pid_t child = fork();
	if (child == 0) {
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(2);
		ask(f, "/unreadable.txt", "");
		_exit(f->answer.status == 404 ? 0 : 1);
	}
	check_child(child);
}

static void test_out_of_descriptors(void **state)
{
	struct fixture *f = *state;
	const struct http_stamp stamp = { .now = time(NULL) };
	struct rlimit old, tight;
	ask(f, "/vnc.html", "");
	drop_answer(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)dup(0);
	close((int)tight.rlim_cur);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	f->files->ops->answer(f->files, &beneath_opener, SPAN(""), &f->request, &stamp, &f->answer);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	check_status(f, 503);
	check_field(f, "Connection", "close");
	check_field(f, "Retry-After", "5");
}

/* --- what of it ----------------------------------------------------------------------------------------------------
 */

static void test_fields_of_a_file(void **state)
{
	struct fixture *f = *state;
	ask(f, "/vnc.html", "");
	check_status(f, 200);
	const char *tag = field(f, "ETag");
	assert_true(tag[0] == '"' && strlen(tag) > 16 && tag[strlen(tag) - 1] == '"');
	check_field(f, "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
	check_field(f, "Cache-Control", "no-cache");
	check_field(f, "Content-Security-Policy", "default-src 'self'");
	check_field(f, "X-Content-Type-Options", "nosniff");
	check_field(f, "Content-Type", "text/html; charset=utf-8");
	check_field(f, "Accept-Ranges", "bytes");
	check_field(f, "Connection", "keep-alive");
	check_field(f, "Content-Encoding", NULL);
	check_field(f, "Vary", NULL);
	assert_non_null(field(f, "Date"));
	assert_int_equal(words(f).n, 0);
	assert_true(f->answer.keep_alive);

	ask(f, "/vnc.html", "Connection: close\r\n");
	check_field(f, "Connection", "close");
	assert_false(f->answer.keep_alive);
}

static void test_options_left_out(void **state)
{
	struct fixture *f = *state;
	char *cache_control = f->cache_control, *policy = f->content_security_policy;
	f->cache_control = f->content_security_policy = (char *)"";
	ask(f, "/vnc.html", "");
	f->cache_control = cache_control;
	f->content_security_policy = policy;
	check_status(f, 200);
	check_field(f, "Cache-Control", NULL);
	check_field(f, "Content-Security-Policy", NULL);
}

static void test_last_modified_is_never_in_the_future(void **state)
{
	struct fixture *f = *state;
	put_file(f, "tree/future.txt", "x");
	set_time(f, "tree/future.txt", (struct timespec){2114380800, 0}); /* the year 2037 */
	ask(f, "/future.txt", "");
	check_status(f, 200);
	assert_null(strstr(field(f, "Last-Modified"), "2037"));
}

static void test_types(void **state)
{
	static const struct {
		const char *name, *type;
	} rows[] = {
	        {"a.html", "text/html; charset=utf-8"},
	        {"a.js", "text/javascript; charset=utf-8"},
	        {"a.mjs", "text/javascript; charset=utf-8"},
	        {"a.css", "text/css; charset=utf-8"},
	        {"a.txt", "text/plain; charset=utf-8"},
	        {"a.json", "application/json"},
	        {"a.wasm", "application/wasm"},
	        {"a.svg", "image/svg+xml"},
	        {"a.PNG", "image/png"},
	        {"a.woff2", "font/woff2"},
	        {"a.ttf", "font/ttf"},
	        {"a.oga", "audio/ogg"},
	        {"a.ico", "image/vnd.microsoft.icon"},
	        {"a.b.js", "text/javascript; charset=utf-8"},
	        {"a.unknown", "application/octet-stream"},
	        {"js", "application/octet-stream"},
	        {"a.", "application/octet-stream"},
	};
	struct fixture *f = *state;
	put_dir(f, "tree/types.js");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *path = mem_printf("tree/types.js/%s", rows[i].name),
		     *target = mem_printf("/types.js/%s", rows[i].name);
		put_file(f, path, "x");
		ask(f, target, "");
		check_field(f, "Content-Type", rows[i].type);
		free(path);
		free(target);
	}
}

static void test_head(void **state)
{
	struct fixture *f = *state;
	ask_as(f, "", "HEAD", "/vnc.html", "");
	check_status(f, 200);
	check_field(f, "Content-Length", "16");
	assert_int_equal(f->answer.fd, -1);
	assert_int_equal(words(f).n, 0);
	assert_int_equal(f->answer.length, 0);

	ask_as(f, "", "HEAD", "/vnc.html", "Range: bytes=0-1\r\n");
	check_status(f, 200);
	assert_int_equal(f->answer.fd, -1);

	ask_as(f, "", "HEAD", "/%zz", "");
	check_status(f, 400);
	assert_int_equal(words(f).n, 0);
	assert_non_null(field(f, "Content-Length"));
}

#define TAG  "@"
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static void test_conditions(void **state)
{
	static const struct {
		const char *fields;
		int status;
	} rows[] = {
	        {"If-None-Match: " TAG "\r\n", 304},
	        {"If-None-Match: W/" TAG "\r\n", 304},
	        {"If-None-Match: \"x\", " TAG "\r\n", 304},
	        {"If-None-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", 304},
	        {"If-None-Match: *\r\n", 304},
	        {"If-None-Match: \"x\"\r\n", 200},
	        {"If-None-Match: x" TAG "\r\n", 200},
	        {"If-None-Match:\r\n", 200},
	        {"If-Modified-Since: " DATE "\r\n", 304},
	        {"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304},
	        {"If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304},
	        {"If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n", 304},
	        {"If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
	        {"If-Modified-Since: " DATE " and more\r\n", 200},
	        {"If-Modified-Since: tomorrow\r\n", 200},
	        {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200},
	        {"If-None-Match: \"x\"\r\nIf-Modified-Since: " DATE "\r\n", 200},
	        {"If-None-Match: " TAG "\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 304},
	        {"If-None-Match: " TAG "\r\nRange: bytes=0-1\r\n", 304},
	};
	struct fixture *f = *state;
	learn_tag(f, "/vnc.html", "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask(f, "/vnc.html", rows[i].fields);
		check_status(f, rows[i].status);
		check_field(f, "ETag", f->tag);
		check_field(f, "Cache-Control", "no-cache");
		if (rows[i].status == 304) {
			assert_int_equal(words(f).n, 0);
			check_field(f, "Content-Length", NULL);
		}
	}
	ask(f, "/nothing", "If-None-Match: *\r\n");
	check_status(f, 404);
}

static void test_preconditions(void **state)
{
	static const struct {
		const char *fields;
		int status;
	} rows[] = {
	        {"If-Match: " TAG "\r\n", 200},
	        {"If-Match: \"x\", " TAG "\r\n", 200},
	        {"If-Match: *\r\n", 200},
	        {"If-Match: \"x\"\r\n", 412},
	        {"If-Match: W/" TAG "\r\n", 412},
	        {"If-Match:\r\n", 412},
	        {"If-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", 412},
	        {"If-Match: " TAG "\r\nIf-None-Match: " TAG "\r\n", 304},
	        {"If-Match: \"x\"\r\nRange: bytes=0-1\r\n", 412},
	        {"If-Match: " TAG "\r\nRange: bytes=0-1\r\n", 206},
	        {"If-Unmodified-Since: " DATE "\r\n", 200},
	        {"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 412},
	        {"If-Unmodified-Since: yesterday\r\n", 200},
	        {"If-Match: " TAG "\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
	        {"If-Match: \"x\"\r\nIf-Unmodified-Since: " DATE "\r\n", 412},
	};
	struct fixture *f = *state;
	learn_tag(f, "/vnc.html", "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask(f, "/vnc.html", rows[i].fields);
		check_status(f, rows[i].status);
		if (rows[i].status == 412)
			assert_int_equal(f->answer.fd, -1);
	}
	ask(f, "/nothing", "If-Match: *\r\n");
	check_status(f, 404);
}

static void test_etag_tells_versions_apart(void **state)
{
	struct fixture *f = *state;
	put_file(f, "tree/version.txt", "one");
	learn_tag(f, "/version.txt", "");
	set_time(f, "tree/version.txt", (struct timespec){784111777, 6});
	ask(f, "/version.txt", "");
	assert_string_not_equal(f->tag, field(f, "ETag"));
}

/* Size and times are the same, as in images that are built with all files of one date. */
static void test_etag_tells_files_of_one_date_apart(void **state)
{
	struct fixture *f = *state;
	put_file(f, "tree/version.txt", "one");
	put_file(f, "tree/next.txt", "two");
	learn_tag(f, "/version.txt", "");
	ask(f, "/version.txt", "If-None-Match: @\r\n");
	check_status(f, 304);
	char *from = mem_printf("%s/tree/next.txt", f->base), *to = mem_printf("%s/tree/version.txt", f->base);
	assert_int_equal(rename(from, to), 0);
	free(from);
	free(to);
	ask(f, "/version.txt", "If-None-Match: @\r\n");
	check_status(f, 200);
	ask(f, "/version.txt", "Range: bytes=1-\r\nIf-Range: @\r\n");
	check_status(f, 200);
}

/* Nix dates to the first second, OSTree to the one before: such a date says nothing, so conditions on it count as absent. */
static void test_no_date_at_the_epoch(void **state)
{
	struct fixture *f = *state;
	put_file(f, "tree/epoch.txt", "text");
	for (time_t second = 0; second < 2; second++) {
		set_time(f, "tree/epoch.txt", (struct timespec){second, 0});
		ask(f, "/epoch.txt", "");
		check_field(f, "Last-Modified", NULL);
		ask(f, "/epoch.txt", "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT\r\n");
		check_status(f, 200);
		ask(f, "/epoch.txt", "If-Unmodified-Since: Wed, 31 Dec 1969 00:00:01 GMT\r\n");
		check_status(f, 200);
		ask(f, "/epoch.txt", "Range: bytes=1-\r\nIf-Range:\r\n");
		check_status(f, 200);
	}
}

static void test_ranges(void **state)
{
	static const struct {
		const char *fields;
		int status;
		const char *body, *content_range;
	} rows[] = {
	        {"Range: bytes=0-0\r\n", 206, "0", "bytes 0-0/10"},
	        {"Range: bytes=2-4\r\n", 206, "234", "bytes 2-4/10"},
	        {"Range: bytes=9-9\r\n", 206, "9", "bytes 9-9/10"},
	        {"Range: bytes=7-\r\n", 206, "789", "bytes 7-9/10"},
	        {"Range: bytes=0-\r\n", 206, "0123456789", "bytes 0-9/10"},
	        {"Range: bytes=8-100\r\n", 206, "89", "bytes 8-9/10"},
	        {"Range: bytes=8-99999999999999999999999\r\n", 206, "89", "bytes 8-9/10"},
	        {"Range: bytes=-3\r\n", 206, "789", "bytes 7-9/10"},
	        {"Range: bytes=-10\r\n", 206, "0123456789", "bytes 0-9/10"},
	        {"Range: bytes=-100\r\n", 206, "0123456789", "bytes 0-9/10"},
	        {"Range: Bytes= 1-2\r\n", 206, "12", "bytes 1-2/10"},
	        {"Range: bytes=10-\r\n", 416, NULL, "bytes */10"},
	        {"Range: bytes=10-20\r\n", 416, NULL, "bytes */10"},
	        {"Range: bytes=18446744073709551616-\r\n", 416, NULL, "bytes */10"},
	        {"Range: bytes=-0\r\n", 416, NULL, "bytes */10"},
	        {"Range: bytes=3-2\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=-\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=a-b\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=1-2x\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=+1-2\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=1--2\r\n", 200, "0123456789", NULL},
	        {"Range: lines=1-2\r\n", 200, "0123456789", NULL},
	        {"Range: 1-2\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=0-1,3-4\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=0-1\r\nRange: bytes=3-4\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=2-4\r\nIf-Range: " TAG "\r\n", 206, "234", "bytes 2-4/10"},
	        {"Range: bytes=2-4\r\nIf-Range: " DATE "\r\n", 206, "234", "bytes 2-4/10"},
	        {"Range: bytes=2-4\r\nIf-Range: W/" TAG "\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=2-4\r\nIf-Range: \"old\"\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=2-4\r\nIf-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n", 200, "0123456789", NULL},
	        {"Range: bytes=20-\r\nIf-Range: \"old\"\r\n", 200, "0123456789", NULL},
	};
	struct fixture *f = *state;
	learn_tag(f, "/app/ui.js", "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask(f, "/app/ui.js", rows[i].fields);
		check_status(f, rows[i].status);
		check_field(f, "Content-Range", rows[i].content_range);
		if (rows[i].body != NULL)
			check_body(f, rows[i].body);
		else
			assert_true(words(f).n > 0);
	}
}

static void test_range_of_an_empty_file(void **state)
{
	struct fixture *f = *state;
	ask(f, "/app/empty.txt", "Range: bytes=0-\r\n");
	check_status(f, 200);
	check_body(f, "");
	ask(f, "/app/empty.txt", "Range: bytes=-5\r\n");
	check_status(f, 200);
}

static void test_gzip_accepted(void **state)
{
	static const struct {
		const char *fields;
		bool gzip;
	} rows[] = {
	        {"Accept-Encoding: gzip\r\n", true},
	        {"Accept-Encoding: gzip, deflate, br, zstd\r\n", true},
	        {"Accept-Encoding: br\r\nAccept-Encoding: GZIP;q=0.5\r\n", true},
	        {"Accept-Encoding: x-gzip\r\n", true},
	        {"Accept-Encoding: *\r\n", true},
	        {"Accept-Encoding: gzip;q=1.0\r\n", true},
	        {"Accept-Encoding: gzip ; Q=0.001\r\n", true},
	        {"Accept-Encoding: *;q=0, gzip\r\n", true},
	        {"", false},
	        {"Accept-Encoding:\r\n", false},
	        {"Accept-Encoding: identity\r\n", false},
	        {"Accept-Encoding: gzip;q=0\r\n", false},
	        {"Accept-Encoding: gzip; q=0.000\r\n", false},
	        {"Accept-Encoding: gzip;q=0, *\r\n", false},
	        {"Accept-Encoding: *, gzip;q=0\r\n", false},
	        {"Accept-Encoding: *;q=0\r\n", false},
	        {"Accept-Encoding: identity;q=1, *;q=0\r\n", false},
	        {"Accept-Encoding: xgzip, gzipped\r\n", false},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask(f, "/app/ui.js", rows[i].fields);
		check_status(f, 200);
		if ((field(f, "Content-Encoding") != NULL) != rows[i].gzip)
			print_error("%s", rows[i].fields);
		check_field(f, "Content-Encoding", rows[i].gzip ? "gzip" : NULL);
		check_field(f, "Vary", "Accept-Encoding"); /* whichever was sent */
		check_field(f, "Content-Type", "text/javascript; charset=utf-8");
		check_body(f, rows[i].gzip ? "gzipped" : "0123456789");
	}
}

static void test_gzip_is_a_version_of_its_own(void **state)
{
	struct fixture *f = *state;
	learn_tag(f, "/app/ui.js", "Accept-Encoding: gzip\r\n");
	ask(f, "/app/ui.js", "Accept-Encoding: gzip\r\nIf-None-Match: @\r\n");
	check_status(f, 304);
	check_field(f, "Vary", "Accept-Encoding");
	ask(f, "/app/ui.js", "If-None-Match: @\r\n");
	check_status(f, 200);
	ask(f, "/app/ui.js", "Accept-Encoding: gzip\r\nRange: bytes=1-2\r\n");
	check_status(f, 206);
	check_body(f, "zi");
	ask(f, "/app/ui.js.gz", "Accept-Encoding: gzip\r\n");
	check_field(f, "Content-Encoding", NULL);
	check_field(f, "Content-Type", "application/gzip");
	ask(f, "/vnc.html", "Accept-Encoding: gzip\r\n");
	check_field(f, "Content-Encoding", NULL);
}

static void test_gzip_sibling_that_does_not_count(void **state)
{
	struct fixture *f = *state;
	put_file(f, "tree/app/stale.js.gz", "stale");
	set_time(f, "tree/app/stale.js.gz", (struct timespec){784111777, 4});
	ask(f, "/app/stale.js", "Accept-Encoding: gzip\r\n");
	check_status(f, 200);
	check_body(f, "fresh");

	put_file(f, "tree/outlaw.js", "inside");
	put_link(f, "../outside/secret.txt", "tree/outlaw.js.gz");
	ask(f, "/outlaw.js", "Accept-Encoding: gzip\r\n");
	check_body(f, "inside");
}

static int forget_answer(void **state)
{
	drop_answer(*state);
	return 0;
}

#define CASE(test) cmocka_unit_test_teardown(test, forget_answer)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        CASE(test_open_complains),
	        CASE(test_open_refuses_endless_policy),
	        CASE(test_open_without_openat2),
	        CASE(test_sends_files),
	        CASE(test_opens_no_fifo),
	        CASE(test_absolute_links_that_stay_inside),
	        CASE(test_a_link_that_leads_out_is_told_once), /* before the traversals, which tell it */
	        CASE(test_well_known),
	        CASE(test_traversals),
	        CASE(test_traversals_below_a_prefix),
	        CASE(test_error_answers),
	        CASE(test_directory_redirect),
	        CASE(test_longest_redirect),
	        CASE(test_longest_path),
	        CASE(test_index_order),
	        CASE(test_unreadable_file),
	        CASE(test_out_of_descriptors),
	        CASE(test_fields_of_a_file),
	        CASE(test_options_left_out),
	        CASE(test_last_modified_is_never_in_the_future),
	        CASE(test_types),
	        CASE(test_head),
	        CASE(test_conditions),
	        CASE(test_preconditions),
	        CASE(test_etag_tells_versions_apart),
	        CASE(test_etag_tells_files_of_one_date_apart),
	        CASE(test_no_date_at_the_epoch),
	        CASE(test_ranges),
	        CASE(test_range_of_an_empty_file),
	        CASE(test_gzip_accepted),
	        CASE(test_gzip_is_a_version_of_its_own),
	        CASE(test_gzip_sibling_that_does_not_count),
	};
	return cmocka_run_group_tests(tests, tree_setup, tree_teardown);
}
