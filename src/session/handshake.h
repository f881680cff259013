/* The 101 of an upgrade, which state DIAL writes.
 *
 * The backend is dialled before the upgrade is answered, so that the answer can say whether it could be reached. */
#pragma once

#include "session/session.h"

/* Writes the 101 and makes the decoder ready. Also for closing.c, which tells a browser by 101 and Close why there will be
 * no session. */
enum reason handshake_answer(struct session *session);
