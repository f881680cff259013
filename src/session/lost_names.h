/* What look-ups of host names read, and a word to the administrator when they fail because the sandbox does not cover it any more:
 * a file that was put in the place of another is another to the kernel. */
#ifndef SESSION_LOST_NAMES_H
#define SESSION_LOST_NAMES_H

#include "base/log.h"
#include "sys/sandbox.h"

#include <stdatomic.h>

#define NAME_FILES 7
const char *const *name_files(void); /* NAME_FILES paths, read at each look-up or when they change */

struct lost_names {
	struct log *log;
	const struct sandbox *sandbox; /* NULL: there is none, and nothing to say */
	atomic_flag told;
};

/* After a look-up that failed, from any thread: looks whether the sandbox hides one of the files, and says so once. */
void lost_names_look(struct lost_names *lost);

#endif
