/* settings.c owns the ways the settings are read, and what a profile changes.
 * It must never touch what a setting names (no file is opened, no address bound): building a generation does that. */
#include "config/settings.h"

#include "base/conf_read.h"
#include "base/mem.h"
#include "config/options.h"
#include "config/reach.h"
#include "config/settings_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- profiles --------------------------------------------------------------------------------------------------- */

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
	struct conf *conf = conf_new(option_kinds, OPTION_KINDS);
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
	struct conf *conf = conf_new(option_kinds, OPTION_KINDS);
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
	conf_print_defaults(option_kinds, OPTION_KINDS, out);
}
