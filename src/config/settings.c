/* settings.c owns the ways the settings are read, what a profile changes, and the sense that all of them make together.
 * It must never touch what a setting names (no file is opened, no address bound): building a generation does that. */
#include "config/settings.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/tls.h"
#include "proto/ip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool reach_has_listener(const struct route_settings *route, const char *listen)
{
	return route->listen.count == 0 || str_list_has(&route->listen, listen);
}

enum host_scope reach_of_hosts(const struct str_list *hosts)
{
	if (hosts->count == 0 || str_list_has(hosts, REACH_HOST_ANY))
		return HOST_ANY;
	return str_list_has(hosts, REACH_HOST_OWN) ? HOST_OWN : HOST_LISTED;
}

static void check_unique_address(const struct settings *s, size_t i, size_t k, struct err *err)
{
	const struct address *address = &s->listens[i]->address.item[k];

	if (address->kind == ADDRESS_TCP && address->port == 0)
		return; /* the kernel will choose another port for each */
	for (size_t j = 0; j <= i; j++) {
		const struct address_list *list = &s->listens[j]->address;
		for (size_t n = 0; n < (j < i ? list->count : k); n++) {
			if (strcmp(list->item[n].text, address->text) != 0)
				continue;
			conf_complain_option(s->listens[i], &s->listens[i]->address, err, "%s is already in [listen %s]",
			                     address->text, s->listens[j]->section.name);
			return;
		}
	}
}

/* Who may say where a connection comes from is said as well: by networks, or by the permissions of a UNIX socket. */
static void check_proxy(const struct listen_settings *l, struct err *err)
{
	bool tcp = false;

	for (size_t k = 0; k < l->address.count; k++) {
		const struct address *address = &l->address.item[k];
		tcp = tcp || address->kind == ADDRESS_TCP;
		if (l->proxy_protocol && address->kind == ADDRESS_UNIX && address->name[0] == '@')
			conf_complain_option(l, &l->proxy_protocol, err,
			                     "anybody could connect to %s and name any source; give the socket a path",
			                     address->text);
	}
	if (l->proxy_protocol && tcp && !conf_given(l, &l->trusted_proxy))
		conf_complain_option(l, &l->proxy_protocol, err,
		                     "needs trusted_proxy = NETWORK: the proxies that may name the source of a connection");
}

static void check_listen(const struct settings *s, size_t i, bool whole, struct err *err)
{
	const struct listen_settings *l = s->listens[i];

	for (size_t k = 0; k < l->address.count; k++)
		check_unique_address(s, i, k, err);
	check_proxy(l, err);
	if (l->tls != TLS_MODE_OFF && s->tls_count == 0 && whole)
		conf_complain_option(l, &l->tls, err, "needs a certificate: %s",
		                     s->quick ? "--cert FILE" : "a section [tls NAME] with certificate = FILE");
}

static void check_tls(const struct settings *s, const struct tls_settings *t, bool used, struct err *err)
{
	size_t certificates = t->certificate.count, keys = t->key.count;

	if (!used)
		conf_complain(t, err, "would never be used: no listener has tls = on or tls = auto");
	if (keys > certificates && conf_given(t, &t->certificate))
		conf_complain_option(t, &t->key, err,
		                     "%s has no certificate: the first key belongs to the first certificate, and so on",
		                     t->key.item[certificates]);
	else if (keys > 0 && keys < certificates)
		conf_complain_option(t, &t->key, err, "%s has no key: the first key belongs to the first certificate, and so on",
		                     t->certificate.item[keys]);
	if (t->client_certificate != TLS_CLIENT_CERT_OFF && !conf_given(t, &t->client_ca))
		conf_complain_option(t, &t->client_certificate, err, "needs client_ca = FILE to check them against");
	/* With tls = auto a client chooses whether it speaks TLS at all. */
	for (size_t i = 0; i < s->listens_count && t->client_certificate == TLS_CLIENT_CERT_REQUIRED; i++)
		if (s->listens[i]->tls == TLS_MODE_AUTO)
			conf_complain_option(t, &t->client_certificate, err,
			                     "clients could avoid it by plain HTTP to [listen %s]; write tls = on there",
			                     s->listens[i]->section.name);
}

