/* Which web pages may use the gateway: a table of origins against what the request was for and what is listed. */
#include "gate/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PLAIN, TLS };
enum { REFUSED, ALLOWED };

struct row {
	const char *origin, *authority;
	int tls;
	int want;
};

static void check(const struct row *row, const char *const *allow, size_t count)
{
	struct str_list list = { (char **)(uintptr_t)allow, count };

	/* copies of the exact size, so that a read past the end is seen */
	size_t n = row->origin != NULL ? strlen(row->origin) : 0;
	char *copy = malloc(n + 1);
	if (n > 0)
		memcpy(copy, row->origin, n);
	char *exact = realloc(copy, n > 0 ? n : 1);
	struct span origin = { row->origin != NULL ? exact : NULL, n };
	int got = origin_allowed(origin, span_of(row->authority), row->tls == TLS, &list) ? ALLOWED : REFUSED;
	free(exact);
	if (got != row->want)
		fail_msg("origin \"%s\" for \"%s\" over %s: want %s", row->origin != NULL ? row->origin : "(none)",
		         row->authority != NULL ? row->authority : "(none)", row->tls == TLS ? "TLS" : "plain",
		         row->want == ALLOWED ? "allowed" : "refused");
}

static const struct row own[] = {
	/* the page that the gateway itself, or what stands on the same host and port, has sent */
	{ NULL, "a.test", PLAIN, ALLOWED },
	{ NULL, NULL, PLAIN, ALLOWED },
	{ "http://a.test", "a.test", PLAIN, ALLOWED },
	{ "http://a.test", "a.test:80", PLAIN, ALLOWED },
	{ "http://a.test:80", "a.test", PLAIN, ALLOWED },
	{ "http://a.test:6080", "a.test:6080", PLAIN, ALLOWED },
	{ "https://a.test", "a.test", TLS, ALLOWED },
	{ "https://a.test", "a.test:443", TLS, ALLOWED },
	{ "https://a.test:443", "a.test", TLS, ALLOWED },
	{ "https://a.test:6080", "a.test:6080", TLS, ALLOWED },
	{ "HTTP://A.Test", "a.tEST", PLAIN, ALLOWED },
	{ "http://127.0.0.1:6080", "127.0.0.1:6080", PLAIN, ALLOWED },
	{ "http://[::1]:6080", "[::1]:6080", PLAIN, ALLOWED },
	{ "http://[2001:db8::A]", "[2001:DB8::a]", PLAIN, ALLOWED },
	{ "http://[2001:db8::1]", "[2001:db8:0:0::1]", PLAIN, ALLOWED },
	{ "http://localhost:1", "localhost:1", PLAIN, ALLOWED },
	{ "http://xn--bcher-kva.test", "xn--bcher-kva.test", PLAIN, ALLOWED },
	{ "http://a.test:65535", "a.test:65535", PLAIN, ALLOWED },
	/* a proxy in front of us ended TLS */
	{ "https://a.test", "a.test", PLAIN, ALLOWED },
	{ "https://a.test", "a.test:443", PLAIN, ALLOWED },
	{ "https://a.test:8443", "a.test:8443", PLAIN, ALLOWED },
	/* another scheme */
	{ "http://a.test", "a.test", TLS, REFUSED },
	{ "http://a.test:443", "a.test", TLS, REFUSED },
	{ "http://a.test:443", "a.test:443", TLS, REFUSED },
	{ "ws://a.test", "a.test", PLAIN, REFUSED },
	{ "wss://a.test", "a.test", TLS, REFUSED },
	{ "ftp://a.test", "a.test", PLAIN, REFUSED },
	{ "chrome-extension://a.test", "a.test", PLAIN, REFUSED },
	/* another port */
	{ "http://a.test:81", "a.test", PLAIN, REFUSED },
	{ "http://a.test", "a.test:6080", PLAIN, REFUSED },
	{ "http://a.test:6080", "a.test", PLAIN, REFUSED },
	{ "http://a.test:6080", "a.test:6081", PLAIN, REFUSED },
	{ "http://a.test:443", "a.test", PLAIN, REFUSED },
	{ "https://a.test:80", "a.test", TLS, REFUSED },
	{ "https://a.test", "a.test:80", PLAIN, REFUSED },
	{ "http://[::1]:6080", "[::1]:6081", PLAIN, REFUSED },
	/* another host, however alike */
	{ "http://b.test", "a.test", PLAIN, REFUSED },
	{ "http://a.test.evil.test", "a.test", PLAIN, REFUSED },
	{ "http://evil-a.test", "a.test", PLAIN, REFUSED },
	{ "http://evil.a.test", "a.test", PLAIN, REFUSED },
	{ "http://a.tes", "a.test", PLAIN, REFUSED },
	{ "http://test", "a.test", PLAIN, REFUSED },
	{ "http://a.test.", "a.test", PLAIN, REFUSED },
	{ "http://127.0.0.1", "127.0.0.2", PLAIN, REFUSED },
	{ "http://[::1]", "[::2]", PLAIN, REFUSED },
	{ "http://[::ffff:127.0.0.1]", "127.0.0.1", PLAIN, REFUSED },
	{ "http://localhost", "127.0.0.1", PLAIN, REFUSED },
	/* malformed */
	{ "", "a.test", PLAIN, REFUSED },
	{ "null", "a.test", PLAIN, REFUSED },
	{ "null", "null", PLAIN, REFUSED },
	{ "*", "a.test", PLAIN, REFUSED },
	{ "a.test", "a.test", PLAIN, REFUSED },
	{ "//a.test", "a.test", PLAIN, REFUSED },
	{ "://a.test", "a.test", PLAIN, REFUSED },
	{ "http:a.test", "a.test", PLAIN, REFUSED },
	{ "http:/a.test", "a.test", PLAIN, REFUSED },
	{ "http://", "a.test", PLAIN, REFUSED },
	{ "http://", "", PLAIN, REFUSED },
	{ "http://:80", ":80", PLAIN, REFUSED },
	{ "http:///a.test", "a.test", PLAIN, REFUSED },
	{ "http://a.test/", "a.test", PLAIN, REFUSED },
	{ "http://a.test/path", "a.test", PLAIN, REFUSED },
	{ "http://a.test?q", "a.test", PLAIN, REFUSED },
	{ "http://a.test#f", "a.test", PLAIN, REFUSED },
	{ "http://user@a.test", "a.test", PLAIN, REFUSED },
	{ "http://user:pw@a.test", "a.test", PLAIN, REFUSED },
	{ "http://evil.test@a.test", "a.test", PLAIN, REFUSED },
	{ "http://a.test:", "a.test", PLAIN, REFUSED },
	{ "http://a.test:0", "a.test:0", PLAIN, REFUSED },
	{ "http://a.test:080", "a.test", PLAIN, REFUSED },
	{ "http://a.test:65536", "a.test:65536", PLAIN, REFUSED },
	{ "http://a.test:65616", "a.test", PLAIN, REFUSED }, /* 80 in 16 bits */
	{ "http://a.test:4294967376", "a.test", PLAIN, REFUSED }, /* 80 in 32 bits */
	{ "http://a.test:x", "a.test:x", PLAIN, REFUSED },
	{ "http://a.test:-80", "a.test", PLAIN, REFUSED },
	{ "http://a.test:8 0", "a.test", PLAIN, REFUSED },
	{ "http://a.test:80:80", "a.test", PLAIN, REFUSED },
	{ " http://a.test", "a.test", PLAIN, REFUSED },
	{ "http://a.test ", "a.test", PLAIN, REFUSED },
	{ "http://a.test http://b.test", "a.test", PLAIN, REFUSED },
	{ "http://a.test, http://a.test", "a.test", PLAIN, REFUSED },
	{ "http://a.test,http://a.test", "a.test", PLAIN, REFUSED },
	{ "http://[::1", "[::1]", PLAIN, REFUSED },
	{ "http://::1", "[::1]", PLAIN, REFUSED },
	{ "http://[::1]x", "[::1]", PLAIN, REFUSED },
	{ "http://[a.test]", "a.test", PLAIN, REFUSED },
	{ "http://[]", "[]", PLAIN, REFUSED },
	{ "ht tp://a.test", "a.test", PLAIN, REFUSED },
	/* a request that is for no host: nothing equals it */
	{ "http://a.test", NULL, PLAIN, REFUSED },
	{ "http://a.test", "", PLAIN, REFUSED },
	{ "http://a.test", "a.test:x", PLAIN, REFUSED },
	{ "http://a.test", "user@a.test", PLAIN, REFUSED },
};

