/* sandbox_calls.c owns the list of system calls that are left to the process, what their arguments may be, and which calls
 * end it. It must never allow what could start a program, a thread or a process, write a file or map code. */
#include "sys/sandbox_calls.h"

#ifdef HAVE_LIBSECCOMP
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* An architecture that lacks a call has the one beside it; a row of neither is none. */
struct call {
	const char *name, *instead;
};

/* clang-format off */
/* Whatever the arguments. The most frequent first, as kernels before 5.11 search the list each time. */
static const struct call plain_calls[] = {
	/* the way of a byte */
	{ "epoll_wait", "epoll_pwait" }, { "recvfrom", NULL }, { "read", NULL }, { "write", NULL },
	{ "epoll_ctl", NULL }, { "writev", NULL }, { "futex", NULL }, { "clock_gettime", NULL },
	{ "recv", NULL }, { "send", NULL }, { "futex_time64", NULL }, { "clock_gettime64", NULL },
	/* a session */
	{ "accept4", NULL }, { "connect", NULL }, { "close", NULL }, { "shutdown", NULL }, { "getsockopt", NULL },
	{ "getsockname", NULL },
	/* files */
	{ "sendfile", NULL }, { "newfstatat", "fstatat64" }, { "fstat", NULL }, { "lseek", NULL }, { "getdents64", NULL },
	{ "sendfile64", NULL }, { "fstat64", NULL }, { "_llseek", NULL },
	/* memory */
	{ "madvise", NULL }, { "munmap", NULL }, { "brk", NULL },
	/* looking names up, random numbers */
	{ "poll", "ppoll" }, { "uname", NULL }, { "getrandom", NULL }, { "getpid", NULL },
	{ "dup3", NULL }, /* opening the log anew */
	/* signals, and the end */
	{ "rt_sigprocmask", NULL }, { "rt_sigreturn", NULL }, { "sigreturn", NULL }, { "exit", NULL }, { "exit_group", NULL },
	{ "gettid", NULL }, /* for abort() */
};

/* As long as these bits of that argument have this value. Rows of one call stand together. */
struct rule {
	struct call call;
	struct scmp_arg_cmp arg[3];
	unsigned args;
};

#define ONE(which, bits, value) { { which, SCMP_CMP_MASKED_EQ, bits, value } }, 1
#define INT(which, value)       { which, SCMP_CMP_MASKED_EQ, ALL_BITS, value }
#define ALL_BITS    UINT32_MAX /* what the kernel looks at: an int */
#define SOCKET_TYPE 0xf        /* without SOCK_NONBLOCK and SOCK_CLOEXEC */

/* A byte's way, too. With MSG_FASTOPEN they connect, and Landlock does not see it. */
static const struct rule sending_calls[] = {
	{ { "sendto", NULL }, ONE(3, MSG_FASTOPEN, 0) },
};

static const struct rule ruled_calls[] = {
	{ { "mmap2", "mmap" }, ONE(2, PROT_EXEC, 0) }, /* where both are, the latter may take a pointer */
	{ { "mprotect", NULL }, ONE(2, PROT_EXEC, 0) },
#define SOCKET(family, type, protocol) \
	{ { "socket", NULL }, { INT(0, family), { 1, SCMP_CMP_MASKED_EQ, SOCKET_TYPE, type }, INT(2, protocol) }, 3 }
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_UNIX, SOCK_STREAM, 0),
	SOCKET(AF_UNIX, SOCK_DGRAM, 0),
