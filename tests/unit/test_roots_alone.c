/* test_roots_alone.c has a directory of root's in /tmp, and one that a user owns, and leads to files by both. Only root can build that. */
#include "sys/privs.h"

#include "base/mem.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define USER 65534

static char top[] = "/tmp/sallyport-roots.XXXXXX";

static char *at(const char *name)
{
	return mem_printf("%s/%s", top, name);
}

static void make_directory(const char *name, mode_t mode, uid_t owner)
{
	char *path = at(name);

	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
	assert_int_equal(chown(path, owner, owner), 0);
	free(path);
}

/* Below the top, too, unless it begins with a dot. */
static void make_link(const char *name, const char *target)
{
	char *path = at(name), *text = target[0] == '.' ? mem_strdup(target) : at(target);

	assert_int_equal(symlink(text, path), 0);
	free(path);
	free(text);
}

static bool is_alone(const char *name)
{
	char *path = at(name);
	bool alone = privs_roots_alone(path);

	free(path);
	return alone;
}

static int set_up(void **state)
{
	struct stat st;

	(void)state;
	if (geteuid() != 0 || lstat("/tmp", &st) != 0 || st.st_uid != 0)
		return 0;
	assert_non_null(mkdtemp(top));
	make_directory("log", 0755, 0);
	make_directory("log/deep", 0755, 0);
	make_directory("open", 0777, 0);
	make_directory("sticky", 01777, 0);
	make_directory("sticky/log", 0755, 0);
	make_directory("user", 0755, USER);
	make_directory("user/log", 0755, 0);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind, (void)where;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	return access(top, F_OK) == 0 ? nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS) : 0;
}

static void need_root(void)
{
	if (access(top, F_OK) != 0)
		skip();
}

static void directories_are_judged(void **state)
{
	(void)state;
	need_root();
	assert_true(is_alone("log/x.log") && is_alone("log/deep/x.log") && is_alone("log/deep/../x.log"));
	assert_true(is_alone("sticky/log/x.log"));
	assert_false(is_alone("sticky/x.log") || is_alone("open/x.log") || is_alone("none/x.log"));
	assert_false(is_alone("user/x.log") || is_alone("user/log/x.log"));
	assert_false(privs_roots_alone("") || privs_roots_alone("x.log"));
}

/* Where it leads today may be root's, and tomorrow, by the user who owns a step of the way, another place of root's. */
static void each_step_of_a_link_is_judged(void **state)
{
	(void)state;
	need_root();
	make_link("link", "log");
	make_link("relative", "./link/deep/..");
	make_link("sticky/link", "log");
	assert_true(is_alone("link/x.log") && is_alone("link/deep/x.log") && is_alone("relative/x.log") && is_alone("sticky/link/x.log"));
	make_link("user/logs", "log");
	make_link("direct", "user/log");
	make_link("through", "user/logs");
	make_link("above", "./user/../log");
	make_link("twice", "./through");
	assert_false(is_alone("direct/x.log") || is_alone("through/x.log") || is_alone("above/x.log") || is_alone("twice/x.log"));
	assert_false(is_alone("through/deep/x.log"));
}

static void links_without_an_end_are_nobodys(void **state)
{
	(void)state;
	need_root();
	make_link("loop", "./loop");
	make_link("log/loop.log", "./loop.log");
	assert_false(is_alone("loop/x.log") || is_alone("log/loop.log"));
}

static void a_link_as_the_file_is_judged(void **state)
{
	(void)state;
	need_root();
	make_link("log/a.log", "./deep/x.log");
	make_link("log/b.log", "./a.log");
	assert_true(is_alone("log/a.log") && is_alone("log/b.log"));
	make_link("log/c.log", "user/x.log");
	make_link("log/d.log", "./c.log");
	make_link("log/e.log", "sticky/x.log");
	assert_false(is_alone("log/c.log") || is_alone("log/d.log") || is_alone("log/e.log"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories_are_judged),
		cmocka_unit_test(each_step_of_a_link_is_judged),
		cmocka_unit_test(links_without_an_end_are_nobodys),
		cmocka_unit_test(a_link_as_the_file_is_judged),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
