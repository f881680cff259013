/* refused_calls.c owns the way of a refused system call from the sandbox into the log.
 * It must never write a line for each refusal: the sandbox names a call once, however often it is made. */
#include "server/refused_calls.h"

#include "base/mem.h"

#include <stdlib.h>

struct refused_calls {
	const struct sandbox *sandbox;
	struct log *log;
	struct event *event;
};

static void refused_calls_on_news(evutil_socket_t fd, short what, void *arg)
{
	struct refused_calls *calls = arg;
	char name[SANDBOX_CALL_MAX];

	while (sandbox_refused(calls->sandbox, name))
		log_line(calls->log, LEVEL_WARN,
		         "sandbox: refused system call %s with EPERM; if a library was updated it may need "
		         "this call: please report it",
		         name);
}

struct refused_calls *refused_calls_new(struct event_base *base, const struct sandbox *sandbox, struct log *log)
{
	struct refused_calls *calls = mem_zalloc(sizeof(*calls));

	calls->sandbox = sandbox;
	calls->log = log;
	calls->event = event_new(base, sandbox->refused, EV_READ | EV_PERSIST, refused_calls_on_news, calls);
	if (calls->event != NULL && event_add(calls->event, NULL) == 0)
		return calls;
	refused_calls_free(calls);
	return NULL;
}

void refused_calls_free(struct refused_calls *calls)
{
	if (calls == NULL)
		return;
	if (calls->event != NULL)
		event_free(calls->event);
	free(calls);
}
