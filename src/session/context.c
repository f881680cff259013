/* context.c owns what is done to all sessions of a worker at once.
 * It must never do to one of them what session.h or closing.h have no function for. */
#include "session/context.h"

#include "session/closing.h"
#include "session/session.h"

void context_drain_all(struct session_context *context)
{
	context->draining = true;
	for (int state = 0; state < STATE_COUNT; state++)
		list_each(&context->sessions[state], node, after)
			session_drain(list_entry(node, struct session, link));
}

void context_cut_all(struct session_context *context)
{
	context->draining = true;
	for (int state = 0; state < STATE_COUNT; state++)
		list_each(&context->sessions[state], node, after)
			session_end(list_entry(node, struct session, link), REASON_STOPPED);
	list_each(&context->sessions[STATE_CLOSING], node, after)
		closing_abort(list_entry(node, struct session, link));
}

void context_reap_all(struct session_context *context)
{
	struct list *dead = &context->sessions[STATE_DEAD];
	while (!list_empty(dead))
		session_reap(list_entry(list_first(dead), struct session, link));
}
