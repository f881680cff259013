/* The route table: what a configuration holds open, and which route a request gets. */
#include "config/route.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

/* A configuration in a file of its own, and the routes built from it; root is the file's directory. */
struct table {
	char directory[64];
	char path[96];
	struct err err;
	struct settings *settings;
	struct routes routes;
};

static int setup(void **state)
{
	struct table *t = mem_zalloc(sizeof(*t));

	strcpy(t->directory, "/tmp/test_route.XXXXXX");
	assert_non_null(mkdtemp(t->directory));
	snprintf(t->path, sizeof(t->path), "%s/s.conf", t->directory);
	err_init(&t->err);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct table *t = *state;

	routes_clear(&t->routes);
	settings_free(t->settings);
	unlink(t->path);
	rmdir(t->directory);
	free(t);
	return 0;
}

/* '$' in the text stands for the directory. */
static int build(struct table *t, const char *text)
{
	FILE *file = fopen(t->path, "w");

	fputs("[listen a]\naddress = 1\n[listen b]\naddress = 2\n", file);
	for (; *text != '\0'; text++) {
		if (*text == '$')
			fputs(t->directory, file);
		else
			fputc(*text, file);
	}
	fclose(file);
	t->settings = settings_read(t->path, NULL, &t->err);
	assert_string_equal(t->err.text, "");
	return routes_build(&t->routes, t->settings, NULL, &t->err);
}

/* The name of the route that a request gets, or in parentheses why it gets none. */
static const char *match(const struct table *t, bool upgrade, const char *listen, const char *authority,
                         const char *path)
{
	static const char *const none[] = { "", "(none)", "(other host)", "(other kind)" };
	const struct route *route = NULL;
	enum route_result result = routes_match(&t->routes, upgrade, listen, span_of(authority), span_of(path), &route);

	return result == ROUTE_FOUND ? route->set->section.name : none[result];
}

#define UP    true
#define PLAIN false

static void the_most_specific_wins(void **state)
{
	struct table *t = *state;

	assert_int_equal(build(t, "[route all]\ntarget = x:1\n"
	                          "[route vnc]\npath = /vnc/*\ntarget = x:1\n"
	                          "[route deep]\npath = /vnc/deep/*\ntarget = x:1\n"
	                          "[route exact]\npath = /vnc/deep/one\ntarget = x:1\n"
	                          "[route host]\nhost = h.example\ntarget = x:1\n"
	                          "[route hostpath]\nhost = h.example, [::1]\npath = /vnc/*\ntarget = x:1\n"),
	                 0);
	assert_string_equal(match(t, UP, "a", "o", "/"), "all");
	assert_string_equal(match(t, UP, "a", "o", "/vnc"), "all");
	assert_string_equal(match(t, UP, "a", "o", "/vncx/"), "all");
	assert_string_equal(match(t, UP, "a", "o", "/vnc/"), "vnc");
	assert_string_equal(match(t, UP, "a", "o", "/vnc/x"), "vnc");
	assert_string_equal(match(t, UP, "a", "o", "/vnc/deep/"), "deep");
	assert_string_equal(match(t, UP, "a", "o", "/vnc/deep/one"), "exact");
	assert_string_equal(match(t, UP, "a", "o", "/vnc/deep/one/"), "deep");
	assert_string_equal(match(t, UP, "a", "o", "/VNC/x"), "all");
	assert_string_equal(match(t, UP, "a", "h.example", "/x"), "host");
	assert_string_equal(match(t, UP, "a", "h.example", "/vnc/deep/one"), "hostpath");
	assert_string_equal(match(t, UP, "a", "H.Example.:8080", "/vnc/"), "hostpath");
	assert_string_equal(match(t, UP, "a", "[::1]:8080", "/vnc/"), "hostpath");
	assert_string_equal(match(t, UP, "a", "[::1]", "/vnc/"), "hostpath");
	assert_string_equal(match(t, UP, "a", NULL, "/vnc/"), "vnc");
	assert_string_equal(match(t, UP, "a", "h.example.evil", "/"), "all");
	assert_string_equal(match(t, UP, "a", "xh.example", "/"), "all");
}

static void kinds_are_kept_apart(void **state)
{
	struct table *t = *state;

	assert_int_equal(
	        build(t, "[route ws]\npath = /websockify\ntarget = x:1\n[route token]\npath = /t\ntoken_file = /t\n"
	                 "[route host]\npath = /h\nhost = h\ntarget = x:1\n"
	                 "[route pages]\npath = /pages/*\nroot = $\n"),
	        0);
	assert_string_equal(match(t, PLAIN, "a", "h", "/h"), "(other kind)");
	assert_string_equal(match(t, PLAIN, "a", "o", "/h"), "(other host)");
	assert_string_equal(match(t, UP, "a", "o", "/websockify"), "ws");
	assert_string_equal(match(t, PLAIN, "a", "o", "/websockify"), "(other kind)");
	assert_string_equal(match(t, UP, "a", "o", "/t"), "token");
	assert_string_equal(match(t, PLAIN, "a", "o", "/pages/x"), "pages");
	assert_string_equal(match(t, PLAIN, "a", "o", "/pages"), "pages");
	assert_string_equal(match(t, PLAIN, "a", "o", "/pagesx"), "(none)");
	assert_string_equal(match(t, UP, "a", "o", "/pages/x"), "(other kind)");
	assert_string_equal(match(t, UP, "a", "o", "/nothing"), "(none)");
	assert_string_equal(match(t, PLAIN, "a", "o", "/"), "(none)");
}

