/* Privileges: given up for good once everything that needs them (ports, keys, sockets) is open. */
#pragma once

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Default users when started as root; the first that exists is used. */
#define PRIVS_USER   "sallyport"
#define PRIVS_NOBODY "nobody"

#define PRIVS_NAME_MAX 64

#define PRIVS_LOW_PORTS (UINT64_C(1) << 10) /* CAP_NET_BIND_SERVICE */
#define PRIVS_ANY_FILE  (UINT64_C(1) << 1)  /* CAP_DAC_OVERRIDE, in force only while it is raised, as is CAP_CHOWN */
#define PRIVS_READ_ANY  (UINT64_C(1) << 2)  /* CAP_DAC_READ_SEARCH, likewise */
#define PRIVS_ANY_OWNER (UINT64_C(1) << 0)

/* Becomes user with that user's groups, and proves that there is no way back. An empty or NULL user is the one that the
 * process already is, or PRIVS_USER, or else PRIVS_NOBODY, if that would be root. Whoever it is has no capability
 * afterwards but those of keep that it had (of PRIVS_*), in none of the five sets (the bounding set: as far as the process may
 * change it), and can't gain any by executing something. Without debuggable its memory can't be read through ptrace, /proc or
 * a core file either.
 *
 * Call it before any thread starts: these belong to the calling thread and are inherited by those it starts later.
 * Returns -1 with a complaint; the caller must then exit, as only a part may have been given up. */
must_check int privs_become(const char *user, bool debuggable, uint64_t keep, struct err *err);

/* The numbers of a user and a group, each a name or a number; empty: (uid_t)-1, (gid_t)-1, as chown(2) has it. */
must_check int privs_find_owner(const char *user, const char *group, uid_t *uid, gid_t *gid, struct err *err);

/* Whether there is such a user, and it is not root. Needs no rights. 0 as well for an empty one. */
must_check int privs_check(const char *user, struct err *err);

/* Whether nobody but root can change where the file of this absolute path is: each directory down to it, and each that a link
 * leads through, on the way or as the file itself, belongs to root and can be written by nobody else, or is sticky and holds but
 * the next directory. The file itself may be missing, or anybody's. */
bool privs_roots_alone(const char *path);

/* Afterwards, around what is done by the name of a file (making, opening, removing it): puts the rights to files that were kept
 * in force for the calling thread until privs_lower(), if the name is root's alone. */
void privs_raise(const char *path);
void privs_lower(void);

/* The name of the user that the process is, or its number. */
void privs_name(char out[PRIVS_NAME_MAX]);

/* Whether privs_become() could become somebody else. */
bool privs_are_roots(void);
