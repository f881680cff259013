/* Test input flush against an unmapped page: a read of one byte too many dies here and now. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD_SIZE (1 << 20) /* more than any test needs; what is not touched costs nothing. A PROT_NONE page follows */

static char *guard_map;

/* With guard_close the setup and teardown of a group of tests. */
static inline int guard_open(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)state;
	guard_map = mmap(NULL, GUARD_SIZE + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return guard_map == MAP_FAILED ? -1 : mprotect(guard_map + GUARD_SIZE, page, PROT_NONE);
}

static inline int guard_close(void **state)
{
	(void)state;
	return munmap(guard_map, GUARD_SIZE + (size_t)sysconf(_SC_PAGESIZE));
}

/* Copies bytes so that their end touches the guard page; valid until the next call. */
static inline void *guard_copy(const void *bytes, size_t len)
{
	if (len > GUARD_SIZE)
		abort();
	char *at = guard_map + GUARD_SIZE - len;
	if (len > 0)
		memcpy(at, bytes, len);
	return at;
}
