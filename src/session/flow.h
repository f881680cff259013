/* The way of a session's bytes: up (client to backend), down, and the credit between both. An OPEN session lives by it, and a
 * CLOSING one lets pass by it what is still in flight. One side is read only while less than high_water waits for the other, and
 * never more at once than fits into FLOW_BACKLOG_MAX, so a peer that does not read costs a bounded buffer. A write that fails ends
 * nothing by itself. */
#pragma once

#include "net/stream.h"
#include "session/session.h"

/* Bytes of backlog a stream never exceeds: whole pieces, as the rest of a full read would be a record of its own. Below 256 KiB by what
 * a stalled session has besides: a TLS record that came in part, the session itself, and what an evbuffer rounds up. */
#define FLOW_BACKLOG_MAX (13 * STREAM_PIECE)

/* The part of what max_backlog leaves that may be read for `to` now; FLOW_BACKLOG_MAX at most, and never 0 for a stream that takes
 * what it gets. */
size_t flow_share(const struct session *session, const struct stream *to);

/* Bytes a second that may be read from it; 0: any. */
uint64_t flow_rate(const struct session *session, const struct stream *from);

void flow_init(struct session *session); /* the 101 is out: makes decoder and codec ready */

/* Each takes one buffer's worth, so that no session starves the others. The client's Close comes back as
 * REASON_CLIENT_CLOSED, with its payload in session->traffic.control_payload. flow_feed() is for what was read already. */
enum reason flow_up(struct session *session);
enum reason flow_down(struct session *session);
enum reason flow_feed(struct session *session, uint8_t *input, size_t len);

/* A stream's backlog is low, or nothing can be sent to it any more: whoever waited for it goes on, a codec
 * that was stopped, too. Reasons are as of flow_up() and flow_down(). */
enum reason flow_credit(struct session *session, const struct stream *stream);
