/* Opens files that the configuration names, also those that are descriptors which the process was given, and files that
 * another process opens for this one. */
#pragma once

#include "base/str.h"

#include <sys/types.h>

/* Who opens files for the thread it belongs to. */
struct opener {
	/* A file or directory that the configuration names, to be read without waiting. The descriptor, or -1 and errno. */
	int (*open)(struct opener *opener, const char *path);

	/* A regular file below a directory that the configuration names, as beneath_open_in() does (sys/beneath.h). */
	int (*open_below)(struct opener *opener, const char *root, const char *path);
};

/* As open(2). Where the path is one of a descriptor (/dev/stdin, /dev/fd/3 and others of the kind) that can't be opened anew,
 * such as a socket or a pipe of somebody else's, it is that descriptor once more: flags and mode are then its own. */
must_check int file_open(const char *path, int flags, mode_t mode);

/* The descriptor that such a path is a name of; -1: it is none. */
int file_descriptor_of(const char *path);

/* Why a reload reads no such file. */
#define FILE_SPECIAL "is not a regular file, and only a start reads such a file: restart to read it again"

/* Whether reading the file could wait for somebody: it is there, and neither a regular file nor a directory. */
bool file_is_special(const char *path);

/* Opens it to be read, or asks the opener to. NULL: a FIFO, a pipe or a terminal is waited for, and read to its end; else they
 * are refused. Returns -1 with the cause in words in *why. */
must_check int file_open_to_read(const char *path, struct opener *opener, const char **why);

/* The wanted names in a directory, in their order. Takes fd over. -1 and errno on failure: E2BIG when there are more than max. */
must_check int file_list(int fd, bool (*wanted)(const char *name), size_t max, struct str_list *names);

/* For who waits for nobody, and needs nobody else: refuses what file_is_special() says is. */
extern struct opener file_opener;

/* Reads to the end of the file, or cap bytes. -1 and errno. */
must_check int file_read(int fd, char *out, size_t cap, size_t *len);
