/* settings.c owns the sections there are, the types of their options, and the ways they are read.
 * It must never touch what a setting names (no file is opened, no address bound): building a generation does that. */
#include "config/settings.h"

#include "base/conf_read.h"
#include "base/mem.h"
#include "config/reach.h"
#include "config/settings_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- types ------------------------------------------------------------------------------------------------------ */

/* A type that is one of some words; the field is the word's index, which the enum named in settings.h follows. */
#define CHOICE(id, ...)                                                                                                \
	static int id##_parse(const char *text, void *field, struct err *err)                                          \
	{                                                                                                              \
		static const char *const words[] = { __VA_ARGS__ };                                                    \
		return conf_choose(text, words, ARRAY_LEN(words), field, err);                                         \
	}                                                                                                              \
	static const struct conf_type conf_##id = { "choice", false, id##_parse, NULL };

CHOICE(log_level, "error", "warn", "info", "debug")
CHOICE(log_format, "text", "json")
CHOICE(tls_mode, "off", "on", "auto")
CHOICE(tls_client, "off", "optional", "required")
CHOICE(tls_version, "1.2", "1.3")
CHOICE(message_kinds, "both", "binary", "text")
CHOICE(connect_error, "auto", "close", "http")
CHOICE(profile, "bulk", "interactive")

static int message_kind_parse(const char *text, void *field, struct err *err)
{
	static const char *const words[] = { "binary", "text" };
	int word;

	if (conf_choose(text, words, ARRAY_LEN(words), &word, err) != 0)
		return -1;
	*(int *)field = word == 0 ? MESSAGES_BINARY : MESSAGES_TEXT;
	return 0;
}

static int mode_parse(const char *text, void *field, struct err *err)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end != '\0' || mode > 0777)
		return err_add(err, "\"%s\" is no octal mode from 0000 to 0777", text);
	*(uint32_t *)field = (uint32_t)mode;
	return 0;
}

static int target_parse(const char *text, void *field, struct err *err)
{
	return text[0] == '\0' ? 0 : address_parse_target(field, text, err);
}

static void target_clear(void *field)
{
	address_clear(field);
}

static int listen_addresses_parse(const char *text, void *field, struct err *err)
{
	struct address_list *list = field;
	struct address address;

	if (address_parse_listen(&address, text, err) != 0)
		return -1;
	list->item = mem_resize(list->item, list->count + 1, sizeof(*list->item));
	list->item[list->count++] = address;
	return 0;
}

static void listen_addresses_clear(void *field)
{
	struct address_list *list = field;

	for (size_t i = 0; i < list->count; i++)
		address_clear(&list->item[i]);
	free(list->item);
	*list = (struct address_list){ NULL, 0 };
}

static int cidrs_parse(const char *text, void *field, struct err *err)
{
	struct cidr_list *list = field;
	struct cidr cidr;

	if (cidr_parse(&cidr, text, err) != 0)
		return -1;
	list->item = mem_resize(list->item, list->count + 1, sizeof(*list->item));
	list->item[list->count++] = cidr;
	return 0;
}

static void cidrs_clear(void *field)
{
	cidr_list_clear(field);
}

static int port_range_parse(struct port_range *range, const char *text)
{
	char first[8];
	uint64_t from, to;
	const char *dash = strchr(text, '-');
	size_t len = dash != NULL ? (size_t)(dash - text) : strlen(text);

	if (strcmp(text, "any") == 0) {
		*range = (struct port_range){ 0, UINT16_MAX };
		return 0;
	}
	if (len >= sizeof(first))
		return -1;
	memcpy(first, text, len);
	first[len] = '\0';
	if (str_to_number(first, 1, UINT16_MAX, &from) != 0 || str_to_number(dash != NULL ? dash + 1 : first, from, UINT16_MAX, &to) != 0)
		return -1;
	*range = (struct port_range){ (uint16_t)from, (uint16_t)to };
	return 0;
}

static int ports_parse(const char *text, void *field, struct err *err)
{
	struct port_list *list = field;
	struct port_range range;

	if (port_range_parse(&range, text) != 0)
		return err_add(err, "\"%s\" is no port from 1 to 65535; write 22, a range such as 5900-5999, or any", text);
	list->item = mem_resize(list->item, list->count + 1, sizeof(*list->item));
	list->item[list->count++] = range;
	return 0;
}

static void ports_clear(void *field)
{
	struct port_list *list = field;

	free(list->item);
	*list = (struct port_list){ NULL, 0 };
}

static const struct conf_type conf_listen_addresses = { "addresses", true, listen_addresses_parse,
	                                                listen_addresses_clear };
static const struct conf_type conf_cidrs = { "networks", true, cidrs_parse, cidrs_clear };
static const struct conf_type conf_ports = { "ports", true, ports_parse, ports_clear };
static const struct conf_type conf_mode = { "mode", false, mode_parse, NULL };
static const struct conf_type conf_target = { "target", false, target_parse, target_clear };
static const struct conf_type conf_message_kind = { "choice", false, message_kind_parse, NULL };

/* --- tables ----------------------------------------------------------------------------------------------------- */

#define OPT(name, type, def, flags, help) { #name, &conf_##type, offsetof(struct OWNER, name), def, flags, help },

#define OWNER server_settings
static const struct conf_option server_options[] = {
#include "config/server.def"
};
#undef OWNER
#define OWNER listen_settings
static const struct conf_option listen_options[] = {
#include "config/listen.def"
};
#undef OWNER
#define OWNER tls_settings
static const struct conf_option tls_options[] = {
#include "config/tls.def"
};
#undef OWNER
#define OWNER route_settings
static const struct conf_option route_options[] = {
#include "config/route.def"
};
#undef OWNER

