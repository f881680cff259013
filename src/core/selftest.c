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
#include <sys/prctl.h>
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

/* Each returns 0 when it was possible, -1 and errno when not; what is killed does not return. A row has one of these. */
struct row {
	const char *name;
	bool deadly; /* forbidden so that it has to end the process */
	int (*act)(void);
	int (*act_on)(const struct trial *trial);
	struct {
		const char *path;
		int flags;
	} open;
	struct {
		int family, type, protocol;
	} socket;
	struct {
		long number, first, second; /* chosen so that it could do nothing by itself */
	} call;
};

static int open_and_close(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static int make_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	return fd < 0 ? -1 : close(fd);
}

/* --- forbidden ------------------------------------------------------------------------------------------------------ */

static int do_exec(void)
{
	char *const none[] = { NULL };
	return execve("/bin/true", none, none);
}

static int do_fork(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	return child < 0 ? -1 : 0;
}

static int do_make_file(void)
{
	static const char path[] = "/tmp/sallyport-selftest";
	return open_and_close(path, O_WRONLY | O_CREAT | O_EXCL) != 0 ? -1 : unlink(path);
}

static int do_openat2(void)
{
	struct open_how how = { .flags = O_RDWR | O_CLOEXEC };
	return syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof(how)) < 0 ? -1 : 0;
}

static int do_rename(void)
{
	return rename("/etc/passwd", "/etc/passwd"); /* to itself: nothing would happen */
}

static int do_map_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? -1 : munmap(page, 4096);
}

static int do_make_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int do_attach_filter(void)
{
	struct sock_filter all = { .code = BPF_RET | BPF_K, .k = UINT32_MAX };
	struct sock_fprog program = { .len = 1, .filter = &all };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0 ? -1 : close(fd);
}

static int do_kill(void)
{
	return kill(getppid(), 0);
}

#define DEADLY .deadly = true
static const struct row forbidden[] = {
	{ "run a program", DEADLY, .act = do_exec },
	{ "fork", DEADLY, .act = do_fork },
	{ "open a file for writing", .open = { "/etc/passwd", O_WRONLY } },
	{ "make a file", .act = do_make_file },
	{ "open a file by openat2 with flags of its own", .act = do_openat2 },
	{ "read /etc/passwd", .open = { "/etc/passwd", O_RDONLY } },
	{ "list /", .open = { "/", O_RDONLY | O_DIRECTORY } },
	{ "rename a file", .act = do_rename },
	{ "map executable memory", DEADLY, .act = do_map_code },
	{ "make memory executable", DEADLY, .act = do_make_code },
	{ "open a raw socket", .socket = { AF_INET, SOCK_RAW, IPPROTO_ICMP } },
	{ "open a packet socket", .socket = { AF_PACKET, SOCK_DGRAM, 0 } },
	{ "open a socket of another protocol", .socket = { AF_INET, SOCK_STREAM, IPPROTO_MPTCP } },
	{ "attach a filter to a socket", .act = do_attach_filter },
	{ "become root", .call.number = SYS_setuid },
	{ "signal another process", DEADLY, .act = do_kill },
	{ "be traced", DEADLY, .call.number = SYS_ptrace },
	{ "mount", DEADLY, .call.number = SYS_mount },
	{ "make a namespace", DEADLY, .call.number = SYS_unshare },
	{ "load a kernel module", DEADLY, .call.number = SYS_init_module },
	{ "load a BPF program", DEADLY, .call.number = SYS_bpf },
	{ "reach the kernel's keys", DEADLY, .call.number = SYS_keyctl },
	{ "read another process's memory", DEADLY, .call = { SYS_process_vm_readv, 1, 0 } },
	{ "become readable for others", .call = { SYS_prctl, PR_SET_DUMPABLE, 1 } },
	{ "make an io_uring", DEADLY, .call.number = SYS_io_uring_setup },
	{ "handle page faults", DEADLY, .call.number = SYS_userfaultfd },
	{ "take another process's descriptor", DEADLY, .call.number = SYS_pidfd_getfd },
	{ "change the root", DEADLY, .call.number = SYS_chroot },
	{ "make a call that nobody needs", .call.number = SYS_getsid },
};

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

