/* The system calls that the filter refuses. Each fails with EPERM in the thread that made it, and the process is told which
 * it was. The handler of SIGSYS that does so belongs to the process, and stays as long as the filter does. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>

/* Whether a signal handler can set what a system call returns on this architecture. Where it cannot, the filter itself has
 * to answer EPERM, and nobody learns which call it was. */
bool sandbox_can_catch_refused(void);

/* Catches SIGSYS, for all threads that do not block it. Call it before the filter is loaded. Returns a descriptor for
 * sandbox_next_refused(), which is readable while that has something to tell; -1 and errno on failure. */
must_check int sandbox_catch_refused(void);

/* The number of a system call that was refused for the first time; -1: none. */
int sandbox_next_refused(int fd);
