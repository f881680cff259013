/* sandbox_seccomp.c owns the list of system calls that are left to the process, and what their arguments may be.
 * It must never allow what could start a program, a thread or a process, write a file or map code. */
#include "sys/sandbox_seccomp.h"

#ifdef HAVE_LIBSECCOMP
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Whatever the arguments. The most frequent first, as kernels before 5.11 search the list each time. Architectures that
 * lack a call have the one beside it. */
static const struct {
	const char *name, *instead;
} plain_calls[] = {
	/* the way of a byte */
	{ "epoll_wait", "epoll_pwait" }, { "recvfrom", NULL }, { "sendto", NULL }, { "read", NULL }, { "write", NULL },
	{ "epoll_ctl", NULL }, { "writev", NULL }, { "futex", NULL }, { "clock_gettime", NULL },
	/* a session */
	{ "accept4", NULL }, { "connect", NULL }, { "close", NULL }, { "shutdown", NULL }, { "setsockopt", NULL },
	{ "getsockopt", NULL }, { "getsockname", NULL },
	/* files */
	{ "sendfile", NULL }, { "newfstatat", NULL }, { "fstat", NULL }, { "lseek", NULL }, { "getdents64", NULL },
	/* memory */
	{ "madvise", NULL }, { "munmap", NULL }, { "brk", NULL },
	/* looking names up, random numbers */
	{ "poll", "ppoll" }, { "sendmmsg", NULL }, { "uname", NULL }, { "getrandom", NULL }, { "getpid", NULL },
	/* reloading, and opening the log anew */
	{ "bind", NULL }, { "listen", NULL }, { "umask", NULL }, { "unlink", "unlinkat" }, { "dup3", NULL },
	/* signals, and the end */
	{ "rt_sigprocmask", NULL }, { "rt_sigreturn", NULL }, { "exit", NULL }, { "exit_group", NULL },
};

/* As long as these bits of that argument have this value. Rows of one call stand together. */
static const struct rule {
	const char *name;
	struct scmp_arg_cmp arg[2];
	unsigned args;
} ruled_calls[] = {
#define ONE(which, bits, value) { { which, SCMP_CMP_MASKED_EQ, bits, value } }, 1
#define ALL_BITS                UINT32_MAX /* what the kernel looks at: an int */
#define SOCKET_TYPE             0xf        /* without SOCK_NONBLOCK and SOCK_CLOEXEC */
	{ "mmap", ONE(2, PROT_EXEC, 0) },
	{ "mprotect", ONE(2, PROT_EXEC, 0) },
	{ "openat", ONE(2, O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), O_RDONLY) },
#define SOCKET(family, type)                                                                                           \
	{                                                                                                              \
		"socket", { { 0, SCMP_CMP_EQ, family, 0 }, { 1, SCMP_CMP_MASKED_EQ, SOCKET_TYPE, type } }, 2           \
	}
	SOCKET(AF_INET, SOCK_STREAM),
	SOCKET(AF_INET, SOCK_DGRAM),
	SOCKET(AF_INET6, SOCK_STREAM),
	SOCKET(AF_INET6, SOCK_DGRAM),
	SOCKET(AF_UNIX, SOCK_STREAM),
	SOCKET(AF_UNIX, SOCK_DGRAM),
	{ "ioctl", ONE(1, ALL_BITS, SIOCOUTQ) },
	{ "ioctl", ONE(1, ALL_BITS, SIOCOUTQNSD) },
	{ "ioctl", ONE(1, ALL_BITS, FIONREAD) },
	{ "ioctl", ONE(1, ALL_BITS, SIOCGIFINDEX) },
	{ "ioctl", ONE(1, ALL_BITS, TCGETS) },
	{ "fcntl", ONE(1, ALL_BITS, F_DUPFD_CLOEXEC) },
	{ "fcntl", ONE(1, ALL_BITS, F_GETFL) },
	{ "fcntl", ONE(1, ALL_BITS, F_SETFL) },
	{ "fcntl", ONE(1, ALL_BITS, F_GETFD) },
	{ "fcntl", ONE(1, ALL_BITS, F_SETFD) },
};

