/* test_sandbox_calls.c runs the filter of each architecture by itself: what a libc makes there has to pass, what nobody here
 * makes has to be refused, and what only an attacker makes has to die. It must never load a filter: it would be this test that dies. */
#include "sys/sandbox_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define CALLS_MAX  44
#define WRITE_ONLY (O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC)
#define POINTER    UINT64_C(0xfffff7d4) /* has a bit of everything */

static const struct open_how how = { .flags = O_RDONLY };

/* --- architectures -------------------------------------------------------------------------------------------------- */

enum traits { BITS_32 = 1, BIG_ENDIAN_ORDER = 2, SOCKETCALL = 4, SHORT_NAMES = 8, NEW_NAMES = 16, MMAP_POINTER = 32 };

static const struct architecture {
	const char *name;
	uint32_t token;
	unsigned traits;
} architectures[] = {
	{ "amd64", SCMP_ARCH_X86_64, 0 },
	{ "arm64", SCMP_ARCH_AARCH64, NEW_NAMES },
	{ "armel, armhf", SCMP_ARCH_ARM, BITS_32 | SHORT_NAMES },
	{ "i386", SCMP_ARCH_X86, BITS_32 | SOCKETCALL | SHORT_NAMES },
	{ "mips64el", SCMP_ARCH_MIPSEL64, 0 },
	{ "ppc64el", SCMP_ARCH_PPC64LE, SOCKETCALL | SHORT_NAMES },
	{ "riscv64", SCMP_ARCH_RISCV64, NEW_NAMES },
	{ "s390x", SCMP_ARCH_S390X, BIG_ENDIAN_ORDER | SOCKETCALL | SHORT_NAMES | MMAP_POINTER },
};

struct program {
	const struct architecture *of;
	struct sock_filter code[4096];
	size_t length;
	int allowed;
};

static void order(struct program *p)
{
	for (size_t i = 0; i < p->length; i++) {
		p->code[i].code = __builtin_bswap16(p->code[i].code);
		p->code[i].k = __builtin_bswap32(p->code[i].k);
	}
}

static void build_for(struct program *p, const struct architecture *of, enum sandbox_role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int file = memfd_create("filter", MFD_CLOEXEC);

	assert_true(filter != NULL && file >= 0);
	assert_int_equal(seccomp_arch_remove(filter, SCMP_ARCH_NATIVE), 0);
	assert_int_equal(seccomp_arch_add(filter, of->token), 0);
	p->of = of;
	bool opens = role == SANDBOX_STEWARD;
	const struct sandbox sandbox = { .role = role, .write_flags = opens ? WRITE_ONLY : 0, .how = opens ? &how : NULL };
	p->allowed = sandbox_list_calls(filter, of->token, &sandbox);
	assert_true(p->allowed > 0);
	assert_int_equal(seccomp_export_bpf(filter, file), 0);
	ssize_t size = pread(file, p->code, sizeof(p->code), 0);
	assert_true(size > 0 && (size_t)size < sizeof(p->code));
	p->length = (size_t)size / sizeof(p->code[0]);
	if ((of->traits & BIG_ENDIAN_ORDER) != 0)
		order(p);
	close(file);
	seccomp_release(filter);
}

static void build(struct program *p, const struct architecture *of)
{
	build_for(p, of, SANDBOX_GATEWAY);
}

/* --- running -------------------------------------------------------------------------------------------------------- */

/* The words of struct seccomp_data: number, architecture, the place (two), and six arguments. */
static uint32_t word_at(const struct program *p, int number, const uint64_t arg[6], uint32_t offset)
{
	assert_true(offset < sizeof(struct seccomp_data) && offset % 4 == 0);
	if (offset < 8)
		return offset == 0 ? (uint32_t)number : p->of->token;
	if (offset < 16)
		return 0;
	bool second = offset % 8 != 0, high = second != ((p->of->traits & BIG_ENDIAN_ORDER) != 0);
	return (uint32_t)(arg[offset / 8 - 2] >> (high ? 32 : 0));
}

