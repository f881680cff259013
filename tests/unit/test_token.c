/* Tokens as an operator writes them into files, and as a client sends them in a query. */
#include "gate/token.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_MAX (1024 * 1024)

static char dir[64];

static const char *at(const char *name)
{
	static char paths[4][128];
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

/* What a look-up comes to: the target's text, or "unknown", or errno in words. Good until the next call. */
static const char *look_up(const char *path, const char *query)
{
	static char text[256];
	struct address target;

	/* a copy of the exact size, so that a read past the end is seen */
	char *copy = query != NULL ? strdup(query) : NULL;
	size_t n = query != NULL ? strlen(query) : 0;
	char *exact = copy != NULL ? realloc(copy, n > 0 ? n : 1) : NULL;
	enum token_result result = token_lookup(path, (struct span){ exact, n }, &target);
	int why = errno;
	free(exact);
	if (result == TOKEN_FOUND) {
		snprintf(text, sizeof(text), "%s%s", target.tls ? "TLS " : "", target.text);
		address_clear(&target);
		return text;
	}
	return result == TOKEN_UNKNOWN ? "unknown" : strerror(why);
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
		{ "t:a.test:1\n", "token=t", "unknown" },
		{ "t a.test:1\n", "token=t", "unknown" },
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
		{ " t: a.test:1\n", "token=t", "unknown" },
		{ " t: a.test:1\n", "token=+t", "a.test:1" },
		{ "../t: a.test:1\n", "token=../t", "a.test:1" }, /* only a name: it is not looked for in the file system */
		/* the last entry wins, and a faulty one is none */
		{ "t: a.test:1\nt: b.test:2\n", "token=t", "b.test:2" },
		{ "t: a.test:1\nt: nonsense\n", "token=t", "a.test:1" },
		{ "t: a.test:0\n", "token=t", "unknown" },
		{ "t: a.test:65536\n", "token=t", "unknown" },
		{ "t: a.test\n", "token=t", "unknown" },
		{ "t: :1\n", "token=t", "unknown" },
		{ "t: \n", "token=t", "unknown" },
		{ "t: unix_socket:relative\n", "token=t", "unknown" },
		{ "t: unix_socket:\n", "token=t", "unknown" },
		{ "t: b.test:1 # c\n", "token=t", "unknown" },
		{ "t: u: a.test:1\n", "token=t", "unknown" },
		/* what the format does not have */
		{ "t: tls:a.test:1\n", "token=t", "unknown" },
		{ "t: echo:\n", "token=t", "unknown" },
		{ "t: fd:listener\n", "token=t", "unknown" },
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
		{ NULL, "unknown" },
		{ "", "unknown" },
		{ "token", "unknown" },
		{ "token=", "unknown" },
		{ "token=&token=t", "unknown" }, /* the first counts */
		{ "token=u&token=t", "b.test:2" },
		{ "x=1&token=t&y=2", "a.test:1" },
		{ "xtoken=t", "unknown" },
		{ "Token=t", "unknown" },
		{ "token=%74", "a.test:1" },
		{ "token=t%0A", "a.test:1" },
		{ "token=t%0D%0A", "a.test:1" },
		{ "token=%0A", "unknown" },
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
	assert_string_equal(look_up(path, "token=t"), "unknown");
	assert_string_equal(look_up(path, "token=u"), "c.test:3");
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void changes_count_at_once(void **state)
{
	(void)state;
	const char *path = write_file("tokens", "t: a.test:1\n");
	assert_string_equal(look_up(path, "token=t"), "a.test:1");
	write_file("tokens", "t: b.test:2\n");
	assert_string_equal(look_up(path, "token=t"), "b.test:2");
	assert_int_equal(unlink(path), 0);
	assert_string_equal(look_up(path, "token=t"), strerror(ENOENT));
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
	char *text = malloc(FILE_MAX + 1);
	(void)state;

	memset(text, '\n', FILE_MAX + 1);
	memcpy(text + FILE_MAX - 12, "t: a.test:1\n", 12);
	assert_string_equal(look_up(write_bytes("tokens", text, FILE_MAX), "token=t"), "a.test:1");
	assert_string_equal(look_up(write_bytes("tokens", text, FILE_MAX + 1), "token=t"), strerror(EFBIG));
	free(text);
}

static void what_is_no_file(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_string_equal(look_up(at("fifo"), "token=t"), strerror(EINVAL));
	assert_string_equal(look_up("/dev/zero", "token=t"), strerror(EINVAL));
	assert_string_equal(look_up(at("none/tokens"), "token=t"), strerror(ENOENT));
	assert_string_equal(look_up(at("none"), "token="), "unknown"); /* no token: the file is not even looked at */
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

static void directories_have_only_files(void **state)
{
	char outside[80];
	(void)state;

	snprintf(outside, sizeof(outside), "%s.outside", dir);
	FILE *file = fopen(outside, "w");
	fputs("t: outside.test:1\n", file);
	fclose(file);
	assert_int_equal(symlink(outside, at("1-link")), 0);
	assert_int_equal(symlink("nowhere", at("2-dangling")), 0);
	assert_int_equal(mkfifo(at("3-fifo"), 0600), 0);
	assert_int_equal(mkdir(at("4-folder"), 0700), 0);
	write_file("4-folder/tokens", "t: deeper.test:1\n");
	assert_string_equal(look_up(dir, "token=t"), "unknown");
	write_file("5-file", "t: a.test:1\n");
	assert_string_equal(look_up(dir, "token=t"), "a.test:1");
	unlink(outside);
}

static void a_bad_file_hides_no_other(void **state)
{
	char *text = calloc(1, FILE_MAX + 1);
	(void)state;

	write_bytes("1-big", text, FILE_MAX + 1);
	write_file("2-good", "t: a.test:1\n");
	write_bytes("3-big", text, FILE_MAX + 1);
	assert_string_equal(look_up(dir, "token=t"), "a.test:1");
	assert_string_equal(look_up(dir, "token=u"), strerror(EFBIG));
	free(text);
}

int main(void)
{
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_DIR(lines),
		WITH_DIR(queries),
		WITH_DIR(long_names),
		WITH_DIR(long_targets),
		WITH_DIR(bytes_that_are_no_text),
		WITH_DIR(changes_count_at_once),
		WITH_DIR(a_file_may_be_a_link),
		WITH_DIR(files_are_bounded),
		WITH_DIR(what_is_no_file),
		WITH_DIR(directories),
		WITH_DIR(directories_have_only_files),
		WITH_DIR(a_bad_file_hides_no_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
