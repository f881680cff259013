/* roots_alone.c owns the judgement of the directories on the way to a file.
 * It must never take a link for harmless because of where it leads today: who may change it is what counts. */
#include "sys/roots_alone.h"

#include "base/mem.h"
#include "sys/beneath.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_roots(const char *path, bool holds_file);

/* The directories down to it; that which it lies in holds the file, or only another directory. */
static bool way_is_roots(const char *path, bool holds_file)
{
	bool alone = is_roots("/", holds_file && strchr(path + 1, '/') == NULL);

	for (const char *slash = strchr(path + 1, '/'); alone && slash != NULL; slash = strchr(slash + 1, '/')) {
		char *directory = mem_strndup(path, (size_t)(slash - path));
		alone = is_roots(directory, holds_file && strchr(slash + 1, '/') == NULL);
		free(directory);
	}
	return alone;
}

/* A link among root's own files is as good as the directory it leads to. */
static bool leads_to_roots(const char *link, bool holds_file)
{
	char *real = beneath_real_name(link); /* realpath() makes calls that the sandbox forbids */
	bool alone = real != NULL && way_is_roots(real, false) && is_roots(real, holds_file);

	free(real);
	return alone;
}

/* In a sticky directory, such as /tmp, nobody can move what is root's; but the file may be missing, or another's. */
static bool is_roots(const char *path, bool holds_file)
{
	struct stat st;

	if (lstat(path, &st) != 0 || st.st_uid != 0)
		return false;
	if (S_ISLNK(st.st_mode))
		return leads_to_roots(path, holds_file);
	bool closed = (st.st_mode & (S_IWGRP | S_IWOTH)) == 0, sticky = (st.st_mode & S_ISVTX) != 0;
	return S_ISDIR(st.st_mode) && (closed || (sticky && !holds_file));
}

bool roots_alone(const char *path)
{
	return path[0] == '/' && way_is_roots(path, true);
}

/* What a link in its place says, as a path, for free(); NULL: it is none. */
static char *next_of(const char *path)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(AT_FDCWD, path, text, sizeof(text) - 1);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	int directory = text[0] == '/' ? 0 : (int)(strrchr(path, '/') - path) + 1;
	return mem_printf("%.*s%s", directory, path, text);
}

bool roots_alone_to_end(const char *path)
{
	char *at = mem_strdup(path);
	bool alone = roots_alone(at);

	for (int links = 0; alone; links++) {
		char *next = next_of(at);
		if (next == NULL)
			break;
		free(at);
		at = next;
		alone = links < BENEATH_LINKS && roots_alone(at);
	}
	free(at);
	return alone;
}
