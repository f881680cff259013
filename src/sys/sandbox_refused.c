/* sandbox_refused.c owns SIGSYS, by which the filter tells a thread that its system call was refused.
 * It must never do more in the handler than a handler may, nor let the call return anything but EPERM. */
#include "sys/sandbox_refused.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <ucontext.h>
#include <unistd.h>

/* Where a system call returns its negative errno. Other architectures return an error in two places. */
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

bool sandbox_can_catch_refused(void)
{
#ifdef RESULT
	return true;
#else
	return false;
#endif
}

static int news[2] = { -1, -1 }; /* a pipe: the numbers of refused calls */

#ifdef RESULT
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

static int catch_it(void)
{
	struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t set;

	sigfillset(&action.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	return sigaction(SIGSYS, &action, NULL) != 0 ? -1 : pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
#else
static int catch_it(void)
{
	return 0;
}
#endif

int sandbox_catch_refused(void)
{
	if (pipe2(news, O_NONBLOCK | O_CLOEXEC) != 0 || catch_it() != 0)
		return -1;
	return news[0];
}

int sandbox_next_refused(int fd)
{
	int number;

	return read(fd, &number, sizeof(number)) == (ssize_t)sizeof(number) ? number : -1;
}
