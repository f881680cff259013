/* Opens files that the configuration names, also those that are descriptors which the process was given. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <sys/types.h>

/* As open(2). Where the path is one of a descriptor (/dev/stdin, /dev/fd/3 and others of the kind) that can't be opened anew,
 * such as a socket or a pipe of somebody else's, it is that descriptor once more: flags and mode are then its own. */
must_check int file_open(const char *path, int flags, mode_t mode);

/* Whether the path is one of those names. */
bool file_is_descriptor(const char *path);

/* Why a reload reads no such file. */
#define FILE_SPECIAL "is not a regular file, and only a start reads such a file: restart to read it again"

/* Whether reading the file could wait for somebody: it is there, and neither a regular file nor a directory. */
bool file_is_special(const char *path);

/* Opens it to be read. patient: a FIFO, a pipe or a terminal is waited for, and read to its end; else they are refused.
 * Returns -1 with the cause in words in *why. */
must_check int file_open_to_read(const char *path, bool patient, const char **why);
