/* The settings: defaults, types, and every check across options, from the text of a file to values and complaints. */
#include "config/settings.h"

#include "base/mem.h"
#include "cli/quick.h"
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

/* A directory for one test's configuration. */
struct place {
	char directory[64];
	char path[96];
	struct err err;
};

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	strcpy(p->directory, "/tmp/test_settings.XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	snprintf(p->path, sizeof(p->path), "%s/s.conf", p->directory);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char *command = mem_printf("rm -r %s", p->directory);

	assert_int_equal(system(command), 0);
	free(command);
	free(p);
	return 0;
}

static void write_file(const struct place *p, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", p->directory, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	free(path);
}

static struct settings *read_text(struct place *p, const char *text)
{
	write_file(p, "s.conf", text);
	err_init(&p->err);
	return settings_read(p->path, NULL, &p->err);
}

static struct settings *read_fine(struct place *p, const char *text)
{
	struct settings *s = read_text(p, text);

	assert_string_equal(p->err.text, "");
	assert_non_null(s);
	return s;
}

/* want: the complaints, with '~' where the file's path and a colon stand. */
static void expect(struct place *p, const char *text, const char *want)
{
	char *whole = mem_zalloc(strlen(want) + 32 * sizeof(p->path));
	size_t n = 0;

	for (; *want != '\0'; want++) {
		if (*want == '~')
			n += (size_t)sprintf(whole + n, "%s:", p->path);
		else
			whole[n++] = *want;
	}
	assert_null(read_text(p, text));
	assert_string_equal(p->err.text, whole);
	free(whole);
}

#define LISTEN "[listen l]\naddress = 6080\n"
#define ROUTE  "[route r]\ntarget = localhost:5900\n"

/* --- values ----------------------------------------------------------------------------------------------------- */

static void the_least_configuration(void **state)
{
	struct settings *s = read_fine(*state, LISTEN ROUTE);

	assert_false(s->quick);
	assert_int_equal(s->server->workers, 0);
	assert_int_equal(s->server->log_level, LEVEL_INFO);
	assert_int_equal(s->server->log_format, LOG_TEXT);
	assert_string_equal(s->server->log, "stderr");
	assert_int_equal(s->listens_count, 1);
	assert_string_equal(s->listens[0]->address.item[0].text, "*:6080");
	assert_int_equal(s->listens[0]->tls, TLS_MODE_OFF);
	assert_int_equal(s->listens[0]->unix_mode, 0660);
	assert_int_equal(s->routes_count, 1);
	const struct route_settings *r = s->routes[0];
	assert_string_equal(r->section.name, "r");
	assert_string_equal(r->path, "/*");
	assert_string_equal(r->target.text, "localhost:5900");
	assert_string_equal(r->root, "");
	assert_string_equal(r->token_file, "");
	assert_int_equal(r->high_water, 131072);
	assert_int_equal(r->accept, MESSAGES_BOTH);
	assert_int_equal(r->send, SEND_BINARY);
	assert_int_equal(r->connect_error, CONNECT_ERROR_AUTO);
	assert_int_equal(r->subprotocol.count, 1);
	assert_string_equal(r->subprotocol.item[0], "binary");
	assert_true(r->target_verify);
	settings_free(s);
}

static void words_become_values(void **state)
{
	struct settings *s = read_fine(
	        *state, "[server]\nlog_level = debug\nlog_format = json\nlog = file:/var/log/x\n"
	                "[listen a]\naddress = [::1]:80, unix:/run/x\naddress = fd:web\ntls = auto\nunix_mode = 600\n"
	                "[tls t]\ncertificate = c.pem\nclient_certificate = optional\nclient_ca = ca.pem\n"
	                "min_version = 1.3\ntickets = no\n"
	                "[route r]\npath = /x\ntarget = tls:h:1\naccept = text\nsend = text\nconnect_error = http\n"
	                "host = A.example., [::1]\norigin = https://a.example, null\nlow_water = 0\n");

	assert_int_equal(s->server->log_level, LEVEL_DEBUG);
	assert_int_equal(s->server->log_format, LOG_JSON);
	assert_int_equal(s->listens[0]->address.count, 3);
	assert_int_equal(s->listens[0]->address.item[2].kind, ADDRESS_FD);
	assert_int_equal(s->listens[0]->tls, TLS_MODE_AUTO);
	assert_int_equal(s->listens[0]->unix_mode, 0600);
	assert_int_equal(s->tls[0]->client_certificate, TLS_CLIENT_CERT_OPTIONAL);
	assert_int_equal(s->tls[0]->min_version, 1);
	assert_false(s->tls[0]->tickets);
	assert_true(s->routes[0]->target.tls);
	assert_int_equal(s->routes[0]->accept, MESSAGES_TEXT);
	assert_int_equal(s->routes[0]->send, SEND_TEXT);
	assert_int_equal(s->routes[0]->connect_error, CONNECT_ERROR_HTTP);
	settings_free(s);
}

