/* sandbox.c owns what Landlock is told: which files and TCP ports the process has left, and what is known of that later.
 * It must never take a kernel without Landlock for a failure, nor one with a part of it for one without, nor say that something
 * passes because it once did. */
#include "sys/sandbox.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The numbers are the same on every architecture. Libraries and headers know less of Landlock than kernels do, so this
 * file brings its own words for its interface. */
enum { CALL_CREATE_RULESET = 444, CALL_ADD_RULE = 445, CALL_RESTRICT_SELF = 446 };
#define ASK_VERSION       1u
#define RULE_PATH_BENEATH 1
#define RULE_PORT         2
#define SCOPE_ABSTRACT    (UINT64_C(1) << 0)
#define SCOPE_SIGNAL      (UINT64_C(1) << 1)
#define BIND_TCP          (UINT64_C(1) << 0)
#define CONNECT_TCP       (UINT64_C(1) << 1)

#define WRITE_FILE  (UINT64_C(1) << 1)
#define READ_FILE   (UINT64_C(1) << 2)
#define READ_DIR    (UINT64_C(1) << 3)
#define REMOVE_FILE (UINT64_C(1) << 5)
#define MAKE_REG    (UINT64_C(1) << 8)
#define MAKE_SOCK   (UINT64_C(1) << 9)

/* Each version after the first brought rights of its own; all there are get handled, so that none is left open. */
#define FIRST_RIGHTS ((UINT64_C(1) << 13) - 1)
static const struct {
	int abi;
	uint64_t right;
} later_rights[] = {
	{ 2, UINT64_C(1) << 13 }, /* to link and rename between directories */
	{ 3, UINT64_C(1) << 14 }, /* to truncate */
	{ 5, UINT64_C(1) << 15 }, /* ioctl(2) of devices */
};

#define PORTS_SINCE  4 /* the version that knows TCP ports */
#define SCOPES_SINCE 6 /* the version that knows signals and abstract UNIX sockets */

struct ruleset {
	uint64_t handled_files, handled_network, scoped;
};

struct path_rule {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

struct port_rule {
	uint64_t allowed, port;
};

static const struct {
	unsigned access;
	uint64_t file, directory;
} rights[] = {
	{ SANDBOX_READ, READ_FILE, READ_FILE | READ_DIR },
	{ SANDBOX_WRITE, WRITE_FILE, WRITE_FILE | MAKE_REG },
	{ SANDBOX_SOCKETS, 0, MAKE_SOCK | REMOVE_FILE },
};

static uint64_t rights_of_ports(unsigned access)
{
	return ((access & SANDBOX_BIND) != 0 ? BIND_TCP : 0) | ((access & SANDBOX_CONNECT) != 0 ? CONNECT_TCP : 0);
}

/* Returns 0, also when the path is not there, or has no place in a file system (EBADFD: a pipe or a socket that was handed to
 * us, as /dev/stdin may be), or -1 and errno. */
static int add_path(int ruleset, const struct sandbox_path *at)
{
	struct path_rule rule = { .parent = open(at->path, O_PATH | O_CLOEXEC) };
	struct stat st;

	if (rule.parent < 0)
		return 0;
	int result = fstat(rule.parent, &st);
	for (size_t i = 0; result == 0 && i < ARRAY_LEN(rights); i++)
		if ((at->access & rights[i].access) != 0)
			rule.allowed |= S_ISDIR(st.st_mode) ? rights[i].directory : rights[i].file;
	if (rule.allowed != 0)
		result = (int)syscall(CALL_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0);
	int error = errno;
	close(rule.parent);
	errno = error;
	return error == EBADFD ? 0 : result;
}

static int add_rules(int ruleset, const struct sandbox_options *options, unsigned bounds, struct err *err)
{
	for (size_t i = 0; i < options->paths; i++)
		if (add_path(ruleset, &options->path[i]) != 0)
			return err_add(err, "sandbox: Landlock: %s: %s", options->path[i].path, strerror(errno));
	for (size_t i = 0; i < options->ports; i++) {
		const struct sandbox_ports *ports = &options->port[i];
		struct port_rule rule = { .allowed = rights_of_ports(ports->access & bounds), .port = ports->first };
		for (; rule.allowed != 0 && rule.port <= ports->last; rule.port++)
			if (syscall(CALL_ADD_RULE, ruleset, RULE_PORT, &rule, 0) != 0)
				return err_add(err, "sandbox: Landlock: port %u: %s", ports->first, strerror(errno));
	}
	return 0;
}

/* The kernel has this version of Landlock's interface, and bounds what of the network it can. */
static int enter(const struct sandbox_options *options, int abi, unsigned bounds, struct err *err)
{
	struct ruleset set = { .handled_files = FIRST_RIGHTS, .handled_network = rights_of_ports(bounds) };

	if (abi >= SCOPES_SINCE)
		set.scoped = SCOPE_SIGNAL | ((bounds & SANDBOX_ABSTRACT) != 0 ? SCOPE_ABSTRACT : 0);
	for (size_t i = 0; i < ARRAY_LEN(later_rights); i++)
		if (abi >= later_rights[i].abi)
			set.handled_files |= later_rights[i].right;
	int ruleset = (int)syscall(CALL_CREATE_RULESET, &set, sizeof(set), 0);
	if (ruleset < 0)
		return err_add(err, "sandbox: Landlock: %s", strerror(errno));
	int result = add_rules(ruleset, options, bounds, err);
	if (result == 0 && syscall(CALL_RESTRICT_SELF, ruleset, 0) != 0)
		result = err_add(err, "sandbox: Landlock: %s", strerror(errno));
	close(ruleset);
	return result;
}

struct sandbox *sandbox_new(const struct sandbox_options *options, struct err *err)
{
	struct sandbox *sandbox = mem_zalloc(sizeof(*sandbox) + options->ports * sizeof(sandbox->port[0]));
	int abi = (int)syscall(CALL_CREATE_RULESET, NULL, 0, ASK_VERSION);

	sandbox->abi = abi > 0 ? abi : 0;
	sandbox->refused = -1;
	sandbox->role = options->role;
	sandbox->write_flags = options->write_flags;
	sandbox->how = options->how;
	sandbox->ports = options->ports;
	if (options->ports > 0)
		memcpy(sandbox->port, options->port, options->ports * sizeof(sandbox->port[0]));
	if (abi >= PORTS_SINCE)
		sandbox->bounds |= SANDBOX_BIND | SANDBOX_CONNECT;
	if (abi >= SCOPES_SINCE)
		sandbox->bounds |= SANDBOX_ABSTRACT;
	sandbox->bounds &= ~options->unbounded;
	if (abi <= 0 || enter(options, abi, sandbox->bounds, err) == 0)
		return sandbox;
	free(sandbox);
	return NULL;
}

bool sandbox_admits(const struct sandbox *sandbox, unsigned access, uint16_t port)
{
	if ((sandbox->bounds & access) == 0)
		return true;
	for (size_t i = 0; i < sandbox->ports; i++)
		if ((sandbox->port[i].access & access) != 0 && port >= sandbox->port[i].first && port <= sandbox->port[i].last)
			return true;
	return false;
}
