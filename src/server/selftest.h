/* The sandbox's self-test: enters it as a start would, and tries what must and what must not go on in it. */
#ifndef SERVER_SELFTEST_H
#define SERVER_SELFTEST_H

#include "config/generation.h"

/* Prints one line an act, `ok` or `FAILED`, and returns the exit status. file: the configuration, NULL for the quick form.
 * Each act is a child of its own; nothing is listened on, and nothing is left behind. */
int selftest_run(const struct generation *generation, const char *file);

#endif