static void bad_words_are_refused(void **state)
{
	expect(*state,
	       "[listen l]\naddress = 6080, 99999\nunix_mode = 0999\ntls = yes\n[route r]\ntarget = nowhere\nsend = "
	       "both\n",
	       "~2: [listen l] address: \"99999\": the port must be a number from 0 to 65535\n"
	       "~3: [listen l] unix_mode: \"0999\" is not an octal mode from 0000 to 0777\n"
	       "~3: [listen l] unix_mode: has no effect without an address of the form unix:/path\n"
	       "~4: [listen l] tls: \"yes\" is none of: off, on, auto\n"
	       "~6: [route r] target: \"nowhere\": a target is HOST:PORT, unix:/path, unix:@name, tls:HOST:PORT or "
	       "echo:\n"
	       "~7: [route r] send: \"both\" is none of: binary, text");
	expect(*state, "[listen l]\naddress = unix:/x\nunix_mode = 1000\n" ROUTE,
	       "~3: [listen l] unix_mode: \"1000\" is not an octal mode from 0000 to 0777");
}

static void same_text(const void *a, const void *b)
{
	assert_string_equal(*(char *const *)a, *(char *const *)b);
}

static void same_list(const void *left, const void *right)
{
	const struct str_list *a = left, *b = right;

	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++)
		assert_string_equal(a->item[i], b->item[i]);
}

static void same_flag(const void *a, const void *b)
{
	assert_int_equal(*(const bool *)a, *(const bool *)b);
}

static void same_choice(const void *a, const void *b)
{
	assert_int_equal(*(const int *)a, *(const int *)b);
}

static void same_mode(const void *a, const void *b)
{
	assert_int_equal(*(const uint32_t *)a, *(const uint32_t *)b);
}

static void same_number(const void *a, const void *b)
{
	assert_int_equal(*(const uint64_t *)a, *(const uint64_t *)b);
}

static void same_target(const void *a, const void *b)
{
	assert_string_equal(((const struct address *)a)->text, ((const struct address *)b)->text);
}

static void same_networks(const void *a, const void *b)
{
	const struct cidr_list *x = a, *y = b;

	assert_int_equal(x->count, y->count);
	for (size_t i = 0; i < x->count; i++)
		assert_memory_equal(&x->item[i], &y->item[i], sizeof(x->item[i]));
}

static void same_ports(const void *a, const void *b)
{
	assert_int_equal(((const struct port_list *)a)->count, ((const struct port_list *)b)->count);
}

static void same_addresses(const void *a, const void *b)
{
	assert_int_equal(((const struct address_list *)a)->count, ((const struct address_list *)b)->count);
}

#define SAME(field)                                                                                                    \
	_Generic(field, char * : same_text, struct str_list : same_list, bool : same_flag, int : same_choice,          \
	         uint32_t : same_mode, uint64_t : same_number, struct address : same_target,                           \
	         struct address_list : same_addresses, struct cidr_list : same_networks, struct port_list : same_ports)

