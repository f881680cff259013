/* sandbox_seccomp.c owns how the filter of system calls comes into force, in all threads and for no other architecture, and
 * SIGSYS, by which it tells a thread that its call was refused. It must never leave a filter half made, do more in the handler
 * than a handler may, nor let the call return anything but EPERM. */
#include "sys/sandbox.h"

#ifdef HAVE_LIBSECCOMP
#include "sys/sandbox_calls.h"

#include <seccomp.h>
#include <stdlib.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

/* Where a system call returns its negative errno. Other architectures return an error in two places: there the filter itself has
 * to answer EPERM, and nobody learns which call it was. */
#if defined(__x86_64__) && defined(__LP64__)
#define RESULT(context) (context)->uc_mcontext.gregs[REG_RAX]
#elif defined(__i386__)
#define RESULT(context) (context)->uc_mcontext.gregs[REG_EAX]
#elif defined(__aarch64__)
#define RESULT(context) (context)->uc_mcontext.regs[0]
#elif defined(__arm__)
#define RESULT(context) (context)->uc_mcontext.arm_r0
#elif defined(__riscv)
#define RESULT(context) (context)->uc_mcontext.__gregs[REG_A0]
#elif defined(__s390x__)
#define RESULT(context) (context)->uc_mcontext.gregs[2]
#endif

static int news[2] = { -1, -1 }; /* a pipe: the numbers of refused calls */

#ifdef RESULT
#define REFUSAL      SCMP_ACT_TRAP
#define SECCOMP_SAYS 1    /* SYS_SECCOMP, which not every libc has */
#define CALLS_MAX    1024 /* above all numbers of these architectures; so many fit in the pipe */

static void on_refused(int signal, siginfo_t *info, void *context)
{
	int before = errno;

	if (info->si_code != SECCOMP_SAYS)
		return; /* somebody sent it: there is no call to answer */
	ucontext_t *thread = context;
	RESULT(thread) = (__typeof__(RESULT(thread)))-EPERM;
	static atomic_bool refused[CALLS_MAX];
	if (info->si_syscall >= 0 && info->si_syscall < CALLS_MAX && !atomic_exchange(&refused[info->si_syscall], true))
		(void)!write(news[1], &info->si_syscall, sizeof(info->si_syscall));
	errno = before;
}

/* For all threads that do not block it. */
static int catch_refused(void)
{
	struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t set;

	sigfillset(&action.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	return sigaction(SIGSYS, &action, NULL) != 0 ? -1 : pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
#else
#define REFUSAL SCMP_ACT_ERRNO(EPERM)

static int catch_refused(void)
{
	return 0;
}
#endif

bool sandbox_refused(const struct sandbox *sandbox, char name[static SANDBOX_CALL_MAX])
{
	int number;

	if (read(sandbox->refused, &number, sizeof(number)) != (ssize_t)sizeof(number))
		return false;
#ifdef HAVE_LIBSECCOMP
	char *found = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
	snprintf(name, SANDBOX_CALL_MAX, "%s (%d)", found != NULL ? found : "unknown", number);
	free(found);
#else
	snprintf(name, SANDBOX_CALL_MAX, "%d", number);
#endif
	return true;
}

static int restrict_calls(struct sandbox *sandbox, struct err *err)
{
#ifdef HAVE_LIBSECCOMP
	scmp_filter_ctx filter = seccomp_init(REFUSAL);

	if (filter == NULL || seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) != 0 || /* all threads there are */
	    seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0) {
		seccomp_release(filter);
		return err_add(err, "sandbox: cannot create the filter of system calls");
	}
	/* Older kernels make a filtered process slow, as if it ran code of strangers. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	int allowed = sandbox_list_calls(filter, seccomp_arch_native(), sandbox);
	int error = allowed < 0 ? allowed : seccomp_load(filter);
	seccomp_release(filter);
	if (error != 0)
		return err_add(err, "sandbox: cannot load the filter of system calls: %s", strerror(-error));
	sandbox->calls = (unsigned)allowed;
#endif
	return 0;
}

int sandbox_seal(struct sandbox *sandbox, struct err *err)
{
	if (pipe2(news, O_NONBLOCK | O_CLOEXEC) != 0 || catch_refused() != 0) /* before the filter is there */
		return err_add(err, "sandbox: SIGSYS cannot be caught: %s", strerror(errno));
	sandbox->refused = news[0];
	return restrict_calls(sandbox, err);
}
