/* test_listener.c connects to listeners on loopback and in a directory of its own, and takes their descriptors away.
 * It must never leave a socket file behind. */
#include "net/listener.h"

#include "base/clock.h"
#include "net/bind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "no_memory.h"

#define INHERITED 3 /* where LISTEN_FDS begins; main() keeps two places free */

struct world {
	struct event_base *base;
	struct listener *listener;
	struct err err;
	char dir[32];

	int accepted[128];
	size_t accepted_count, stop_at;
	char peer[ADDR_TEXT_MAX];
	int pauses, pause_error;
	int clients[128];
	size_t clients_count;
};

static void on_accepted(void *arg, struct listener *listener, int fd, const struct peer *peer)
{
	struct world *world = arg;

	peer_format(peer, world->peer);
	assert_true(world->accepted_count < ARRAY_LEN(world->accepted));
	world->accepted[world->accepted_count++] = fd;
	if (world->accepted_count == world->stop_at)
		listener_stop(listener);
}

static void on_paused(void *arg, struct listener *listener, int error)
{
	struct world *world = arg;

	(void)listener;
	world->pauses++;
	world->pause_error = error;
}

static const struct listener_ops ops = { .accepted = on_accepted, .paused = on_paused };

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct event_config *config = event_config_new();

	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	world->base = event_base_new_with_config(config);
	event_config_free(config);
	strcpy(world->dir, "/tmp/sallyport.XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	listener_free(world->listener);
	for (size_t i = 0; i < world->accepted_count; i++)
		close(world->accepted[i]);
	for (size_t i = 0; i < world->clients_count; i++)
		close(world->clients[i]);
	event_base_free(world->base);
	int left = rmdir(world->dir); /* fails if a file is left in it */
	free(world);
	return left;
}

/* --- helpers ------------------------------------------------------------------------------------------------------ */

static struct listener *listener_try(struct world *world, const char *format, ...) printf_like(2, 3);
static struct listener *listener_try(struct world *world, const char *format, ...)
{
	static const struct bind_options options = { .backlog = 128, .unix_mode = 0640 };
	struct address address;
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_init(&world->err);
	assert_int_equal(address_parse_listen(&address, text, &world->err), 0);
	struct listener *listener = NULL;
	struct bound bound;
	if (bind_open(&bound, &address, &options, &world->err) == 0) {
		listener = listener_new(address.text, &bound);
		assert_string_equal(listener_text(listener), address.text);
	}
	address_clear(&address);
	return listener;
}

static void start(struct world *world)
{
	if (world->listener == NULL)
		fail_msg("%s", world->err.text);
	listener_start(world->listener, world->base, &ops, world);
}

static void check_refused(struct world *world, struct listener *listener, const char *complaint)
{
	if (listener != NULL)
		fail_msg("listens on %s", listener_text(listener));
	assert_int_equal(world->err.count, 1);
	assert_string_equal(world->err.text, complaint);
}

static unsigned port_of(const struct listener *listener, size_t i)
{
	char text[ADDR_TEXT_MAX];

	assert_true(listener_bound(listener, i, text));
	return (unsigned)strtoul(strrchr(text, ':') + 1, NULL, 10);
}