static char *replace(char *text, const char *old, const char *new)
{
	char *at = strstr(text, old);

	assert_non_null(at);
	char *whole = mem_printf("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
	free(text);
	return whole;
}

/* What --defaults prints, its commented sections taken in, gives every value that no file gives. */
static void defaults_round_trip(void **state)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	settings_print_defaults(out);
	fclose(out);
	for (char *at = text; (at = strstr(at, "\n;")) != NULL; at++)
		memmove(at + 1, at + 2, strlen(at + 2) + 1);
	text = replace(text, "\naddress =", "\naddress = 6080");
	text = replace(text, "\ntls = off", "\ntls = on");
	text = replace(text, "\ncertificate =", "\ncertificate = c");
	text = replace(text, "\ntarget =", "\ntarget = localhost:5900");
	struct settings *a = read_fine(*state, text);
	struct settings *b = read_fine(*state, LISTEN "tls = on\n[tls t]\ncertificate = c\n" ROUTE);

#define OPT(name, type, def, flags, help) SAME(a->server->name)(&a->server->name, &b->server->name);
#include "config/server.def"
#undef OPT
#define OPT(name, type, def, flags, help) SAME(a->listens[0]->name)(&a->listens[0]->name, &b->listens[0]->name);
#include "config/listen.def"
#undef OPT
#define OPT(name, type, def, flags, help) SAME(a->tls[0]->name)(&a->tls[0]->name, &b->tls[0]->name);
#include "config/tls.def"
#undef OPT
#define OPT(name, type, def, flags, help) SAME(a->routes[0]->name)(&a->routes[0]->name, &b->routes[0]->name);
#include "config/route.def"
#undef OPT
	settings_free(a);
	settings_free(b);
	free(text);
}

/* --- checks ----------------------------------------------------------------------------------------------------- */

static void something_must_listen_and_lead_somewhere(void **state)
{
	expect(*state, "",
	       "~ nothing to listen on: there is no section [listen NAME]\n"
	       "~ every request would be refused: there is no section [route NAME]");
	expect(*state, "[listen l]\n[route r]\n",
	       "~1: [listen l] has no address; write, for example, address = *:6080\n"
	       "~2: [route r] leads nowhere; write target = HOST:PORT, token_file = FILE, or root = DIRECTORY");
	expect(*state, LISTEN "[route r]\ntarget = a:1\nroot = /x\n",
	       "~3: [route r] has more than one of target, token_file and root; write a route for each");
	/* What could not be read is not reported as missing on top. */
	expect(*state, "[lisen l]\n[rout r]\n",
	       "~1: unknown section [lisen]; did you mean \"listen\"?\n~2: unknown section [rout]; did you mean "
	       "\"route\"?");
}

static void addresses_are_unique(void **state)
{
	expect(*state, "[listen a]\naddress = 6080, *:6080\n[listen b]\naddress = tcp:6080\naddress = unix:/x\n" ROUTE,
	       "~2: [listen a] address: *:6080 is already in [listen a]\n"
	       "~4: [listen b] address: *:6080 is already in [listen a]");
	settings_free(read_fine(*state, "[listen a]\naddress = localhost:0, localhost:0\n" ROUTE));
}

static void who_names_sources_must_be_said(void **state)
{
	struct settings *s = read_fine(*state, LISTEN "proxy_protocol = on\ntrusted_proxy = 192.0.2.1, 10.0.0.0/8\n"
	                                              "trusted_proxy = 2001:db8::/32\n" ROUTE);

	assert_true(s->listens[0]->proxy_protocol);
	assert_int_equal(s->listens[0]->trusted_proxy.count, 3);
	assert_int_equal(s->listens[0]->trusted_proxy.item[1].bits, 8);
	settings_free(s);
	settings_free(read_fine(*state, "[listen l]\naddress = unix:/x\nproxy_protocol = on\n" ROUTE));
	settings_free(read_fine(*state, "[listen l]\naddress = fd:web\nproxy_protocol = on\n" ROUTE));
	settings_free(read_fine(*state, "[listen l]\naddress = fd:web, unix:/x\nproxy_protocol = on\n"
	                                "trusted_proxy = ::1\n" ROUTE));
	expect(*state, LISTEN "proxy_protocol = on\n" ROUTE,
	       "~3: [listen l] proxy_protocol: needs trusted_proxy = NETWORK: the proxies that may name the source of a connection");
	expect(*state, "[listen l]\naddress = unix:/x, 6080\nproxy_protocol = on\n" ROUTE,
	       "~3: [listen l] proxy_protocol: needs trusted_proxy = NETWORK: the proxies that may name the source of a connection");
	expect(*state, LISTEN "trusted_proxy = ::1\n" ROUTE,
	       "~3: [listen l] trusted_proxy: has no effect without proxy_protocol = on");
	expect(*state, LISTEN "proxy_protocol = on\ntrusted_proxy = here\n" ROUTE,
	       "~4: [listen l] trusted_proxy: \"here\" is not a network; write 192.0.2.0/24, 2001:db8::/32 or an address");
	expect(*state, LISTEN "proxy_protocol = v2\ntrusted_proxy = ::1\n" ROUTE,
	       "~3: [listen l] proxy_protocol: \"v2\" is none of: no, yes, off, on, false, true");
	expect(*state, "[listen l]\naddress = unix:/x\nproxy_protocol = on\ntrusted_proxy = ::1\n" ROUTE,
	       "~4: [listen l] trusted_proxy: has no effect for UNIX sockets: their permissions say who may connect");
	expect(*state, "[listen l]\naddress = unix:@x\nproxy_protocol = on\n" ROUTE,
	       "~3: [listen l] proxy_protocol: anybody could connect to unix:@x and name any source; give the socket a path");
}