static uint32_t run(const struct program *p, int number, const uint64_t arg[6])
{
	uint32_t a = 0;

	for (size_t at = 0; at < p->length; at++) {
		const struct sock_filter *i = &p->code[at];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS: a = word_at(p, number, arg, i->k); break;
		case BPF_ALU | BPF_AND | BPF_K: a &= i->k; break;
		case BPF_JMP | BPF_JA: at += i->k; break;
		case BPF_JMP | BPF_JEQ | BPF_K: at += a == i->k ? i->jt : i->jf; break;
		case BPF_JMP | BPF_JGT | BPF_K: at += a > i->k ? i->jt : i->jf; break;
		case BPF_JMP | BPF_JGE | BPF_K: at += a >= i->k ? i->jt : i->jf; break;
		case BPF_RET | BPF_K: return i->k;
		default: fail_msg("%s: instruction %zu is %x", p->of->name, at, i->code);
		}
	}
	fail_msg("%s: no end", p->of->name);
	return 0;
}

/* By socketcall(2) where that carries it: its number is 102, and the arguments are somewhere in memory. */
static uint32_t answer_to(const struct program *p, const char *name, uint64_t first, uint64_t second, uint64_t third)
{
	int number = seccomp_syscall_resolve_name_arch(p->of->token, name);

	if (number < 0 && number > -200 && (p->of->traits & SOCKETCALL) != 0)
		return run(p, 102, (const uint64_t[6]){ (uint64_t)(-number - 100), POINTER, POINTER, POINTER });
	if (number < 0)
		fail_msg("%s has no %s", p->of->name, name);
	return run(p, number, (const uint64_t[6]){ first, second, third });
}

static void expect(const struct program *p, const char *name, uint64_t first, uint64_t second, uint64_t third, uint32_t answer)
{
	uint32_t said = answer_to(p, name, first, second, third);

	if (said != answer)
		fail_msg("%s: %s(%#lx, %#lx, %#lx): %#x", p->of->name, name, (long)first, (long)second, (long)third, said);
}

#define passes(p, name, ...) expect(p, name, __VA_ARGS__, SECCOMP_RET_ALLOW)
#define fails(p, name, ...)  expect(p, name, __VA_ARGS__, SECCOMP_RET_TRAP)
#define dies(p, name, ...)   expect(p, name, __VA_ARGS__, SECCOMP_RET_KILL_PROCESS)

static void all_pass(const struct program *p, const char *const *names)
{
	for (; *names != NULL; names++)
		passes(p, *names, POINTER, POINTER, POINTER);
}

static void on_each_of(enum sandbox_role role, void (*check)(const struct program *p))
{
	static struct program program;

	for (size_t i = 0; i < ARRAY_LEN(architectures); i++) {
		build_for(&program, &architectures[i], role);
		check(&program);
	}
}

static void on_each(void (*check)(const struct program *p))
{
	on_each_of(SANDBOX_GATEWAY, check);
}

/* --- what is checked ------------------------------------------------------------------------------------------------ */

static void check_plain(const struct program *p)
{
	static const char *const everywhere[] = { "accept4", "brk", "clock_gettime", "close", "connect", "dup3",
		"epoll_ctl", "exit", "exit_group", "fstat", "futex", "getdents64", "getpid", "getrandom", "getsockname",
		"getsockopt", "gettid", "lseek", "madvise", "munmap", "read", "recvfrom", "rt_sigprocmask", "rt_sigreturn",
		"sendfile", "shutdown", "uname", "write", "writev", NULL };
	static const char *const on_32_bits[] = { "_llseek", "clock_gettime64", "fstat64", "fstatat64", "futex_time64",
		"sendfile64", "sigreturn", NULL };
	static const char *const on_64_bits[] = { "newfstatat", NULL };
	static const char *const short_names[] = { "recv", "send", "sigreturn", NULL };
	static const char *const old_names[] = { "epoll_wait", "poll", NULL };
	static const char *const new_names[] = { "epoll_pwait", "ppoll", NULL };

	all_pass(p, everywhere);
	all_pass(p, (p->of->traits & BITS_32) != 0 ? on_32_bits : on_64_bits);
	all_pass(p, (p->of->traits & NEW_NAMES) != 0 ? new_names : old_names);
	if ((p->of->traits & SHORT_NAMES) != 0)
		all_pass(p, short_names);
}