static int do_look_up(void)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all;
	if (getaddrinfo("localhost", NULL, &hints, &all) == 0)
		freeaddrinfo(all); /* whether there is such a name is not the question */
	return 0;
}

static int do_remember(void)
{
	size_t size = 8 << 20;
	unsigned char *bytes = malloc(size);
	if (bytes == NULL)
		return -1;
	memset(bytes, 1, size);
	int result = getrandom(bytes, 16, 0) == 16 ? 0 : -1;
	free(bytes);
	return result;
}

/* A connection to ourselves, accepted when epoll says so. */
static int serve(const struct trial *trial, int listener, int client)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	if (tcp_set_all(listener) != 0)
		return -1;
	if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) != 0)
		return -1;
	if (connect(client, (struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS)
		return -1;
	if (epoll_ctl(trial->epoll, EPOLL_CTL_ADD, listener, &event) != 0 || epoll_wait(trial->epoll, &event, 1, 5000) != 1)
		return -1;
	int accepted = accept4(listener, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (accepted < 0)
		return -1;
	bool said = send(accepted, "x", 1, MSG_NOSIGNAL) == 1 && shutdown(accepted, SHUT_WR) == 0;
	return close(accepted) == 0 && said ? 0 : -1;
}

static int do_serve(const struct trial *trial)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int result = listener >= 0 && client >= 0 ? serve(trial, listener, client) : -1;

	if (listener >= 0)
		close(listener);
	if (client >= 0)
		close(client);
	return result;
}

static const struct row allowed[] = {
	{ "read the configuration", .act_on = do_read_configuration },
	{ "read the web roots", .act_on = do_read_roots },
	{ "read the token files", .act_on = do_read_tokens },
	{ "listen, connect, accept, wait", .act_on = do_serve },
	{ "make a UNIX socket", .socket = { AF_UNIX, SOCK_STREAM, 0 } },
	{ "look a name up", .act = do_look_up },
	{ "allocate memory, get random bytes", .act = do_remember },
};

/* --- trying --------------------------------------------------------------------------------------------------------- */

static int act(const struct trial *trial, const struct row *row)
{
	if (row->act != NULL)
		return row->act();
	if (row->act_on != NULL)
		return row->act_on(trial);
	if (row->open.path != NULL)
		return open_and_close(row->open.path, row->open.flags);
	if (row->socket.family != AF_UNSPEC)
		return make_socket(row->socket.family, row->socket.type, row->socket.protocol);
	return syscall(row->call.number, row->call.first, row->call.second, 0L, 0L, 0L, 0L) < 0 ? -1 : 0;
}

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

/* Returns the status of wait(2). row NULL: only says what is in force. */
static int in_child(const struct trial *trial, const struct row *row)
{
	char words[CONFINE_WORDS_MAX];
	int status;
	pid_t child = fork();

	if (child == 0) {
		const struct confine *confine = enter(trial);
		if (row != NULL)
			_exit(act(trial, row) == 0 ? 0 : errno);
		dprintf(STDOUT_FILENO, "%s\n", confine_words(confine, words));
		_exit(0);
	}
	if (child < 0)
		return -1;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static bool was_refused(int status, bool deadly)
{
	int error = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

	if (deadly)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	return error == EACCES || error == EPERM;
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

static bool try_row(const struct trial *trial, const struct row *row, bool is_forbidden)
{
	char room[64];
	int status = in_child(trial, row);
	bool good = status != -1 && (is_forbidden ? was_refused(status, row->deadly) : status == 0);

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
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		failed += !try_row(&trial, &forbidden[i], true);
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		failed += !try_row(&trial, &allowed[i], false);
	if (trial.epoll >= 0)
		close(trial.epoll);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
