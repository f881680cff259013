/* The sandbox: what the process can still ask of the kernel once it serves. Which files there are for it is told to
 * Landlock, which calls it may make to seccomp; what cannot be had here (an old kernel, a build without libseccomp) is left
 * out, and the owner can ask what was. It is entered once, for good, and by every thread.
 *
 * A system call that is not on the list fails with EPERM, and so does one with arguments that nothing here has a use for: a
 * file opened for writing, a socket of another family or protocol, an option of one that nobody sets. The owner is told of
 * each such call once, as a library may have begun to make it. What only an attacker makes ends the process (SIGSYS): a
 * program or a process started, memory made executable, and such. A file outside of the paths is EACCES. Some
 * architectures hide arguments: see sandbox_calls.h. */
#pragma once

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct open_how;

enum sandbox_access {
	SANDBOX_READ = 1 << 0,    /* files are read, directories listed */
	SANDBOX_WRITE = 1 << 1,   /* files are made and written */
	SANDBOX_SOCKETS = 1 << 2, /* socket files are made, and files removed */
};

/* A file, or a directory and all that is below it. */
struct sandbox_path {
	const char *path;
	unsigned access; /* of enum sandbox_access */
};

enum sandbox_network {
	SANDBOX_BIND = 1 << 0,
	SANDBOX_CONNECT = 1 << 1,
	SANDBOX_ABSTRACT = 1 << 2, /* connect to abstract UNIX sockets of other processes */
};

/* TCP ports; both ends included. To bind to port 0 is to let the kernel choose. */
struct sandbox_ports {
	uint16_t first, last;
	unsigned access; /* of enum sandbox_network */
};

/* Whose process it is: the two have calls of their own on top of those that both make. */
enum sandbox_role { SANDBOX_GATEWAY, SANDBOX_STEWARD };

struct sandbox_options {
	enum sandbox_role role;
	const struct sandbox_path *path; /* those that are not there are passed over */
	size_t paths;
	const struct sandbox_ports *port;
	size_t ports;
	unsigned unbounded; /* of enum sandbox_network: what is left as it is */
	int write_flags;    /* the one set of open(2) flags that may write or make a file; 0: none may */

	/* What openat2(2) may be called with: this very object, in memory that is read-only, since a filter can't look into
	 * what a pointer leads to. NULL: nothing. */
	const struct open_how *how;
};

/* What is in force, for reading. */
struct sandbox {
	int abi;         /* the version of Landlock's interface; 0: there is none */
	unsigned calls;  /* how many are allowed; 0: any */
	int refused;     /* a descriptor, readable when sandbox_refused() has something to tell; -1 before sandbox_seal() */
	unsigned bounds; /* of enum sandbox_network; older kernels bound less, or nothing */

	/* Of struct sandbox_options. */
	enum sandbox_role role;
	int write_flags;
	const struct open_how *how;
	size_t ports;
	struct sandbox_ports port[];
};

/* Confines the calling thread, and those it starts later, to the paths and ports. options is copied, but for how. Needs
 * no_new_privs. NULL on failure; a kernel without Landlock is none. For free(): what it confined stays so. */
struct sandbox *sandbox_new(const struct sandbox_options *options, struct err *err) must_check;

/* Confines all threads there are to the calls; none can be started afterwards. A build without libseccomp does nothing
 * here. */
int sandbox_seal(struct sandbox *sandbox, struct err *err) must_check;

/* Names a system call that was refused for the first time, such as "getsid (124)". false: there is none. */
#define SANDBOX_CALL_MAX 64
bool sandbox_refused(const struct sandbox *sandbox, char name[static SANDBOX_CALL_MAX]);

/* Whether the port, or with SANDBOX_ABSTRACT any such socket, can be used as far as it is the sandbox's to say. */
bool sandbox_admits(const struct sandbox *sandbox, unsigned access, uint16_t port);
