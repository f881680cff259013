/* Tries the sandbox: enters it as a start would, and does what it must forbid and what it must allow.
 *
 *     tests/sandbox_trial [FILE]        FILE: a configuration, else that of `sallyport 127.0.0.1:0 echo:`
 *
 * Prints one line an act, `ok` or `FAILED`; the exit status is 0 if none failed. Each act is a child of its own. Nothing
 * is listened on, nothing is left behind, and an act that succeeds though it should not does no harm. */
#include "cli/quick.h"
#include "config/generation.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "server/confine.h"
#include "sys/library_memory.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
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
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct trial {
	const struct settings *settings;
	const char *file;
	int epoll;                     /* made before, as the loops of a gateway are */
	int listener, client;          /* made before, and connected */
	int porter;                    /* made before, and listens at the door */
	struct sockaddr_un door;       /* abstract */
	socklen_t door_len;
	const struct sandbox *sandbox; /* in force */
};

#define NOT_BOUNDED 254 /* no errno: this kernel, or this configuration, leaves it open */

/* Each returns 0 when it was possible, -1 and errno when not; what is killed does not return. A row has one of these. */
struct row {
	const char *name;
	int (*act)(void);
	int (*act_on)(const struct trial *trial);
	struct {
		const char *path;
		int flags;
	} open;
	struct {
		long number, first, second; /* chosen so that it could do nothing by itself */
	} call;
	struct {
		int family, type, protocol;
	} socket;
	bool deadly; /* forbidden so that it has to end the process */
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
	static const char path[] = "/tmp/sallyport-trial";
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

/* Nothing is sent: there is no TCP to all hosts of a network, which the kernel says after it asked the sandbox. */
static int connect_to(uint16_t port, int flags)
{
	const struct sockaddr_in all = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = INADDR_BROADCAST };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (flags != 0)
		(void)!sendto(fd, "x", 1, flags, (const struct sockaddr *)&all, sizeof(all));
	else
		(void)!connect(fd, (const struct sockaddr *)&all, sizeof(all));
	return errno == EACCES || errno == EPERM ? -1 : close(fd);
}

static int bind_to(uint16_t port)
{
	const struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || (bind(fd, (const struct sockaddr *)&here, sizeof(here)) != 0 && errno != EADDRINUSE))
		return -1;
	return close(fd);
}

/* A port that was not named, above those that only root may have. */
static uint16_t other_port(const struct trial *trial, unsigned access)
{
	uint16_t port = 1024;

	while (port < UINT16_MAX && sandbox_admits(trial->sandbox, access, port))
		port++;
	return port;
}

static int do_connect_elsewhere(const struct trial *trial)
{
	if ((trial->sandbox->bounds & SANDBOX_CONNECT) == 0)
		_exit(NOT_BOUNDED);
	return connect_to(other_port(trial, SANDBOX_CONNECT), 0);
}

static int do_bind_elsewhere(const struct trial *trial)
{
	if ((trial->sandbox->bounds & SANDBOX_BIND) == 0)
		_exit(NOT_BOUNDED);
	return bind_to(other_port(trial, SANDBOX_BIND));
}

static int do_connect_abstract(const struct trial *trial)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if ((trial->sandbox->bounds & SANDBOX_ABSTRACT) == 0)
		_exit(NOT_BOUNDED);
	return fd < 0 || connect(fd, (const struct sockaddr *)&trial->door, trial->door_len) != 0 ? -1 : close(fd);
}

