/* Allocation for load time, which never returns NULL. Where memory runs out, a start aborts with a message, as there is nothing
 * sensible left to do; a gateway that runs, and builds a generation for a reload, waits until there is some, because its sessions
 * go on meanwhile, on threads of their own. Code on the path of a live session must not use them: there, failing to allocate ends
 * one session and nothing else. Everything is released with free(). */
#pragma once

#include "base/attr.h"

#include <stddef.h>

void mem_wait_on_oom(void);                             /* from now on they wait instead of aborting */
void *mem_zalloc(size_t size);                          /* zero-filled */
void *mem_resize(void *old, size_t count, size_t size); /* count * size bytes, checked for overflow */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
char *mem_printf(const char *format, ...) printf_like(1, 2);
