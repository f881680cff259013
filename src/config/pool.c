/* pool.c owns which target a session gets, and what is known of each target.
 * It must never lock: every worker asks and tells for each session. */
#include "config/pool.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct health {
	atomic_uint refs;
	atomic_uint sessions, failures;
	atomic_uint_least64_t since;
};

static struct health *health_ref(struct health *health)
{
	atomic_fetch_add_explicit(&health->refs, 1, memory_order_relaxed);
	return health;
}

static void health_unref(struct health *health)
{
	if (atomic_fetch_sub_explicit(&health->refs, 1, memory_order_acq_rel) == 1)
		free(health);
}

void pool_add(struct pool *pool, const struct address *target, struct tls_client *tls)
{
	pool->member = mem_resize(pool->member, pool->count + 1, sizeof(*pool->member));
	pool->member[pool->count++] = (struct member){ target, tls, health_ref(mem_zalloc(sizeof(struct health))) };
}

void pool_clear(struct pool *pool)
{
	for (size_t i = 0; i < pool->count; i++) {
		tls_client_free(pool->member[i].tls);
		health_unref(pool->member[i].health);
	}
	free(pool->member);
	*pool = (struct pool){ NULL, 0 };
}

void pool_inherit(struct pool *pool, const struct pool *before)
{
	for (size_t i = 0; i < pool->count; i++) {
		struct member *member = &pool->member[i];
		size_t k = 0;
		while (k < before->count && strcmp(before->member[k].address->text, member->address->text) != 0)
			k++;
		if (k == before->count)
			continue;
		health_unref(member->health);
		member->health = health_ref(before->member[k].health);
	}
}

const struct member *pool_choose(const struct pool *pool)
{
	if (pool->count == 0)
		return NULL;
	atomic_fetch_add(&pool->member[0].health->sessions, 1);
	return &pool->member[0];
}

void pool_leave(const struct member *member)
{
	atomic_fetch_sub(&member->health->sessions, 1);
}

/* The time is there before the failure that it belongs to. */
void pool_done(const struct member *member, bool reached, uint64_t now)
{
	struct health *health = member->health;
	if (reached) {
		atomic_store(&health->failures, 0);
		return;
	}
	if (atomic_load(&health->failures) == 0)
		atomic_store(&health->since, now);
	atomic_fetch_add(&health->failures, 1);
}

struct pool_health pool_health(const struct member *member)
{
	struct health *health = member->health;
	return (struct pool_health){ atomic_load(&health->sessions), atomic_load(&health->failures),
		                     atomic_load(&health->since) };
}