/* Landlock does not see such a connect. */
static int do_connect_by_sending(void)
{
	return connect_to(9, MSG_FASTOPEN);
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
	{ "connect to a port that nobody named", .act_on = do_connect_elsewhere },
	{ "connect by sending (TCP Fast Open)", .act = do_connect_by_sending },
	{ "listen on a port that nobody named", .act_on = do_bind_elsewhere },
	{ "connect to an abstract UNIX socket", .act_on = do_connect_abstract },
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

static int do_connect(const struct trial *trial)
{
	for (size_t i = 0; i < trial->settings->routes_count; i++) {
		const struct address *target = &trial->settings->routes[i]->target;
		if (target->text != NULL && target->kind == ADDRESS_TCP && connect_to(target->port, 0) != 0)
			return -1;
	}
	return 0;
}

/* The connection from before is accepted when epoll says so. */
static int do_serve(const struct trial *trial)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	if (tcp_set_no_delay(trial->listener) != 0 || tcp_set_probes(trial->listener) != 0)
		return -1;
	if (getsockname(trial->listener, (struct sockaddr *)&address, &len) != 0)
		return -1;
	if (epoll_ctl(trial->epoll, EPOLL_CTL_ADD, trial->listener, &event) != 0 ||
	    epoll_wait(trial->epoll, &event, 1, 5000) != 1)
		return -1;
	int accepted = accept4(trial->listener, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (accepted < 0)
		return -1;
	bool said = send(accepted, "x", 1, MSG_NOSIGNAL) == 1 && shutdown(accepted, SHUT_WR) == 0;
	return close(accepted) == 0 && said ? 0 : -1;
}

static const struct row allowed[] = {
	{ "accept, wait, send", .act_on = do_serve },
	{ "connect to the ports of the targets", .act_on = do_connect },
	{ "make a UNIX socket", .socket = { AF_UNIX, SOCK_STREAM, 0 } },
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

/* What is made before the sandbox is entered: a connection to ourselves, and an abstract UNIX socket. */
static void prepare(struct trial *trial)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	trial->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	trial->client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(trial->listener, (struct sockaddr *)&address, len) == 0 && listen(trial->listener, 1) == 0 &&
	    getsockname(trial->listener, (struct sockaddr *)&address, &len) == 0)
		(void)connect(trial->client, (struct sockaddr *)&address, len);
	trial->porter = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	trial->door = (struct sockaddr_un){ .sun_family = AF_UNIX };
	trial->door_len = sizeof(trial->door);
	(void)!bind(trial->porter, (struct sockaddr *)&trial->door, sizeof(sa_family_t)); /* the kernel chooses a name */
	(void)!listen(trial->porter, 1);
	(void)!getsockname(trial->porter, (struct sockaddr *)&trial->door, &trial->door_len);
}

static struct confine *enter(const struct trial *trial)
{
	struct err err, warnings;

	err_init(&err);
	err_init(&warnings);
	struct confine *confine = confine_enter(trial->settings, NULL, &err, &warnings);
	if (confine != NULL && confine_seal(confine, &err) == 0)
		return confine;
	fprintf(stderr, "%s\n", err.text);
	_exit(NOT_ENTERED);
}

/* Returns the status of wait(2). row NULL: only says what is in force. */
static int in_child(const struct trial *all, const struct row *row)
{
	struct trial trial = *all;
	char words[CONFINE_WORDS_MAX];
	int status;
	pid_t child = fork();

	if (child == 0) {
		prepare(&trial);
		const struct confine *confine = enter(&trial);
		trial.sandbox = confine_sandbox(confine);
		if (row != NULL)
			_exit(act(&trial, row) == 0 ? 0 : errno);
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

	if (WIFEXITED(status) && error == NOT_BOUNDED)
		return true;
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
	snprintf(room, cap, "%s", WEXITSTATUS(status) == NOT_BOUNDED ? "not bounded here" : strerror(WEXITSTATUS(status)));
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

/* What a start would have before it enters the sandbox. */
static struct generation *load(const char *file)
{
	const struct quick_form form = { .listen = "127.0.0.1:0", .target = "echo:" };
	struct generation *generation = NULL;
	struct err err, warnings;

	err_init(&err);
	err_init(&warnings);
	struct settings *settings = file != NULL ? settings_read(file, NULL, &err) : quick_settings(&form, &err);
	if (settings != NULL)
		generation = generation_build(settings, NULL, &err, &warnings);
	if (generation == NULL)
		fprintf(stderr, "%s\n", err.text);
	return generation;
}

static bool try_all(const struct trial *trial)
{
	unsigned failed = 0;

	if (!trial->settings->server->sandbox) {
		puts("FAILED  sandbox = off");
		return false;
	}
	tls_prepare();
	if (in_child(trial, NULL) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		failed += !try_row(trial, &forbidden[i], true);
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		failed += !try_row(trial, &allowed[i], false);
	return failed == 0;
}

int main(int argc, char **argv)
{
	if (process_prepare() != 0)
		return EXIT_FAILURE;
	library_memory_for_openssl();
	struct trial trial = { .file = argc > 1 ? argv[1] : NULL };
	struct generation *generation = load(trial.file);
	if (generation == NULL)
		return EXIT_FAILURE;
	trial.settings = generation->settings;
	trial.epoll = epoll_create1(EPOLL_CLOEXEC);
	bool good = try_all(&trial);
	close(trial.epoll);
	generation_unref(generation);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
