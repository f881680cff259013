/* The states of a session, a row of state.def each. */
#ifndef SESSION_STATE_H
#define SESSION_STATE_H

enum session_state {
#define STATE(name, ...) STATE_##name,
#include "session/state.def"
#undef STATE
	STATE_COUNT
};

#endif
