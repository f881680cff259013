/* The kinds of session: what the client does, and what the gateway's log must call the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEPS_MAX 16

struct op;

struct step {
	const struct op *op;
	unsigned n;
};

struct kind {
	const char *name;
	const char *reason;   /* the log's; with a | where it is a matter of luck */
	unsigned weight;      /* how often it is drawn; 0: only by name */
	const char *listener; /* the gateway's [listen] section */
	const char *path;
	const char *script; /* words of ops.c, each with a number */
	struct step steps[STEPS_MAX];
	size_t steps_count;
	uint64_t begun;
	bool chosen;
};

/* All kinds, their scripts understood. *count: how many. */
struct kind *kinds_read(size_t *count);
