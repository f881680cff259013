/* log.c owns the form of a record, its bound and its one write(2).
 * It must never take a lock, allocate, or change errno while it writes a record: every thread logs from anywhere. */
#include "base/log.h"

#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAX 4096
#define RECORD_TAIL 32 /* kept free for what closes a record that was cut */

struct log {
	int fd;          /* -1: syslog */
	char *path;      /* NULL unless a file */
	bool dated;      /* whoever reads the descriptor writes the time himself */
	atomic_int level;
	atomic_int format;
	_Atomic uint64_t dropped, told;
	atomic_bool torn; /* the last record stands there without its end */
};

static const struct {
	const char *name;
	const char *padded;
	int priority;
} levels[] = {
	[LEVEL_ERROR] = { "error", "error ", LOG_ERR },
	[LEVEL_WARN] = { "warn", "warn  ", LOG_WARNING },
	[LEVEL_INFO] = { "info", "info  ", LOG_INFO },
	[LEVEL_DEBUG] = { "debug", "debug ", LOG_DEBUG },
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int open_file(const char *path, struct err *err)
{
	int fd = open(path, LOG_FILE_FLAGS, LOG_FILE_MODE);
	if (fd < 0)
		err_add(err, "log file %s: %s", path, strerror(errno));
	return fd;
}

static int open_target(struct log *log, const char *target, struct err *err)
{
	if (strcmp(target, "stderr") == 0) {
		log->fd = STDERR_FILENO;
		log->dated = getenv("JOURNAL_STREAM") != NULL;
		return 0;
	}
	if (strcmp(target, "syslog") == 0) {
		openlog("sallyport", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		log->dated = true;
		return 0;
	}
	if (strncmp(target, "file:/", 6) == 0) {
		log->path = mem_strdup(target + 5);
		log->fd = open_file(log->path, err);
		return log->fd < 0 ? -1 : 0;
	}
	return err_add(err, "log target \"%s\": want stderr, syslog or file:/absolute/path", target);
}

struct log *log_open(const char *target, struct err *err)
{
	struct log *log = mem_zalloc(sizeof(*log));
	log->fd = -1;
	log_configure(log, LEVEL_INFO, LOG_TEXT);
	if (open_target(log, target, err) != 0) {
		free(log->path);
		free(log);
		return NULL;
	}
	return log;
}

void log_close(struct log *log)
{
	if (log == NULL)
		return;
	if (log->path != NULL)
		close(log->fd);
	else if (log->fd < 0)
		closelog();
	free(log->path);
	free(log);
}

void log_configure(struct log *log, enum log_level level, enum log_format format)
{
	atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&log->format, (int)format, memory_order_relaxed);
}

int log_reopen(struct log *log, struct err *err)
{
	if (log->path == NULL)
		return 0;
	int fd = open_file(log->path, err);
	if (fd < 0)
		return -1;
	/* Other threads write to this number all the while: it must never be closed in between. */
	int done = dup3(fd, log->fd, O_CLOEXEC);
	if (done < 0)
		err_add(err, "log file %s: %s", log->path, strerror(errno));
	close(fd);
	return done < 0 ? -1 : 0;
}

bool log_enabled(const struct log *log, enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

uint64_t log_dropped(const struct log *log)
{
	return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}

/* --- a record on the stack ---------------------------------------------------------------------------------------- */

struct record {
	bool json;
	bool cut;
	size_t n;
	char text[RECORD_MAX];
};

/* Puts all of it or nothing; after the first piece that does not fit nothing fits any more. */
static bool put(struct record *r, const char *piece, size_t n)
{
	if (r->cut || r->n + n > RECORD_MAX - RECORD_TAIL) { /* r->n may be beyond: a closing quote is a tail, too */
		r->cut = true;
		return false;
	}
	memcpy(r->text + r->n, piece, n);
	r->n += n;
	return true;
}

static bool put_word(struct record *r, const char *word)
{
	return put(r, word, strlen(word));
}

/* For the few bytes that RECORD_TAIL is kept for. */
static void put_tail(struct record *r, const char *tail)
{
	size_t n = strlen(tail);
	memcpy(r->text + r->n, tail, n);
	r->n += n;
}

static void put_byte(struct record *r, unsigned char c, bool quoted)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= 0x20 && c < 0x7f && c != '\\' && !(quoted && c == '"')) {
		put(r, (const char *)&c, 1);
	} else if (r->json) {
		const char escape[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
		put(r, escape, sizeof(escape));
	} else {
		const char escape[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
		put(r, escape, sizeof(escape));
	}
}

static void put_text(struct record *r, struct span text, bool quoted)
{
	if (quoted && !put(r, "\"", 1))
		return;
	for (size_t i = 0; i < text.n && !r->cut; i++)
		put_byte(r, (unsigned char)text.p[i], quoted);
	if (r->cut)
		put_tail(r, quoted ? "..." : " ...");
	if (quoted)
		put_tail(r, "\"");
}

static bool is_plain(struct span text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@[]-,";

	for (size_t i = 0; i < text.n; i++)
		if (memchr(plain, text.p[i], sizeof(plain) - 1) == NULL)
			return false;
	return text.n > 0;
}

static void put_value(struct record *r, const struct log_field *field)
{
	char number[32];

	if (field->kind == FIELD_TEXT) {
		put_text(r, field->text, r->json || !is_plain(field->text));
		return;
	}
	if (field->kind == FIELD_MS)
		snprintf(number, sizeof(number), "%" PRIu64 ".%03" PRIu64, field->number / 1000, field->number % 1000);
	else
		snprintf(number, sizeof(number), "%" PRIu64, field->number);
	put_word(r, number);
}

static void put_field(struct record *r, const struct log_field *field)
{
	if (r->cut || (field->kind == FIELD_TEXT && field->text.p == NULL))
		return;
	size_t before = r->n;
	put_word(r, r->json ? ",\"" : " ");
	put_word(r, field->key);
	put_word(r, r->json ? "\":" : "=");
	size_t start = r->n;
	if (!r->cut)
		put_value(r, field);
	if (r->n == start)
		r->n = before; /* a key without its value */
}

static void put_time(struct record *r)
{
	struct timespec now;
	struct tm day;
	char date[32], time[48];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &day);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &day);
	snprintf(time, sizeof(time), "%s.%03ldZ", date, now.tv_nsec / 1000000);
	put_word(r, time);
}

