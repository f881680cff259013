/* Privileges: given up for good once everything that needs them (ports, keys, sockets) is open. */
#ifndef SYS_PRIVS_H
#define SYS_PRIVS_H

#include "base/attr.h"
#include "base/err.h"

/* Becomes user with that user's groups and no capabilities, and proves that there is no way back. An empty or NULL
 * user, or the one that the process already is, changes no ids, groups or capabilities. In any case the process can't
 * gain privileges by executing something, and its memory can't be read through /proc or a core file.
 *
 * Call it before any thread starts: these belong to the calling thread and are inherited by those it starts later.
 * Returns -1 with a complaint; the caller must then exit, as only a part may have been given up. */
must_check int privs_become(const char *user, struct err *err);

#endif