static void tls_needs_both_ends(void **state)
{
	expect(*state, "[listen l]\naddress = 6080\ntls = on\n" ROUTE,
	       "~3: [listen l] tls: needs a certificate: a section [tls NAME] with certificate = FILE");
	expect(*state, LISTEN "[tls t]\ncertificate = c.pem\n" ROUTE,
	       "~3: [tls t] would never be used: no listener has tls = on or tls = auto");
	expect(*state, LISTEN "tls = on\n[tls t]\nclient_certificate = optional\n" ROUTE,
	       "~4: [tls t] has no certificate; write, for example, certificate = chain.pem\n"
	       "~5: [tls t] client_certificate: needs client_ca = FILE to check them against");
	expect(*state, LISTEN "tls = on\n[tls t]\ncertificate = a.pem, b.pem\nkey = a.key\n" ROUTE,
	       "~6: [tls t] key: b.pem has no key: the first key belongs to the first certificate, and so on");
	expect(*state, LISTEN "tls = on\n[tls t]\ncertificate = a.pem\nkey = a.key\nkey = b.key\n" ROUTE,
	       "~6: [tls t] key: b.key has no certificate: the first key belongs to the first certificate, and so on");
	expect(*state,
	       LISTEN "tls = auto\n[listen m]\naddress = 2\ntls = on\n"
	              "[tls t]\ncertificate = c\nclient_certificate = required\nclient_ca = ca\n" ROUTE,
	       "~9: [tls t] client_certificate: clients could avoid it by plain HTTP to [listen l]; write tls = on there");
	expect(*state,
	       LISTEN "tls = on\n[tls t]\ncertificate = c\nclient_ca = ca\nmin_version = 1.3\nciphers = ALL\n" ROUTE,
	       "~6: [tls t] client_ca: has no effect without client_certificate = optional or required\n"
	       "~8: [tls t] ciphers: has no effect with min_version = 1.3; write ciphersuites");
}

static void names_of_listeners_exist(void **state)
{
	expect(*state, "[listen public]\naddress = 1\n" ROUTE "listen = publik, xyzzy\n",
	       "~5: [route r] listen: there is no [listen publik]; did you mean \"public\"?\n"
	       "~5: [route r] listen: there is no [listen xyzzy]");
}

static void words_have_their_form(void **state)
{
	expect(*state,
	       LISTEN ROUTE
	       "path = vnc\nhost = https://x, a:80, *.example.com\norigin = example.com\nsubprotocol = a b\n",
	       "~5: [route r] path: \"vnc\" is not a path; write /exact or /prefix/*\n"
	       "~6: [route r] host: \"https://x\" is not a host name: write a full name without scheme, port or wildcard; or own; or *\n"
	       "~6: [route r] host: \"a:80\" is not a host name: write a full name without scheme, port or wildcard; or own; or *\n"
	       "~6: [route r] host: \"*.example.com\" is not a host name: write a full name without scheme, port or wildcard; or own; or *\n"
	       "~7: [route r] origin: \"example.com\" is not an origin; write scheme://host[:port], scheme://*.domain[:port], file://, null or *\n"
	       "~8: [route r] subprotocol: \"a b\" is not a token as HTTP defines it (letters, digits, - . _ and a few more); separate items by commas");
	expect(*state,
	       LISTEN
	       "[route a]\npath = /a*\ntarget = a:1\n[route b]\npath = /*/b\ntarget = a:1\n[route c]\npath = /?q\n"
	       "target = a:1\n[route d]\npath =\ntarget = a:1\n[server]\nlog = /var/log/x\n",
	       "~4: [route a] path: \"/a*\" is not a path; write /exact or /prefix/*\n"
	       "~7: [route b] path: \"/*/b\" is not a path; write /exact or /prefix/*\n"
	       "~10: [route c] path: \"/?q\" is not a path; write /exact or /prefix/*\n"
	       "~13: [route d] path: \"\" is not a path; write /exact or /prefix/*\n"
	       "~16: [server] log: \"/var/log/x\" is none of: stderr, syslog, file:/path");
}

