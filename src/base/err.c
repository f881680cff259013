/* err.c owns the growth and the bound of a struct err.
 * It must never print: who reports an error, and where, is the caller's business. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

void err_init(struct err *err)
{
	err->count = 0;
	err->len = 0;
	err->text[0] = '\0';
}

int err_add(struct err *err, const char *format, ...)
{
	size_t start = err->len;

	err->count++;
	if (start > 0 && start + 1 < sizeof(err->text))
		err->text[start++] = '\n';

	va_list args;
	va_start(args, format);
	int n = vsnprintf(err->text + start, sizeof(err->text) - start, format, args);
	va_end(args);

	if (n < 0 || (size_t)n >= sizeof(err->text) - start)
		err->text[err->len] = '\0'; /* half a complaint misleads */
	else
		err->len = start + (size_t)n;
	return -1;
}
