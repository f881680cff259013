/* One loop for both ends of the churn: what epoll watches, and bytes that everybody may send. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../bench/benchnet.h"

#define PATTERN_MAX 65536

/* What is watched; the first member of its owner, who may free itself in on_ready. */
struct item {
	void (*on_ready)(struct item *item, uint32_t events);
	int fd;
	uint32_t watched; /* the events; 0: not watched */
};

struct loop {
	int epoll_fd;
	uint8_t pattern[PATTERN_MAX];
	uint8_t scratch[PATTERN_MAX];
};

struct loop *loop_new(void);
void loop_watch(const struct loop *loop, struct item *item, uint32_t events);
void loop_turn(const struct loop *loop, int timeout_ms);
void reset_on_close(int fd);