static void quantities_have_bounds(void **state)
{
	expect(*state, LISTEN ROUTE "high_water = 193k\n", "~5: [route r] high_water: must be at most 192k");
	expect(*state, LISTEN ROUTE "low_water = 128k\n",
	       "~5: [route r] low_water: low_water (131072) must be less than high_water (131072)");
	expect(*state, LISTEN ROUTE "high_water = 32k\n",
	       "~5: [route r] high_water: low_water (32768) must be less than high_water (32768)");
	expect(*state,
	       "[server]\nworkers = 257\nresolver_threads = 0\n" LISTEN "backlog = 0\nhandshake_timeout = 0\nlinger_timeout = 0\n" ROUTE
	       "connect_timeout = 0\npong_timeout = 0\nclose_timeout = 0\n",
	       "~2: [server] workers: must be at most 256\n"
	       "~3: [server] resolver_threads: must be from 1 to 64\n"
	       "~6: [listen l] backlog: must be from 1 to 65535\n"
	       "~7: [listen l] handshake_timeout: must be more than 0\n"
	       "~8: [listen l] linger_timeout: must be more than 0\n"
	       "~11: [route r] connect_timeout: must be more than 0\n"
	       "~12: [route r] pong_timeout: must be more than 0\n"
	       "~13: [route r] close_timeout: must be more than 0");
	expect(*state, LISTEN "head_limit = 65k\n" ROUTE, "~3: [listen l] head_limit: must be from 1k to 64k");
	expect(*state, LISTEN "head_limit = 1000\n" ROUTE, "~3: [listen l] head_limit: must be from 1k to 64k");
	settings_free(read_fine(*state, LISTEN "head_limit = 64k\nkeepalive_timeout = 0\n" ROUTE));
	expect(*state, LISTEN "hsts = 365d\n" ROUTE, "~3: [listen l] hsts: has no effect without tls = on or tls = auto");
	expect(*state, LISTEN "tls = on\nhsts = 1500ms\n[tls t]\ncertificate = c\n" ROUTE,
	       "~4: [listen l] hsts: \"1500ms\" is not a number of whole seconds; write, for example, 365d");
	settings_free(
	        read_fine(*state, LISTEN ROUTE "high_water = 192k\nlow_water = 0\nidle_timeout = 0\nlifetime = 1d\n"));
}

static void limits_of_sources_have_bounds(void **state)
{
	expect(*state,
	       "[server]\nsource_max_sessions = 4095\nsource_max_rate = 410\nsource_penalty_max = 8d\nsource_ipv4_prefix = 0\n"
	       "source_ipv6_prefix = 65\nsource_table = 15\nmax_refusals = 0\nrefusal_timeout = 0\n" LISTEN ROUTE,
	       "~2: [server] source_max_sessions: must be at most 4094\n"
	       "~3: [server] source_max_rate: must be at most 409\n"
	       "~4: [server] source_penalty_max: must be at most 7d\n"
	       "~5: [server] source_ipv4_prefix: must be from 1 to 32\n"
	       "~6: [server] source_ipv6_prefix: must be from 1 to 64\n"
	       "~7: [server] source_table: must be from 16 to 268435456\n"
	       "~8: [server] max_refusals: must be from 1 to 65536\n"
	       "~9: [server] refusal_timeout: must be more than 0");
	expect(*state, "[server]\nsource_penalty_max = 10s\n" LISTEN ROUTE,
	       "~2: [server] source_penalty_max: source_penalty_min must be at most source_penalty_max");
	settings_free(read_fine(*state, "[server]\nsource_penalty_max = 0\nsource_exempt =\n" LISTEN ROUTE));
}

