/* places.c owns the looks at where files lie that the configuration names: below a web root, or in a directory where they are to
 * be made. It must never open nor make one, nor judge who may read it. */
#include "config/places.h"

#include "base/mem.h"
#include "sys/beneath.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Climbs from the directory, itself included, to the top. */
static bool is_below(const char *directory, const struct stat *root)
{
	char *path = mem_strdup(directory);
	struct stat at, before = { .st_ino = 0 };
	bool found = false, top = false;

	while (!found && !top && stat(path, &at) == 0) {
		found = is_same(&at, root);
		top = is_same(&at, &before);
		before = at;
		char *parent = mem_printf("%s/..", path);
		free(path);
		path = parent;
	}
	free(path);
	return found;
}

/* A log that is not there yet has a directory all the same. */
static bool lies_below(const char *path, const struct stat *root)
{
	char *real = beneath_real_name(path);
	char *copy = real != NULL ? real : mem_strdup(path);
	struct stat st;
	bool directory = stat(copy, &st) == 0 && S_ISDIR(st.st_mode); /* of token files */
	bool below = is_below(directory ? copy : dirname(copy), root);

	free(copy);
	return below;
}

/* A certificate without a key beside it has the key in its file. */
static bool is_secret(const struct conf_file *file)
{
	if (file->kind == FILE_CERTIFICATE)
		return ((const struct tls_settings *)file->section)->key.count == 0;
	return file->kind == FILE_CONFIGURATION || file->kind == FILE_LOG || file->kind == FILE_KEY || file->kind == FILE_TOKENS;
}

static void complain(const struct route_settings *route, const struct conf_file *file, struct err *err)
{
	const struct conf_section *of = file->section;
	char what[160] = "configuration";

	if (of != NULL && of->line == 0) /* the command line names no section */
		snprintf(what, sizeof(what), "%s", file->option);
	else if (of != NULL)
		snprintf(what, sizeof(what), "%s of [%s%s%s]", file->option, of->kind->name, of->name[0] != '\0' ? " " : "",
		         of->name);
	conf_complain_option(route, &route->root, err, "this root would publish the %s (%s); move it, or name another root", what,
	                     file->path);
}

int places_check_roots(const struct settings *settings, struct err *err)
{
	unsigned before = err->count;

	for (size_t i = 0; i < settings->routes_count; i++) {
		const struct route_settings *route = settings->routes[i];
		struct stat root;
		if (route->root[0] == '\0' || stat(route->root, &root) != 0)
			continue;
		for (size_t k = 0; k < settings->files_count; k++)
			if (is_secret(&settings->files[k]) && lies_below(settings->files[k].path, &root))
				complain(route, &settings->files[k], err);
	}
	return err->count == before ? 0 : -1;
}

void places_warn(const struct settings *settings, struct err *warnings)
{
	for (size_t i = 0; i < settings->files_count; i++) {
		const struct conf_file *file = &settings->files[i];
		if (file->kind != FILE_SOCKET && (file->kind != FILE_LOG || access(file->path, F_OK) == 0))
			continue;
		char *path = mem_strdup(file->path);
		const char *directory = dirname(path);
		if (access(directory, W_OK | X_OK) != 0)
			conf_complain_option(file->section, file->field, warnings,
			                     "%s cannot be made: %s: %s; a start would fail as long as that is so", file->path,
			                     directory, strerror(errno));
		free(path);
	}
}
