/* selftest.c owns the acts that the sandbox is tried with, each in a child that enters it as a start would.
 * It must never do harm where an act succeeds that should not. */
#include "core/selftest.h"

#include "core/confine.h"
#include "net/nss.h"
#include "net/tcp.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct trial {
	const struct settings *settings;
	const char *file;
	int epoll; /* made before, as the loops of a gateway are */
};

/* Each returns 0 when it was possible, -1 and errno when not; what is killed does not return. */
typedef int act_fn(const struct trial *trial);

/* --- forbidden ------------------------------------------------------------------------------------------------------ */

static int do_exec(const struct trial *trial)
{
	char *const none[] = { NULL };
	(void)trial;
	return execve("/bin/true", none, none);
}

static int do_fork(const struct trial *trial)
{
	pid_t child = fork();
	(void)trial;
	if (child == 0)
		_exit(0);
	return child < 0 ? -1 : 0;
}

static int open_and_close(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static int do_write_file(const struct trial *trial)
{
	(void)trial;
	return open_and_close("/etc/passwd", O_WRONLY);
}

static int do_make_file(const struct trial *trial)
{
	static const char path[] = "/tmp/sallyport-selftest";
	(void)trial;
	return open_and_close(path, O_WRONLY | O_CREAT | O_EXCL) != 0 ? -1 : unlink(path);
}

static int do_openat2(const struct trial *trial)
{
	struct open_how how = { .flags = O_RDWR | O_CLOEXEC };
	(void)trial;
	return syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof(how)) < 0 ? -1 : 0;
}

static int do_read_outside(const struct trial *trial)
{
	(void)trial;
	return open_and_close("/etc/passwd", O_RDONLY);
}

static int do_list_outside(const struct trial *trial)
{
	(void)trial;
	return open_and_close("/", O_RDONLY | O_DIRECTORY);
}

static int do_rename(const struct trial *trial)
{
	(void)trial;
	return rename("/etc/passwd", "/etc/passwd"); /* to itself: nothing would happen */
}

static int map(int protection)
{
	void *page = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? -1 : munmap(page, 4096);
}

static int do_map_code(const struct trial *trial)
{
	(void)trial;
	return map(PROT_READ | PROT_EXEC);
}

static int do_make_code(const struct trial *trial)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)trial;
	return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int do_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	return fd < 0 ? -1 : close(fd);
}

static int do_raw_socket(const struct trial *trial)
{
	(void)trial;
	return do_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int do_packet_socket(const struct trial *trial)
{
	(void)trial;
	return do_socket(AF_PACKET, SOCK_DGRAM, 0);
}

static int do_mptcp_socket(const struct trial *trial)
{
	(void)trial;
	return do_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
}

static int do_attach_filter(const struct trial *trial)
{
	struct sock_filter all = { .code = BPF_RET | BPF_K, .k = UINT32_MAX };
	struct sock_fprog program = { .len = 1, .filter = &all };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)trial;
	return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0 ? -1 : close(fd);
}

static int do_setuid(const struct trial *trial)
{
	(void)trial;
	return setuid(0);
}

static int do_kill(const struct trial *trial)
{
	(void)trial;
	return kill(getppid(), 0);
}

/* Calls with arguments that can do nothing by themselves. */
#define BARE(name, ...)                                                                                                \
	static int do_##name(const struct trial *trial)                                                                \
	{                                                                                                              \
		(void)trial;                                                                                           \
		return syscall(SYS_##name, __VA_ARGS__) < 0 ? -1 : 0;                                                  \
	}
BARE(ptrace, 0 /* PTRACE_TRACEME */, 0, NULL, NULL)
BARE(mount, "none", "/proc/self", "none", 0UL, NULL)
BARE(unshare, 0)
BARE(init_module, NULL, 0UL, "")
BARE(bpf, 0, NULL, 0)
BARE(keyctl, 0, 0)
BARE(process_vm_readv, getppid(), NULL, 0UL, NULL, 0UL, 0UL)
BARE(prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0)
BARE(io_uring_setup, 1, NULL)

/* --- allowed -------------------------------------------------------------------------------------------------------- */

static int do_read_configuration(const struct trial *trial)
{
	return trial->file == NULL ? 0 : open_and_close(trial->file, O_RDONLY);
}

static int do_read_roots(const struct trial *trial)
{
	for (size_t i = 0; i < trial->settings->routes_count; i++) {
		const char *root = trial->settings->routes[i]->root;
		if (root[0] != '\0' && open_and_close(root, O_RDONLY | O_DIRECTORY) != 0)
			return -1;
	}
	return 0;
}

static int do_read_tokens(const struct trial *trial)
{
	for (size_t i = 0; i < trial->settings->routes_count; i++) {
		const char *file = trial->settings->routes[i]->token_file;
		if (file[0] != '\0' && open_and_close(file, O_RDONLY) != 0)
			return -1;
	}
	return 0;
}

static int do_look_up(const struct trial *trial)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all;
	(void)trial;
	if (getaddrinfo("localhost", NULL, &hints, &all) == 0)
		freeaddrinfo(all); /* whether there is such a name is not the question */
	return 0;
}

static int do_remember(const struct trial *trial)
{
	size_t size = 8 << 20;
	unsigned char *bytes = malloc(size);
	(void)trial;
	if (bytes == NULL)
		return -1;
	memset(bytes, 1, size);
	int result = getrandom(bytes, 16, 0) == 16 ? 0 : -1;
	free(bytes);
	return result;
}

