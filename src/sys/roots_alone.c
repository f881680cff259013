/* roots_alone.c owns the judgement of the directories on the way to a file.
 * It must never take a link for harmless because of where it leads today: who may change it is what counts. */
#include "sys/roots_alone.h"

#include "base/mem.h"
#include "sys/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_roots(const char *path, bool holds_file, int *links);

/* The directories down to it; that which it lies in holds the file, or only another directory. links: how many may be followed yet. */
static bool way_is_roots(const char *path, bool holds_file, int *links)
{
	bool alone = is_roots("/", holds_file && strchr(path + 1, '/') == NULL, links);

	for (const char *slash = strchr(path + 1, '/'); alone && slash != NULL; slash = strchr(slash + 1, '/')) {
		char *directory = mem_strndup(path, (size_t)(slash - path));
		alone = is_roots(directory, holds_file && strchr(slash + 1, '/') == NULL, links);
		free(directory);
	}
	return alone;
}

/* What a link says, as a path, for free(); NULL: there were too many. By the call that the sandbox allows. */
static char *follow(const char *link, int *links)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(AT_FDCWD, link, text, sizeof(text) - 1);

	if (n < 0 || --*links < 0)
		return NULL;
	text[n] = '\0';
	int directory = text[0] == '/' ? 0 : (int)(strrchr(link, '/') - link) + 1;
	return mem_printf("%.*s%s", directory, link, text);
}

/* A link among root's own files is as good as the directory it says, and as each on the way there. */
static bool leads_to_roots(const char *link, bool holds_file, int *links)
{
	char *next = follow(link, links);
	bool alone = next != NULL && way_is_roots(next, false, links) && is_roots(next, holds_file, links);

	free(next);
	return alone;
}

/* In a sticky directory, such as /tmp, nobody can move what is root's; but the file may be missing, or another's. */
static bool is_roots(const char *path, bool holds_file, int *links)
{
	struct stat st;

	if (lstat(path, &st) != 0 || st.st_uid != 0)
		return false;
	if (S_ISLNK(st.st_mode))
		return leads_to_roots(path, holds_file, links);
	bool closed = (st.st_mode & (S_IWGRP | S_IWOTH)) == 0, sticky = (st.st_mode & S_ISVTX) != 0;
	return S_ISDIR(st.st_mode) && (closed || (sticky && !holds_file));
}

/* Whoever opens the file follows a link in its place. */
static bool file_is_roots(const char *path, int *links)
{
	struct stat st;

	if (!way_is_roots(path, true, links))
		return false;
	if (lstat(path, &st) != 0)
		return errno == ENOENT;
	if (!S_ISLNK(st.st_mode))
		return true;
	char *next = follow(path, links);
	bool alone = next != NULL && file_is_roots(next, links);
	free(next);
	return alone;
}

bool roots_alone(const char *path)
{
	int links = BENEATH_LINKS;

	return path[0] == '/' && file_is_roots(path, &links);
}
