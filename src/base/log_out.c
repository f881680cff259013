/* log_out.c owns the descriptor of a log, and what a reader may do to it: go, stall, or run out of room.
 * It must never take a part of a record for all of it, nor set a flag on a descriptor that others share. */
#include "base/log_out.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

const char *log_path(const char *target)
{
	return strncmp(target, "file:/", 6) == 0 && !file_is_descriptor(target + 5) ? target + 5 : NULL;
}

int log_open_file(const char *path, struct err *err)
{
	int fd = file_open(path, LOG_FILE_FLAGS, LOG_FILE_MODE);
	if (fd < 0)
		err_add(err, "log file %s: %s", path, strerror(errno));
	return fd;
}

int log_out_open(struct log_out *out, const char *target, struct err *err)
{
	*out = (struct log_out){ .fd = -1 };
	if (strcmp(target, "stderr") == 0) {
		out->fd = STDERR_FILENO;
		out->dated = getenv("JOURNAL_STREAM") != NULL;
		return 0;
	}
	if (strcmp(target, "syslog") == 0) {
		openlog("sallyport", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		out->dated = true;
		return 0;
	}
	if (strncmp(target, "file:/", 6) != 0)
		return err_add(err, "log target \"%s\": want stderr, syslog or file:/absolute/path", target);
	out->fd = log_open_file(target + 5, err);
	out->owned = true;
	return out->fd >= 0 ? 0 : -1;
}

void log_out_close(struct log_out *out)
{
	if (out->owned)
		close(out->fd);
	else if (out->fd < 0)
		closelog();
}

void log_out_replace(const struct log_out *out, int fd)
{
	/* Another thread writes to this number all the while: it must never be closed in between. */
	(void)!dup3(fd, out->fd, O_CLOEXEC); /* can't fail: both are open */
	close(fd);
}

static bool has_room(const struct log_out *out, int timeout)
{
	struct pollfd room = { .fd = out->fd, .events = POLLOUT };
	return poll(&room, 1, timeout) == 1;
}

/* A descriptor that does not block is waited for as if it did: another process that shares it may have made it so. */
static ssize_t push(const struct log_out *out, const char *bytes, size_t n)
{
	ssize_t written;
	do
		written = out->patient || has_room(out, 0) ? write(out->fd, bytes, n) : 0;
	while (written < 0 && (errno == EINTR || (errno == EAGAIN && out->patient && has_room(out, -1))));
	return written;
}

size_t log_out_write(struct log_out *out, enum log_level level, const char *text, size_t n)
{
	if (out->fd < 0) {
		static const int priorities[] = {
			[LEVEL_ERROR] = LOG_ERR, [LEVEL_WARN] = LOG_WARNING, [LEVEL_INFO] = LOG_INFO, [LEVEL_DEBUG] = LOG_DEBUG
		};
		syslog(priorities[level], "%.*s", (int)(n - 1), text);
		return n;
	}
	/* A disk that fills up may take the beginning of a record; the next one must not go on in its line. */
	if (out->torn && push(out, "\n", 1) == 1)
		out->torn = false;
	if (out->torn)
		return 0;
	ssize_t written = push(out, text, n);
	size_t taken = written > 0 ? (size_t)written : 0;
	out->torn = taken > 0 && text[taken - 1] != '\n';
	return taken;
}
