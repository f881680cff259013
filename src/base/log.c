/* log.c owns the way of a record from whoever logs it to the thread that writes it out.
 * It must never make a thread wait for who reads the log, nor lose a record without counting it. */
#include "base/log.h"

#include "base/log_form.h"
#include "base/log_out.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	_Atomic uint64_t dropped;

	pthread_mutex_t lock; /* guards what follows, down to the thread's own */
	pthread_cond_t work, end;
	bool threaded, closing, ended;
	struct batch filling;
	size_t cap; /* of a batch */
	uint64_t timeout;

	pthread_t thread; /* once it runs, what follows is its own */
	struct batch writing;
	struct log_out out;
	uint64_t untold; /* lost records that the log does not tell of yet */
};

static enum log_format format_of(const struct log *log)
{
	return (enum log_format)atomic_load_explicit(&log->format, memory_order_relaxed);
}

static void count_dropped(struct log *log)
{
	atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
}

/* A count that can't be written either is left for the next record that can. */
static void tell_lost(struct log *log)
{
	char text[64];
	struct record r;

	if (log->untold == 0)
		return;
	snprintf(text, sizeof(text), "%llu log records could not be written", (unsigned long long)log->untold);
	record_begin(&r, LEVEL_WARN, format_of(log), log->out.dated);
	record_event(&r, text);
	record_end(&r);
	if (log_out_write(&log->out, LEVEL_WARN, r.text, r.n) == r.n)
		log->untold = 0;
}

/* Those that end behind what was taken are lost. */
static void count_lost(struct log *log, const char *rest, size_t n)
{
	for (const char *end = memchr(rest, '\n', n); end != NULL; end = memchr(rest, '\n', n)) {
		log->untold++;
		count_dropped(log);
		n -= (size_t)(end + 1 - rest);
		rest = end + 1;
	}
}

/* Records, one after the other. */
static void write_out(struct log *log, enum log_level level, const char *text, size_t n)
{
	size_t taken = log_out_write(&log->out, level, text, n);
	if (taken == n)
		tell_lost(log);
	else
		count_lost(log, text + taken, n - taken);
}

/* As many records at a time as one write may have: they are moved together at the beginning of the batch. */
static void write_batch(struct log *log, const struct batch *batch)
{
	struct head head;
	enum log_level level = LEVEL_INFO; /* of the last record of the run */
	size_t run = 0, most = log->out.fd < 0 ? 0 : LOG_OUT_MAX;

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
	log->out.patient = log->threaded = true;
	signals_block(&before);
	int error = pthread_create(&log->thread, NULL, log_main, log);
	signals_restore(&before);
	if (error != 0)
		log->out.patient = log->threaded = false;
	pthread_mutex_unlock(&log->lock);
	return error;
}

/* Returns whether the thread is over; if not, it waits for a reader, and all of the log stays its own. */
static bool end_thread(struct log *log)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(log->timeout / 1000);
	until.tv_nsec += (long)(log->timeout % 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
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

static void init_locks(struct log *log)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->work, NULL);
	pthread_cond_init(&log->end, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static struct log *log_new(const struct log_out *out)
{
	struct log *log = mem_zalloc(sizeof(*log));

	log->out = *out;
	init_locks(log);
	log_configure(log, LEVEL_INFO, LOG_TEXT);
	return log;
}

struct log *log_open(const char *target, struct err *err)
{
	struct log_out out;

	return log_out_open(&out, target, err) == 0 ? log_new(&out) : NULL;
}

struct log *log_from(int fd)
{
	return log_new(&(struct log_out){ .fd = fd, .owned = true });
}

void log_close(struct log *log)
{
	if (log == NULL || (log->threaded && !end_thread(log)))
		return;
	log_out_close(&log->out);
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
	log_out_replace(&log->out, fd);
}

bool log_enabled(const struct log *log, enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

uint64_t log_dropped(const struct log *log)
{
	return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}

/* With the lock held. */
static void enqueue(struct log *log, const struct record *r)
{
	const struct head head = { (uint16_t)r->n, (uint8_t)r->level };
	struct batch *batch = &log->filling;

	if (sizeof(head) + r->n > log->cap - batch->n) {
		batch->lost++;
		count_dropped(log);
		return;
	}
	memcpy(batch->bytes + batch->n, &head, sizeof(head));
	memcpy(batch->bytes + batch->n + sizeof(head), r->text, r->n);
	batch->n += sizeof(head) + r->n;
	pthread_cond_signal(&log->work);
}

static void log_push(struct log *log, const struct record *r)
{
	int before = errno;

	pthread_mutex_lock(&log->lock);
	if (log->threaded)
		enqueue(log, r);
	else
		write_out(log, r->level, r->text, r->n);
	pthread_mutex_unlock(&log->lock);
	errno = before;
}

void log_record(struct log *log, enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
	struct record r;

	if (!log_enabled(log, level))
		return;
	record_begin(&r, level, format_of(log), log->out.dated);
	record_event(&r, event);
	for (size_t i = 0; i < count; i++)
		record_field(&r, &fields[i]);
	record_end(&r);
	log_push(log, &r);
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
