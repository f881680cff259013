/* file.c owns the ways to open a file that is none on any disk: a descriptor of ours, a FIFO.
 * It must never wait for anybody unless it was told that it may. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_descriptor_of(const char *path)
{
	static const char *const names[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
	static const char *const directories[] = { "/dev/fd/", "/proc/self/fd/" };
	uint64_t number;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(path, names[i]) == 0)
			return (int)i;
	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		size_t n = strlen(directories[i]);
		if (strncmp(path, directories[i], n) == 0 && str_to_number(path + n, 0, INT_MAX, &number) == 0)
			return (int)number;
	}
	return -1;
}

int file_open(const char *path, int flags, mode_t mode)
{
	int fd = open(path, flags, mode);
	if (fd >= 0 || (errno != ENXIO && errno != EACCES))
		return fd;
	int own = file_descriptor_of(path);
	return own < 0 ? -1 : fcntl(own, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static bool is_special(const struct stat *st)
{
	return !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode);
}

bool file_is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && is_special(&st);
}

/* What is special is not even opened: that would let go who waits at the other end. */
static int open_at_once(struct opener *opener, const char *path)
{
	struct stat st;

	if (file_descriptor_of(path) >= 0 || file_is_special(path)) {
		errno = ENXIO;
		return -1;
	}
	int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) != 0 || is_special(&st))) {
		close(fd);
		fd = -1;
		errno = ENXIO;
	}
	return fd;
}

struct opener file_opener = { .open = open_at_once };

int file_open_to_read(const char *path, struct opener *opener, const char **why)
{
	int fd = opener != NULL ? opener->open(opener, path) : file_open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC, 0);

	if (fd < 0)
		*why = opener != NULL && errno == ENXIO ? FILE_SPECIAL : strerror(errno);
	return fd;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right); /* no locale is asked */
}

int file_list(int fd, bool (*wanted)(const char *name), size_t max, struct str_list *names)
{
	DIR *directory = fdopendir(fd);
	const struct dirent *entry;

	if (directory == NULL) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	while (names->count <= max && (entry = readdir(directory)) != NULL)
		if (wanted(entry->d_name))
			str_list_add(names, span_of(entry->d_name));
	closedir(directory);
	if (names->count > max) {
		str_list_clear(names);
		errno = E2BIG;
		return -1;
	}
	if (names->count > 0)
		qsort(names->item, names->count, sizeof(names->item[0]), by_name);
	return 0;
}

int file_read(int fd, char *out, size_t cap, size_t *len)
{
	ssize_t n = 0;

	for (*len = 0; *len < cap && (n = read(fd, out + *len, cap - *len)) != 0; *len += n > 0 ? (size_t)n : 0)
		if (n < 0 && errno != EINTR)
			return -1;
	return 0;
}