/* A connection to ourselves, accepted when epoll says so. */
static int accept_own(const struct trial *trial, int listener)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || tcp_set_no_delay(listener) != 0 || tcp_set_probes(listener) != 0)
		return -1;
	if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) != 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS)
		return -1;
	if (epoll_ctl(trial->epoll, EPOLL_CTL_ADD, listener, &event) != 0 || epoll_wait(trial->epoll, &event, 1, 5000) != 1)
		return -1;
	int accepted = accept4(listener, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (accepted < 0 || send(accepted, "x", 1, MSG_NOSIGNAL) != 1)
		return -1;
	return shutdown(accepted, SHUT_WR) != 0 || close(accepted) != 0 ? -1 : close(fd);
}

static int do_serve(const struct trial *trial)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return listener < 0 || accept_own(trial, listener) != 0 ? -1 : close(listener);
}

static int do_unix_socket(const struct trial *trial)
{
	(void)trial;
	return do_socket(AF_UNIX, SOCK_STREAM, 0);
}

/* --- trying --------------------------------------------------------------------------------------------------------- */

static const struct row {
	const char *name;
	act_fn *act;
	bool forbidden;
} rows[] = {
	{ "run a program", do_exec, true },
	{ "fork", do_fork, true },
	{ "open a file for writing", do_write_file, true },
	{ "make a file", do_make_file, true },
	{ "open a file by openat2 with flags of its own", do_openat2, true },
	{ "read /etc/passwd", do_read_outside, true },
	{ "list /", do_list_outside, true },
	{ "rename a file", do_rename, true },
	{ "map executable memory", do_map_code, true },
	{ "make memory executable", do_make_code, true },
	{ "open a raw socket", do_raw_socket, true },
	{ "open a packet socket", do_packet_socket, true },
	{ "open a socket of another protocol", do_mptcp_socket, true },
	{ "attach a filter to a socket", do_attach_filter, true },
	{ "become root", do_setuid, true },
	{ "signal another process", do_kill, true },
	{ "be traced", do_ptrace, true },
	{ "mount", do_mount, true },
	{ "make a namespace", do_unshare, true },
	{ "load a kernel module", do_init_module, true },
	{ "load a BPF program", do_bpf, true },
	{ "reach the kernel's keys", do_keyctl, true },
	{ "read another process's memory", do_process_vm_readv, true },
	{ "become readable for others", do_prctl, true },
	{ "make an io_uring", do_io_uring_setup, true },
	{ "read the configuration", do_read_configuration, false },
	{ "read the web roots", do_read_roots, false },
	{ "read the token files", do_read_tokens, false },
	{ "listen, connect, accept, wait", do_serve, false },
	{ "make a UNIX socket", do_unix_socket, false },
	{ "look a name up", do_look_up, false },
	{ "allocate memory, get random bytes", do_remember, false },
};

#define NOT_ENTERED 255 /* no errno; otherwise the exit status of a child is the errno, or 0 */

static struct confine *enter(const struct trial *trial)
{
	struct err err, warnings;

	err_init(&err);
	err_init(&warnings);
	struct confine *confine = confine_enter(trial->settings, trial->file, &err, &warnings);
	if (confine != NULL && confine_seal(confine, &err) == 0)
		return confine;
	fprintf(stderr, "%s\n", err.text);
	_exit(NOT_ENTERED);
}

/* Returns the status of wait(2). act NULL: only says what is in force. */
static int in_child(const struct trial *trial, act_fn *act)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		const struct confine *confine = enter(trial);
		if (act != NULL)
			_exit(act(trial) == 0 ? 0 : errno);
		dprintf(STDOUT_FILENO, "Landlock ABI %d, %u system calls\n", confine_landlock_abi(confine),
		        confine_calls(confine));
		_exit(0);
	}
	if (child < 0)
		return -1;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static bool was_refused(int status)
{
	int error = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	return (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) || error == EACCES || error == EPERM;
}

static const char *outcome(int status, char *room, size_t cap)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? "killed" : strsignal(WTERMSIG(status));
	if (WEXITSTATUS(status) == 0)
		return "possible";
	snprintf(room, cap, "%s", strerror(WEXITSTATUS(status)));
	return room;
}

static bool try_row(const struct trial *trial, const struct row *row)
{
	char room[64];
	int status = in_child(trial, row->act);
	bool good = status != -1 && (row->forbidden ? was_refused(status) : status == 0);

	printf("%s %s: %s\n", good ? "ok     " : "FAILED ", row->name, outcome(status, room, sizeof(room)));
	fflush(stdout); /* or the next child would print it again */
	return good;
}

int selftest_run(const struct generation *generation, const char *file)
{
	struct trial trial = { .settings = generation->settings, .file = file, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	unsigned failed = 0;

	if (!generation->settings->server->sandbox) {
		puts("FAILED  sandbox = off");
		return EXIT_FAILURE;
	}
	tls_prepare();
	nss_prepare();
	fflush(stdout);
	if (in_child(&trial, NULL) != 0)
		return EXIT_FAILURE;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		failed += !try_row(&trial, &rows[i]);
	if (trial.epoll >= 0)
		close(trial.epoll);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