static void hs_origin(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		check(&own[i], NULL, 0);
}

static const char *const allow[] = {
	"https://good.test", "http://plain.test:8080", "HTTPS://Upper.Test:443", "chrome-extension://abcdef",
	"http://[2001:db8::1]", "wss://socket.test", "app://local:7",
};

static const struct row listed[] = {
	{ "https://good.test", "a.test", PLAIN, ALLOWED },
	{ "https://good.test", "a.test", TLS, ALLOWED },
	{ "https://good.test", NULL, TLS, ALLOWED },
	{ "https://good.test:443", "a.test", TLS, ALLOWED },
	{ "https://GOOD.test", "a.test", TLS, ALLOWED },
	{ "http://plain.test:8080", "a.test", PLAIN, ALLOWED },
	{ "https://upper.test", "a.test", PLAIN, ALLOWED },
	{ "chrome-extension://abcdef", "a.test", PLAIN, ALLOWED },
	{ "http://[2001:DB8:0::1]", "a.test", PLAIN, ALLOWED },
	{ "wss://socket.test:443", "a.test", PLAIN, ALLOWED },
	{ "app://local:7", "a.test", PLAIN, ALLOWED },
	{ "http://a.test", "a.test", PLAIN, ALLOWED }, /* the own one stays */
	{ NULL, "a.test", PLAIN, ALLOWED },
	{ "http://good.test", "a.test", PLAIN, REFUSED },
	{ "https://good.test:8443", "a.test", TLS, REFUSED },
	{ "http://good.test:443", "a.test", TLS, REFUSED },
	{ "https://sub.good.test", "a.test", TLS, REFUSED },
	{ "https://good.test.evil.test", "a.test", TLS, REFUSED },
	{ "https://notgood.test", "a.test", TLS, REFUSED },
	{ "https://good.test/", "a.test", TLS, REFUSED },
	{ "https://good.test@evil.test", "a.test", TLS, REFUSED },
	{ "http://plain.test", "a.test", PLAIN, REFUSED },
	{ "chrome-extension://abcdefg", "a.test", PLAIN, REFUSED },
	{ "chrome-extension://abcdef:80", "a.test", PLAIN, REFUSED },
	{ "moz-extension://abcdef", "a.test", PLAIN, REFUSED },
	{ "app://local", "a.test", PLAIN, REFUSED },
	{ "http://[2001:db8::2]", "a.test", PLAIN, REFUSED },
	{ "null", "a.test", PLAIN, REFUSED },
	{ "", "a.test", PLAIN, REFUSED },
};

