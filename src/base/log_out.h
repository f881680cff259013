/* Where records go: standard error, a file, or syslog. Used by one thread at a time, but for reopening. */
#pragma once

#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>

struct log_out {
	int fd;       /* -1: syslog */
	bool owned;   /* a file */
	bool dated;   /* whoever reads it writes the time himself */
	bool patient; /* a write may wait for who reads; else what finds no room is lost */
	bool torn;    /* the last record stands there without its end */
};

/* target as in log_open(). */
must_check int log_out_open(struct log_out *out, const char *target, struct err *err);
void log_out_close(struct log_out *out);

/* From any thread: the file behind the descriptor's number is exchanged for that of fd, which is closed. */
void log_out_replace(const struct log_out *out, int fd);

/* What one write(2) may have at most: a pipe that others write to as well takes so much in one piece, or nothing. */
#define LOG_OUT_MAX 4096

/* Records, each with its newline, in one write(2); for syslog only one. Returns how many bytes of them were taken. */
must_check size_t log_out_write(struct log_out *out, enum log_level level, const char *text, size_t n);
