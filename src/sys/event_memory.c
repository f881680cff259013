/* event_memory.c owns the reserve that libevent's small pieces come from when the heap has nothing.
 * It must never be used while the heap gives: it is too small to share, and a lock is in front of it. */
#include "sys/event_memory.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_SIZE 1024 /* a TLS bufferevent is the largest piece, and takes half of it */
#define SLOTS     256  /* it takes about six; whoever gets that far then fails in OpenSSL, and gives them back */

/* libevent's hooks have no argument to hang it on, hence the one static object. What is never used is never there. */
static struct {
	pthread_mutex_t lock;
	bool taken[SLOTS];
	_Alignas(max_align_t) uint8_t slot[SLOTS][SLOT_SIZE];
} reserve = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool in_reserve(const void *p)
{
	return (uintptr_t)p - (uintptr_t)reserve.slot < sizeof(reserve.slot);
}

static void *slot_take(void)
{
	void *found = NULL;

	pthread_mutex_lock(&reserve.lock);
	for (size_t i = 0; i < SLOTS && found == NULL; i++) {
		if (reserve.taken[i])
			continue;
		reserve.taken[i] = true;
		found = reserve.slot[i];
	}
	pthread_mutex_unlock(&reserve.lock);
	return found;
}

static void slot_give(const void *p)
{
	pthread_mutex_lock(&reserve.lock);
	reserve.taken[((uintptr_t)p - (uintptr_t)reserve.slot) / SLOT_SIZE] = false;
	pthread_mutex_unlock(&reserve.lock);
}

static void *hook_malloc(size_t n)
{
	void *p = malloc(n);
	if (p != NULL || n > SLOT_SIZE)
		return p;
	return slot_take();
}

static void hook_free(void *p)
{
	if (in_reserve(p))
		slot_give(p);
	else
		free(p);
}

/* What grows is libevent's own, and it stays well if that fails. */
static void *hook_realloc(void *p, size_t n)
{
	if (!in_reserve(p))
		return realloc(p, n);
	void *moved = malloc(n);
	if (moved == NULL)
		return n <= SLOT_SIZE ? p : NULL;
	memcpy(moved, p, n < SLOT_SIZE ? n : SLOT_SIZE);
	slot_give(p);
	return moved;
}

void event_memory_install(void)
{
	event_set_mem_functions(hook_malloc, hook_realloc, hook_free);
}
