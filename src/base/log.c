/* log.c owns the way of a record from whoever logs it to the thread that writes it out, and the descriptor it goes to, whose
 * reader may go, stall, or run out of room. It must never make a thread wait for who reads the log, lose a record without
 * counting it, take a part of a record for all of it, or set a flag on a descriptor that others share. */
#include "base/log.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log_form.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* Records one after the other, each behind its head. */
struct batch {
	char *bytes;
	size_t n;
	uint64_t lost; /* records that came when it was full */
};

struct head {
	uint16_t n;
	uint8_t level;
};

struct log {
	atomic_int level, format;
	int fd;     /* -1: syslog */
	bool owned; /* a file */
	bool dated; /* whoever reads it writes the time himself */

	pthread_mutex_t lock; /* guards what follows, down to the thread's own */
	pthread_cond_t work, end;
	bool threaded, closing, ended;
	struct batch filling;
	size_t cap; /* of a batch */
	uint64_t timeout;

	pthread_t thread; /* once it runs, what follows is its own */
	struct batch writing;
	bool patient;    /* a write may wait for who reads; else what finds no room is lost */
	bool torn;       /* the last record stands there without its end */
	uint64_t untold; /* lost records that the log does not tell of yet */
};

static enum log_format format_of(const struct log *log)
{
	return (enum log_format)atomic_load_explicit(&log->format, memory_order_relaxed);
}

static bool has_room(const struct log *log, int timeout)
{
	struct pollfd room = { .fd = log->fd, .events = POLLOUT };
	return poll(&room, 1, timeout) == 1;
}

/* A descriptor that does not block is waited for as if it did: another process that shares it may have made it so. */
static ssize_t push(const struct log *log, const char *bytes, size_t n)
{
	ssize_t written;
	do
		written = log->patient || has_room(log, 0) ? write(log->fd, bytes, n) : 0;
	while (written < 0 && (errno == EINTR || (errno == EAGAIN && log->patient && has_room(log, -1))));
	return written;
}

/* Records, each with its newline, in one write(2); for syslog only one. Returns how many bytes of them were taken. */
static size_t put(struct log *log, enum log_level level, const char *text, size_t n)
{
	if (log->fd < 0) {
		static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG }; /* of each level */
		syslog(priorities[level], "%.*s", (int)(n - 1), text);
		return n;
	}
	/* A disk that fills up may take the beginning of a record; the next one must not go on in its line. */
	if (log->torn && push(log, "\n", 1) == 1)
		log->torn = false;
	if (log->torn)
		return 0;
	ssize_t written = push(log, text, n);
	size_t taken = written > 0 ? (size_t)written : 0;
	log->torn = taken > 0 && text[taken - 1] != '\n';
	return taken;
}

/* A count that can't be written either is left for the next record that can. */
static void tell_lost(struct log *log)
{
	char text[64];
	struct record r;

	if (log->untold == 0)
		return;
	snprintf(text, sizeof(text), "%llu log records could not be written", (unsigned long long)log->untold);
	record_begin(&r, LEVEL_WARN, format_of(log), log->dated, text);
	record_end(&r);
	if (put(log, LEVEL_WARN, r.text, r.n) == r.n)
		log->untold = 0;
}

/* Records, one after the other. Those that end behind what was taken are lost. */
static void write_out(struct log *log, enum log_level level, const char *text, size_t n)
{
	size_t taken = put(log, level, text, n);

	for (size_t i = taken; i < n; i++)
		log->untold += text[i] == '\n';
	if (taken == n)
		tell_lost(log);
}

/* As many records at a time as one write may have. They are moved together at the beginning of the batch. */
static void write_batch(struct log *log, const struct batch *batch)
{
	struct head head;
	enum log_level level = LEVEL_INFO; /* of the last record of the run */
	size_t run = 0, most = log->fd < 0 ? 0 : RECORD_MAX;

	for (size_t at = 0; at < batch->n; at += sizeof(head) + head.n) {
		memcpy(&head, batch->bytes + at, sizeof(head));
		if (run > 0 && run + head.n > most) {
			write_out(log, level, batch->bytes, run);
			run = 0;
		}
		memmove(batch->bytes + run, batch->bytes + at + sizeof(head), head.n);
		run += head.n;
		level = (enum log_level)head.level;
	}
	if (run > 0)
		write_out(log, level, batch->bytes, run);
	log->untold += batch->lost;
	if (batch->lost > 0)
		tell_lost(log);
}

/* With the lock held. False: there is nothing left, and nothing will come. */
static bool wait_for_work(struct log *log)
{
	while (log->filling.n == 0 && log->filling.lost == 0 && !log->closing)
		pthread_cond_wait(&log->work, &log->lock);
	return log->filling.n > 0 || log->filling.lost > 0;
}

static void *log_main(void *arg)
{
	struct log *log = arg;

	pthread_mutex_lock(&log->lock);
	while (wait_for_work(log)) {
		struct batch full = log->filling;
		log->filling = (struct batch){ .bytes = log->writing.bytes };
		log->writing = full;
		pthread_mutex_unlock(&log->lock);
		write_batch(log, &log->writing);
		pthread_mutex_lock(&log->lock);
	}
	log->ended = true;
	pthread_cond_signal(&log->end);
	pthread_mutex_unlock(&log->lock);
	return NULL;
}

