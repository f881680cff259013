/* A pool: the targets that the sessions of a route may get, and the health of each: how many sessions it has, and since when it
 * cannot be reached. A pool is immutable but for that, which any thread may change. It belongs to a route. */
#pragma once

#include "net/addr.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct health;

struct member {
	const struct address *address; /* the settings', which outlive the pool */
	struct tls_client *tls;        /* for a tls: target; the member's */
	struct health *health;         /* shared with the members of other generations that have the same address */
};

struct pool {
	struct member *member;
	size_t count;
};

/* One more target. Takes tls over, which may be NULL. Load time, before pool_inherit(). */
void pool_add(struct pool *pool, const struct address *target, struct tls_client *tls);
void pool_clear(struct pool *pool);

/* Each member whose address one of the pool before has takes the health of that over. Before the first pool_choose(). */
void pool_inherit(struct pool *pool, const struct pool *before);

/* The member that a new session is to use, and has until pool_leave(); NULL: the pool has none. */
const struct member *pool_choose(const struct pool *pool);
void pool_leave(const struct member *member);

/* Tells whether the member could be reached, TLS included. now: clock_ms(). What failed without its fault is not told. */
void pool_done(const struct member *member, bool reached, uint64_t now);

struct pool_health {
	unsigned sessions; /* that have it */
	unsigned failures; /* since it was last reached */
	uint64_t since;    /* the first of them; clock_ms() */
};

struct pool_health pool_health(const struct member *member);
