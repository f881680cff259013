/* What is known of where clients come from: how many sessions a source has, how often it came lately, and whether it is
 * refused for what it did. A source is an IPv4 address or an IPv6 network, cut to a prefix: its owner has all of it.
 *
 * The table has a fixed number of places of 16 bytes each, so neither its memory nor the time of a call grows with the
 * number of sources. When it is full the source that matters least is forgotten; one with counted sessions never is.
 * All calls may come from any thread; time is clock_ms(). */
#pragma once

#include "base/attr.h"
#include "gate/reason.h"
#include "net/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCES_SESSIONS_MAX 4094 /* what the limits below may be at most */
#define SOURCES_RATE_MAX     409
#define SOURCES_PENALTY_MAX  ((uint64_t)7 * 24 * 3600 * 1000)

struct sources;

struct source_limits {
	uint64_t sessions;    /* at once; 0: any number */
	uint64_t rate;        /* new connections a second, counted over ten; 0: any number */
	uint64_t penalty_min; /* ms: penalties that add up to less are not enforced */
	uint64_t penalty_max; /* ms: they never add up to more; 0: no penalties */
};

/* NULL: out of memory. Makes at least `places`, up to a power of two. The kernel gives memory as they are used. */
struct sources *sources_new(size_t places) must_check;
void sources_free(struct sources *sources); /* NULL is allowed */

/* The source of a peer, cut to so many bits (64 at most for IPv6, but in networks that have many owners). 0: it has none,
 * being on this machine's own socket. */
uint64_t source_key(const struct peer *peer, unsigned ipv4_bits, unsigned ipv6_bits);

/* Spreads keys over all numbers, in a way that who does not know the secret cannot foresee. */
uint64_t source_hash(uint64_t key, uint64_t secret);

/* A connection of the source has come. REASON_NONE: it is welcome, and if its sessions are limited it counts from now on: then
 * *counted says that sources_leave() has to be called in the end. */
must_check enum reason sources_enter(struct sources *sources, uint64_t key, const struct source_limits *limits, uint64_t now,
                                     bool *counted);
void sources_leave(struct sources *sources, uint64_t key);

/* Whether its penalty is enforced now, for one that has come in before. */
must_check bool sources_refuses(struct sources *sources, uint64_t key, const struct source_limits *limits, uint64_t now);

/* Adds ms to the source's penalty. Returns for how long it is refused from now on, if it was not before; else 0. */
uint64_t sources_punish(struct sources *sources, uint64_t key, uint64_t ms, const struct source_limits *limits, uint64_t now);