static void listeners_are_kept_apart(void **state)
{
	struct table *t = *state;

	assert_int_equal(
	        build(t, "[route a]\nlisten = a\ntarget = x:1\n[route b]\npath = /b\nlisten = b\ntarget = x:1\n"), 0);
	assert_string_equal(match(t, UP, "a", "o", "/b"), "a");
	assert_string_equal(match(t, UP, "b", "o", "/b"), "b");
	assert_string_equal(match(t, UP, "b", "o", "/"), "(none)");
}

static void foreign_hosts_are_told_apart(void **state)
{
	struct table *t = *state;

	assert_int_equal(
	        build(t, "[route r]\nhost = mine.example\ntarget = x:1\npath = /ws\n[route pages]\nroot = $\n"), 0);
	assert_string_equal(match(t, UP, "a", "mine.example:80", "/ws"), "r");
	assert_string_equal(match(t, UP, "a", "rebound.example", "/ws"), "(other host)");
	assert_string_equal(match(t, UP, "a", NULL, "/ws"), "(other host)");
	assert_string_equal(match(t, UP, "a", "a b", "/ws"), "(other host)");
	assert_string_equal(match(t, UP, "a", "rebound.example", "/other"), "(other kind)");
	assert_string_equal(match(t, PLAIN, "a", "rebound.example", "/ws"), "pages");
}

static void targets_and_roots_are_opened(void **state)
{
	struct table *t = *state;
	const struct route *route;

	assert_int_equal(build(t, "[route tls]\npath = /tls\ntarget = tls:x.example:1\n[route pages]\nroot = $\n"), 0);
	assert_int_equal(routes_match(&t->routes, UP, "a", SPAN("o"), SPAN("/tls"), &route), ROUTE_FOUND);
	assert_non_null(route->pool.member[0].tls);
	assert_null(route->handler);
	assert_int_equal(routes_match(&t->routes, PLAIN, "a", SPAN("o"), SPAN("/x"), &route), ROUTE_FOUND);
	assert_int_equal(route->pool.count, 0);
	assert_non_null(route->handler);
	assert_int_equal(route->prefix.n, 0);
}

/* All of them at once, each with its line; and nothing is left open. */
static void what_cannot_be_opened_is_told(void **state)
{
	struct table *t = *state;
	char place[2][128];

	assert_int_equal(build(t, "[route tls]\npath = /tls\ntarget = tls:x:1\ntarget_ca = $/missing.pem\n"
	                          "[route pages]\nroot = $/missing\n"),
	                 -1);
	snprintf(place[0], sizeof(place[0]), "%s:8: [route tls]", t->path);
	snprintf(place[1], sizeof(place[1]), "%s:10: [route pages]", t->path);
	assert_int_equal(t->err.count, 2);
	assert_non_null(strstr(t->err.text, place[0]));
	assert_non_null(strstr(t->err.text, "/missing.pem"));
	assert_non_null(strstr(t->err.text, place[1]));
	assert_int_equal(t->routes.count, 0);
}

/* `own` stands for what no stranger's name server can answer for, comes behind names and before any. */
static void own_is_every_name_of_this_machine(void **state)
{
	struct table *t = *state;

	assert_int_equal(build(t, "[route own]\nhost = own, gate.example\ntarget = a:1\n[route one]\nhost = 192.0.2.1\ntarget = a:1\n"
	                          "[route some]\npath = /x\nhost = b, own\ntarget = a:1\n[route any]\npath = /x\nhost = *\n"
	                          "target = a:1\n"), 0);
	assert_string_equal(match(t, true, "a", "127.0.0.1:80", "/"), "own");
	assert_string_equal(match(t, true, "a", "[::1]", "/"), "own");
	assert_string_equal(match(t, true, "a", "Localhost.", "/"), "own");
	assert_string_equal(match(t, true, "a", "gate.example", "/"), "own");
	assert_string_equal(match(t, true, "a", NULL, "/"), "own");
	assert_string_equal(match(t, true, "a", "192.0.2.1", "/"), "one");
	assert_string_equal(match(t, true, "a", "evil.example", "/"), "(other host)");
	assert_string_equal(match(t, true, "a", "own", "/"), "(other host)");
	assert_string_equal(match(t, true, "a", "*", "/"), "(other host)");
	assert_string_equal(match(t, true, "a", "b", "/x"), "some");
	assert_string_equal(match(t, true, "a", "localhost", "/x"), "some");
	assert_string_equal(match(t, true, "a", "evil.example", "/x"), "any");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_most_specific_wins),       TEST(kinds_are_kept_apart),
		TEST(listeners_are_kept_apart),     TEST(foreign_hosts_are_told_apart),
		TEST(targets_and_roots_are_opened), TEST(what_cannot_be_opened_is_told),
		TEST(own_is_every_name_of_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