static void record_begin(struct record *r, const struct log *log, enum log_level level)
{
	r->json = atomic_load_explicit(&log->format, memory_order_relaxed) == LOG_JSON;
	r->cut = false;
	r->n = 0;
	if (r->json) {
		put_word(r, "{\"time\":\"");
		put_time(r);
		put_word(r, "\",\"level\":\"");
		put_word(r, levels[level].name);
		put_word(r, "\",\"event\":");
		return;
	}
	if (!log->dated) {
		put_time(r);
		put_word(r, " ");
	}
	put_word(r, levels[level].padded);
}

static void record_end(struct record *r)
{
	if (r->json)
		put_tail(r, r->cut ? ",\"cut\":true}" : "}");
	else if (r->cut && r->text[r->n - 1] != '.')
		put_tail(r, " ...");
}

/* A reader of stderr that has stopped reading must not stop the gateway. A file is opened so that it can't block. */
static bool has_room(const struct log *log)
{
	struct pollfd out = { .fd = log->fd, .events = POLLOUT };
	return log->path != NULL || poll(&out, 1, 0) == 1;
}

static ssize_t record_push(const struct log *log, const char *bytes, size_t n)
{
	ssize_t written;
	do
		written = has_room(log) ? write(log->fd, bytes, n) : 0;
	while (written < 0 && errno == EINTR);
	return written;
}

/* A disk that fills up may take the beginning of a record; the next one must not go on in its line. */
static bool record_out(const struct record *r, struct log *log)
{
	if (atomic_exchange_explicit(&log->torn, false, memory_order_relaxed) && record_push(log, "\n", 1) != 1) {
		atomic_store_explicit(&log->torn, true, memory_order_relaxed);
		return false;
	}
	ssize_t n = record_push(log, r->text, r->n);
	if (n > 0 && n < (ssize_t)r->n)
		atomic_store_explicit(&log->torn, true, memory_order_relaxed);
	return n == (ssize_t)r->n;
}

/* A count that can't be written either is left for the next record that can. */
static void tell_dropped(struct log *log)
{
	char text[64];
	struct record r;
	uint64_t told = atomic_load_explicit(&log->told, memory_order_relaxed);
	uint64_t lost = atomic_load_explicit(&log->dropped, memory_order_relaxed) - told;

	if (lost == 0 || !atomic_compare_exchange_strong(&log->told, &told, told + lost))
		return;
	snprintf(text, sizeof(text), "%llu log records could not be written", (unsigned long long)lost);
	record_begin(&r, log, LEVEL_WARN);
	put_text(&r, span_of(text), r.json);
	record_end(&r);
	put_tail(&r, "\n");
	if (!record_out(&r, log))
		atomic_fetch_sub_explicit(&log->told, lost, memory_order_relaxed);
}

static void record_write(struct record *r, struct log *log, enum log_level level)
{
	int before = errno;

	if (log->fd < 0) {
		syslog(levels[level].priority, "%.*s", (int)r->n, r->text);
	} else {
		put_tail(r, "\n");
		if (record_out(r, log))
			tell_dropped(log);
		else
			atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
	}
	errno = before;
}

void log_record(struct log *log, enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
	struct record r;

	if (!log_enabled(log, level))
		return;
	record_begin(&r, log, level);
	put_text(&r, span_of(event), r.json);
	for (size_t i = 0; i < count; i++)
		put_field(&r, &fields[i]);
	record_end(&r);
	record_write(&r, log, level);
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
