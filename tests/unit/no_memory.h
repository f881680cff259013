/* no_memory.h stands in front of libevent's event_add(), and has it fail when a test wants that.
 * It must never change what a test did not ask for. */
#pragma once

#include <dlfcn.h>
#include <event2/event.h>

static int event_adds_to_fail;

int event_add(struct event *event, const struct timeval *after)
{
	static int (*libevent)(struct event *, const struct timeval *);

	if (event_adds_to_fail > 0) {
		event_adds_to_fail--;
		return -1;
	}
	if (libevent == NULL)
		*(void **)&libevent = dlsym(RTLD_NEXT, "event_add");
	return libevent(event, after);
}