static void options_matter_where_they_stand(void **state)
{
	expect(*state,
	       LISTEN ROUTE "target_ca = ca.pem\nindex = a.html\n[route w]\nroot = /w\norigin = *\nmax_message = 1m\n",
	       "~5: [route r] target_ca: has no effect without a target of the form tls:HOST:PORT\n"
	       "~6: [route r] index: has no effect without root\n"
	       "~9: [route w] origin: has no effect without target or token_file\n"
	       "~10: [route w] max_message: has no effect without target or token_file");
	expect(*state, LISTEN "[route w]\nroot = /w\nlifetime = 1h\nidle_timeout = 1h\nhigh_water = 8k\nlow_water = 4k\n",
	       "~5: [route w] lifetime: has no effect without target or token_file\n"
	       "~6: [route w] idle_timeout: has no effect without target or token_file\n"
	       "~7: [route w] high_water: has no effect without target or token_file\n"
	       "~8: [route w] low_water: has no effect without target or token_file");
	expect(*state, LISTEN ROUTE "subprotocol =\nrequire_subprotocol = yes\n",
	       "~6: [route r] require_subprotocol: has no effect without subprotocol");
}

static void routes_that_tie_are_refused(void **state)
{
	static const char two[] =
	        LISTEN "[listen m]\naddress = 81\n[listen L]\naddress = 82\n[route a]\ntarget = a:1\n%s[route b]\ntarget = b:2\n%s";
	static const struct {
		const char *a, *b;
		bool tie;
	} cases[] = {
		{ "", "", true },
		{ "path = /x\n", "path = /x\n", true },
		{ "path = /x\n", "path = /x/*\n", false },
		{ "path = /x/*\n", "path = /x/y/*\n", false },
		{ "path = /x\n", "path = /X\n", false },
		{ "host = a, b\n", "host = c, B.\n", true },
		{ "host = ::1\n", "host = [::1]\n", true },
		{ "host = a\n", "host = b\n", false },
		{ "host = a\n", "", false },
		{ "host = *\n", "", true },
		{ "host = a, *\n", "host = *, b\n", true },
		{ "host = own\n", "", false },
		{ "host = own\n", "host = localhost\n", false },
		{ "host = own, a\n", "host = b, own\n", true },
		{ "listen = l\n", "listen = m\n", false },
		{ "listen = l\n", "listen = L\n", false },
		{ "listen = l\n", "listen = m, l\n", true },
		{ "listen = l\n", "", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];
		snprintf(text, sizeof(text), two, cases[i].a, cases[i].b);
		struct settings *s = read_text(*state, text);
		struct place *p = *state;
		if ((s == NULL) != cases[i].tie ||
		    (s == NULL && strstr(p->err.text, "takes the same requests as [route a]") == NULL))
			fail_msg("case %zu: %s", i, p->err.text);
		settings_free(s);
	}
	settings_free(read_fine(*state, LISTEN ROUTE "[route web]\nroot = /w\n")); /* not the same kind of request */
}

static void everything_in_one_pass(void **state)
{
	expect(*state,
	       "[server]\nworker = 2\nworkers = two\n[listen l]\naddress = 1\ntls = on\n[route r]\npath = x\nroot = "
	       "/w\nroot = /v\n",
	       "~2: [server] unknown option \"worker\"; did you mean \"workers\"?\n"
	       "~3: [server] workers: \"two\" is not a number from 0 to 2147483647\n"
	       "~8: [route r] path: \"x\" is not a path; write /exact or /prefix/*\n"
	       "~10: [route r] root: given already, in ~9");
	/* A value that could not be read hides nothing that is missing. */
	expect(*state, "[listen l]\naddress = 1\ntls = yes\n[listen m]\naddress = 2\ntls = on\n[route r]\ntarget = a\nlisten = n\n",
	       "~3: [listen l] tls: \"yes\" is none of: off, on, auto\n"
	       "~6: [listen m] tls: needs a certificate: a section [tls NAME] with certificate = FILE\n"
	       "~8: [route r] target: \"a\": a target is HOST:PORT, unix:/path, unix:@name, tls:HOST:PORT or echo:\n"
	       "~9: [route r] listen: there is no [listen n]");
	expect(*state, LISTEN "tls = yes\n[tls t]\ncertificate = c\n" ROUTE, "~3: [listen l] tls: \"yes\" is none of: off, on, auto");
}