#define OPTION(level, option) { { "setsockopt", NULL }, { INT(1, level), INT(2, option) }, 2 }
	OPTION(IPPROTO_TCP, TCP_NODELAY),
	OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
	OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
	OPTION(IPPROTO_TCP, TCP_KEEPCNT),
	OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
	OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT),
	OPTION(SOL_SOCKET, SO_REUSEPORT),
	OPTION(SOL_SOCKET, SO_KEEPALIVE),
	OPTION(SOL_SOCKET, SO_OOBINLINE),
	OPTION(SOL_SOCKET, SO_LINGER),
	OPTION(SOL_SOCKET, SO_RCVBUF),
	{ { "ioctl", NULL }, ONE(1, ALL_BITS, SIOCOUTQ) },
	{ { "ioctl", NULL }, ONE(1, ALL_BITS, SIOCOUTQNSD) },
	{ { "ioctl", NULL }, ONE(1, ALL_BITS, FIONREAD) },
	{ { "ioctl", NULL }, ONE(1, ALL_BITS, SIOCGIFINDEX) },
	{ { "ioctl", NULL }, ONE(1, ALL_BITS, TCGETS) },
	{ { "fcntl64", "fcntl" }, ONE(1, ALL_BITS, F_DUPFD_CLOEXEC) },
	{ { "fcntl64", "fcntl" }, ONE(1, ALL_BITS, F_GETFL) },
	{ { "fcntl64", "fcntl" }, ONE(1, ALL_BITS, F_SETFL) },
	{ { "fcntl64", "fcntl" }, ONE(1, ALL_BITS, F_GETFD) },
	{ { "fcntl64", "fcntl" }, ONE(1, ALL_BITS, F_SETFD) },
};

/* One of the two processes takes descriptors, and the other opens files and passes them, binds, and asks name servers. */
static const struct rule gateway_calls[] = {
	{ { "recvmsg", NULL }, .args = 0 },
};

#define ANY_ARGUMENTS .args = 0
#define OPEN_TO_READ  ONE(2, O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), O_RDONLY)
static const struct rule steward_calls[] = {
	{ { "openat", NULL }, OPEN_TO_READ },
	{ { "readlinkat", NULL }, ANY_ARGUMENTS },
	{ { "bind", NULL }, ANY_ARGUMENTS },
	{ { "listen", NULL }, ANY_ARGUMENTS },
	{ { "umask", NULL }, ANY_ARGUMENTS },
	{ { "unlink", "unlinkat" }, ANY_ARGUMENTS },
	{ { "fchownat", NULL }, ANY_ARGUMENTS },
	{ { "capget", NULL }, ANY_ARGUMENTS },
	{ { "capset", NULL }, ANY_ARGUMENTS },
	{ { "sendmsg", NULL }, ONE(2, MSG_FASTOPEN, 0) },
	{ { "sendmmsg", NULL }, ONE(3, MSG_FASTOPEN, 0) },
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	OPTION(SOL_SOCKET, SO_REUSEADDR),
	OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
	OPTION(IPPROTO_IP, IP_RECVERR), /* glibc's questions to name servers */
	OPTION(IPPROTO_IPV6, IPV6_RECVERR),
	OPTION(SOL_SOCKET, SO_SNDBUF), /* from here on: what modules of the name service may set before they ask their daemon */
	OPTION(SOL_SOCKET, SO_RCVBUFFORCE),
	OPTION(SOL_SOCKET, SO_SNDBUFFORCE),
	OPTION(SOL_SOCKET, SO_RCVTIMEO),
	OPTION(SOL_SOCKET, SO_SNDTIMEO),
	OPTION(SOL_SOCKET, SO_PASSCRED),
	OPTION(SOL_SOCKET, SO_BROADCAST),
};

static const struct {
	const struct rule *rule;
	size_t count;
} role_calls[] = {
	[SANDBOX_GATEWAY] = { gateway_calls, ARRAY_LEN(gateway_calls) },
	[SANDBOX_STEWARD] = { steward_calls, ARRAY_LEN(steward_calls) },
};

/* Answered with an error of their own (0: as if done), and nobody is told: libraries make these calls, and can do without. */
static const struct {
	const char *name;
	int error;
} refused_calls[] = {
	{ "restart_syscall", EINTR }, /* a call that a stop has interrupted: its caller will begin again */
	{ "rt_sigaction", 0 },        /* libevent puts handlers back in the end, when signals are blocked */
	{ "rseq", 0 },                /* threads that have just begun; the error would be fatal to glibc */
	{ "set_robust_list", ENOSYS },
	{ "sched_getaffinity", EINVAL }, /* malloc asks how many heaps are worth while, and takes this for many */
	{ "mremap", ENOSYS },            /* realloc copies then */
	{ "sysinfo", ENOSYS },           /* qsort asks how much memory there is */
	{ "gettimeofday", ENOSYS },      /* libevent, where the clock can't be read without a call; it needs it for nothing */
	{ "recvmsg", ENOSYS },           /* from here on: what modules of the name service may try */
	{ "sendmsg", ENOSYS },
	{ "ppoll", ENOSYS },
	{ "ppoll_time64", ENOSYS },
	{ "access", EACCES },
	{ "faccessat", EACCES },
	{ "faccessat2", ENOSYS },
	{ "readlink", EACCES },
	{ "statx", ENOSYS },
	{ "getpeername", ENOSYS },
	{ "geteuid", ENOSYS },
	{ "geteuid32", ENOSYS },
	{ "getuid", ENOSYS },
	{ "getuid32", ENOSYS },
	{ "clock_nanosleep", ENOSYS },
	{ "clock_nanosleep_time64", ENOSYS },
	{ "clone3", ENOSYS }, /* its flags are behind a pointer; the caller will try clone */
};

