/* The log: one record is one line, and one write(2), whatever bytes a peer put into it.
 *
 * A struct log may be used from all threads at once: a record is formed on the caller's stack and copied into a queue of
 * fixed size. A thread of the log's own writes them out, and is the only one that ever waits for whoever reads the log.
 * A record that finds the queue full, or that can't be written because a disk is full, is dropped, and a line in the log
 * counts those. Logging never blocks a session and never ends one. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <fcntl.h>

enum log_level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

struct log;

/* How a log file is opened. O_NONBLOCK so that a FIFO without a reader stops neither a start nor a session. */
#define LOG_FILE_MODE  0640
#define LOG_FILE_FLAGS (O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* target: "stderr", "syslog" or "file:/absolute/path". Returns NULL and fills err on failure. Until log_start() each record
 * is written by who logs it, and dropped where a descriptor has no room. */
struct log *log_open(const char *target, struct err *err) must_check;

/* The same in steps, for a file that another process opens: the path of the target, NULL if it is none that can be opened
 * anew; the file, made if it is not there (-1 and a complaint on failure); and its log, which takes the descriptor over. */
const char *log_path(const char *target);
must_check int log_open_file(const char *path, struct err *err);
struct log *log_from(int fd) must_check;

/* Starts the thread, with a queue of so many bytes (at least 4 records' worth: 16 KiB). Returns 0 or an errno. */
must_check int log_start(struct log *log, size_t queue, uint64_t timeout_ms);

/* When nobody logs any more: waits until all is written, for timeout_ms at most; if who reads the log has not taken it by then,
 * the log is left to its thread, and the process is to end. NULL is allowed. */
void log_close(struct log *log);

/* May be called at any time from any thread; the start values are LEVEL_INFO and LOG_TEXT. */
void log_configure(struct log *log, enum log_level level, enum log_format format);

/* From any thread: the log goes on in another file, also with what is in the queue. Takes fd over, of log_open_file(). */
void log_reopen(struct log *log, int fd);

/* A field of a record. Text is escaped as it is written, so it may be a peer's bytes; an absent span is left out. */
struct log_field {
	const char *key;
	enum { FIELD_TEXT, FIELD_COUNT, FIELD_MS } kind;
	struct span text; /* FIELD_TEXT */
	uint64_t number;  /* FIELD_COUNT; FIELD_MS: milliseconds, shown as seconds with three decimals */
};

static inline struct log_field log_text(const char *key, const char *text) /* NULL is left out */
{
	return (struct log_field){ .key = key, .kind = FIELD_TEXT, .text = span_of(text) };
}

static inline struct log_field log_count(const char *key, uint64_t number)
{
	return (struct log_field){ .key = key, .kind = FIELD_COUNT, .number = number };
}

static inline struct log_field log_ms(const char *key, uint64_t ms)
{
	return (struct log_field){ .key = key, .kind = FIELD_MS, .number = ms };
}

/* text: `2026-11-22T19:18:01.123Z info  session end id=7 peer=127.0.0.1:4711 bytes_up=12`
 * JSON: {"time":"...","level":"info","event":"session end","id":7,...}
 * A text value is quoted when it is empty or has bytes other than A-Z a-z 0-9 and ._:/@[]-, in it; control bytes,
 * backslashes and everything from 0x7f up become \xNN (JSON: \u00NN), a byte each, so that a peer's bytes can be had back
 * (JSON: a string encoded as Latin-1) and no override of the writing direction reaches a reader. A record of more than
 * 4 KiB is cut and ends with `...` (JSON: `"cut":true`). errno is left alone.
 * stderr under systemd and syslog carry their own time, so there it is left out of the text form. */
void log_record(struct log *log, enum log_level level, const char *event, const struct log_field *fields, size_t count);

/* A record without fields. The text is escaped as a whole, so arguments may be a peer's bytes. */
void log_line(struct log *log, enum log_level level, const char *format, ...) printf_like(3, 4);

/* Each of the complaints as a record without fields. */
void log_lines(struct log *log, enum log_level level, const struct err *err);

/* True when a record of this level would be written: for work that only a log needs. */
bool log_enabled(const struct log *log, enum log_level level);
