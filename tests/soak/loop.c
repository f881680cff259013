/* loop.c owns the epoll descriptor and the turns of the loop.
 * It must never know whose descriptors these are. */
#include "loop.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BATCH 256

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		die("calloc");
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		die("epoll_create1");
	for (size_t i = 0; i < PATTERN_MAX; i++)
		loop->pattern[i] = (uint8_t)(i * 2654435761u >> 13);
	return loop;
}

void loop_watch(const struct loop *loop, struct item *item, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = item };

	if (events == item->watched)
		return;
	if (epoll_ctl(loop->epoll_fd, item->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, item->fd, &event) < 0)
		die("epoll_ctl");
	item->watched = events;
}

/* Each item is in a batch once, and frees nobody but itself. */
void loop_turn(const struct loop *loop, int timeout_ms)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(loop->epoll_fd, events, BATCH, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct item *item = events[i].data.ptr;

		item->on_ready(item, events[i].events);
	}
}

void reset_on_close(int fd)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}
