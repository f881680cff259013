/* settings.c owns the ways the settings are read, and what a profile changes.
 * It must never touch what a setting names (no file is opened, no address bound): building a generation does that. */
#include "config/settings.h"

#include "base/file.h"
#include "base/mem.h"
#include "config/options.h"
#include "config/settings_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

struct conf *settings_blank(void)
{
	return conf_new(option_kinds, OPTION_KINDS);
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
	settings_check(s, where, err->count == errors + conf_misread(conf), err);
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
	size_t i = 0;

	while (i < settings->files_count &&
	       ((enum file_kind)settings->files[i].kind != kind || strcmp(settings->files[i].path, path) != 0))
		i++;
	return i < settings->files_count;
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
	struct conf *conf = settings_blank();
	unsigned errors = err->count;
	char *directory = settings_directory(path);

	conf_read_file(conf, path, opener, err);
	read_directory(conf, directory, opener, err);
	free(directory);
	return settings_of(conf, path, false, errors, err);
}

void settings_print_defaults(FILE *out)
{
	fputs("# Every option of sallyport with its default. A line that begins with ';' is an option left at its\n"
	      "# default, in a section to copy and name; one with '#' is a comment. See sallyport.conf(5).\n"
	      "# Check with: sallyport -t -c FILE\n",
	      out);
	conf_print_defaults(option_kinds, OPTION_KINDS, out);
}