#undef OPT

#define KIND(id, repeatable, help)                                                                                     \
	{ #id, repeatable, help, sizeof(struct id##_settings), id##_options, ARRAY_LEN(id##_options) }

static const struct conf_kind server_kind = KIND(server, false, "The process as a whole.");
static const struct conf_kind listen_kind =
        KIND(listen, true, "A listener: where clients connect. At least one section.");
static const struct conf_kind tls_kind = KIND(
        tls, true, "Certificates and what they are used with. The first section is the default; SNI selects the others.");
static const struct conf_kind route_kind =
        KIND(route, true, "Where requests go: exactly one of target, token_file and root. At least one section.");

static const struct conf_kind *const kinds[] = { &server_kind, &listen_kind, &tls_kind, &route_kind };

/* --- profiles --------------------------------------------------------------------------------------------------- */

/* What stands in the configuration means what it says, whatever the profile. */
static void profile_apply(struct route_settings *route)
{
	static const struct {
		const char *option, *text;
	} interactive[] = {
		{ "high_water", "4k" },     { "low_water", "0" },       { "max_read", "16k" },
		{ "notsent_lowat", "8k" },  { "target_buffer", "16k" },
	};

	for (size_t i = 0; route->profile == PROFILE_INTERACTIVE && i < ARRAY_LEN(interactive); i++)
		conf_set_default(route, interactive[i].option, interactive[i].text);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Sections come as pointers to void; what they point to begins with a struct conf_section of that kind. */
static const void *sections_of(const struct conf *conf, const char *kind, size_t *count)
{
	const struct conf_sections *sections = conf_sections(conf, kind);

	*count = sections->count;
	return sections->item;
}

/* Takes conf over. errors: how many complaints there were before it was read; any more mean failure. */
static struct settings *settings_new(struct conf *conf, const char *where, bool quick, unsigned errors, struct err *err)
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
	settings_check(s, where, err->count == errors, err);
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
	free(settings);
}

static int is_conf_name(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > 5 && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* alphasort would ask the locale */
}

static void read_directory(struct conf *conf, const char *directory, bool patient, struct err *err)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_conf_name, by_name);

	if (count < 0) {
		if (errno != ENOENT)
			err_add(err, "%s: cannot be read: %s", directory, strerror(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		char *path = mem_printf("%s/%s", directory, entries[i]->d_name);
		conf_read_file(conf, path, patient, err);
		free(path);
		free(entries[i]);
	}
	free(entries);
}

struct settings *settings_read(const char *path, bool patient, struct err *err)
{
	struct conf *conf = conf_new(kinds, ARRAY_LEN(kinds));
	unsigned errors = err->count;
	const char *slash = strrchr(path, '/');
	char *directory = mem_printf("%.*sconf.d", slash != NULL ? (int)(slash - path) + 1 : 0, path);

	conf_read_file(conf, path, patient, err);
	read_directory(conf, directory, patient, err);
	free(directory);
	return settings_new(conf, path, false, errors, err);
}

static void quick_set(struct conf *conf, const char *kind, const char *name, const char *option, const char *value,
                      struct err *err)
{
	if (value != NULL)
		conf_set(conf, kind, name, option, value, err);
}

/* A page whose name was made to point here would otherwise pass for one of ours. */
static void quick_set_hosts(struct conf *conf, const char *route, const struct quick_form *form, struct err *err)
{
	quick_set(conf, "route", route, "host", REACH_HOST_OWN, err);
	for (size_t i = 0; i < form->hosts_count; i++)
		quick_set(conf, "route", route, "host", form->hosts[i], err);
}

struct settings *settings_quick(const struct quick_form *form, struct err *err)
{
	struct conf *conf = conf_new(kinds, ARRAY_LEN(kinds));
	unsigned errors = err->count;
	bool tls = form->cert != NULL || form->key != NULL;

	quick_set(conf, "server", "", "workers", form->workers, err);
	quick_set(conf, "server", "", "log_level", form->log_level, err);
	quick_set(conf, "server", "", "user", form->user, err);
	quick_set(conf, "server", "", "sandbox", form->sandbox, err);
	quick_set(conf, "listen", "quick", "address", form->listen, err);
	quick_set(conf, "listen", "quick", "tls", form->tls != NULL ? form->tls : tls ? "on" : NULL, err);
	quick_set(conf, "tls", "quick", "certificate", form->cert, err);
	quick_set(conf, "tls", "quick", "key", form->key, err);
	quick_set(conf, "route", "quick", "target", form->target, err);
	quick_set(conf, "route", "quick", "token_file", form->token_file, err);
	quick_set(conf, "route", "quick", "subprotocol", form->subprotocol, err);
	for (size_t i = 0; i < form->origins_count; i++)
		quick_set(conf, "route", "quick", "origin", form->origins[i], err);
	if (form->target != NULL || form->token_file != NULL)
		quick_set_hosts(conf, "quick", form, err);
	quick_set(conf, "route", "web", "root", form->web, err);
	if (form->web != NULL)
		quick_set_hosts(conf, "web", form, err);
	return settings_new(conf, "command line", true, errors, err);
}

void settings_print_defaults(FILE *out)
{
	fputs("# Every option of sallyport with its default. A line that begins with ';' is an option left at its\n"
	      "# default, in a section to copy and name; one with '#' is a comment. See sallyport.conf(5).\n"
	      "# Check with: sallyport -t -c FILE\n",
	      out);
	conf_print_defaults(kinds, ARRAY_LEN(kinds), out);
}