static void check_listen_names(const struct settings *s, const struct route_settings *r, struct err *err)
{
	const char **names = mem_resize(NULL, s->listens_count + 1, sizeof(*names));
	char hint[CONF_HINT_MAX];

	for (size_t i = 0; i < s->listens_count; i++)
		names[i] = s->listens[i]->section.name;
	for (size_t i = 0; i < r->listen.count; i++) {
		size_t k = 0;
		while (k < s->listens_count && strcmp(names[k], r->listen.item[i]) != 0)
			k++;
		if (k == s->listens_count)
			conf_complain_option(r, &r->listen, err, "there is no [listen %s]%s", r->listen.item[i],
			                     conf_hint(hint, r->listen.item[i], names, s->listens_count));
	}
	free(names);
}

static bool hosts_meet(const struct str_list *a, const struct str_list *b)
{
	for (size_t i = 0; i < a->count; i++)
		for (size_t k = 0; k < b->count; k++)
			if (span_eq_nocase(uri_host(span_of(a->item[i])), uri_host(span_of(b->item[k]))))
				return true;
	return false;
}

/* Empty means all. */
static bool listens_meet(const struct str_list *a, const struct str_list *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (str_list_has(b, a->item[i]))
			return true;
	return a->count == 0 || b->count == 0;
}

static bool routes_tie(const struct route_settings *a, const struct route_settings *b)
{
	enum host_scope scope = reach_of_hosts(&a->host);
	bool hosts = scope == reach_of_hosts(&b->host) && (scope == HOST_ANY || hosts_meet(&a->host, &b->host));

	return conf_leads(a, LEADS_PAGES) == conf_leads(b, LEADS_PAGES) && strcmp(a->path, b->path) == 0 && hosts &&
	       listens_meet(&a->listen, &b->listen);
}

static void check_route(const struct settings *s, size_t i, bool whole, struct err *err)
{
	const struct route_settings *r = s->routes[i];

	for (size_t k = 0; k < i && conf_leads(r, 0) == 1; k++)
		if (routes_tie(s->routes[k], r))
			conf_complain(r, err,
			              "takes the same requests as [route %s]; give one of them another path, host or listen",
			              s->routes[k]->section.name);
	if (whole)
		check_listen_names(s, r, err);
	if (r->low_water >= r->high_water)
		conf_complain_option(r, conf_given(r, &r->low_water) ? &r->low_water : &r->high_water, err,
		                     "low_water (%llu) must be less than high_water (%llu)", (unsigned long long)r->low_water,
		                     (unsigned long long)r->high_water);
}

/* whole: every section could be read, so one that is missing is missing. */
static void check(const struct settings *s, const char *where, bool whole, struct err *err)
{
	const struct server_settings *server = s->server;
	bool tls_used = !whole;

	conf_check(s->conf, err);
	if (server->source_penalty_max > 0 && server->source_penalty_min > server->source_penalty_max)
		conf_complain_option(server,
		                     conf_given(server, &server->source_penalty_max) ? &server->source_penalty_max
		                                                                     : &server->source_penalty_min,
		                     err, "source_penalty_min must be at most source_penalty_max");
	if (s->listens_count == 0 && whole)
		err_add(err, "%s: nothing to listen on: there is no section [listen NAME]", where);
	for (size_t i = 0; i < s->listens_count; i++) {
		check_listen(s, i, whole, err);
		tls_used = tls_used || conf_given(s->listens[i], &s->listens[i]->tls);
	}
	for (size_t i = 0; i < s->tls_count; i++)
		check_tls(s, s->tls[i], tls_used, err);
	if (s->routes_count == 0 && whole)
		err_add(err, "%s: every request would be refused: there is no section [route NAME]", where);
	for (size_t i = 0; i < s->routes_count; i++)
		check_route(s, i, whole, err);
}

/* What stands in the configuration means what it says, whatever the profile. */
static void profile_apply(struct route_settings *route)
{
	const struct {
		const void *field;
		const char *text;
	} interactive[] = {
		{ &route->high_water, "4k" },    { &route->low_water, "0" },       { &route->max_read, "16k" },
		{ &route->notsent_lowat, "8k" }, { &route->target_buffer, "16k" },
	};

	for (size_t i = 0; route->profile == PROFILE_INTERACTIVE && i < ARRAY_LEN(interactive); i++)
		conf_set_default(route, interactive[i].field, interactive[i].text);
}

/* Sections come as pointers to void; what they point to begins with a struct conf_section of that kind. */
static const void *sections_of(const struct conf *conf, const char *kind, size_t *count)
{
	const struct conf_sections *sections = conf_sections(conf, kind);

	*count = sections->count;
	return sections->item;
}