/* No library has a use for these in a gateway, and who has taken it over has one: they end the process. */
static const char *const deadly_calls[] = {
	/* programs, processes, namespaces */
	"execve", "execveat", "fork", "vfork", "unshare", "setns", "chroot", "pivot_root", "personality",
	/* other processes */
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "pidfd_open",
	"pidfd_getfd", "pidfd_send_signal", "kill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
	/* what holes in kernels are made of */
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key",
	"request_key", "keyctl", "modify_ldt", "vm86", "vm86old", "lookup_dcookie",
	/* the kernel itself */
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "reboot", "iopl",
	"ioperm", "syslog", "acct", "swapon", "swapoff",
	/* file systems, and files by other means than their names */
	"mount", "umount", "umount2", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "mount_setattr",
	"open_by_handle_at", "name_to_handle_at",
};

static const struct rule deadly_arguments[] = {
	{ { "mmap2", "mmap" }, ONE(2, PROT_EXEC, PROT_EXEC) },
	{ { "mprotect", NULL }, ONE(2, PROT_EXEC, PROT_EXEC) },
	{ { "pkey_mprotect", NULL }, ONE(2, PROT_EXEC, PROT_EXEC) },
};
/* clang-format on */

struct filter {
	scmp_filter_ctx ctx;
	enum sandbox_role role;
	uint32_t architecture;
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

/* libseccomp has numbers below zero both for calls that other architectures have and for those that socketcall(2) carries,
 * and these are there: libseccomp makes rules for that and for a call of their own. Where there is no such call the answer
 * is __NR_SCMP_ERROR, as a rule for it would be one more to look at and count. */
static int number_of(const struct filter *f, const char *name)
{
	int number = seccomp_syscall_resolve_name_arch(f->architecture, name);
	bool carried = number <= __PNR_socket && number >= __PNR_sendmmsg &&
	               seccomp_syscall_resolve_name_arch(f->architecture, "socketcall") >= 0;

	return number >= 0 || carried ? number : __NR_SCMP_ERROR;
}

static bool is_here(const struct filter *f, const char *name)
{
	return name != NULL && number_of(f, name) != __NR_SCMP_ERROR;
}

/* NULL: neither is here. */
static const char *name_of(const struct filter *f, const struct call *call)
{
	if (is_here(f, call->name))
		return call->name;
	return is_here(f, call->instead) ? call->instead : NULL;
}

/* Whether what it is given is behind a pointer. */
static bool is_hidden(const struct filter *f, const char *name)
{
	return number_of(f, name) < 0 || (f->architecture == SCMP_ARCH_S390X && strcmp(name, "mmap") == 0);
}

/* Rules are made with the numbers of this process, and libseccomp translates them. */
static void allow(struct filter *f, const struct call *call, const struct scmp_arg_cmp *arg, unsigned args)
{
	const char *name = name_of(f, call);

	if (name == NULL)
		return;
	int number = seccomp_syscall_resolve_name(name);
	note(f, seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, number, is_hidden(f, name) ? 0 : args, arg));
	if (number == f->last)
		return;
	f->allowed++;
	f->last = number;
	note(f, seccomp_syscall_priority(f->ctx, number, f->order));
	f->order = (uint8_t)(f->order - (f->order > 1));
}

static void allow_ruled(struct filter *f, const struct rule *rule, size_t count)
{
	for (size_t i = 0; i < count; i++)
		allow(f, &rule[i].call, rule[i].arg, rule[i].args);
}

