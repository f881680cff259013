/* sandbox.c owns what is known of the sandbox that was entered: what is in force, and what it lets through.
 * It must never say that something passes because it once did. */
#include "sys/sandbox.h"

#include "base/mem.h"
#include "sys/sandbox_landlock.h"
#include "sys/sandbox_refused.h"
#include "sys/sandbox_seccomp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sandbox {
	int abi;
	unsigned calls;
	int refused;     /* for sandbox_next_refused(); -1 before */
	unsigned bounds; /* of enum sandbox_network */
	struct sandbox_ports *port;
	size_t ports;
	enum sandbox_role role;
	int write_flags;
	const struct open_how *how;
	size_t hows;
};

struct sandbox *sandbox_new(const struct sandbox_options *options, struct err *err)
{
	struct sandbox *sandbox = mem_zalloc(sizeof(*sandbox));

	sandbox->role = options->role;
	sandbox->write_flags = options->write_flags;
	sandbox->how = options->how;
	sandbox->hows = options->hows;
	sandbox->refused = -1;
	sandbox->bounds = sandbox_network_bounds(options->unbounded);
	sandbox->ports = options->ports;
	sandbox->port = mem_resize(NULL, options->ports + 1, sizeof(*sandbox->port));
	if (options->ports > 0)
		memcpy(sandbox->port, options->port, options->ports * sizeof(*sandbox->port));
	sandbox->abi = sandbox_landlock(options, err);
	if (sandbox->abi >= 0)
		return sandbox;
	sandbox_free(sandbox);
	return NULL;
}

int sandbox_seal(struct sandbox *sandbox, struct err *err)
{
	sandbox->refused = sandbox_catch_refused();
	if (sandbox->refused < 0)
		return err_add(err, "sandbox: SIGSYS cannot be caught: %s", strerror(errno));
	int calls = sandbox_restrict_calls(sandbox->role, sandbox->write_flags, sandbox->how, sandbox->hows, err);

	if (calls < 0)
		return -1;
	sandbox->calls = (unsigned)calls;
	return 0;
}

int sandbox_landlock_abi(const struct sandbox *sandbox)
{
	return sandbox->abi;
}

unsigned sandbox_calls(const struct sandbox *sandbox)
{
	return sandbox->calls;
}

int sandbox_refused_fd(const struct sandbox *sandbox)
{
	return sandbox->refused;
}

bool sandbox_refused(const struct sandbox *sandbox, char name[static SANDBOX_CALL_MAX])
{
	int number = sandbox_next_refused(sandbox->refused);

	if (number >= 0)
		sandbox_name_call(number, name);
	return number >= 0;
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

unsigned sandbox_bounds(const struct sandbox *sandbox)
{
	return sandbox->bounds;
}

void sandbox_free(struct sandbox *sandbox)
{
	if (sandbox == NULL)
		return;
	free(sandbox->port);
	free(sandbox);
}