static void what_a_libc_makes_passes(void **state)
{
	(void)state;
	on_each(check_plain);
}

static void check_memory(const struct program *p)
{
	bool pointer = (p->of->traits & MMAP_POINTER) != 0;
	const char *map = (p->of->traits & BITS_32) != 0 ? "mmap2" : "mmap";

	passes(p, map, 0, 4096, PROT_READ | PROT_WRITE);
	passes(p, "mprotect", 0, 4096, PROT_READ | PROT_WRITE);
	dies(p, "mprotect", 0, 4096, PROT_READ | PROT_EXEC);
	dies(p, "pkey_mprotect", 0, 4096, PROT_EXEC);
	fails(p, "pkey_mprotect", 0, 4096, PROT_READ);
	expect(p, map, 0, 4096, PROT_READ | PROT_EXEC, pointer ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
	if (p->of->token == SCMP_ARCH_X86)
		fails(p, "mmap", POINTER, 0, 0);
}

static void no_memory_becomes_code(void **state)
{
	(void)state;
	on_each(check_memory);
}

static void check_no_files(const struct program *p)
{
	const char *control = (p->of->traits & BITS_32) != 0 ? "fcntl64" : "fcntl";

	expect(p, "openat", 0, POINTER, O_RDONLY | O_NONBLOCK | O_CLOEXEC, SECCOMP_RET_ERRNO | EACCES);
	fails(p, "openat", 0, POINTER, WRITE_ONLY);
	fails(p, "openat", 0, POINTER, O_RDWR);
	fails(p, "openat2", 0, POINTER, POINTER);
	fails(p, "readlinkat", 0, POINTER, POINTER);
	passes(p, control, 3, F_GETFL, 0);
	fails(p, control, 3, F_SETOWN, 0);
}

static void check_files(const struct program *p)
{
	passes(p, "openat", 0, POINTER, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	passes(p, "openat", 0, POINTER, WRITE_ONLY);
	fails(p, "openat", 0, POINTER, WRITE_ONLY | O_TRUNC);
	fails(p, "openat", 0, POINTER, O_RDWR);
	passes(p, "openat2", 0, POINTER, (uintptr_t)&how);
	fails(p, "openat2", 0, POINTER, (uintptr_t)&how + sizeof(how));
	passes(p, "readlinkat", 0, POINTER, POINTER);
}

static void files_are_the_stewards(void **state)
{
	(void)state;
	on_each(check_no_files);
	on_each_of(SANDBOX_STEWARD, check_files);
}

/* What socketcall(2) carries nobody can judge. */
static uint32_t unless_carried(const struct program *p, uint32_t answer)
{
	return (p->of->traits & SOCKETCALL) != 0 ? SECCOMP_RET_ALLOW : answer;
}

/* With MSG_FASTOPEN it would be a connect that Landlock does not see. */
static void check_sending(const struct program *p, const char *name)
{
	int number = seccomp_syscall_resolve_name_arch(p->of->token, name);

	passes(p, name, 3, POINTER, 1);
	if (number < 0)
		return; /* carried */
	assert_int_equal(run(p, number, (const uint64_t[6]){ 3, POINTER, 1, MSG_NOSIGNAL }), SECCOMP_RET_ALLOW);
	assert_int_equal(run(p, number, (const uint64_t[6]){ 3, POINTER, 1, MSG_FASTOPEN | MSG_NOSIGNAL }), SECCOMP_RET_TRAP);
}

static void check_sockets(const struct program *p)
{
	const uint32_t refused = unless_carried(p, SECCOMP_RET_TRAP);

	check_sending(p, "sendto");
	passes(p, "socket", AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	passes(p, "socket", AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	expect(p, "socket", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP, refused);
	expect(p, "socket", AF_INET6, SOCK_DGRAM, 0, refused);
	passes(p, "socket", AF_UNIX, SOCK_DGRAM, 0);
	expect(p, "socket", AF_NETLINK, SOCK_RAW, 0, unless_carried(p, SECCOMP_RET_ERRNO | EAFNOSUPPORT));
	expect(p, "socket", AF_PACKET, SOCK_DGRAM, 0, refused);
	expect(p, "socket", AF_INET, SOCK_STREAM, IPPROTO_MPTCP, refused);
	expect(p, "socket", AF_INET6, SOCK_STREAM, IPPROTO_SCTP, refused);
	expect(p, "socket", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, refused);
	expect(p, "socket", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, refused);
	expect(p, "socket", AF_INET, SOCK_DGRAM, IPPROTO_TCP, refused);
}

static void check_gateway(const struct program *p)
{
	fails(p, (p->of->traits & NEW_NAMES) != 0 ? "unlinkat" : "unlink", POINTER, POINTER, POINTER);
	fails(p, "umask", 0, 0, 0);
	fails(p, "capset", POINTER, POINTER, 0);
	fails(p, "bind", 3, POINTER, 16);
}

/* UDP, binding, socket files, and descriptors passed on, are the steward's. */
static void check_steward(const struct program *p)
{
	static const char *const names[] = { "bind", "capget", "capset", "fchownat", "listen", "umask", NULL };

	all_pass(p, names);
	passes(p, (p->of->traits & NEW_NAMES) != 0 ? "unlinkat" : "unlink", POINTER, POINTER, POINTER);
	passes(p, "socket", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	passes(p, "socket", AF_INET6, SOCK_DGRAM, 0);
	passes(p, "setsockopt", 3, IPPROTO_IP, IP_RECVERR);
	passes(p, "setsockopt", 3, IPPROTO_IPV6, IPV6_V6ONLY);
	check_sending(p, "sendmmsg");
	passes(p, "sendmsg", 3, POINTER, MSG_NOSIGNAL);
	expect(p, "sendmsg", 3, POINTER, MSG_FASTOPEN, unless_carried(p, SECCOMP_RET_TRAP));
	expect(p, "socket", AF_PACKET, SOCK_DGRAM, 0, unless_carried(p, SECCOMP_RET_TRAP));
	dies(p, "execve", 0, 0, 0);
}

static void steward_has_calls_of_its_own(void **state)
{
	(void)state;
	on_each(check_gateway);
	on_each_of(SANDBOX_STEWARD, check_steward);
}

static void sockets_pass(void **state)
{
	(void)state;
	on_each(check_sockets);
}

static void check_options(const struct program *p)
{
	static const struct {
		int level, option;
	} never[] = {
		{ SOL_SOCKET, SO_ATTACH_FILTER }, { SOL_SOCKET, SO_ATTACH_BPF }, { SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF },
		{ SOL_SOCKET, SO_LOCK_FILTER }, { SOL_SOCKET, SO_BINDTODEVICE }, { SOL_SOCKET, SO_MARK },
		{ IPPROTO_TCP, TCP_ULP }, { IPPROTO_TCP, TCP_MD5SIG }, { IPPROTO_TCP, TCP_REPAIR },
		{ IPPROTO_TCP, TCP_FASTOPEN_KEY }, { IPPROTO_TCP, TCP_CONGESTION }, { IPPROTO_IP, IP_OPTIONS },
		{ IPPROTO_IP, IP_TRANSPARENT }, { IPPROTO_IP, IP_RECVERR }, { IPPROTO_UDP, 100 /* UDP_ENCAP */ }, { 0x11a /* SOL_TLS */, 1 },
	};

	passes(p, "setsockopt", 3, IPPROTO_TCP, TCP_NODELAY);
	passes(p, "setsockopt", 3, SOL_SOCKET, SO_LINGER);
	passes(p, "setsockopt", 3, SOL_SOCKET, SO_OOBINLINE);
	expect(p, "setsockopt", 3, IPPROTO_IPV6, IPV6_V6ONLY, unless_carried(p, SECCOMP_RET_TRAP));
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		expect(p, "setsockopt", 3, (uint64_t)never[i].level, (uint64_t)never[i].option,
		       unless_carried(p, SECCOMP_RET_TRAP));
}

static void options_of_use_pass(void **state)
{
	(void)state;
	on_each(check_options);
}

/* Where the kernel has both ways, a libc may take either. */
static void sockets_pass_without_socketcall(void **state)
{
	static const struct {
		uint32_t token;
		int socket, connect;
	} direct[] = { { SCMP_ARCH_X86, 359, 362 }, { SCMP_ARCH_PPC64LE, 326, 328 }, { SCMP_ARCH_S390X, 359, 362 } };
	static struct program p;
	const uint64_t arg[6] = { AF_INET, SOCK_STREAM, 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(architectures); i++) {
		for (size_t k = 0; k < ARRAY_LEN(direct); k++) {
			if (direct[k].token != architectures[i].token)
				continue;
			build(&p, &architectures[i]);
			assert_int_equal(run(&p, direct[k].socket, arg), SECCOMP_RET_ALLOW);
			assert_int_equal(run(&p, direct[k].connect, arg), SECCOMP_RET_ALLOW);
		}
	}
}

static void check_rest(const struct program *p)
{
	static const char *const never[] = { "fchmodat", "getsid", "inotify_init1", "linkat", "memfd_create", "prctl", "renameat2",
		"seccomp", "setuid", "socketpair", "timer_create", "tkill" };

	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		fails(p, never[i], 0, 0, 0);
}

static void all_else_is_refused(void **state)
{
	(void)state;
	on_each(check_rest);
}

static void check_attacks(const struct program *p)
{
	static const char *const never[] = { "add_key", "bpf", "chroot", "delete_module", "execve", "execveat",
		"finit_module", "fsconfig", "fsmount", "fsopen", "init_module", "io_uring_enter", "io_uring_register",
		"io_uring_setup", "kcmp", "kexec_load", "keyctl", "kill", "mount", "mount_setattr", "move_mount",
		"name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open", "personality", "pidfd_getfd",
		"pidfd_open", "pidfd_send_signal", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev",
		"ptrace", "request_key", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setns", "umount2", "unshare", "userfaultfd" };

	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		dies(p, never[i], POINTER, POINTER, POINTER);
	if ((p->of->traits & NEW_NAMES) == 0)
		dies(p, "fork", 0, 0, 0);
	if (p->of->token == SCMP_ARCH_X86_64)
		dies(p, "vfork", 0, 0, 0);
}

static void attacks_die(void **state)
{
	(void)state;
	on_each(check_attacks);
}

/* A thread is refused without a signal, and a process is an attack; s390x has clone's arguments in another order. */
static void check_clone(const struct program *p)
{
	const uint64_t thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, process = SIGCHLD;
	bool second = p->of->token == SCMP_ARCH_S390X;

	expect(p, "clone", second ? process : thread, second ? thread : process, 0, SECCOMP_RET_ERRNO | EAGAIN);
	dies(p, "clone", second ? thread : process, second ? process : thread, 0);
	expect(p, "clone3", POINTER, 88, 0, SECCOMP_RET_ERRNO | ENOSYS);
}

static void threads_are_refused_and_processes_die(void **state)
{
	(void)state;
	on_each(check_clone);
}

static void check_signals(const struct program *p)
{
	const uint64_t self = (uint64_t)getpid();

	passes(p, "tgkill", self, POINTER, SIGABRT);
	fails(p, "tgkill", self, POINTER, SIGKILL);
	fails(p, "tgkill", self + 1, POINTER, SIGABRT);
}

static void a_process_can_abort_itself_alone(void **state)
{
	(void)state;
	on_each(check_signals);
}

/* What is not here is not counted, be there a number for it or not. */
static void the_list_is_short(void **state)
{
	static struct program p;
	(void)state;

	build(&p, &architectures[0]);
	assert_in_range(p.allowed, 40, CALLS_MAX);
	int on_64_bits = p.allowed;
	build(&p, &architectures[3]);
	assert_int_equal(p.allowed, on_64_bits + 8); /* recv, send, sigreturn, and what 32 bits need twice */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_libc_makes_passes),
		cmocka_unit_test(no_memory_becomes_code),
		cmocka_unit_test(files_are_the_stewards),
		cmocka_unit_test(sockets_pass),
		cmocka_unit_test(steward_has_calls_of_its_own),
		cmocka_unit_test(options_of_use_pass),
		cmocka_unit_test(sockets_pass_without_socketcall),
		cmocka_unit_test(all_else_is_refused),
		cmocka_unit_test(attacks_die),
		cmocka_unit_test(threads_are_refused_and_processes_die),
		cmocka_unit_test(a_process_can_abort_itself_alone),
		cmocka_unit_test(the_list_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