static void listed_origins(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(listed); i++)
		check(&listed[i], allow, ARRAY_LEN(allow));
}

static void null_is_only_itself(void **state)
{
	static const char *const null_only[] = { "null" };
	static const struct row rows[] = {
		{ "null", "a.test", PLAIN, ALLOWED },   { "Null", "a.test", PLAIN, REFUSED },
		{ "nul", "a.test", PLAIN, REFUSED },    { "null ", "a.test", PLAIN, REFUSED },
		{ "", "a.test", PLAIN, REFUSED },       { "http://null", "a.test", PLAIN, REFUSED },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i], null_only, 1);
}

static void a_star_is_any(void **state)
{
	static const char *const any[] = { "https://good.test", "*" };
	static const char *const origins[] = { NULL, "", "null", "http://b.test", "http://b.test/x", "\x01\xff", "a, b" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(origins); i++)
		check(&(struct row){ origins[i], "a.test", TLS, ALLOWED }, any, 2);
}

/* Origins as shells of applications send them: Electron, Capacitor, Ionic, Tauri, Cordova, extensions, VS Code, Qt. */
static const char *const shells[] = {
	"file://", "app://", "app://-", "app://.", "app://obsidian.md", "capacitor://localhost", "ionic://localhost",
	"tauri://localhost", "https://tauri.localhost", "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
	"vscode-webview://*", "moz-extension://*", "qrc://", "wails://wails.localhost:34115",
};

