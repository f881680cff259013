/* beneath.c owns confined look-ups below a directory. It must never look a path up by any other call than openat2 with
 * RESOLVE_BENEATH, so that no text it reads can lead out, nor open what is no file: that would let go who waits at the other
 * end of a FIFO. */
#include "sys/beneath.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_TRIES 8
#define OWN_FDS    "/proc/self/fd/"
#define CWD        "proc/self/cwd" /* below the top: the sandbox has no getcwd() */

struct beneath {
	int fd;              /* the directory; O_PATH is enough */
	const char *name[2]; /* absolute names of it; NULL: there are no more */
};

/* A path on its way: done has no links, rest is to be looked at. */
struct walk {
	const struct beneath *in;
	unsigned links;
	char done[PATH_MAX], rest[PATH_MAX];
};

const struct open_how beneath_how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

/* O_PATH: it is found, but not opened. */
static int find_confined(int fd, const char *path)
{
	for (int tries = 1;; tries++) {
		long opened = syscall(SYS_openat2, fd, path, &beneath_how, sizeof(beneath_how));
		/* EAGAIN: something was renamed while the kernel walked a link with `..` in it, and it can't vouch for
		 * the result. */
		if (opened >= 0 || (errno != EAGAIN && errno != EINTR) || tries == OPEN_TRIES)
			return (int)opened;
	}
}

int beneath_probe(void)
{
	int probe = find_confined(AT_FDCWD, ".");

	if (probe >= 0)
		close(probe);
	return probe >= 0 || errno == EACCES ? access(OWN_FDS, X_OK) : -1;
}

/* What stands behind a name of the directory; NULL when the text begins with none. */
static const char *text_inside(const struct beneath *in, const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(in->name) && in->name[i] != NULL; i++) {
		size_t n = strlen(in->name[i]);
		while (n > 0 && in->name[i][n - 1] == '/')
			n--;
		if (strncmp(text, in->name[i], n) == 0 && (text[n] == '/' || text[n] == '\0'))
			return text + n;
	}
	return NULL;
}

/* False: it was at the top already. */
static bool go_up(struct walk *walk)
{
	char *slash = strrchr(walk->done, '/');

	if (walk->done[0] == '\0')
		return false;
	*(slash != NULL ? slash : walk->done) = '\0';
	return true;
}

/* The link that stands at the end of done is replaced by its text. */
static bool follow(struct walk *walk, const char *text)
{
	char rest[PATH_MAX];

	if (++walk->links > BENEATH_LINKS || !go_up(walk))
		return false;
	if (text[0] == '/') {
		walk->done[0] = '\0';
		text = text_inside(walk->in, text);
	}
	if (text == NULL || (size_t)snprintf(rest, sizeof(rest), "%s/%s", text, walk->rest) >= sizeof(rest))
		return false;
	memcpy(walk->rest, rest, strlen(rest) + 1);
	return true;
}

static bool enter(struct walk *walk, const char *name)
{
	char text[PATH_MAX];
	size_t len = strlen(walk->done);

	if (strcmp(name, ".") == 0)
		return true;
	if (strcmp(name, "..") == 0)
		return go_up(walk);
	if ((size_t)snprintf(walk->done + len, sizeof(walk->done) - len, "%s%s", len > 0 ? "/" : "", name) >=
	    sizeof(walk->done) - len)
		return false;
	ssize_t n = readlinkat(walk->in->fd, walk->done, text, sizeof(text) - 1);
	if (n < 0) /* no link, or whatever the kernel will tell who opens it */
		return true;
	text[n] = '\0';
	return follow(walk, text);
}

/* False when the path leads out. */
static bool walk_path(struct walk *walk, const char *path)
{
	char name[NAME_MAX + 1];

	if ((size_t)snprintf(walk->rest, sizeof(walk->rest), "%s", path) >= sizeof(walk->rest))
		return false;
	for (;;) { /* each time the first name of what is left */
		size_t skip = strspn(walk->rest, "/"), n = strcspn(walk->rest + skip, "/");
		if (n == 0 || n > NAME_MAX)
			return true;
		memcpy(name, walk->rest + skip, n);
		name[n] = '\0';
		memmove(walk->rest, walk->rest + skip + n, strlen(walk->rest + skip + n) + 1);
		if (!enter(walk, name))
			return false;
	}
}

char *beneath_real_name(const char *path)
{
	const struct beneath top = { open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), { "/" } };
	struct walk walk = { .in = &top };
	char *name = NULL;

	if (top.fd < 0)
		return NULL;
	bool known = path[0] == '/' || (walk_path(&walk, CWD) && strcmp(walk.done, CWD) != 0);
	if (known && walk_path(&walk, path) && asprintf(&name, "/%s", walk.done) < 0)
		name = NULL;
	close(top.fd);
	return name;
}

static int find_by_text(const struct beneath *in, const char *path)
{
	struct walk walk = { .in = in };

	if (walk_path(&walk, path))
		return find_confined(in->fd, walk.done[0] != '\0' ? walk.done : ".");
	errno = EXDEV;
	return -1;
}

/* What was found, and nothing that was put in its place since. A directory that can't be read is not even told to be one. */
static int open_found(int found)
{
	char name[sizeof(OWN_FDS) + 12];
	struct stat st;
	int fd = -1;

	if (fstat(found, &st) != 0)
		return -1;
	errno = ENXIO;
	snprintf(name, sizeof(name), OWN_FDS "%d", found);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		fd = open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || S_ISREG(st.st_mode))
		return fd;
	close(fd);
	errno = EISDIR;
	return -1;
}

int beneath_open_in(const char *root, const char *path)
{
	struct beneath in = { open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), { root } };
	char *real = NULL;

	if (in.fd < 0)
		return -1;
	int found = find_confined(in.fd, path);
	if (found < 0 && errno == EXDEV)
		found = find_by_text(&in, path);
	if (found < 0 && errno == EXDEV) {
		/* Absolute links below may name the directory as it is without links, too, which takes long to find out. */
		in.name[1] = real = beneath_real_name(root);
		found = find_by_text(&in, path);
	}
	int fd = -1, error = errno;
	close(in.fd); /* before the next one is opened: descriptors may be scarce */
	if (found >= 0) {
		fd = open_found(found);
		error = errno;
		close(found);
	}
	free(real);
	errno = error;
	return fd;
}

static int open_named(struct opener *opener, const char *path)
{
	return file_opener.open(&file_opener, path);
}

static int open_below(struct opener *opener, const char *root, const char *path)
{
	return beneath_open_in(root, path);
}

struct opener beneath_opener = { open_named, open_below };
