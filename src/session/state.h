/* The states of a session, a row of state.def each. */
#pragma once

enum session_state {
#define STATE(name, ...) STATE_##name,
#include "session/state.def"
#undef STATE
	STATE_COUNT
};
