/* Which part of a file a request is to get: the validators, conditions and ranges of RFC 9110 (sections 8.8, 13, 14). Pure: what
 * it knows of the file is what stat told. */
#pragma once

#include "proto/http.h"
#include "proto/http_answer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* What tells one state of a file from another. */
struct validators {
	time_t changed;
	bool dated; /* false: the date is the epoch's, which is no date; conditions on it are ignored */
	uint64_t size;
	char etag[64];                /* strong: of size, inode, mtime and ctime with nanoseconds, and of the coding */
	char modified[HTTP_DATE_MAX]; /* never later than now; "" when not dated, or the year is beyond dates */
};

void validators_init(struct validators *validators, const struct stat *st, bool gzip, time_t now);

struct file_part {
	uint64_t offset, length;
};

/* Returns 412: not the state of the file that is wanted; 304: not modified; 416: the file has no such range; 206: one range, in
 * *part; else 200, with all of it in *part. In the order of RFC 9110 section 13.2.2: If-Match before If-Unmodified-Since, and
 * If-None-Match before If-Modified-Since. A range counts if it is a single one, of a GET, and If-Range allows it. */
int conditional_status(const struct http_head *request, const struct validators *file, struct file_part *part);
