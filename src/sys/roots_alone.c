/* roots_alone.c owns the judgement of the directories on the way to a file.
 * It must never take a link for harmless because of where it leads today: who may change it is what counts. */
#include "sys/roots_alone.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_roots_directory(const char *path);

/* A link among root's own files is as good as the directory it leads to. */
static bool leads_to_roots(const char *link)
{
	char *real = realpath(link, NULL);
	bool alone = real != NULL && roots_alone(real) && is_roots_directory(real);

	free(real);
	return alone;
}

static bool is_roots_directory(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0 || st.st_uid != 0)
		return false;
	if (S_ISLNK(st.st_mode))
		return leads_to_roots(path);
	return S_ISDIR(st.st_mode) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool roots_alone(const char *path)
{
	bool alone = path[0] == '/' && is_roots_directory("/");

	for (const char *slash = strchr(path + 1, '/'); alone && slash != NULL; slash = strchr(slash + 1, '/')) {
		char *directory = mem_strndup(path, (size_t)(slash - path));
		alone = is_roots_directory(directory);
		free(directory);
	}
	return alone;
}
