/* What the gateway's routes lead to: sockets that answer, end or reset, by their kind. */
#pragma once

#include "loop.h"

/* spec is KIND=ADDRESS, with KIND one of echo, fin (answers 100 bytes and ends), rst (resets at the first byte). Prints
 * `backend KIND=ADDRESS` with the address that it got. */
void backend_listen(struct loop *loop, const char *spec);
