/* Test input flush against an unmapped page: a read of one byte too many dies here and now. */
#ifndef TESTS_UNIT_GUARD_H
#define TESTS_UNIT_GUARD_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
	char *map;
	size_t size; /* usable bytes; a PROT_NONE page follows */
};

static inline struct guard guard_new(size_t least)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = (least + page - 1) / page * page;
	char *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || mprotect(map + size, page, PROT_NONE) != 0)
		abort();
	return (struct guard){ map, size };
}

/* Copies bytes so that their end touches the guard page; valid until the next call on the same guard. */
static inline void *guard_copy(struct guard *guard, const void *bytes, size_t len)
{
	if (len > guard->size)
		abort();
	char *at = guard->map + guard->size - len;
	if (len > 0)
		memcpy(at, bytes, len);
	return at;
}

static inline void guard_free(struct guard *guard)
{
	munmap(guard->map, guard->size + (size_t)sysconf(_SC_PAGESIZE));
}

#endif