int log_start(struct log *log, size_t queue, uint64_t timeout_ms)
{
	sigset_t before;

	log->cap = queue / 2; /* one half fills while the other is written */
	log->timeout = timeout_ms;
	log->filling.bytes = mem_resize(NULL, log->cap, 1);
	log->writing.bytes = mem_resize(NULL, log->cap, 1);
	pthread_mutex_lock(&log->lock);
	log->patient = log->threaded = true;
	signals_block(&before);
	int error = pthread_create(&log->thread, NULL, log_main, log);
	signals_restore(&before);
	if (error != 0)
		log->patient = log->threaded = false;
	pthread_mutex_unlock(&log->lock);
	return error;
}

/* Returns whether the thread is over; if not, it waits for a reader, and all of the log stays its own. */
static bool end_thread(struct log *log)
{
	uint64_t until_ms = clock_ms() + log->timeout;
	struct timespec until = { .tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000 };

	pthread_mutex_lock(&log->lock);
	log->closing = true;
	pthread_cond_signal(&log->work);
	while (!log->ended && pthread_cond_timedwait(&log->end, &log->lock, &until) != ETIMEDOUT)
		;
	bool ended = log->ended;
	pthread_mutex_unlock(&log->lock);
	(void)(ended ? pthread_join(log->thread, NULL) : pthread_detach(log->thread));
	return ended;
}

static struct log *log_new(int fd, bool owned, bool dated)
{
	struct log *log = mem_zalloc(sizeof(*log));
	pthread_condattr_t monotonic;

	log->fd = fd;
	log->owned = owned;
	log->dated = dated;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->work, NULL);
	pthread_cond_init(&log->end, &monotonic);
	pthread_condattr_destroy(&monotonic);
	log_configure(log, LEVEL_INFO, LOG_TEXT);
	return log;
}

const char *log_path(const char *target)
{
	return strncmp(target, "file:/", 6) == 0 && file_descriptor_of(target + 5) < 0 ? target + 5 : NULL;
}

int log_open_file(const char *path, struct err *err)
{
	int fd = file_open(path, LOG_FILE_FLAGS, LOG_FILE_MODE);
	return fd >= 0 ? fd : err_add(err, "log file %s: %s", path, strerror(errno));
}

struct log *log_from(int fd)
{
	return log_new(fd, true, false);
}

struct log *log_open(const char *target, struct err *err)
{
	if (strcmp(target, "stderr") == 0)
		return log_new(STDERR_FILENO, false, getenv("JOURNAL_STREAM") != NULL);
	if (strcmp(target, "syslog") == 0) {
		openlog("sallyport", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		return log_new(-1, false, true);
	}
	if (strncmp(target, "file:/", 6) != 0) {
		err_add(err, "log target \"%s\": want stderr, syslog or file:/absolute/path", target);
		return NULL;
	}
	int fd = log_open_file(target + 5, err);
	return fd >= 0 ? log_from(fd) : NULL;
}

void log_close(struct log *log)
{
	if (log == NULL || (log->threaded && !end_thread(log)))
		return;
	if (log->owned)
		close(log->fd);
	else if (log->fd < 0)
		closelog();
	pthread_cond_destroy(&log->work);
	pthread_cond_destroy(&log->end);
	pthread_mutex_destroy(&log->lock);
	free(log->filling.bytes);
	free(log->writing.bytes);
	free(log);
}

void log_configure(struct log *log, enum log_level level, enum log_format format)
{
	atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&log->format, (int)format, memory_order_relaxed);
}

void log_reopen(struct log *log, int fd)
{
	/* Another thread writes to this number all the while: it must never be closed in between. */
	(void)!dup3(fd, log->fd, O_CLOEXEC); /* can't fail: both are open */
	close(fd);
}

bool log_enabled(const struct log *log, enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* With the lock held. */
static void enqueue(struct log *log, const struct record *r)
{
	const struct head head = { (uint16_t)r->n, (uint8_t)r->level };
	struct batch *batch = &log->filling;

	if (sizeof(head) + r->n > log->cap - batch->n) {
		batch->lost++;
		return;
	}
	memcpy(batch->bytes + batch->n, &head, sizeof(head));
	memcpy(batch->bytes + batch->n + sizeof(head), r->text, r->n);
	batch->n += sizeof(head) + r->n;
	pthread_cond_signal(&log->work);
}

void log_record(struct log *log, enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
	struct record r;
	int before = errno;

	if (!log_enabled(log, level))
		return;
	record_begin(&r, level, format_of(log), log->dated, event);
	for (size_t i = 0; i < count; i++)
		record_field(&r, &fields[i]);
	record_end(&r);
	pthread_mutex_lock(&log->lock);
	if (log->threaded)
		enqueue(log, &r);
	else
		write_out(log, r.level, r.text, r.n);
	pthread_mutex_unlock(&log->lock);
	errno = before;
}

void log_line(struct log *log, enum log_level level, const char *format, ...)
{
	char text[RECORD_MAX];
	int before = errno;

	if (!log_enabled(log, level))
		return;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	errno = before;
	if (n >= 0)
		log_record(log, level, text, NULL, 0);
}

void log_lines(struct log *log, enum log_level level, const struct err *err)
{
	struct span rest = { err->text, err->len }, line;
	unsigned shown = 0;

	for (; rest.n > 0 && span_next(&rest, '\n', &line); shown++)
		log_line(log, level, "%.*s", (int)line.n, line.p);
	if (shown < err->count)
		log_line(log, level, "and %u more", err->count - shown);
}
