/* capacity.c owns the count of descriptors: how many there are, and what they are for.
 * It must never promise what cannot be held: that is refused at the start, and not found out under load. */
#include "server/capacity.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* Kept for everything that is no session: logs, listeners, loops, files, and clients who are told to go. */
#define RESERVE_BASE   48u
#define RESERVE_WORKER 5u
#define DIAL_SPARE     32u /* a worker's */

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* A session takes two descriptors. */
int capacity_find(struct capacity *capacity, const struct server_settings *set, size_t workers, struct err *err)
{
	struct rlimit limit;
	uint64_t wanted = set->max_sessions;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return err_add(err, "cannot read the descriptor limit: %s", strerror(errno));
	const struct rlimit raised = { limit.rlim_max, limit.rlim_max };
	uint64_t all = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;

	capacity->refusals = least_of(set->max_refusals, all / 8 + 1); /* where there are few, few are kept */
	capacity->refusals_each = (unsigned)((capacity->refusals + workers - 1) / workers);
	capacity->dial_spare = (unsigned)least_of(DIAL_SPARE, all / 64);
	uint64_t reserve = least_of(RESERVE_BASE, all / 4) + 2 * capacity->refusals +
	                   (RESERVE_WORKER + capacity->dial_spare) * workers + set->resolver_threads + set->file_threads;
	uint64_t possible = all > reserve + 1 ? (all - reserve) / 2 : 0;
	capacity->sessions = wanted > 0 ? wanted : possible;
	if (possible > 0 && capacity->sessions <= possible)
		return 0;
	uint64_t needed = 2 * (wanted > 0 ? wanted : 1) + reserve;
	return err_add(err,
	               "max_sessions = %llu needs %llu descriptors, but the limit is %llu: raise it "
	               "(LimitNOFILE=, ulimit -n) or lower max_sessions",
	               (unsigned long long)wanted, (unsigned long long)needed, (unsigned long long)all);
}
