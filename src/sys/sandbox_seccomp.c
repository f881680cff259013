/* sandbox_seccomp.c owns how the filter of system calls comes into force: in all threads, and for no other architecture.
 * It must never leave a filter half made. */
#include "sys/sandbox_seccomp.h"

#ifdef HAVE_LIBSECCOMP
#include "sys/sandbox_calls.h"

#include <seccomp.h>
#include <string.h>

static int set_attributes(scmp_filter_ctx filter)
{
	int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads there are */

	/* Older kernels make a filtered process slow, as if it ran code of strangers. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	return error != 0 ? error : seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
}

int sandbox_restrict_calls(int write_flags, const struct open_how *how, size_t hows, struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (filter == NULL || set_attributes(filter) != 0) {
		seccomp_release(filter);
		return err_add(err, "sandbox: the filter of system calls can't be made");
	}
	int allowed = sandbox_list_calls(filter, seccomp_arch_native(), write_flags, how, hows);
	int error = allowed < 0 ? allowed : seccomp_load(filter);
	seccomp_release(filter);
	if (error != 0)
		return err_add(err, "sandbox: the filter of system calls is not taken: %s", strerror(-error));
	return allowed;
}

#else

int sandbox_restrict_calls(int write_flags, const struct open_how *how, size_t hows, struct err *err)
{
	(void)write_flags;
	(void)how;
	(void)hows;
	(void)err;
	return 0;
}

#endif
