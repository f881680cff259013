/* arrival.c owns state NEW.
 * It must never read: whether PROXY or HELLO is next is said by the listener alone. */
#include "session/session.h"

#include <unistd.h>

const struct state_ops arrival_state = { .tell = TELL_CUT };

void arrival_discard(const struct arrival *arrival, struct admission *admission, struct refusal_log *reject_log)
{
	refusal_log_note(reject_log, REASON_OUT_OF_MEMORY, &arrival->peer, arrival->listen);
	close(arrival->fd);
	admission_leave(admission, &arrival->generation->terms, arrival->listen->proxy_protocol ? NULL : &arrival->peer,
	                &arrival->seat);
	generation_unref(arrival->generation);
}

void arrival_start(struct session_context *context, const struct arrival *arrival)
{
	struct session *s = session_new(context);
	if (s == NULL) {
		arrival_discard(arrival, context->admission, context->refusals);
		context->gone(context, arrival->refusal != REASON_NONE);
		return;
	}
	s->generation = arrival->generation;
	s->listen = arrival->listen;
	s->id = arrival->id;
	s->peer = arrival->peer;
	s->refusal = arrival->refusal;
	s->seat = arrival->seat;
	stream_open(&s->client, context->base, arrival->fd, session_on_stream, s);
	deadline_set(s, s->listen->handshake_timeout);
	if (s->refusal != REASON_NONE)
		deadline_hurry(s);
	session_proceed(s, session_next(s, s->listen->proxy_protocol ? STATE_PROXY : STATE_HELLO));
}
