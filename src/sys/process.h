/* What a parent leaves to the process it starts, and what no parent can be trusted to have put in order. */
#pragma once

#include "base/attr.h"

/* The first thing main() does. Descriptors 0, 1 and 2 are open (on /dev/null if nobody opened them), so that no socket gets
 * such a number. A write to a peer that is gone, or beyond RLIMIT_FSIZE, is an error and not a death. No signal is blocked
 * but SIGHUP and SIGUSR1, which would end a process that does not handle them yet: they wait until process_hear_signals().
 * Returns -1, with errno, when /dev/null can't be opened in the place of a closed one. */
must_check int process_prepare(void);

/* From here on SIGTERM and SIGINT end the process at once with status 0: it serves nobody yet. Without a handler the
 * kernel would not deliver them to the first process of a container. */
void process_end_when_told(void);

/* All signals are delivered from here on, those that waited first. */
void process_hear_signals(void);