static int connect_sa(struct world *world, const void *sa, size_t len)
{
	int fd = socket(((const struct sockaddr *)sa)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	world->clients[world->clients_count++] = fd;
	return connect(fd, sa, (socklen_t)len) == 0 ? 0 : errno;
}

static int connect_in(struct world *world, unsigned port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect_sa(world, &in, sizeof(in));
}

static int connect_in6(struct world *world, unsigned port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	in6.sin6_addr = in6addr_loopback;
	return connect_sa(world, &in6, sizeof(in6));
}

static int connect_unix(struct world *world, const char *name)
{
	struct address address = { .kind = ADDRESS_UNIX, .name = (char[128]){ 0 } };
	struct sockaddr_un sa;

	snprintf(address.name, 128, "%s", name);
	socklen_t len = address_unix_sockaddr(&address, &sa);
	return connect_sa(world, &sa, len);
}

/* On a port of loopback, with a client that waits there. */
static void start_with_client(struct world *world)
{
	world->listener = listener_try(world, "127.0.0.1:0");
	start(world);
	assert_int_equal(connect_in(world, port_of(world->listener, 0)), 0);
}

static void path_of(const struct world *world, char path[64])
{
	snprintf(path, 64, "%s/s", world->dir);
}

static void wait_for_accepted(struct world *world, size_t count)
{
	while (world->accepted_count < count)
		event_base_loop(world->base, EVLOOP_ONCE);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

	close(fd);
	return has;
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

/* rl_cloexec */
static void accepted_sockets_inherit_the_options(void **state)
{
	struct world *world = *state;
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	char text[ADDR_TEXT_MAX];

	start_with_client(world);
	wait_for_accepted(world, 1);
	int fd = world->accepted[0];
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);

	assert_int_equal(getsockname(world->clients[0], (struct sockaddr *)&in, &len), 0);
	addr_format((struct sockaddr *)&in, len, text);
	assert_string_equal(world->peer, text);
}

static void star_is_both_families_and_peers_are_shown_as_they_are(void **state)
{
	struct world *world = *state;

	world->listener = listener_try(world, "*:0");
	start(world);
	unsigned port = port_of(world->listener, 0);
	assert_false(listener_bound(world->listener, 1, world->peer));
	assert_int_equal(connect_in(world, port), 0);
	wait_for_accepted(world, 1);
	assert_memory_equal(world->peer, "127.0.0.1:", 10);
	if (!has_ipv6())
		return;
	assert_int_equal(connect_in6(world, port), 0);
	wait_for_accepted(world, 2);
	assert_memory_equal(world->peer, "[::1]:", 6);
}

static void any_ipv6_is_ipv6_alone(void **state)
{
	struct world *world = *state;

	if (!has_ipv6())
		skip();
	world->listener = listener_try(world, "[::]:0");
	start(world);
	assert_int_equal(connect_in(world, port_of(world->listener, 0)), ECONNREFUSED);
	assert_int_equal(connect_in6(world, port_of(world->listener, 0)), 0);
}

static void a_name_is_listened_on_at_all_its_addresses(void **state)
{
	struct world *world = *state;

	world->listener = listener_try(world, "localhost:0");
	start(world);
	assert_int_equal(connect_in(world, port_of(world->listener, 0)) == 0 ||
	                         connect_in6(world, port_of(world->listener, 0)) == 0,
	                 1);
	wait_for_accepted(world, 1);
}

static void a_taken_port_is_told(void **state)
{
	struct world *world = *state;
	char want[128];

	world->listener = listener_try(world, "127.0.0.1:0");
	unsigned port = port_of(world->listener, 0);
	snprintf(want, sizeof(want), "cannot listen on 127.0.0.1:%u: Address already in use", port);
	check_refused(world, listener_try(world, "127.0.0.1:%u", port), want);
}

static void a_foreign_address_is_told(void **state)
{
	struct world *world = *state;

	check_refused(world, listener_try(world, "192.0.2.1:6080"),
	              "cannot listen on 192.0.2.1:6080: Cannot assign requested address "
	              "(this host does not have that address)");
}

/* --- UNIX --------------------------------------------------------------------------------------------------------- */

static void a_socket_file_has_its_mode_and_goes_with_the_listener(void **state)
{
	struct world *world = *state;
	mode_t before = umask(0);
	struct stat st;
	char path[64], want[64];

	path_of(world, path);
	world->listener = listener_try(world, "unix:%s", path);
	start(world);
	assert_int_equal(umask(before), 0); /* put back as it was */
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(connect_unix(world, path), 0);
	wait_for_accepted(world, 1);
	snprintf(want, sizeof(want), "unix:pid=%ld,uid=%ld", (long)getpid(), (long)getuid());
	assert_string_equal(world->peer, want);

	listener_free(world->listener);
	world->listener = NULL;
	assert_int_equal(lstat(path, &st), -1);
}

static void a_stale_socket_file_is_replaced(void **state)
{
	struct world *world = *state;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char path[64];

	path_of(world, path);
	strcpy(sa.sun_path, path);
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(dead, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(dead);
	world->listener = listener_try(world, "unix:%s", path);
	start(world);
	assert_int_equal(connect_unix(world, path), 0);
	wait_for_accepted(world, 1);
}

static void a_live_socket_is_left_alone(void **state)
{
	struct world *world = *state;
	char path[64], want[128];

	path_of(world, path);
	world->listener = listener_try(world, "unix:%s", path);
	snprintf(want, sizeof(want), "cannot listen on unix:%s: Address already in use", path);
	check_refused(world, listener_try(world, "unix:%s", path), want);
	start(world);
	assert_int_equal(connect_unix(world, path), 0); /* also the file is still there */
}

static void other_files_are_left_alone(void **state)
{
	struct world *world = *state;
	struct stat st;
	char path[64], want[128];

	path_of(world, path);
	snprintf(want, sizeof(want), "cannot listen on unix:%s: the file exists and is not a socket", path);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	check_refused(world, listener_try(world, "unix:%s", path), want);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(path);

	assert_int_equal(symlink("/nowhere", path), 0);
	check_refused(world, listener_try(world, "unix:%s", path), want);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink(path);
}

static void a_file_that_took_the_place_stays(void **state)
{
	struct world *world = *state;
	struct stat st;
	char path[64];

	path_of(world, path);
	struct listener *first = listener_try(world, "unix:%s", path);
	assert_int_equal(unlink(path), 0);
	world->listener = listener_try(world, "unix:%s", path);
	listener_free(first);
	assert_int_equal(lstat(path, &st), 0);
}

static void abstract_names_are_listened_on(void **state)
{
	struct world *world = *state;
	char name[64], want[128];

	snprintf(name, sizeof(name), "@sallyport-test-%d", getpid());
	world->listener = listener_try(world, "unix:%s", name);
	start(world);
	assert_int_equal(connect_unix(world, name), 0);
	wait_for_accepted(world, 1);
	snprintf(want, sizeof(want), "cannot listen on unix:%s: Address already in use", name);
	check_refused(world, listener_try(world, "unix:%s", name), want);
}

/* --- inherited ---------------------------------------------------------------------------------------------------- */

static void pass_sockets(const char *names, int first, int second)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	assert_int_equal(dup2(first, INHERITED), INHERITED);
	assert_int_equal(dup2(second, INHERITED + 1), INHERITED + 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

static int plain_listener(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void inherited_sockets_are_found_by_name_again_and_again(void **state)
{
	struct world *world = *state;
	int a = plain_listener(), b = plain_listener();

	pass_sockets("http:vnc", a, b);
	close(a);
	close(b);
	for (int i = 0; i < 2; i++) { /* the second time is a reload */
		world->listener = listener_try(world, "fd:vnc");
		start(world);
		assert_false(listener_bound(world->listener, 1, world->peer));
		assert_int_equal(connect_in(world, port_of(world->listener, 0)), 0);
		wait_for_accepted(world, world->accepted_count + 1);
		assert_int_equal(option(world->accepted[i], IPPROTO_TCP, TCP_NODELAY), 1);
		assert_int_equal(fcntl(INHERITED + 1, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		listener_free(world->listener);
		world->listener = NULL;
	}
}

static void several_inherited_sockets_of_one_name_are_one_listener(void **state)
{
	struct world *world = *state;
	int a = plain_listener(), b = plain_listener();

	pass_sockets("web:web", a, b);
	close(a);
	close(b);
	world->listener = listener_try(world, "fd:web");
	start(world);
	assert_int_equal(connect_in(world, port_of(world->listener, 0)), 0);
	assert_int_equal(connect_in(world, port_of(world->listener, 1)), 0);
	wait_for_accepted(world, 2);
}

static void what_was_not_passed_is_refused(void **state)
{
	struct world *world = *state;
	int a = plain_listener(), pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pass_sockets("http:pair", a, pair[0]);
	check_refused(world, listener_try(world, "fd:vnc"),
	              "cannot listen on fd:vnc: no socket of that name was passed (LISTEN_FDNAMES is \"http:pair\")");
	check_refused(world, listener_try(world, "fd:pair"),
	              "cannot listen on fd:pair: descriptor 4 is not a listening stream socket");
	setenv("LISTEN_PID", "1", 1);
	check_refused(world, listener_try(world, "fd:http"),
	              "cannot listen on fd:http: no sockets were passed to this process (LISTEN_PID, LISTEN_FDS)");
	close(a);
	close(pair[0]);
	close(pair[1]);
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static void a_wake_up_accepts_64_at_most(void **state)
{
	struct world *world = *state;

	world->listener = listener_try(world, "127.0.0.1:0");
	for (int i = 0; i < 100; i++)
		assert_int_equal(connect_in(world, port_of(world->listener, 0)), 0);
	start(world);
	event_base_loop(world->base, EVLOOP_ONCE);
	assert_int_equal(world->accepted_count, 64);
	event_base_loop(world->base, EVLOOP_ONCE);
	assert_int_equal(world->accepted_count, 100);
}

static void stopped_from_accepted_the_rest_waits(void **state)
{
	struct world *world = *state;

	world->listener = listener_try(world, "127.0.0.1:0");
	world->stop_at = 2;
	for (int i = 0; i < 5; i++)
		assert_int_equal(connect_in(world, port_of(world->listener, 0)), 0);
	start(world);
	while (event_base_loop(world->base, EVLOOP_ONCE) == 0) /* 1: no events are left */
		;
	assert_int_equal(world->accepted_count, 2);
	start(world);
	wait_for_accepted(world, 5);
}

static rlim_t descriptors_to(rlim_t limit)
{
	struct rlimit was, now;

	getrlimit(RLIMIT_NOFILE, &was);
	now = (struct rlimit){ .rlim_cur = limit, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return was.rlim_cur;
}

/* None is left; returns the limit as it was, for descriptors_to(). */
static rlim_t no_descriptors(void)
{
	int next = dup(STDERR_FILENO);

	close(next);
	return descriptors_to((rlim_t)next);
}

/* rl_emfile: the wake-ups are counted, since time says nothing on a busy machine. */
static void without_descriptors_the_listener_pauses_and_goes_on(void **state)
{
	struct world *world = *state;

	start_with_client(world);
	rlim_t before = no_descriptors();
	uint64_t begin = clock_ms();
	int wake_ups = 0;
	for (; clock_ms() - begin < 1500; wake_ups++)
		event_base_loop(world->base, EVLOOP_ONCE);
	descriptors_to(before);

	assert_int_equal(world->accepted_count, 0);
	assert_in_range(wake_ups, 2, 12); /* 100, 200, 400, 500, 500 ms, each followed by a vain try */
	assert_in_range(world->pauses, 1, 2);
	assert_int_equal(world->pause_error, EMFILE);
	wait_for_accepted(world, 1);
}

/* Without memory for the timer that ends a pause there must be no pause. */
static void without_memory_for_a_pause_the_listener_goes_on(void **state)
{
	struct world *world = *state;

	start_with_client(world);
	rlim_t before = no_descriptors();
	event_adds_to_fail = 1;
	event_base_loop(world->base, EVLOOP_ONCE);
	descriptors_to(before);
	assert_int_equal(event_adds_to_fail, 0);
	assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0); /* 1 would be: nothing is watched */
	assert_int_equal(world->accepted_count, 1);
}

/* A start that fails is a pause like any other, or a listener that a reload opened would be dead for good. */
static void a_listener_that_cannot_be_watched_is_tried_again(void **state)
{
	struct world *world = *state;

	world->listener = listener_try(world, "127.0.0.1:0");
	event_adds_to_fail = 1;
	start(world);
	assert_int_equal(world->pauses, 1);
	assert_int_equal(world->pause_error, ENOMEM);
	assert_int_equal(connect_in(world, port_of(world->listener, 0)), 0);
	wait_for_accepted(world, 1);
}

static void without_memory_for_anything_a_start_is_tried_again(void **state)
{
	struct world *world = *state;

	world->listener = listener_try(world, "127.0.0.1:0");
	event_adds_to_fail = 6; /* its one socket and its timer, three times */
	start(world);
	assert_int_equal(connect_in(world, port_of(world->listener, 0)), 0);
	wait_for_accepted(world, 1);
	assert_int_equal(event_adds_to_fail, 0);
}

static void a_paused_listener_can_be_stopped(void **state)
{
	struct world *world = *state;

	start_with_client(world);
	rlim_t before = no_descriptors();
	event_base_loop(world->base, EVLOOP_ONCE);
	descriptors_to(before);
	assert_int_equal(world->pauses, 1);
	listener_stop(world->listener);
	assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 1);
	assert_int_equal(world->accepted_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(accepted_sockets_inherit_the_options),
		TEST(star_is_both_families_and_peers_are_shown_as_they_are),
		TEST(any_ipv6_is_ipv6_alone),
		TEST(a_name_is_listened_on_at_all_its_addresses),
		TEST(a_taken_port_is_told),
		TEST(a_foreign_address_is_told),
		TEST(a_socket_file_has_its_mode_and_goes_with_the_listener),
		TEST(a_stale_socket_file_is_replaced),
		TEST(a_live_socket_is_left_alone),
		TEST(other_files_are_left_alone),
		TEST(a_file_that_took_the_place_stays),
		TEST(abstract_names_are_listened_on),
		TEST(inherited_sockets_are_found_by_name_again_and_again),
		TEST(several_inherited_sockets_of_one_name_are_one_listener),
		TEST(what_was_not_passed_is_refused),
		TEST(a_wake_up_accepts_64_at_most),
		TEST(stopped_from_accepted_the_rest_waits),
		TEST(without_descriptors_the_listener_pauses_and_goes_on),
		TEST(without_memory_for_a_pause_the_listener_goes_on),
		TEST(a_listener_that_cannot_be_watched_is_tried_again),
		TEST(without_memory_for_anything_a_start_is_tried_again),
		TEST(a_paused_listener_can_be_stopped),
	};
	for (int fd = INHERITED; fd < INHERITED + 2; fd++)
		dup2(STDERR_FILENO, fd);
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
