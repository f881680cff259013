/* Opens what lies below a directory, and nothing else, whatever links are on the way (openat2, Linux 5.6).
 *
 * Links are followed as long as they stay below. The kernel refuses absolute ones there, so their texts are read here: one
 * that begins with a name of the directory leads on below it. What such a walk comes to is only ever found by the kernel's
 * confined look-up again, so a race with who moves links finds another file below the directory, or none. What was found is
 * opened by /proc/self/fd once it is known to be a file. */
#pragma once

#include "base/attr.h"

#include <linux/openat2.h>

#define BENEATH_LINKS 40 /* of one path, as the kernel follows */

/* Opens a regular file below the directory that has that absolute name, for reading. Returns the descriptor, or -1 with errno:
 * EXDEV when the path leads out, EISDIR, or ENXIO when it is a FIFO or the like, which is not opened: that would let go who
 * waits there. */
must_check int beneath_open_in(const char *root, const char *path);

/* For who needs nobody else to open files. */
extern struct opener beneath_opener;

/* Whether the kernel can do it, and this process may ask for it: 0, or -1 with errno. */
must_check int beneath_probe(void);

/* The absolute name of a file or directory without links in it, for free(); NULL when it can't be told. By no other system calls
 * than the above. */
char *beneath_real_name(const char *path) must_check;

/* All that openat2 is ever called with: a constant, so that a sandbox can forbid all else by its address. */
extern const struct open_how beneath_how;
