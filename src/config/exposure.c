/* exposure.c owns the question whether a web root has a secret of the gateway's below it.
 * It must never open a file, nor judge who may read it: where it lies is enough. */
#include "config/exposure.h"

#include "base/mem.h"
#include "sys/beneath.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A web root that is being looked at. */
struct root {
	const struct route_settings *route;
	struct stat at;
	struct err *err;
};

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
	switch ((enum file_kind)file->kind) {
	case FILE_CONFIGURATION:
	case FILE_LOG:
	case FILE_KEY:
	case FILE_TOKENS:
		return true;
	case FILE_CERTIFICATE:
		return ((const struct tls_settings *)file->section)->key.count == 0;
	default:
		return false;
	}
}

static void complain(const struct root *root, const struct conf_file *file)
{
	const struct conf_section *of = file->section;
	char what[160] = "configuration";

	if (of != NULL && of->line == 0) /* the command line names no section */
		snprintf(what, sizeof(what), "%s", file->option);
	else if (of != NULL)
		snprintf(what, sizeof(what), "%s of [%s%s%s]", file->option, of->kind->name, of->name[0] != '\0' ? " " : "",
		         of->name);
	conf_complain_option(root->route, &root->route->root, root->err,
	                     "this root would publish the %s (%s); move it, or name another root", what, file->path);
}

static void check_all(const struct settings *s, const struct root *root)
{
	for (size_t i = 0; i < s->files_count; i++)
		if (is_secret(&s->files[i]) && lies_below(s->files[i].path, &root->at))
			complain(root, &s->files[i]);
}

int exposure_check(const struct settings *settings, struct err *err)
{
	unsigned before = err->count;

	for (size_t i = 0; i < settings->routes_count; i++) {
		struct root root = { .route = settings->routes[i], .err = err };
		if (root.route->root[0] != '\0' && stat(root.route->root, &root.at) == 0)
			check_all(settings, &root);
	}
	return err->count == before ? 0 : -1;
}
