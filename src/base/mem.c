/* mem.c owns the decision that load-time code never sees a failed allocation.
 * It must never be called for a live session: see the header. */
#include "base/mem.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 50

static atomic_bool patient; /* of the whole process, as memory is */

static void mem_wait(void)
{
	if (!atomic_load_explicit(&patient, memory_order_relaxed)) {
		fputs("sallyport: out of memory\n", stderr);
		abort();
	}
	(void)poll(NULL, 0, WAIT_MS);
}

void mem_wait_on_oom(void)
{
	atomic_store_explicit(&patient, true, memory_order_relaxed);
}

void *mem_zalloc(size_t size)
{
	void *p;
	while ((p = calloc(1, size)) == NULL)
		mem_wait();
	return p;
}

void *mem_resize(void *old, size_t count, size_t size)
{
	void *p;
	assert(count == 0 || size <= SIZE_MAX / count);
	while ((p = realloc(old, count * size > 0 ? count * size : 1)) == NULL) /* of 0 it may return NULL */
		mem_wait();
	return p;
}

char *mem_strdup(const char *text)
{
	return mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t len)
{
	char *copy;
	while ((copy = strndup(text, len)) == NULL)
		mem_wait();
	return copy;
}

char *mem_printf(const char *format, ...)
{
	for (;;) {
		char *text;
		va_list args;
		va_start(args, format);
		int n = vasprintf(&text, format, args);
		va_end(args);
		if (n >= 0)
			return text;
		mem_wait();
	}
}
