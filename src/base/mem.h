/* Allocation for load time, which never returns NULL. Where memory runs out while starting up, there is nothing sensible
 * left to do, so these abort with a message; in a gateway that runs, where a generation is built for a reload, they wait until
 * there is some, because sessions go on meanwhile, on threads of their own, and an abort would end them all. Code on the path of a live session must not use them:
 * there, failing to allocate ends one session and nothing else. Everything is released with free(). */
#pragma once

#include "base/attr.h"

#include <stddef.h>

void mem_wait_on_oom(void);                             /* from now on they wait instead of aborting */
void *mem_zalloc(size_t size);                          /* zero-filled */
void *mem_resize(void *old, size_t count, size_t size); /* count * size bytes, checked for overflow */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
char *mem_printf(const char *format, ...) printf_like(1, 2);
