/* An upgrade, from its head to the 101: who may pass, state GATE for as long as that is not known, state DIAL, the answer.
 *
 * The backend is dialled before the upgrade is answered, so that the answer can say whether it could be reached. */
#pragma once

#include "session/session.h"

/* The session's route was found. */
enum reason handshake_start(struct session *session, struct http_head *head);

/* Writes the 101 and makes the decoder ready. Also for closing.c, which tells a browser by 101 and Close why there will be
 * no session. */
enum reason handshake_answer(struct session *session);

/* For state.def. */
enum reason handshake_gate_enter(struct session *session);
void handshake_gate_leave(struct session *session);
enum reason handshake_gate_on_timer(struct session *session);
enum reason handshake_dial(struct session *session);
void handshake_cancel(struct session *session); /* the dial */
enum reason handshake_on_stream(struct session *session, struct stream *stream, enum stream_event event);
enum reason handshake_on_timer(struct session *session);
