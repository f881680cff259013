/* library_memory.c owns two regions of equal slots: for OpenSSL's large, short-lived buffers, and for libevent's small pieces
 * when the heap has nothing. It must never fail where the heap would not: what a region does not hold comes from there. */
#include "sys/library_memory.h"

#include <assert.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS_MAX ((size_t)16384) /* 2,000 handshakes that begin at once take more than 4,096 */

/* The indexes of free slots, used last on top. */
struct stack {
	uint16_t slot[SLOTS_MAX];
	size_t count;
};

struct region {
	pthread_mutex_t lock;
	uint8_t *base; /* NULL: not installed */
	size_t slots, slot_size;
	size_t warm_max;   /* free slots that keep their memory */
	struct stack warm; /* with memory behind them */
	struct stack cold;
};

static void stack_push(struct stack *stack, size_t slot)
{
	assert(stack->count < SLOTS_MAX); /* or something was given twice */
	stack->slot[stack->count++] = (uint16_t)slot;
}

static void region_open(struct region *region, void *base, size_t slots, size_t slot_size, size_t warm_max)
{
	region->base = base;
	region->slots = slots;
	region->slot_size = slot_size;
	region->warm_max = warm_max;
	for (size_t i = slots; i-- > 0;)
		stack_push(&region->cold, i);
}

static bool region_has(const struct region *region, const void *p)
{
	return (uintptr_t)p - (uintptr_t)region->base < region->slots * region->slot_size;
}

static void *region_take(struct region *region)
{
	void *found = NULL;

	pthread_mutex_lock(&region->lock);
	struct stack *stack = region->warm.count > 0 ? &region->warm : &region->cold;
	if (stack->count > 0)
		found = region->base + stack->slot[--stack->count] * region->slot_size;
	pthread_mutex_unlock(&region->lock);
	return found;
}

static void region_give(struct region *region, void *p)
{
	size_t slot = (size_t)((uint8_t *)p - region->base) / region->slot_size;

	pthread_mutex_lock(&region->lock);
	bool keep = region->warm.count < region->warm_max;
	if (!keep)
		madvise(p, region->slot_size, MADV_DONTNEED); /* under the lock: the slot is nobody's yet */
	stack_push(keep ? &region->warm : &region->cold, slot);
	pthread_mutex_unlock(&region->lock);
}

/* Moves a piece of the region to the heap. NULL: there is nothing, and the piece stays as it is. */
static void *region_leave(struct region *region, void *p, size_t n)
{
	void *moved = malloc(n);
	if (moved != NULL) {
		memcpy(moved, p, n < region->slot_size ? n : region->slot_size);
		region_give(region, p);
	}
	return moved;
}

/* The hooks have no argument to hang a region on, hence the static objects. */

/* --- OpenSSL -------------------------------------------------------------------------------------------------------- */

static struct region tls = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define TLS_SLOT_MIN ((size_t)24 * 1024)
#define TLS_WARM     32

/* What OpenSSL 3.0 asks for that is large and does not stay: two buffers of 4 KiB and one of 21.3 for the messages of a
 * handshake; 16.7 KiB for reading, 16.5 for writing. Between them is the SSL itself, 7.5 KiB, which stays. A size that is
 * judged wrongly, in another version, costs a slot and nothing else. */
static bool is_transient_size(size_t n)
{
	return (n >= 4096 && n < 6144) || (n > 8192 && n <= TLS_SLOT_MIN);
}

/* What the hooks do for 0 and NULL is what OpenSSL's own do. */
static void *tls_malloc(size_t n, const char *file, int line)
{
	if (n == 0)
		return NULL;
	void *p = is_transient_size(n) ? region_take(&tls) : NULL;
	return p != NULL ? p : malloc(n);
}

static void tls_free(void *p, const char *file, int line)
{
	if (region_has(&tls, p))
		region_give(&tls, p);
	else
		free(p);
}

static void *tls_realloc(void *p, size_t n, const char *file, int line)
{
	if (p == NULL)
		return tls_malloc(n, file, line);
	if (n == 0) {
		tls_free(p, file, line);
		return NULL;
	}
	if (!region_has(&tls, p))
		return realloc(p, n);
	return n <= tls.slot_size ? p : region_leave(&tls, p, n);
}

void library_memory_for_openssl(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), slot_size = (TLS_SLOT_MIN + page - 1) / page * page,
	       size = SLOTS_MAX * slot_size;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return;
	if (CRYPTO_set_mem_functions(tls_malloc, tls_realloc, tls_free) != 1) {
		munmap(base, size);
		return;
	}
	madvise(base, size, MADV_NOHUGEPAGE); /* a huge page would keep what 80 cold slots gave back */
	region_open(&tls, base, SLOTS_MAX, slot_size, TLS_WARM);
}

/* --- libevent ------------------------------------------------------------------------------------------------------- */

static struct region reserve = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define RESERVE_SLOT  1024 /* a TLS bufferevent is the largest piece, and takes half of it */
#define RESERVE_SLOTS 256  /* it takes about six; whoever gets that far then fails in OpenSSL, and gives them back */

static void *reserve_malloc(size_t n)
{
	void *p = malloc(n);
	if (p != NULL || n > RESERVE_SLOT)
		return p;
	return region_take(&reserve);
}

static void reserve_free(void *p)
{
	if (region_has(&reserve, p))
		region_give(&reserve, p);
	else
		free(p);
}

static void *reserve_realloc(void *p, size_t n)
{
	if (!region_has(&reserve, p))
		return realloc(p, n);
	void *moved = region_leave(&reserve, p, n); /* first, so that the reserve is whole again when the heap gives */
	return moved != NULL || n > RESERVE_SLOT ? moved : p;
}

void library_memory_for_libevent(void)
{
	static _Alignas(max_align_t) uint8_t slot[RESERVE_SLOTS][RESERVE_SLOT]; /* what is never used is never there */

	region_open(&reserve, slot, RESERVE_SLOTS, RESERVE_SLOT, RESERVE_SLOTS);
	event_set_mem_functions(reserve_malloc, reserve_realloc, reserve_free);
}