static const struct row from_shells[] = {
	{ "file://", "a.test", PLAIN, ALLOWED },
	{ "FILE://", "a.test", TLS, ALLOWED },
	{ "app://", "a.test", PLAIN, ALLOWED },
	{ "app://-", "a.test", PLAIN, ALLOWED },
	{ "app://.", "a.test", PLAIN, ALLOWED },
	{ "app://obsidian.md", "a.test", PLAIN, ALLOWED },
	{ "capacitor://localhost", "a.test", PLAIN, ALLOWED },
	{ "ionic://localhost", "a.test", PLAIN, ALLOWED },
	{ "tauri://localhost", "a.test", PLAIN, ALLOWED },
	{ "https://tauri.localhost", "a.test", PLAIN, ALLOWED },
	{ "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb", "a.test", PLAIN, ALLOWED },
	{ "vscode-webview://1vfd6ggsoa6q0ohqh3vn9iv4qm3t2ib7d4fmmc2l5k3rdgg5ecuq", "a.test", PLAIN, ALLOWED },
	{ "moz-extension://0b3b5f1e-7f4f-4a6a-8f2c-0d6a3c1a9e55", "a.test", PLAIN, ALLOWED },
	{ "qrc://", "a.test", PLAIN, ALLOWED },
	{ "wails://wails.localhost:34115", "a.test", PLAIN, ALLOWED },
	{ "null", "a.test", PLAIN, REFUSED },
	{ "file:", "a.test", PLAIN, REFUSED },
	{ "file:///", "a.test", PLAIN, REFUSED },
	{ "file:///etc/page.html", "a.test", PLAIN, REFUSED },
	{ "file://server", "a.test", PLAIN, REFUSED },
	{ "files://", "a.test", PLAIN, REFUSED },
	{ "app://other", "a.test", PLAIN, REFUSED },
	{ "capacitor://", "a.test", PLAIN, REFUSED },
	{ "capacitor://localhost:80", "a.test", PLAIN, REFUSED },
	{ "tauri://localhost.evil.test", "a.test", PLAIN, REFUSED },
	{ "http://tauri.localhost", "a.test", PLAIN, REFUSED },
	{ "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllclec", "a.test", PLAIN, REFUSED },
	{ "vscode-webview-x://1vfd6ggsoa", "a.test", PLAIN, REFUSED },
	{ "vscode-webview://1vfd6ggsoa/x", "a.test", PLAIN, REFUSED },
	{ "https://vscode-webview", "a.test", PLAIN, REFUSED },
	{ "https://", "a.test", PLAIN, REFUSED },
};

static void shells_of_applications(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shells); i++)
		assert_true(origin_entry_valid(shells[i]));
	for (size_t i = 0; i < ARRAY_LEN(from_shells); i++)
		check(&from_shells[i], shells, ARRAY_LEN(shells));
	check(&(struct row){ "file://", "", PLAIN, REFUSED }, NULL, 0);
	check(&(struct row){ "file://", NULL, PLAIN, REFUSED }, NULL, 0);
}

static const char *const domains[] = { "https://*.good.test", "HTTP://*.Dev.test:3000", "app://*.local" };

