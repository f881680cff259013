/* signals.h masks signals in a thread. SIGSYS stays open: it answers a system call that the thread itself makes in the
 * sandbox, and where it is blocked the kernel kills the process instead. */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* For the calling thread and those it starts. before: the mask to put back with signals_restore, or NULL. */
static inline void signals_block(sigset_t *before)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &set, before);
}

static inline void signals_restore(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}