static bool is_allowed(const struct filter *f, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(plain_calls); i++) {
		const char *allowed = name_of(f, &plain_calls[i]);
		if (allowed != NULL && strcmp(allowed, name) == 0)
			return true;
	}
	for (size_t i = 0; i < role_calls[f->role].count; i++)
		if (strcmp(role_calls[f->role].rule[i].call.name, name) == 0)
			return true;
	return false;
}

static void answer(struct filter *f, const char *name, uint32_t action, const struct scmp_arg_cmp *arg, unsigned args)
{
	if (is_here(f, name) && !is_allowed(f, name))
		note(f, seccomp_rule_add_array(f->ctx, action, seccomp_syscall_resolve_name(name), args, arg));
}

static void refuse_listed(struct filter *f)
{
	/* What getaddrinfo would like to know of the network it can guess. */
	const struct scmp_arg_cmp netlink = { 0, SCMP_CMP_EQ, AF_NETLINK, 0 };

	/* What malloc and getaddrinfo would read they can do without; to write is another matter. */
	static const struct rule reading = { { "openat", NULL }, OPEN_TO_READ };

	answer(f, reading.call.name, SCMP_ACT_ERRNO(EACCES), reading.arg, reading.args);
	for (size_t i = 0; i < ARRAY_LEN(refused_calls); i++)
		answer(f, refused_calls[i].name, SCMP_ACT_ERRNO((uint16_t)refused_calls[i].error), NULL, 0);
	if (!is_hidden(f, "socket"))
		answer(f, "socket", SCMP_ACT_ERRNO(EAFNOSUPPORT), &netlink, 1);
}

static void kill_listed(struct filter *f)
{
	for (size_t i = 0; i < ARRAY_LEN(deadly_calls); i++)
		answer(f, deadly_calls[i], SCMP_ACT_KILL_PROCESS, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(deadly_arguments); i++) {
		const char *name = name_of(f, &deadly_arguments[i].call);
		if (name != NULL && !is_hidden(f, name))
			answer(f, name, SCMP_ACT_KILL_PROCESS, deadly_arguments[i].arg, deadly_arguments[i].args);
	}
}

int sandbox_list_calls(void *filter, uint32_t architecture, const struct sandbox *sandbox)
{
	struct filter f = {
		.ctx = filter, .role = sandbox->role, .architecture = architecture, .last = __NR_SCMP_ERROR, .order = UINT8_MAX
	};

	allow_ruled(&f, sending_calls, ARRAY_LEN(sending_calls));
	for (size_t i = 0; i < ARRAY_LEN(plain_calls); i++)
		allow(&f, &plain_calls[i], NULL, 0);
	allow_ruled(&f, ruled_calls, ARRAY_LEN(ruled_calls));
	allow_ruled(&f, role_calls[f.role].rule, role_calls[f.role].count);
	/* 32-bit programs may have O_LARGEFILE added. */
	const struct scmp_arg_cmp write = { 2, SCMP_CMP_MASKED_EQ, (uint32_t)~O_LARGEFILE,
		                            (uint32_t)(sandbox->write_flags & ~O_LARGEFILE) };
	if (sandbox->write_flags != 0)
		note(&f, seccomp_rule_add_array(f.ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, &write));
	const struct scmp_arg_cmp how = { 2, SCMP_CMP_EQ, (uintptr_t)sandbox->how, 0 };
	if (sandbox->how != NULL)
		allow(&f, &(struct call){ "openat2", NULL }, &how, 1);
	/* The one signal that the process may send, and only to itself. */
	const struct scmp_arg_cmp arg[] = { INT(0, (uint32_t)getpid()), INT(2, SIGABRT) };
	allow(&f, &(struct call){ "tgkill", NULL }, arg, ARRAY_LEN(arg));
	refuse_listed(&f);
	kill_listed(&f);
	/* A library may start a thread, and learns that there are too many. It blocks all signals meanwhile, so that the filter
	 * itself has to answer. */
	const unsigned flags = f.architecture == SCMP_ARCH_S390X ? 1 : 0;
	const struct scmp_arg_cmp thread = { flags, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD };
	const struct scmp_arg_cmp process = { flags, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0 };
	answer(&f, "clone", SCMP_ACT_ERRNO(EAGAIN), &thread, 1);
	answer(&f, "clone", SCMP_ACT_KILL_PROCESS, &process, 1);
	return f.error != 0 ? f.error : (int)f.allowed;
}

#endif