static const struct row below[] = {
	{ "https://a.good.test", "a.test", PLAIN, ALLOWED },
	{ "https://A.B.Good.test:443", "a.test", TLS, ALLOWED },
	{ "https://a-b.c_d.good.test", "a.test", TLS, ALLOWED },
	{ "http://x.dev.test:3000", "a.test", PLAIN, ALLOWED },
	{ "app://x.local", "a.test", PLAIN, ALLOWED },
	{ "https://good.test", "a.test", TLS, REFUSED },
	{ "https://.good.test", "a.test", TLS, REFUSED },
	{ "https://a..good.test", "a.test", TLS, REFUSED },
	{ "https://.a.good.test", "a.test", TLS, REFUSED },
	{ "https://evilgood.test", "a.test", TLS, REFUSED },
	{ "https://a.evilgood.test", "a.test", TLS, REFUSED },
	{ "https://a.good.test.evil.test", "a.test", TLS, REFUSED },
	{ "https://a.good.test.", "a.test", TLS, REFUSED },
	{ "https://a.good.test:444", "a.test", TLS, REFUSED },
	{ "https://evil.test/.good.test", "a.test", TLS, REFUSED },
	{ "https://evil.test#.good.test", "a.test", TLS, REFUSED },
	{ "https://evil.test:443.good.test", "a.test", TLS, REFUSED },
	{ "https://user@a.good.test", "a.test", TLS, REFUSED },
	{ "http://a.good.test", "a.test", TLS, REFUSED },
	{ "http://x.dev.test", "a.test", PLAIN, REFUSED },
	{ "app://local", "a.test", PLAIN, REFUSED },
};

static void names_below_a_domain(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(below); i++)
		check(&below[i], domains, ARRAY_LEN(domains));
}

/* No entry may do more than it says, even one that configuration should have refused. */
static void bad_entries_allow_nothing(void **state)
{
	static const char *const bad[] = {
		"", "*.good.test", "good.test", "https://*", "https://x.*.test", "https://*good.test", "https://*x.good.test",
		"https://*.*.test", "*://good.test", "*://*", "https://good.test/", "https://",
	};
	static const char *const origins[] = {
		"https://good.test", "https://x.good.test", "", "https://good.test/", "https://",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(origins); i++)
		check(&(struct row){ origins[i], "a.test", TLS, REFUSED }, bad, ARRAY_LEN(bad));
}

static void entries(void **state)
{
	static const struct {
		const char *entry;
		bool valid;
	} cases[] = {
		{ "*", true },
		{ "null", true },
		{ "https://good.test", true },
		{ "https://good.test:8443", true },
		{ "http://[::1]:6080", true },
		{ "chrome-extension://abcdef", true },
		{ "https://*.good.test", true },
		{ "https://*.good.test:8443", true },
		{ "file://", true },
		{ "app://*", true },
		{ "app://*.local", true },
		{ "https://*", false },
		{ "https://*:443", false },
		{ "app://*:443", false },
		{ "wss://*", false },
		{ "https://*.", false },
		{ "https://*.[::1]", false },
		{ "https://*.*.test", false },
		{ "https://a.*.test", false },
		{ "https://*a.test", false },
		{ "https://a*", false },
		{ "*://a.test", false },
		{ "file:///", false },
		{ "", false },
		{ "good.test", false },
		{ "https://good.test/", false },
		{ "https://good.test/path", false },
		{ "https://good.test:", false },
		{ "https://good.test:99999", false },
		{ "https://user@good.test", false },
		{ "https://", false },
		{ "https://good.test, https://b.test", false },
		{ "NULL", false },
		{ "**", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (origin_entry_valid(cases[i].entry) != cases[i].valid)
			fail_msg("entry \"%s\": want %s", cases[i].entry, cases[i].valid ? "valid" : "invalid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hs_origin),
		cmocka_unit_test(listed_origins),
		cmocka_unit_test(shells_of_applications),
		cmocka_unit_test(names_below_a_domain),
		cmocka_unit_test(null_is_only_itself),
		cmocka_unit_test(a_star_is_any),
		cmocka_unit_test(bad_entries_allow_nothing),
		cmocka_unit_test(entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
