/* mem.c owns the decision that load-time code never sees a failed allocation.
 * It must never be called for a live session: see the header. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_checked(void *p)
{
	if (p == NULL) {
		fputs("sallyport: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_zalloc(size_t size)
{
	return mem_checked(calloc(1, size));
}

void *mem_resize(void *old, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return mem_checked(NULL);
	return mem_checked(realloc(old, count * size > 0 ? count * size : 1)); /* of 0 it may return NULL */
}

char *mem_strdup(const char *text)
{
	return mem_checked(strdup(text));
}

char *mem_strndup(const char *text, size_t len)
{
	return mem_checked(strndup(text, len));
}

char *mem_printf(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int n = vasprintf(&text, format, args);
	va_end(args);
	return mem_checked(n < 0 ? NULL : text);
}