/* --- files and the quick form ----------------------------------------------------------------------------------- */

static void directory_is_read_in_order(void **state)
{
	struct place *p = *state;
	char *directory = mem_printf("%s/conf.d", p->directory);

	mkdir(directory, 0755);
	write_file(p, "conf.d/20-b.conf", "[route b]\npath = /b\ntarget = b:1\n");
	write_file(p, "conf.d/10-c.conf", "[route c]\npath = /c\ntarget = c:1\n");
	write_file(p, "conf.d/5-not.conf.bak", "nonsense");
	write_file(p, "conf.d/.hidden.conf", "nonsense");
	struct settings *s = read_fine(p, LISTEN ROUTE);
	assert_int_equal(s->routes_count, 3);
	assert_string_equal(s->routes[0]->section.name, "r");
	assert_string_equal(s->routes[1]->section.name, "c");
	assert_string_equal(s->routes[2]->section.name, "b");
	settings_free(s);

	write_file(p, "conf.d/30.conf", "[route b]\n[server]\nuser = x\n");
	write_file(p, "conf.d/40.conf", "[server]\nuser = y\n");
	assert_null(read_text(p, LISTEN));
	char *want = mem_printf("%s/30.conf:1: [route b] is there already, in %s/20-b.conf:1\n"
	                        "%s/40.conf:2: [server] user: given already, in %s/30.conf:3",
	                        directory, directory, directory, directory);
	assert_string_equal(p->err.text, want);
	free(want);
	free(directory);
}

static void a_missing_file_is_named_alone(void **state)
{
	struct place *p = *state;

	err_init(&p->err);
	assert_null(settings_read(p->path, NULL, &p->err));
	char *want = mem_printf("%s: cannot be read: No such file or directory", p->path);
	assert_string_equal(p->err.text, want);
	free(want);
}

static struct settings *quick(struct place *p, const struct quick_form *form)
{
	err_init(&p->err);
	return quick_settings(form, &p->err);
}

static void quick_form_makes_sections(void **state)
{
	static const char *const origins[] = { "https://a.example,https://b.example", "null" };
	struct place *p = *state;
	struct settings *s = quick(p, &(struct quick_form){ .listen = "6080",
	                                                    .target = "localhost:5900",
	                                                    .web = "/w",
	                                                    .cert = "c.pem",
	                                                    .key = "k.pem",
	                                                    .workers = "3",
	                                                    .log_level = "warn",
	                                                    .origins = origins,
	                                                    .origins_count = 2 });

	assert_string_equal(p->err.text, "");
	assert_non_null(s);
	assert_true(s->quick);
	assert_int_equal(s->server->workers, 3);
	assert_int_equal(s->server->log_level, LEVEL_WARN);
	assert_string_equal(s->listens[0]->address.item[0].text, "*:6080");
	assert_int_equal(s->listens[0]->tls, TLS_MODE_ON);
	assert_string_equal(s->tls[0]->key.item[0], "k.pem");
	assert_int_equal(s->routes_count, 2);
	assert_string_equal(s->routes[0]->section.name, "quick");
	assert_string_equal(s->routes[0]->target.text, "localhost:5900");
	assert_int_equal(s->routes[0]->origin.count, 3);
	assert_string_equal(s->routes[1]->section.name, "web");
	assert_string_equal(s->routes[1]->root, "/w");
	settings_free(s);

	s = quick(p,
	          &(struct quick_form){ .listen = "localhost:1", .token_file = "/t", .cert = "c.pem", .tls = "auto" });
	assert_string_equal(s->routes[0]->token_file, "/t");
	assert_int_equal(s->listens[0]->tls, TLS_MODE_AUTO);
	settings_free(s);
	s = quick(p, &(struct quick_form){ .listen = "localhost:1", .web = "/w" });
	assert_int_equal(s->routes_count, 1);
	assert_int_equal(s->listens[0]->tls, TLS_MODE_OFF);
	settings_free(s);
}

