/* Tokens as an operator writes them into files, and as a client sends them in a query. */
#include "gate/tokens.h"

#include "gate/token_files.h"
#include "net/mailbox.h"
#include "net/offload.h"
#include "sys/beneath.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static const char *at(const char *name)
{
	static char paths[16][128];
	static size_t next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/sallyport-token-XXXXXX");
	return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static const char *write_bytes(const char *name, const char *bytes, size_t n)
{
	FILE *file = fopen(at(name), "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	fclose(file);
	return at(name);
}

static const char *write_file(const char *name, const char *text)
{
	return write_bytes(name, text, strlen(text));
}

/* What the next look-up is told about the files; good until the one after it. */
static char report[ERR_TEXT_MAX];

/* What a look-up comes to: the target's text, "missing", "unknown", "faulty" (a line), or why nothing can be read. Good until
 * the next call. */
static const char *ask(struct tokens *tokens, const char *path, const char *query)
{
	static char text[600];
	/* a copy of the exact size, so that a read past the end is seen */
	char *copy = query != NULL ? strdup(query) : NULL;
	size_t n = query != NULL ? strlen(query) : 0;
	char *exact = copy != NULL ? realloc(copy, n > 0 ? n : 1) : NULL;
	struct http_head head = { .query = { exact, n } };
	struct request request = { .head = &head };
	enum verdict verdict = tokens_look_up(tokens, &request, false);
	if (verdict == VERDICT_WAIT) {
		tokens_read(tokens, &beneath_opener);
		verdict = tokens_look_up(tokens, &request, true);
	}
	free(exact);
	struct err err;
	tokens_report(tokens, &err);
	snprintf(report, sizeof(report), "%s", err.text);
	if (verdict == VERDICT_PASS) {
		snprintf(text, sizeof(text), "%s%s", request.target.tls ? "TLS " : "", request.target.text);
		address_clear(&request.target);
		return text;
	}
	assert_null(request.target.text);
	if (request.reason != REASON_TOKENS_UNREADABLE)
		return request.reason == REASON_TOKEN_MISSING ? "missing" : "unknown";
	assert_int_equal(strncmp(request.detail, path, strlen(path)), 0);
	snprintf(text, sizeof(text), "%s", request.detail + strlen(path));
	free(request.detail);
	return text[0] == ':' && text[1] == ' ' ? text + 2 : "faulty";
}

static const char *look_up(const char *path, const char *query)
{
	struct tokens *tokens = tokens_new(path);
	const char *text = ask(tokens, path, query);

	tokens_free(tokens);
	return text;
}

static void check_report(const char *want)
{
	if (strcmp(report, want) != 0)
		fail_msg("reported:\n%s\nwanted:\n%s", report, want);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static void lines(void **state)
{
	static const struct {
		const char *file, *query, *want;
	} cases[] = {
		/* the forms of a target */
		{ "t: vnc.test:5901\n", "token=t", "vnc.test:5901" },
		{ "t: 192.0.2.1:5901\n", "token=t", "192.0.2.1:5901" },
		{ "t: [2001:db8::1]:5901\n", "token=t", "[2001:db8::1]:5901" },
		{ "t: 2001:db8::1:5901\n", "token=t", "[2001:db8::1]:5901" },
		{ "t: ::1:5900\n", "token=t", "[::1]:5900" },
		{ "t: fe80::1%eth0:5900\n", "token=t", "[fe80::1%eth0]:5900" },
		{ "t: [fe80::1%eth0]:5900\n", "token=t", "[fe80::1%eth0]:5900" },
		{ "t: :5900\n", "token=t", "localhost:5900" },
		{ "t: unix_socket:/run/a.sock\n", "token=t", "unix:/run/a.sock" },
		{ "t: unix_socket:/run/a:1\n", "token=t", "unix:/run/a:1" },
		{ "t: unix_socket: /run/a.sock\n", "token=t", "unix:/run/a.sock" },
		{ "t: unix:/run/a.sock\n", "token=t", "unix:/run/a.sock" },
		{ "t: unix:@abstract\n", "token=t", "unix:@abstract" },
		/* the ends of lines, blanks, comments */
		{ "t: a.test:1", "token=t", "a.test:1" },
		{ "t: a.test:1\r\n", "token=t", "a.test:1" },
		{ "t:\ta.test:1\n", "token=t", "a.test:1" },
		{ "t:  \t a.test:1 \t\n", "token=t", "a.test:1" },
		{ "\n\n# t: c.test:3\n\nt: a.test:1\n\n", "token=t", "a.test:1" },
		{ "#t: a.test:1\n", "token=%23t", "unknown" },
		{ "#t: a.test:1\n", "token=t", "unknown" },
		{ "t:a.test:1\n", "token=t", "faulty" },
		{ "t a.test:1\n", "token=t", "faulty" },
		{ "t=a.test:1\n", "token=t", "faulty" },
		{ "t\n", "token=t", "faulty" },
		{ " \t # t: c.test:3\n", "token=t", "unknown" },
		{ "", "token=t", "unknown" },
		/* names */
		{ "t: a.test:1\nu: b.test:2\n", "token=u", "b.test:2" },
		{ "t: a.test:1\n", "token=T", "unknown" },
		{ "t: a.test:1\n", "token=tt", "unknown" },
		{ "tt: a.test:1\n", "token=t", "unknown" },
		{ "a:b: a.test:1\n", "token=a:b", "a.test:1" },
		{ "a:b: a.test:1\n", "token=a", "unknown" },
		{ "a: b: a.test:1\n", "token=a:%20b", "unknown" },
		{ "a b: a.test:1\n", "token=a+b", "a.test:1" },
		{ "a b: a.test:1\n", "token=a%20b", "a.test:1" },
		{ "a+b: a.test:1\n", "token=a%2Bb", "a.test:1" },
		{ "b\xc3\xbc: a.test:1\n", "token=b%C3%BC", "a.test:1" },
		{ " t: a.test:1\n", "token=t", "a.test:1" },
		{ "\t t: a.test:1\n", "token=+t", "unknown" },
		{ "../t: a.test:1\n", "token=../t", "a.test:1" }, /* only a name: it is not looked for in the file system */
		/* the last entry wins, and a faulty one is none */
		{ "t: a.test:1\nt: b.test:2\n", "token=t", "b.test:2" },
		{ "t: a.test:1\nt: nonsense\n", "token=t", "a.test:1" },
		{ "t: a.test:0\n", "token=t", "faulty" },
		{ "t: a.test:65536\n", "token=t", "faulty" },
		{ "t: a.test\n", "token=t", "faulty" },
				{ "t: \n", "token=t", "faulty" },
		{ "t: unix_socket:relative\n", "token=t", "faulty" },
		{ "t: unix_socket:\n", "token=t", "faulty" },
		{ "t: b.test:1 # c\n", "token=t", "faulty" },
		{ "t: u: a.test:1\n", "token=t", "faulty" },
		/* what the format does not have */
		{ "t: tls:a.test:1\n", "token=t", "faulty" },
		{ "t: echo:\n", "token=t", "faulty" },
		{ "t: fd:listener\n", "token=t", "faulty" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = look_up(write_file("tokens", cases[i].file), cases[i].query);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s in <%s>: got %s, want %s", cases[i].query, cases[i].file, got, cases[i].want);
	}
}

static void queries(void **state)
{
	static const struct {
		const char *query, *want;
	} cases[] = {
		{ NULL, "missing" },
		{ "", "missing" },
		{ "token", "missing" },
		{ "token=", "missing" },
		{ "token=&token=t", "missing" }, /* the first counts */
		{ "token=u&token=t", "b.test:2" },
		{ "x=1&token=t&y=2", "a.test:1" },
		{ "xtoken=t", "missing" },
		{ "Token=t", "missing" },
		{ "token=%74", "a.test:1" },
		{ "token=t%0A", "a.test:1" },
		{ "token=t%0D%0A", "a.test:1" },
		{ "token=%0A", "missing" },
		{ "token=t%", "unknown" },
		{ "token=t%0", "unknown" },
		{ "token=t%zz", "unknown" },
		{ "token=t%00", "unknown" },
		{ "token=t%0Au", "unknown" },
	};
	(void)state;
	const char *path = write_file("tokens", "t: a.test:1\nu: b.test:2\n: c.test:3\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = look_up(path, cases[i].query);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got %s, want %s", cases[i].query, got, cases[i].want);
	}
}

static void long_names(void **state)
{
	char *query = malloc(200007), *file = malloc(3000);
	(void)state;

	for (size_t n = 1; n <= 200000; n = n < 2040 ? n * 4 / 3 + 1 : n < 2060 ? n + 1 : n * 3) {
		memcpy(query, "token=", 6);
		memset(query + 6, 'x', n);
		query[6 + n] = '\0';
		snprintf(file, 3000, "%.*s: a.test:1\n", n <= 2048 ? (int)n : 2048, query + 6);
		assert_string_equal(look_up(write_file("tokens", file), query), n <= 2048 ? "a.test:1" : "unknown");
	}
	free(query);
	free(file);
}

static void long_targets(void **state)
{
	static char file[2048];
	(void)state;

	for (size_t n = 110; n < 1200; n += 7) {
		snprintf(file, sizeof(file), "t: a.test:1\nt: unix_socket:/%0*d\nt: ::%0*d:1\n", (int)n, 0, (int)n, 0);
		assert_string_equal(look_up(write_file("tokens", file), "token=t"), "a.test:1");
	}
}

static void bytes_that_are_no_text(void **state)
{
	static const char bytes[] = "\0\xff\x80 binary: \0\nt: a\0.test:1\nt: a.test:1\0\nt\0: b.test:2\nu: c.test:3\n";
	(void)state;

	const char *path = write_bytes("tokens", bytes, sizeof(bytes) - 1);
	assert_string_equal(look_up(path, "token=t"), "faulty");
	assert_string_equal(look_up(path, "token=u"), "c.test:3");
}

/* The administrator is told what is wrong where, and no message has a name in it: names are secrets. */
static void faulty_lines_are_reported(void **state)
{
	char want[1024];
	(void)state;

	const char *path = write_file("tokens", "# all wrong\nsecret: 127.0.0.1\n\nsecret:127.0.0.1:5900\nsecret: 127.0.0.1:5900 # lab\n"
	                                        "secret: tcp://127.0.0.1:5900\nsecret: tls:a.test:1\nx: secret: a.test:1\nsecret\n");
	assert_string_equal(look_up(path, "token=t"), "unknown");
	snprintf(want, sizeof(want),
	         "%1$s:2: the target has no port: a line is NAME: HOST:PORT\n"
	         "%1$s:4: no colon with a blank after it: a line is NAME: HOST:PORT\n"
	         "%1$s:5: the port must be a number from 1 to 65535\n"
	         "%1$s:6: a host name has letters, digits, '-', '_' and '.' only\n"
	         "%1$s:7: a token leads to HOST:PORT or unix:/path, and without TLS\n"
	         "%1$s:8: an IPv6 address needs brackets: [::1]:PORT\n"
	         "%1$s:9: no colon with a blank after it: a line is NAME: HOST:PORT", path);
	check_report(want);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void changes_count_at_once(void **state)
{
	(void)state;
	const char *path = write_file("tokens", "t: a.test:1\n");
	struct tokens *tokens = tokens_new(path);
	assert_string_equal(ask(tokens, path, "token=t"), "a.test:1");
	write_file("tokens", "t: b.test:2\n"); /* as long, and in the same moment */
	assert_string_equal(ask(tokens, path, "token=t"), "b.test:2");
	write_file("next", "t: c.test:3\n");
	assert_int_equal(rename(at("next"), path), 0);
	assert_string_equal(ask(tokens, path, "token=t"), "c.test:3");
	assert_int_equal(unlink(path), 0);
	assert_string_equal(ask(tokens, path, "token=t"), strerror(ENOENT));
	write_file("tokens", "t: d.test:4\n");
	assert_string_equal(ask(tokens, path, "token=t"), "d.test:4");
	tokens_free(tokens);
}

/* What has not changed is not read again. Dates of the past, in whole seconds, are what shows it: a change that leaves size,
 * inode and both dates is none. */
static void what_stays_is_reported_once(void **state)
{
	char want[256];
	(void)state;

	const char *path = write_file("tokens", "t: a.test\n");
	struct tokens *tokens = tokens_new(path);
	snprintf(want, sizeof(want), "%s:1: the target has no port: a line is NAME: HOST:PORT", path);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(ask(tokens, path, "token=t"), "faulty");
		check_report(i == 0 ? want : "");
	}
	assert_int_equal(unlink(path), 0);
	assert_string_equal(ask(tokens, path, "token=t"), strerror(ENOENT));
	snprintf(want, sizeof(want), "%s: %s", path, strerror(ENOENT));
	check_report(want);
	assert_string_equal(ask(tokens, path, "token=t"), strerror(ENOENT));
	check_report("");
	tokens_free(tokens);
}

/* A file that was given a date ahead is read once, as is one that a wrong clock dated: not anew for whoever asks. */
static void dates_ahead_are_no_changes(void **state)
{
	const time_t now = time(NULL);
	struct token_files files;
	struct err err;
	(void)state;

	err_init(&err);
	const char *path = write_file("tokens", "t: a.test:1\n");
	const struct timespec ahead[2] = { { now + 1000000, 0 }, { now + 1000000, 0 } };
	assert_int_equal(utimensat(AT_FDCWD, path, ahead, 0), 0);
	token_files_read(&files, path, &beneath_opener, &err);
	assert_false(token_files_are_settled(&files, time(NULL)));
	assert_true(token_files_are_settled(&files, now + 100));
	assert_true(token_files_are_settled(&files, now - 100));
	token_files_clear(&files);
}

static void a_check_is_a_report(void **state)
{
	struct err err;
	(void)state;

	const char *path = write_file("tokens", "t: a.test\nu: b.test:1\n");
	struct tokens *tokens = tokens_new(path);
	tokens_read(tokens, &beneath_opener);
	tokens_report(tokens, &err);
	assert_int_equal(err.count, 1);
	assert_string_equal(ask(tokens, path, "token=u"), "b.test:1");
	check_report("");
	tokens_free(tokens);
}

static void a_file_may_be_a_link(void **state)
{
	(void)state;
	write_file("real", "t: a.test:1\n");
	assert_int_equal(symlink("real", at("tokens")), 0);
	assert_string_equal(look_up(at("tokens"), "token=t"), "a.test:1");
}

static void files_are_bounded(void **state)
{
	char *text = malloc(TOKEN_FILE_MAX + 1);
	(void)state;

	memset(text, '\n', TOKEN_FILE_MAX + 1);
	memcpy(text + TOKEN_FILE_MAX - 12, "t: a.test:1\n", 12);
	assert_string_equal(look_up(write_bytes("tokens", text, TOKEN_FILE_MAX), "token=t"), "a.test:1");
	const char *path = write_bytes("tokens", text, TOKEN_FILE_MAX + 1);
	assert_string_equal(look_up(path, "token=t"), "is larger than 1 MiB, so it is not read");
	free(text);
}

static void many_lines(void **state)
{
	char *text = malloc(TOKEN_FILE_MAX), query[32], want[32];
	size_t len = 0;
	(void)state;

	for (int i = 0; i < 30000; i++)
		len += (size_t)sprintf(text + len, "t%d: host%d.test:1\n", i * 7919 % 30000, i * 7919 % 30000);
	const char *path = write_bytes("tokens", text, len);
	struct tokens *tokens = tokens_new(path);
	for (int i = 0; i < 30000; i += 2999) {
		snprintf(query, sizeof(query), "token=t%d", i);
		snprintf(want, sizeof(want), "host%d.test:1", i);
		assert_string_equal(ask(tokens, path, query), want);
	}
	assert_string_equal(ask(tokens, path, "token=t30000"), "unknown");
	tokens_free(tokens);
	free(text);
}

static void what_is_no_file(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_string_equal(look_up(at("fifo"), "token=t"), "is neither a file nor a directory");
	assert_string_equal(look_up("/dev/zero", "token=t"), "is neither a file nor a directory");
	assert_string_equal(look_up(at("none/tokens"), "token=t"), strerror(ENOENT));
	assert_string_equal(look_up(at("none"), "token="), "missing"); /* no token: the file is not even looked at */
}

static void directories(void **state)
{
	(void)state;
	assert_string_equal(look_up(dir, "token=t"), "unknown");
	write_file("20", "t: second.test:1\nu: u.test:1\n");
	write_file("10", "t: none.test:1\nt: first.test:1\n");
	write_file("9", "t: third.test:1\n");
	write_file("00", "t: faulty\n");
	assert_string_equal(look_up(dir, "token=t"), "first.test:1");
	assert_string_equal(look_up(dir, "token=u"), "u.test:1");
	assert_string_equal(look_up(dir, "token=v"), "unknown");
}

static void changes_in_a_directory_count_at_once(void **state)
{
	(void)state;
	struct tokens *tokens = tokens_new(dir);
	assert_string_equal(ask(tokens, dir, "token=t"), "unknown");
	write_file("one", "t: a.test:1\n");
	assert_string_equal(ask(tokens, dir, "token=t"), "a.test:1");
	write_file("one", "t: b.test:2\n");
	assert_string_equal(ask(tokens, dir, "token=t"), "b.test:2");
	assert_int_equal(rename(at("one"), at(".one")), 0);
	assert_string_equal(ask(tokens, dir, "token=t"), "unknown");
	tokens_free(tokens);
}

/* As Kubernetes mounts a map and changes it: the one link that is swapped is two steps away from the file. */
static void a_map_that_is_mounted(void **state)
{
	(void)state;
	assert_int_equal(mkdir(at("..1"), 0700) | mkdir(at("..2"), 0700), 0);
	write_file("..1/desks", "t: a.test:1\n");
	write_file("..2/desks", "t: b.test:2\n");
	assert_int_equal(symlink("..1", at("..data")) | symlink("..data/desks", at("desks")), 0);
	struct tokens *tokens = tokens_new(dir);
	assert_string_equal(ask(tokens, dir, "token=t"), "a.test:1");
	assert_int_equal(symlink("..2", at("..new")), 0);
	assert_int_equal(rename(at("..new"), at("..data")), 0);
	assert_string_equal(ask(tokens, dir, "token=t"), "b.test:2");
	check_report("");
	tokens_free(tokens);
}

static void links_that_lead_out_are_no_files(void **state)
{
	char outside[80], want[512];
	(void)state;

	snprintf(outside, sizeof(outside), "%s.outside", dir);
	FILE *file = fopen(outside, "w");
	fputs("t: outside.test:1\n", file);
	fclose(file);
	assert_int_equal(symlink(outside, at("1-link")), 0);
	assert_int_equal(symlink("..", at("2-up")), 0);
	assert_string_equal(look_up(dir, "token=t"), "unknown");
	assert_non_null(strchr(outside, '.'));
	snprintf(want, sizeof(want), "%s/1-link: leads out of the directory, so it is not read; replace it by a file, or name it in "
	         "token_file", dir);
	check_report(want);
	assert_int_equal(symlink(at("4-file"), at("3-inside")), 0);
	write_file("4-file", "t: a.test:1\n");
	assert_string_equal(look_up(dir, "token=t"), "a.test:1");
	unlink(outside);
}

/* Whatever lies in the directory, a token that is nowhere is one that nobody knows. */
static void what_cannot_be_a_token_file_is_none(void **state)
{
	char *text = calloc(1, TOKEN_FILE_MAX + 1), want[512];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)state;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", dir);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(mkfifo(at("fifo"), 0600) | mkdir(at("folder"), 0700) | mkdir(at("lost+found"), 0), 0);
	write_file("folder/tokens", "t: deeper.test:1\n");
	write_file(".desks.swp", "t: swap.test:1\n");
	write_file("desks~", "t: backup.test:1\n");
	write_file("#desks#", "t: emacs.test:1\n");
	write_file("desks\n2026-01-01 forged", "t: forged.test:1\nfaulty\n");
	write_file("desks\x7f", "t: rubout.test:1\n");
	write_bytes("big", text, TOKEN_FILE_MAX + 1);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	assert_string_equal(look_up(dir, "token=t"), "unknown");
	snprintf(want, sizeof(want), "%1$s/big: is larger than 1 MiB, so it is not read\n%1$s/dangling: %2$s", dir, strerror(ENOENT));
	check_report(want);
	write_file("good", "t: a.test:1\n");
	assert_string_equal(look_up(dir, "token=t"), "a.test:1");
	free(text);
}

#define TOO_BIG "has more than 10000 files, or more than 16 MiB or a million lines in them, so it is not read"

/* Each link counts as what it leads to: few bytes on disk must not become many to read, again and again. */
static void directories_are_bounded(void **state)
{
	char *text = malloc(TOKEN_FILE_MAX), name[16], want[256];
	(void)state;

	memset(text, '\n', TOKEN_FILE_MAX);
	memcpy(text, "t: a.test:1\n", 12);
	write_bytes("00", text, TOKEN_FILE_MAX);
	free(text);
	for (int i = 1; i < TOKEN_TABLE_MAX / TOKEN_FILE_MAX; i++) {
		snprintf(name, sizeof(name), "%02d", i);
		assert_int_equal(symlink("00", at(name)), 0);
	}
	struct tokens *tokens = tokens_new(dir);
	assert_string_equal(ask(tokens, dir, "token=t"), "a.test:1");
	write_file("one-more", "u");
	assert_string_equal(ask(tokens, dir, "token=t"), TOO_BIG);
	snprintf(want, sizeof(want), "%s: " TOO_BIG, dir);
	check_report(want);
	assert_int_equal(unlink(at("one-more")), 0);
	assert_string_equal(ask(tokens, dir, "token=t"), "a.test:1");
	tokens_free(tokens);
}

static void lines_are_bounded(void **state)
{
	char *text = malloc(TOKEN_FILE_MAX);
	(void)state;

	for (size_t i = 0; i < TOKEN_FILE_MAX; i++)
		text[i] = i % 2 == 0 ? 'a' : '\n';
	write_bytes("1", text, TOKEN_FILE_MAX);
	free(text);
	assert_int_equal(symlink("1", at("2")), 0);
	assert_string_equal(look_up(dir, "token=t"), "unknown");
	assert_int_equal(symlink("1", at("3")), 0);
	assert_string_equal(look_up(dir, "token=t"), TOO_BIG);
}

static void members_are_bounded(void **state)
{
	char name[16];
	(void)state;

	write_file("a", "t: a.test:1\n");
	for (int i = 1; i < TOKEN_MEMBERS_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(link(at("a"), at(name)), 0);
	}
	assert_string_equal(look_up(dir, "token=t"), "a.test:1");
	write_file(".not-one-more", "");
	assert_string_equal(look_up(dir, "token=t"), "a.test:1");
	write_file("one-more", "");
	assert_string_equal(look_up(dir, "token=t"), TOO_BIG);
}

/* What we lack says nothing of the token. */
static void no_descriptor_is_left(void **state)
{
	struct rlimit before, none;
	int next = dup(STDERR_FILENO);
	(void)state;

	close(next);
	write_file("file", "t: a.test:1\n");
	getrlimit(RLIMIT_NOFILE, &before);
	struct tokens *tokens = tokens_new(dir);
	for (rlim_t more = 0; more < 2; more++) { /* not even for the directory, and not for what is in it */
		none = (struct rlimit){ .rlim_cur = (rlim_t)next + more, .rlim_max = before.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		const char *got = ask(tokens, dir, "token=u");
		setrlimit(RLIMIT_NOFILE, &before);
		assert_string_equal(got, strerror(EMFILE));
	}
	assert_string_equal(ask(tokens, dir, "token=t"), "a.test:1");
	tokens_free(tokens);
}

/* Nothing that fails is anybody's offence: a token that cannot be looked up is neither known nor unknown. */
static void closed_files(void **state)
{
	(void)state;
	if (geteuid() == 0)
		skip(); /* nothing is closed to root; the integration tests look at it */
	assert_int_equal(chmod(write_file("closed", "t: a.test:1\n"), 0), 0);
	assert_string_equal(look_up(at("closed"), "token=t"), strerror(EACCES));
	assert_string_equal(look_up(dir, "token=t"), "unknown");
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

/* A disk that takes its time: each opening says that it has begun, and goes on when it may. */
struct slow {
	struct opener opener; /* first */
	sem_t begun, may;
};

static int open_slowly(struct opener *opener, const char *path)
{
	struct slow *slow = (struct slow *)opener;
	sem_post(&slow->begun);
	while (sem_wait(&slow->may) != 0) {
	}
	return beneath_opener.open(&beneath_opener, path);
}

struct waiting {
	struct slow slow;
	struct opener *opener[1];
	struct event_base *base;
	struct request_env env;
	struct tokens *tokens;
	char done[16]; /* whose wait is over, in order */
};

static struct waiting waiting;

static void on_done(struct tokens *tokens, void *arg)
{
	assert_non_null(tokens);
	strcat(waiting.done, arg);
}

static int setup_waiting(void **state)
{
	struct waiting *w = &waiting;
	if (setup(state) != 0)
		return -1;
	*w = (struct waiting){ .slow.opener = { open_slowly, beneath_opener.open_below }, .opener = { &w->slow.opener } };
	sem_init(&w->slow.begun, 0, 0);
	sem_init(&w->slow.may, 0, 0);
	w->base = event_base_new();
	w->env = (struct request_env){ .mailbox = mailbox_new(w->base, NULL), .offload = offload_new(1, 0, 1), .opener = w->opener };
	w->tokens = tokens_new(write_file("tokens", "t: a.test:1\n"));
	return w->env.mailbox == NULL || w->env.offload == NULL;
}

static int teardown_waiting(void **state)
{
	tokens_free(waiting.tokens);
	if (waiting.env.mailbox != NULL)
		mailbox_free(waiting.env.mailbox);
	offload_free(waiting.env.offload);
	event_base_free(waiting.base);
	return teardown(state);
}

static char who[4][2] = { "a", "b", "c", "d" };

static struct tokens_wait *wait_as(char *name)
{
	struct tokens_wait *wait = tokens_wait(waiting.tokens, &waiting.env, on_done, name);
	assert_non_null(wait);
	return wait;
}

/* Who asks while files are read cannot know what had been read before: they are read once more, for all of those. */
static void one_reading_is_for_all_who_asked_before_it(void **state)
{
	struct http_head head = { .query = SPAN("token=t") };
	struct request request = { .head = &head };
	int readings = 1;
	(void)state;

	wait_as(who[0]);
	sem_wait(&waiting.slow.begun);
	wait_as(who[1]);
	wait_as(who[2]);
	sem_post(&waiting.slow.may);
	sem_wait(&waiting.slow.begun);
	while (strlen(waiting.done) < 1)
		event_base_loop(waiting.base, EVLOOP_ONCE);
	assert_string_equal(waiting.done, "a");
	assert_int_equal(tokens_look_up(waiting.tokens, &request, true), VERDICT_PASS);
	address_clear(&request.target);
	sem_post(&waiting.slow.may);
	while (strlen(waiting.done) < 3)
		event_base_loop(waiting.base, EVLOOP_ONCE);
	assert_string_equal(waiting.done, "abc");
	sem_getvalue(&waiting.slow.begun, &readings);
	assert_int_equal(readings, 0);
}

/* At each moment: before its reading, while it goes on, and when the news of it is under way. */
static void who_cancels_hears_nothing(void **state)
{
	(void)state;
	struct tokens_wait *a = wait_as(who[0]);
	sem_wait(&waiting.slow.begun);
	struct tokens_wait *b = wait_as(who[1]);
	tokens_cancel(a);
	tokens_cancel(b);
	sem_post(&waiting.slow.may);
	struct tokens_wait *c = wait_as(who[2]);
	sem_wait(&waiting.slow.begun); /* the reading of a is over then */
	wait_as(who[3]);
	sem_post(&waiting.slow.may);
	sem_wait(&waiting.slow.begun); /* that of c, too, so its mail is posted */
	tokens_cancel(c);
	sem_post(&waiting.slow.may);
	while (strlen(waiting.done) < 1)
		event_base_loop(waiting.base, EVLOOP_ONCE);
	assert_string_equal(waiting.done, "d");
}

/* The last session has left, and the generation goes; what hangs comes back to nobody. */
static void a_reading_outlives_its_tokens(void **state)
{
	(void)state;
	struct tokens_wait *a = wait_as(who[0]);
	sem_wait(&waiting.slow.begun);
	tokens_cancel(a);
	tokens_free(waiting.tokens);
	waiting.tokens = NULL;
	sem_post(&waiting.slow.may);
}

/* One hangs, one is queued: a third would wait for nothing that is known. */
static void too_many_that_wait_are_told_so(void **state)
{
	(void)state;
	struct tokens *second = tokens_new(dir), *third = tokens_new(dir);
	wait_as(who[0]);
	sem_wait(&waiting.slow.begun);
	assert_non_null(tokens_wait(second, &waiting.env, on_done, who[1]));
	assert_null(tokens_wait(third, &waiting.env, on_done, who[2]));
	sem_post(&waiting.slow.may);
	sem_post(&waiting.slow.may);
	while (strlen(waiting.done) < 2)
		event_base_loop(waiting.base, EVLOOP_ONCE);
	assert_string_equal(waiting.done, "ab");
	tokens_free(second);
	tokens_free(third);
}

int main(void)
{
#define WAITS(test) cmocka_unit_test_setup_teardown(test, setup_waiting, teardown_waiting)
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_DIR(lines),
		WITH_DIR(queries),
		WITH_DIR(long_names),
		WITH_DIR(long_targets),
		WITH_DIR(bytes_that_are_no_text),
		WITH_DIR(faulty_lines_are_reported),
		WITH_DIR(changes_count_at_once),
		WITH_DIR(what_stays_is_reported_once),
		WITH_DIR(dates_ahead_are_no_changes),
		WITH_DIR(a_check_is_a_report),
		WITH_DIR(a_file_may_be_a_link),
		WITH_DIR(files_are_bounded),
		WITH_DIR(many_lines),
		WITH_DIR(what_is_no_file),
		WITH_DIR(directories),
		WITH_DIR(changes_in_a_directory_count_at_once),
		WITH_DIR(a_map_that_is_mounted),
		WITH_DIR(links_that_lead_out_are_no_files),
		WITH_DIR(what_cannot_be_a_token_file_is_none),
		WITH_DIR(directories_are_bounded),
		WITH_DIR(lines_are_bounded),
		WITH_DIR(members_are_bounded),
		WITH_DIR(no_descriptor_is_left),
		WITH_DIR(closed_files),
		WAITS(one_reading_is_for_all_who_asked_before_it),
		WAITS(who_cancels_hears_nothing),
		WAITS(a_reading_outlives_its_tokens),
		WAITS(too_many_that_wait_are_told_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
