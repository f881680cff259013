/* Allocation for load time: where memory runs out while starting up or building a generation, there is nothing sensible
 * left to do, so these abort with a message and never return NULL. Code on the path of a live session must not use them:
 * there, failing to allocate ends one session and nothing else. Everything is released with free(). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/attr.h"

#include <stddef.h>

void *mem_zalloc(size_t size);                          /* zero-filled */
void *mem_resize(void *old, size_t count, size_t size); /* count * size bytes, checked for overflow */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
char *mem_printf(const char *format, ...) printf_like(1, 2);

#endif
