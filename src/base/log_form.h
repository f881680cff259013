/* The form of a record: one line, whatever bytes a peer put into it. log.h says what it looks like. */
#pragma once

#include "base/log.h"

/* With its newline, and of a write: a pipe that others write to as well takes that much in one piece, or nothing. */
#define RECORD_MAX 4096

struct record {
	enum log_level level;
	bool json;
	bool cut;
	size_t n;
	char text[RECORD_MAX];
};

/* In this order: begin, any number of fields, end. dated: whoever reads it writes the time himself. */
void record_begin(struct record *r, enum log_level level, enum log_format format, bool dated, const char *event);
void record_field(struct record *r, const struct log_field *field);
void record_end(struct record *r);
