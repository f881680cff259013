/* What every fuzz target needs: an entry point, a check that ends the process, and input whose borders are guarded. */
#pragma once

#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

static inline _Noreturn void check_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
	abort();
}

/* A copy of exactly that size on the heap, where AddressSanitizer sees a byte too many. The caller frees it. */
static inline void *exact_copy(const void *bytes, size_t len)
{
	char *copy = calloc(1, len > 0 ? len : 1); /* not malloc: compilers warn of what an empty one holds */

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

/* The same as a string; it ends at the first NUL. */
static inline char *exact_string(const void *bytes, size_t len)
{
	size_t n = len > 0 ? strnlen(bytes, len) : 0;
	char *copy = malloc(n + 1);

	CHECK(copy != NULL);
	if (n > 0)
		memcpy(copy, bytes, n);
	copy[n] = '\0';
	return copy;
}

static inline bool lies_within(struct span inner, const void *bytes, size_t len)
{
	const char *start = bytes;

	return inner.p >= start && inner.n <= len && (size_t)(inner.p - start) <= len - inner.n;
}

static inline struct span input_span(const uint8_t *data, size_t size)
{
	return (struct span){ (const char *)data, size };
}

/* Takes a line off the front of *rest, without its '\n'. */
static inline struct span take_input_line(struct span *rest)
{
	const char *end = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
	struct span line = { rest->p, end == NULL ? rest->n : (size_t)(end - rest->p) };

	*rest = span_skip(*rest, line.n + (end != NULL));
	return line;
}
