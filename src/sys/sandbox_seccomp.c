/* sandbox_seccomp.c owns how the filter of system calls comes into force: in all threads, and for no other architecture.
 * It must never leave a filter half made. */
#include "sys/sandbox_seccomp.h"

#include <stdio.h>

#ifdef HAVE_LIBSECCOMP
#include "sys/sandbox_calls.h"
#include "sys/sandbox_refused.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

static int set_attributes(scmp_filter_ctx filter)
{
	int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads there are */

	/* Older kernels make a filtered process slow, as if it ran code of strangers. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	return error != 0 ? error : seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
}

int sandbox_restrict_calls(enum sandbox_role role, int write_flags, const struct open_how *how, size_t hows, struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(sandbox_can_catch_refused() ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(EPERM));

	if (filter == NULL || set_attributes(filter) != 0) {
		seccomp_release(filter);
		return err_add(err, "sandbox: cannot create the filter of system calls");
	}
	int allowed = sandbox_list_calls(filter, seccomp_arch_native(), role, write_flags, how, hows);
	int error = allowed < 0 ? allowed : seccomp_load(filter);
	seccomp_release(filter);
	if (error != 0)
		return err_add(err, "sandbox: cannot load the filter of system calls: %s", strerror(-error));
	return allowed;
}

void sandbox_name_call(int number, char name[static SANDBOX_CALL_MAX])
{
	char *found = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

	snprintf(name, SANDBOX_CALL_MAX, "%s (%d)", found != NULL ? found : "unknown", number);
	free(found);
}

#else

void sandbox_name_call(int number, char name[static SANDBOX_CALL_MAX])
{
	snprintf(name, SANDBOX_CALL_MAX, "%d", number);
}

int sandbox_restrict_calls(enum sandbox_role role, int write_flags, const struct open_how *how, size_t hows, struct err *err)
{
	return 0;
}

#endif