static void quick_form_has_the_same_complaints(void **state)
{
	struct place *p = *state;

	assert_null(quick(p, &(struct quick_form){ .listen = "x", .target = "y", .workers = "many", .tls = "on" }));
	assert_string_equal(p->err.text,
	                    "command line: --workers: \"many\" is not a number from 0 to 2147483647\n"
	                    "command line: [ADDR:]PORT: \"x\": the port must be a number from 0 to 65535\n"
	                    "command line: TARGET: \"y\": a target is HOST:PORT, unix:/path, unix:@name, "
	                    "tls:HOST:PORT or echo:\n"
	                    "command line: --tls: needs a certificate: --cert FILE");
	assert_null(quick(p, &(struct quick_form){ .listen = "1", .target = "a:1", .tls = "on" }));
	assert_string_equal(p->err.text, "command line: --tls: needs a certificate: --cert FILE");
	assert_null(quick(p, &(struct quick_form){ .listen = "1", .target = "a:1", .key = "k" }));
	assert_string_equal(p->err.text, "command line: --key: has no certificate; write, for example, certificate = chain.pem");
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static void every_file_that_is_named(void **state)
{
	struct place *p = *state;
	static const struct { int kind; const char *option, *path; } want[] = {
		{ FILE_LOG, "log", "/l/sallyport" },
		{ FILE_SOCKET, "address", "/s/one" },
		{ FILE_CERTIFICATE, "certificate", "/c/rsa" },
		{ FILE_CERTIFICATE, "certificate", "c/ecdsa" },
		{ FILE_KEY, "key", "/k/rsa" },
		{ FILE_KEY, "key", "k/ecdsa" },
		{ FILE_AUTHORITIES, "client_ca", "/a/clients" },
		{ FILE_TARGET, "target", "/t/socket" },
		{ FILE_TOKENS, "token_file", "/tokens" },
		{ FILE_ROOT, "root", "/www" },
		{ FILE_AUTHORITIES, "target_ca", "/a/target" },
	};
	struct settings *s = read_fine(p, "[server]\nlog = file:/l/sallyport\n[listen l]\ntls = on\naddress = 6080, unix:/s/one, unix:@two\n"
	                                  "[tls t]\ncertificate = /c/rsa, c/ecdsa\nkey = /k/rsa, k/ecdsa\n"
	                                  "client_certificate = optional\nclient_ca = /a/clients\n"
	                                  "[route a]\npath = /a\ntarget = unix:/t/socket\n[route b]\npath = /b\ntarget = unix:@name\n"
	                                  "[route c]\npath = /c\ntoken_file = /tokens\n[route d]\nroot = /www\n"
	                                  "[route e]\npath = /e\ntarget = tls:t:1\ntarget_ca = /a/target\n");

	assert_int_equal(s->files_count, ARRAY_LEN(want) + 1);
	assert_int_equal(s->files[0].kind, FILE_CONFIGURATION);
	assert_string_equal(s->files[0].path, p->path);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(s->files[i + 1].kind, want[i].kind);
		assert_string_equal(s->files[i + 1].option, want[i].option);
		assert_string_equal(s->files[i + 1].path, want[i].path);
	}
	assert_true(settings_name_file(s, FILE_ROOT, "/www"));
	assert_false(settings_name_file(s, FILE_ROOT, "/www/"));
	assert_false(settings_name_file(s, FILE_KEY, "/www"));
	settings_free(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_least_configuration),
		TEST(words_become_values),
		TEST(bad_words_are_refused),
		TEST(defaults_round_trip),
		TEST(something_must_listen_and_lead_somewhere),
		TEST(addresses_are_unique),
		TEST(who_names_sources_must_be_said),
		TEST(tls_needs_both_ends),
		TEST(names_of_listeners_exist),
		TEST(words_have_their_form),
		TEST(quantities_have_bounds),
		TEST(limits_of_sources_have_bounds),
		TEST(options_matter_where_they_stand),
		TEST(routes_that_tie_are_refused),
		TEST(everything_in_one_pass),
		TEST(directory_is_read_in_order),
		TEST(a_missing_file_is_named_alone),
		TEST(quick_form_makes_sections),
		TEST(quick_form_has_the_same_complaints),
		TEST(every_file_that_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
