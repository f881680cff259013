/* The part of the sandbox that Landlock does; sandbox.c alone asks for it. */
#ifndef SYS_SANDBOX_LANDLOCK_H
#define SYS_SANDBOX_LANDLOCK_H

#include "sys/sandbox.h"

/* Leaves the calling thread, and those it starts, these paths. Returns the version of the interface that is in force
 * now, 0 if the kernel has none, -1 with a complaint. */
must_check int sandbox_restrict_files(const struct sandbox_path *path, size_t paths, struct err *err);

#endif
