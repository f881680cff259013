/* The states of a session, a row of state.def each. */
#ifndef SESSION_STATE_H
#define SESSION_STATE_H

enum session_state {
#define STATE(name, from, on_stream, on_timer, on_drain) STATE_##name,
#include "session/state.def"
#undef STATE
	STATE_COUNT
};

#endif