struct settings *settings_of(struct conf *conf, const char *where, bool quick, unsigned errors, struct err *err)
{
	struct settings *s = mem_zalloc(sizeof(*s));

	s->conf = conf;
	s->quick = quick;
	s->server = conf_sections(conf, "server")->item[0];
	s->listens = sections_of(conf, "listen", &s->listens_count);
	s->tls = sections_of(conf, "tls", &s->tls_count);
	s->routes = sections_of(conf, "route", &s->routes_count);
	for (size_t i = 0; i < s->routes_count; i++)
		profile_apply(conf_sections(conf, "route")->item[i]);
	s->files_count = conf_list_files(conf, &s->files);
	check(s, where, err->count == errors + conf_misread(conf), err);
	if (err->count == errors)
		return s;
	settings_free(s);
	return NULL;
}

void settings_free(struct settings *settings)
{
	if (settings == NULL)
		return;
	conf_free(settings->conf);
	free(settings->files);
	free(settings);
}

bool settings_name_file(const struct settings *settings, enum file_kind kind, const char *path)
{
	for (size_t i = 0; i < settings->files_count; i++)
		if ((enum file_kind)settings->files[i].kind == kind && strcmp(settings->files[i].path, path) == 0)
			return true;
	return false;
}

bool settings_is_file_name(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && strchr(name, '/') == NULL && n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

static void read_directory(struct conf *conf, const char *directory, struct opener *opener, struct err *err)
{
	struct opener *at_once = opener != NULL ? opener : &file_opener;
	struct str_list names = { NULL, 0 };
	int fd = at_once->open(at_once, directory);

	if (fd < 0 || file_list(fd, settings_is_file_name, SIZE_MAX, &names) != 0) {
		if (errno != ENOENT)
			err_add(err, "%s: cannot be read: %s", directory, strerror(errno));
		return;
	}
	for (size_t i = 0; i < names.count; i++) {
		char *path = mem_printf("%s/%s", directory, names.item[i]);
		conf_read_file(conf, path, opener, err);
		free(path);
	}
	str_list_clear(&names);
}

char *settings_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	return mem_printf("%.*sconf.d", slash != NULL ? (int)(slash - path) + 1 : 0, path);
}

struct settings *settings_read(const char *path, struct opener *opener, struct err *err)
{
	struct conf *conf = conf_new(option_kinds, OPTION_KINDS);
	unsigned errors = err->count;
	char *directory = settings_directory(path);

	conf_read_file(conf, path, opener, err);
	read_directory(conf, directory, opener, err);
	free(directory);
	return settings_of(conf, path, false, errors, err);
}

/* The listener at which a page of any name passes for one of ours; NULL: there is none. With TLS the browser refuses the page
 * already: the certificate does not have its name. */
static const struct listen_settings *rebound_at(const struct settings *s, const struct route_settings *r)
{
	if (conf_leads(r, LEADS_PAGES) > 0 || r->host.count > 0 || str_list_has(&r->origin, "*"))
		return NULL;
	for (size_t i = 0; i < s->listens_count; i++)
		if (s->listens[i]->tls != TLS_MODE_ON && reach_has_listener(r, s->listens[i]->section.name))
			return s->listens[i];
	return NULL;
}

void settings_warn(const struct settings *s, struct err *warnings)
{
	const struct route_settings *first = NULL;
	char others[64] = "";
	size_t count = 0;

	for (size_t i = 0; i < s->routes_count; i++) {
		if (rebound_at(s, s->routes[i]) != NULL && count++ == 0)
			first = s->routes[i];
	}
	if (first == NULL)
		return;
	if (count > 1)
		snprintf(others, sizeof(others), " (as do %zu more routes)", count - 1);
	conf_complain(first, warnings,
	              "has no host, and [listen %s] has no TLS%s: any website may connect by DNS rebinding. Write host = NAME, "
	              "host = own for IP addresses and this machine's names, or host = * to allow it",
	              rebound_at(s, first)->section.name, others);
}

void settings_print_defaults(FILE *out)
{
	fputs("# Every option of sallyport with its default. A line that begins with ';' is an option left at its\n"
	      "# default, in a section to copy and name; one with '#' is a comment. See sallyport.conf(5).\n"
	      "# Check with: sallyport -t -c FILE\n",
	      out);
	conf_print_defaults(option_kinds, OPTION_KINDS, out);
}
