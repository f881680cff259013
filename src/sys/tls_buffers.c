/* tls_buffers.c owns the memory that OpenSSL's large, short-lived buffers lie in: one region of equal slots.
 * It must never fail where the heap would not: what the region does not hold comes from there. */
#include "sys/tls_buffers.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOT_MIN   ((size_t)24 * 1024)
#define SLOTS      ((size_t)4096)
#define SLOTS_WARM ((size_t)32) /* free slots that keep their memory */

/* What OpenSSL 3.0 asks for that is large and does not stay: two buffers of 4 KiB and one of 21.3 for the messages of a
 * handshake; 16.7 KiB for reading, 16.5 for writing. Between them is the SSL itself, 7.5 KiB, which stays. A size that is
 * judged wrongly, in another version, costs a slot and nothing else. */
static bool is_transient_size(size_t n)
{
	return (n >= 4096 && n < 6144) || (n > 8192 && n <= SLOT_MIN);
}

/* The indexes of free slots, used last on top. */
struct stack {
	uint16_t slot[SLOTS];
	size_t count;
};

/* OpenSSL's hooks have no argument to hang it on, hence the one static object. */
static struct {
	pthread_mutex_t lock;
	uint8_t *base;     /* NULL: not installed */
	size_t slot_size;  /* SLOT_MIN in whole pages */
	struct stack warm; /* with memory behind them */
	struct stack cold;
} region = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool stack_pop(struct stack *stack, uint16_t *slot)
{
	if (stack->count == 0)
		return false;
	*slot = stack->slot[--stack->count];
	return true;
}

static void stack_push(struct stack *stack, uint16_t slot)
{
	assert(stack->count < SLOTS); /* or something was given twice */
	stack->slot[stack->count++] = slot;
}

static bool in_region(const void *p)
{
	return (uintptr_t)p - (uintptr_t)region.base < SLOTS * region.slot_size;
}

static void *slot_take(void)
{
	uint16_t slot;

	pthread_mutex_lock(&region.lock);
	bool found = stack_pop(&region.warm, &slot) || stack_pop(&region.cold, &slot);
	pthread_mutex_unlock(&region.lock);
	return found ? region.base + slot * region.slot_size : NULL;
}

static void slot_give(void *p)
{
	uint16_t slot = (uint16_t)((size_t)((uint8_t *)p - region.base) / region.slot_size);

	pthread_mutex_lock(&region.lock);
	bool keep = region.warm.count < SLOTS_WARM;
	if (!keep)
		madvise(p, region.slot_size, MADV_DONTNEED); /* under the lock: the slot is nobody's yet */
	stack_push(keep ? &region.warm : &region.cold, slot);
	pthread_mutex_unlock(&region.lock);
}

/* What the hooks do for 0 and NULL is what OpenSSL's own do. */
static void *hook_malloc(size_t n, const char *file, int line)
{
	void *p = NULL;

	if (n == 0)
		return NULL;
	if (is_transient_size(n))
		p = slot_take();
	return p != NULL ? p : malloc(n);
}

static void hook_free(void *p, const char *file, int line)
{
	if (in_region(p))
		slot_give(p);
	else
		free(p);
}

static void *hook_realloc(void *p, size_t n, const char *file, int line)
{
	if (p == NULL)
		return hook_malloc(n, file, line);
	if (n == 0) {
		hook_free(p, file, line);
		return NULL;
	}
	if (!in_region(p))
		return realloc(p, n);
	if (n <= region.slot_size)
		return p;
	void *larger = malloc(n);
	if (larger != NULL) {
		memcpy(larger, p, region.slot_size);
		slot_give(p);
	}
	return larger;
}

void tls_buffers_install(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t slot_size = (SLOT_MIN + page - 1) / page * page;
	void *base = mmap(NULL, SLOTS * slot_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return;
	if (CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) != 1) {
		munmap(base, SLOTS * slot_size);
		return;
	}
	madvise(base, SLOTS * slot_size, MADV_NOHUGEPAGE); /* a huge page would keep what 80 cold slots gave back */
	region.base = base;
	region.slot_size = slot_size;
	for (size_t i = SLOTS; i-- > 0;)
		stack_push(&region.cold, (uint16_t)i);
}
