/* The traffic of an OPEN session: bytes up (client to backend), bytes down, and the credit between them. closing.c also calls
 * these functions, to flush traffic that is still in flight.
 *
 * Credit: one side is read only while less than high_water waits for the other, and never more at once than fits into
 * RELAY_BACKLOG_MAX, so a peer that does not read costs a bounded buffer. A write that fails ends nothing by itself: what
 * the peer sent before it went may still be there to be read, and reading finds the end. */
#ifndef SESSION_RELAY_H
#define SESSION_RELAY_H

#include "session/session.h"

/* Bytes of backlog a stream never exceeds. Below 256 KiB by what a stalled session has besides: a TLS record that came in
 * part, the session itself, and what an evbuffer rounds up. */
#define RELAY_BACKLOG_MAX ((size_t)208 * 1024)

/* The part of what max_backlog leaves that may be read for `to` now; RELAY_BACKLOG_MAX at most, and never 0 for a stream that takes
 * what it gets. */
size_t relay_share(const struct session *session, const struct stream *to);

void relay_init(struct session *session); /* makes the decoder ready */

/* Begins to relay: early bytes of client input stand in the worker's scratch buffer already. */
enum reason relay_start(struct session *session, size_t early);

/* Each takes one buffer's worth, so that no session starves the others. The client's Close comes back as
 * REASON_CLIENT_CLOSED, with its payload in session->reply. */
enum reason relay_up(struct session *session);
enum reason relay_down(struct session *session);
enum reason relay_feed(struct session *session, uint8_t *input, size_t len);

/* A stream's backlog is low, or nothing can be sent to it any more: whoever waited for it goes on. */
void relay_credit(struct session *session, const struct stream *stream);

enum reason relay_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason relay_on_timer(struct session *session);

#endif
