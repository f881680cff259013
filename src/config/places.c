/* places.c owns the look at directories in which files are to be made.
 * It must never make one. */
#include "config/places.h"

#include "base/mem.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(const struct conf_file *file, struct err *warnings)
{
	char *path = mem_strdup(file->path);
	const char *directory = dirname(path);

	if (access(directory, W_OK | X_OK) != 0)
		conf_complain_option(file->section, file->field, warnings,
		                     "%s cannot be made: %s: %s; a start would fail as long as that is so", file->path, directory,
		                     strerror(errno));
	free(path);
}

void places_check(const struct settings *settings, struct err *warnings)
{
	for (size_t i = 0; i < settings->files_count; i++) {
		const struct conf_file *file = &settings->files[i];
		if (file->kind == FILE_SOCKET || (file->kind == FILE_LOG && access(file->path, F_OK) != 0))
			check(file, warnings);
	}
}