/* Answered with an error (0: as if done) instead of ending the process: libraries make these calls, and can do without. */
static const struct {
	const char *name;
	int error;
} refused_calls[] = {
	{ "restart_syscall", EINTR }, /* a call that a stop has interrupted: its caller will begin again */
	{ "rt_sigaction", 0 },        /* libevent puts handlers back in the end, when signals are blocked */
	{ "rseq", 0 },                /* threads that have just begun; the error would be fatal to glibc, */
	{ "set_robust_list", ENOSYS },
	{ "sched_getaffinity", EINVAL }, /* malloc asks how many heaps are worth while, and takes this for many */
	{ "mremap", ENOSYS },            /* realloc copies then */
	{ "sysinfo", ENOSYS },           /* qsort asks how much memory there is */
	{ "gettimeofday", ENOSYS },      /* libevent, where the clock can't be read without a call; it needs it for nothing */
	{ "recvmsg", ENOSYS },           /* from here on: what modules of the name service may try */
	{ "sendmsg", ENOSYS },
	{ "ppoll", ENOSYS },
	{ "access", EACCES },
	{ "faccessat", EACCES },
	{ "faccessat2", ENOSYS },
	{ "readlink", EACCES },
	{ "readlinkat", EACCES },
	{ "statx", ENOSYS },
	{ "getpeername", ENOSYS },
	{ "geteuid", ENOSYS },
	{ "getuid", ENOSYS },
	{ "gettid", ENOSYS },
	{ "clock_nanosleep", ENOSYS },
};

struct filter {
	scmp_filter_ctx ctx;
	unsigned allowed;
	int last;      /* the call of the last rule, so that rows of one call count once */
	int error;     /* the first one, as a negative errno */
	uint8_t order; /* falls: earlier rows are looked at first */
};

static void note(struct filter *f, int result)
{
	if (result != 0 && f->error == 0)
		f->error = result;
}

static void allow(struct filter *f, const char *name, const struct scmp_arg_cmp *arg, unsigned args)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number < 0)
		return; /* not on this architecture */
	note(f, seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, number, args, arg));
	if (number == f->last)
		return;
	f->allowed++;
	f->last = number;
	note(f, seccomp_syscall_priority(f->ctx, number, f->order));
	f->order = (uint8_t)(f->order - (f->order > 1));
}

static void allow_plain(struct filter *f)
{
	for (size_t i = 0; i < ARRAY_LEN(plain_calls); i++) {
		bool there = seccomp_syscall_resolve_name(plain_calls[i].name) >= 0;
		if (there || plain_calls[i].instead != NULL)
			allow(f, there ? plain_calls[i].name : plain_calls[i].instead, NULL, 0);
	}
}

static void allow_ruled(struct filter *f)
{
	for (size_t i = 0; i < ARRAY_LEN(ruled_calls); i++)
		allow(f, ruled_calls[i].name, ruled_calls[i].arg, ruled_calls[i].args);
}

static void allow_opening(struct filter *f, int write_flags, const struct open_how *how, size_t hows)
{
	const struct scmp_arg_cmp write = { 2, SCMP_CMP_EQ, (scmp_datum_t)write_flags, 0 };

	if (write_flags != 0)
		note(f, seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, &write));
	for (size_t i = 0; i < hows; i++) {
		const struct scmp_arg_cmp this_one = { 2, SCMP_CMP_EQ, (uintptr_t)&how[i], 0 };
		allow(f, "openat2", &this_one, 1);
	}
}

static bool is_allowed(int number)
{
	for (size_t i = 0; i < ARRAY_LEN(plain_calls); i++)
		if (plain_calls[i].instead != NULL && seccomp_syscall_resolve_name(plain_calls[i].instead) == number &&
		    seccomp_syscall_resolve_name(plain_calls[i].name) < 0)
			return true;
	return false;
}

static void refuse_rest(struct filter *f)
{
	for (size_t i = 0; i < ARRAY_LEN(refused_calls); i++) {
		int number = seccomp_syscall_resolve_name(refused_calls[i].name);
		if (number >= 0 && !is_allowed(number))
			note(f, seccomp_rule_add(f->ctx, SCMP_ACT_ERRNO((uint16_t)refused_calls[i].error), number, 0));
	}
	/* What getaddrinfo would like to know of the network it can guess. */
	const struct scmp_arg_cmp netlink = { 0, SCMP_CMP_EQ, AF_NETLINK, 0 };
	note(f, seccomp_rule_add_array(f->ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &netlink));
}

static int set_attributes(struct filter *f)
{
	note(f, seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_TSYNC, 1)); /* all threads there are */
	note(f, seccomp_attr_set(f->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
	/* Older kernels make a filtered process slow, as if it ran code of strangers. */
	(void)seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_SSB, 1);
	return f->error;
}

int sandbox_restrict_calls(int write_flags, const struct open_how *how, size_t hows, struct err *err)
{
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_KILL_PROCESS), .last = -1, .order = UINT8_MAX };

	if (f.ctx == NULL || set_attributes(&f) != 0) {
		seccomp_release(f.ctx);
		return err_add(err, "sandbox: the filter of system calls can't be made");
	}
	allow_plain(&f);
	allow_ruled(&f);
	allow_opening(&f, write_flags, how, hows);
	refuse_rest(&f);
	if (f.error == 0)
		note(&f, seccomp_load(f.ctx));
	seccomp_release(f.ctx);
	if (f.error != 0)
		return err_add(err, "sandbox: the filter of system calls is not taken: %s", strerror(-f.error));
	return (int)f.allowed;
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
