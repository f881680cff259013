/* test_dial.c dials sockets of its own on loopback: ones that answer, refuse, have a full backlog or swallow what
 * comes, under names that an injected look-up knows. It must never let a descriptor leak unseen. */
#include "net/dial.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS 20000 /* a deadline that no test reaches */

struct world {
	struct dial_env env;
	struct resolved answer;  /* of the injected look-up */
	_Atomic bool hang;
	sem_t entered, release, left;
	int descriptors;         /* open before the test began */
	int held[64];            /* closed at its end */
	size_t held_count;

	bool done;
	struct dial_outcome outcome;
};

/* --- surroundings ------------------------------------------------------------------------------------------------- */

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) != 0)
		;
}

static void look_up(void *arg, unsigned thread, const char *host, struct resolved *answer)
{
	struct world *world = arg;

	(void)host;
	(void)thread;
	if (world->hang) {
		sem_post(&world->entered);
		wait_for(&world->release);
	}
	*answer = world->answer;
	sem_post(&world->left);
}

static struct event_base *base_new(void)
{
	struct event_config *config = event_config_new();

	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct resolver_options options = { .threads = 1, .fresh_ms = 1, .lookup = look_up, .lookup_arg = world };

	sem_init(&world->entered, 0, 0);
	sem_init(&world->release, 0, 0);
	sem_init(&world->left, 0, 0);
	world->env.base = base_new();
	world->env.mailbox = mailbox_new(world->env.base, world);
	world->env.resolver = resolver_new(&options);
	world->descriptors = count_descriptors();
	*state = world;
	return 0;
}

/* What the test itself opened is closed here; then there must be as many descriptors as before, and one event, the
 * mailbox's. */
static int teardown(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < world->held_count; i++)
		close(world->held[i]);
	if (world->outcome.fd > 0)
		close(world->outcome.fd);
	int left = count_descriptors() - world->descriptors;
	int events = event_base_get_num_events(world->env.base, EVENT_BASE_COUNT_ADDED) - 1;
	resolver_free(world->env.resolver);
	mailbox_free(world->env.mailbox);
	event_base_free(world->env.base);
	free(world);
	if (left != 0 || events != 0)
		print_error("%d descriptors and %d events too many\n", left, events);
	return left == 0 && events == 0 ? 0 : -1;
}

static int hold(struct world *world, int fd)
{
	assert_true(fd >= 0);
	assert_true(world->held_count < ARRAY_LEN(world->held));
	return world->held[world->held_count++] = fd;
}

/* Binds to ip, port 0 meaning any; returns the port, or 0 when it is taken. */
static uint16_t bind_to(struct world *world, const char *ip, uint16_t port, int backlog)
{
	struct resolved at;
	struct sockaddr_in own; /* sin6_port is at the same place */
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	assert_true(resolved_at_once(ip, port, &at));
	int fd = hold(world, socket(at.addr[0].sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (bind(fd, (struct sockaddr *)&at.addr[0].sa, at.addr[0].len) != 0)
		return 0;
	if (backlog >= 0 && listen(fd, backlog) != 0)
		return 0;
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	memcpy(&own, &sa, sizeof(own));
	return ntohs(own.sin_port);
}

static int connect_to(struct world *world, const struct sockaddr *sa, socklen_t len)
{
	int fd = hold(world, socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));

	(void)!connect(fd, sa, len);
	return fd;
}

/* Fills the backlog of a listener of backlog 0: the kernel drops further SYNs, as a dead host does. */
static void make_black_hole(struct world *world, const char *ip, uint16_t port)
{
	struct resolved at;

	assert_int_equal(bind_to(world, ip, port, 0), port);
	assert_true(resolved_at_once(ip, port, &at));
	for (int i = 0; i < 3; i++)
		connect_to(world, (struct sockaddr *)&at.addr[0].sa, at.addr[0].len);
}

static void add_answer(struct world *world, const char *ip)
{
	struct resolved at;

	assert_true(resolved_at_once(ip, 0, &at));
	world->answer.addr[world->answer.count++] = at.addr[0];
}

/* --- dialling ----------------------------------------------------------------------------------------------------- */

static void on_outcome(void *arg, const struct dial_outcome *outcome)
{
	struct world *world = arg;

	assert_false(world->done);
	world->done = true;
	world->outcome = *outcome;
	event_base_loopbreak(world->env.base);
}

static void never_called(void *arg, const struct dial_outcome *outcome)
{
	(void)arg;
	(void)outcome;
	fail_msg("called after cancel");
}

static struct address target_of(const char *format, ...) printf_like(1, 2);
static struct address target_of(const char *format, ...)
{
	struct address target;
	struct err err;
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_init(&err);
	assert_int_equal(address_parse_target(&target, text, &err), 0);
	return target;
}

static void dial_target(struct world *world, const struct address *target, uint64_t timeout_ms)
{
	struct dial *dial = dial_start(&world->env, target, timeout_ms, on_outcome, world);

	assert_non_null(dial);
	assert_false(world->done); /* never from inside dial_start */
	event_base_dispatch(world->env.base);
	assert_true(world->done);
}

static void dial_text(struct world *world, const char *host, uint16_t port, uint64_t timeout_ms)
{
	struct address target = target_of("%s:%u", host, port);

	dial_target(world, &target, timeout_ms);
	address_clear(&target);
}

static void check_outcome(const struct world *world, enum dial_result result, int error)
{
	assert_int_equal(world->outcome.result, result);
	assert_int_equal(world->outcome.error, error);
	if (result != DIAL_OK)
		assert_int_equal(world->outcome.fd, -1);
}

static void check_winner(const struct world *world, const char *text)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	char got[ADDR_TEXT_MAX];

	check_outcome(world, DIAL_OK, 0);
	assert_int_equal(getpeername(world->outcome.fd, (struct sockaddr *)&peer, &len), 0);
	addr_format((const struct sockaddr *)&peer, len, got);
	assert_string_equal(got, text);
}

/* A path of our own that no file has. */
static struct address unix_target(char dir[32], const char *name)
{
	strcpy(dir, "/tmp/sallyport.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return target_of("unix:%s/%s", dir, name);
}

static void unix_target_clear(struct address *target, const char *dir)
{
	unlink(target->name);
	assert_int_equal(rmdir(dir), 0);
	address_clear(target);
}

static int unix_listen(struct world *world, const struct address *target, int backlog)
{
	struct sockaddr_un sa;
	socklen_t len = address_unix_sockaddr(target, &sa);
	int fd = hold(world, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void unix_fill(struct world *world, const struct address *target)
{
	struct sockaddr_un sa;
	socklen_t len = address_unix_sockaddr(target, &sa);

	for (int i = 0; i < 3; i++)
		connect_to(world, (struct sockaddr *)&sa, len);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* rl_cloexec */
static void a_number_is_reached_and_its_socket_prepared(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.1", 0, 8);
	char want[ADDR_TEXT_MAX];

	dial_text(world, "127.0.0.1", port, LONG_MS);
	snprintf(want, sizeof(want), "127.0.0.1:%u", port);
	check_winner(world, want);
	int fd = world->outcome.fd;
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
}

static void a_port_without_listener_refuses(void **state)
{
	struct world *world = *state;

	dial_text(world, "127.0.0.1", bind_to(world, "127.0.0.1", 0, -1), LONG_MS);
	check_outcome(world, DIAL_REFUSED, ECONNREFUSED);
}

/* A dial that begins inside a callback of the loop, as a worker's do. */
struct beginner {
	struct world *world;
	const struct address *target;
};

static void on_begin(evutil_socket_t fd, short what, void *arg)
{
	struct beginner *beginner = arg;
	struct world *world = beginner->world;

	(void)fd;
	(void)what;
	assert_non_null(dial_start(&world->env, beginner->target, LONG_MS, on_outcome, world));
	assert_false(world->done);
}

static void dial_within_a_turn(struct world *world, const char *host, uint16_t port)
{
	struct address target = target_of("%s:%u", host, port);
	struct beginner beginner = { world, &target };
	struct event *begin = event_new(world->env.base, -1, 0, on_begin, &beginner);

	world->done = false;
	event_active(begin, EV_TIMEOUT, 1);
	event_base_loop(world->env.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	event_free(begin);
	address_clear(&target);
	assert_true(world->done);
}

static void within_one_host_it_takes_no_further_turn(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.1", 0, 8), refusing = bind_to(world, "127.0.0.2", 0, -1);
	char want[ADDR_TEXT_MAX];

	dial_within_a_turn(world, "127.0.0.2", refusing);
	check_outcome(world, DIAL_REFUSED, ECONNREFUSED);
	dial_within_a_turn(world, "127.0.0.1", port);
	snprintf(want, sizeof(want), "127.0.0.1:%u", port);
	check_winner(world, want);
	int byte = 'x';
	assert_int_equal(send(world->outcome.fd, &byte, 1, MSG_NOSIGNAL), 1); /* it is connected, not only said to be */
}

static void a_window_can_be_limited(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.1", 0, 8);

	world->env.receive_buffer = 20000;
	dial_text(world, "127.0.0.1", port, LONG_MS);
	check_outcome(world, DIAL_OK, 0);
	assert_int_equal(option(world->outcome.fd, SOL_SOCKET, SO_RCVBUF), 2 * 20000); /* Linux doubles it */
}

static void take_all(evutil_socket_t fd, short what, void *arg)
{
	int listener = *(const int *)arg, taken;

	(void)fd;
	(void)what;
	listen(listener, 16); /* or those that filled it would fill it again */
	fcntl(listener, F_SETFL, O_NONBLOCK);
	while ((taken = accept(listener, NULL, NULL)) >= 0)
		close(taken);
}

/* Its first SYN is dropped, and the one that follows a second later is answered. */
static void a_target_that_answers_late_is_reached(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.3", 0, -1);
	char want[ADDR_TEXT_MAX];
	struct timeval soon = { 0, 100000 };

	make_black_hole(world, "127.0.0.2", port);
	int *listener = &world->held[world->held_count - 4]; /* in front of the three that fill it */
	event_base_once(world->env.base, -1, EV_TIMEOUT, take_all, listener, &soon);
	uint64_t before = clock_ms();
	dial_text(world, "127.0.0.2", port, LONG_MS);
	assert_in_range(clock_ms() - before, 150, LONG_MS);
	snprintf(want, sizeof(want), "127.0.0.2:%u", port);
	check_winner(world, want);
}

static void a_black_hole_times_out(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.3", 0, -1);

	make_black_hole(world, "127.0.0.2", port);
	dial_text(world, "127.0.0.2", port, 100);
	check_outcome(world, DIAL_TIMED_OUT, ETIMEDOUT);
}

static void the_next_address_is_tried_while_the_first_hangs(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.3", 0, 8);
	char want[ADDR_TEXT_MAX];

	make_black_hole(world, "127.0.0.2", port);
	add_answer(world, "127.0.0.2");
	add_answer(world, "127.0.0.3");
	uint64_t before = clock_ms();
	dial_text(world, "two.test", port, LONG_MS);
	assert_in_range(clock_ms() - before, 230, LONG_MS); /* not both at once; and the clock is coarse */
	snprintf(want, sizeof(want), "127.0.0.3:%u", port);
	check_winner(world, want);
}

/* Three that hang in front of one that answers, where so many descriptors are spare. */
static void check_spare(struct world *world, unsigned spare, int most)
{
	uint16_t port = bind_to(world, "127.0.0.5", 0, 1);
	unsigned left = spare;

	for (const char *const *ip = (const char *const[]){ "127.0.0.2", "127.0.0.3", "127.0.0.4", NULL }; *ip != NULL; ip++) {
		make_black_hole(world, *ip, port);
		add_answer(world, *ip);
	}
	add_answer(world, "127.0.0.5");
	world->env.spare = &left;
	int before = count_descriptors();
	struct address target = target_of("many.test:%u", port);
	struct dial *dial = dial_start(&world->env, &target, LONG_MS, on_outcome, world);
	assert_non_null(dial);
	while (!world->done) {
		event_base_loop(world->env.base, EVLOOP_ONCE);
		assert_true(count_descriptors() - before <= most);
	}
	check_outcome(world, DIAL_OK, 0);
	assert_int_equal(left, spare);
	address_clear(&target);
}

static void without_spare_descriptors_the_oldest_attempt_gives_way(void **state)
{
	check_spare(*state, 0, 1);
}

static void a_spare_descriptor_is_one_more_attempt(void **state)
{
	check_spare(*state, 1, 2);
}

static void the_next_address_is_tried_at_once_when_the_first_refuses(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.3", 0, 8);
	char want[ADDR_TEXT_MAX];

	bind_to(world, "127.0.0.2", port, -1);
	add_answer(world, "127.0.0.2");
	add_answer(world, "127.0.0.3");
	dial_text(world, "two.test", port, 200); /* less than the stagger */
	snprintf(want, sizeof(want), "127.0.0.3:%u", port);
	check_winner(world, want);
}

static void all_addresses_refuse(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.2", 0, -1);

	for (int i = 0; i < RESOLVED_MAX; i++)
		add_answer(world, "127.0.0.2");
	dial_text(world, "many.test", port, LONG_MS);
	check_outcome(world, DIAL_REFUSED, ECONNREFUSED);
}

static void families_take_turns(void **state)
{
	struct world *world = *state;
	uint16_t port = 0;
	char want[ADDR_TEXT_MAX];

	for (int i = 0; i < 10 && (port = bind_to(world, "::1", 0, 8)) != 0; i++)
		if (bind_to(world, "127.0.0.3", port, 8) != 0)
			break;
	if (port == 0)
		skip(); /* no IPv6 here */
	make_black_hole(world, "127.0.0.2", port);
	add_answer(world, "127.0.0.2");
	add_answer(world, "127.0.0.3"); /* would be the next one without turns */
	add_answer(world, "::1");
	dial_text(world, "three.test", port, LONG_MS);
	snprintf(want, sizeof(want), "[::1]:%u", port);
	check_winner(world, want);
}

static void a_name_without_address_is_not_found(void **state)
{
	struct world *world = *state;

	world->answer.error = EAI_NONAME;
	dial_text(world, "none.test", 80, LONG_MS);
	check_outcome(world, DIAL_NOT_FOUND, EAI_NONAME);
}

static void the_last_good_answer_is_dialled_when_none_comes(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.3", 0, 8);
	char want[ADDR_TEXT_MAX];

	snprintf(want, sizeof(want), "127.0.0.3:%u", port);
	add_answer(world, "127.0.0.3");
	for (int i = 0; i < 2; i++) {
		dial_text(world, "kept.test", port, LONG_MS);
		check_winner(world, want);
		hold(world, world->outcome.fd);
		world->done = false;
		world->answer = (struct resolved){ .error = EAI_AGAIN };
		usleep(20000); /* until the answer is no longer fresh */
	}
}

static void a_look_up_that_hangs_times_out(void **state)
{
	struct world *world = *state;

	world->hang = true;
	dial_text(world, "hang.test", 80, 100);
	check_outcome(world, DIAL_TIMED_OUT, ETIMEDOUT);
	sem_post(&world->release);
	wait_for(&world->left);
}

static void a_look_up_that_hangs_gives_way_to_the_last_good_answer(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.3", 0, 8);
	char want[ADDR_TEXT_MAX];

	add_answer(world, "127.0.0.3");
	dial_text(world, "hang.test", port, LONG_MS);
	wait_for(&world->left);
	hold(world, world->outcome.fd);
	world->done = false;

	world->hang = true;
	usleep(20000); /* until the answer is no longer fresh */
	dial_text(world, "hang.test", port, LONG_MS);
	snprintf(want, sizeof(want), "127.0.0.3:%u", port);
	check_winner(world, want);
	sem_post(&world->release);
	wait_for(&world->left);
}

static void no_descriptor_is_left(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.1", 0, 8);
	struct rlimit before, none;
	int next = dup(STDERR_FILENO);

	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	none = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	dial_text(world, "127.0.0.1", port, LONG_MS);
	setrlimit(RLIMIT_NOFILE, &before);
	check_outcome(world, DIAL_NO_RESOURCE, EMFILE);
}

static void a_unix_socket_answers_at_once_but_is_reported_later(void **state)
{
	struct world *world = *state;
	struct address target = target_of("unix:@sallyport-test-%d", getpid());

	unix_listen(world, &target, 8);
	dial_target(world, &target, LONG_MS);
	check_winner(world, target.text);
	assert_int_equal(fcntl(world->outcome.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(world->outcome.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	address_clear(&target);
}

static void unix_sockets_that_nobody_serves_refuse(void **state)
{
	struct world *world = *state;
	char dir[32];
	struct address target = unix_target(dir, "socket");

	dial_target(world, &target, LONG_MS);
	check_outcome(world, DIAL_REFUSED, ENOENT);
	world->done = false;
	unix_listen(world, &target, -1);
	dial_target(world, &target, LONG_MS);
	check_outcome(world, DIAL_REFUSED, ECONNREFUSED);
	unix_target_clear(&target, dir);
}

static void accept_some(evutil_socket_t fd, short what, void *arg)
{
	struct world *world = arg;

	(void)what;
	hold(world, accept4(fd, NULL, NULL, SOCK_CLOEXEC));
}

static void a_full_unix_backlog_is_tried_again_until_it_drains(void **state)
{
	struct world *world = *state;
	char dir[32];
	struct address target = unix_target(dir, "socket");
	int fd = unix_listen(world, &target, 0);
	struct event *drain = event_new(world->env.base, fd, 0, accept_some, world);
	struct timeval later = { .tv_usec = 50000 };

	unix_fill(world, &target);
	event_add(drain, &later);
	dial_target(world, &target, LONG_MS);
	check_winner(world, target.text);
	event_free(drain);
	unix_target_clear(&target, dir);
}

static void a_full_unix_backlog_times_out(void **state)
{
	struct world *world = *state;
	char dir[32];
	struct address target = unix_target(dir, "socket");

	unix_listen(world, &target, 0);
	unix_fill(world, &target);
	dial_target(world, &target, 100);
	check_outcome(world, DIAL_TIMED_OUT, ETIMEDOUT);
	unix_target_clear(&target, dir);
}

/* --- cancel ------------------------------------------------------------------------------------------------------- */

/* Cancels after so many turns of the loop, and then turns it some more: teardown sees descriptors that stayed open. */
static void cancel_after(struct world *world, const struct address *target, int turns)
{
	struct dial *dial = dial_start(&world->env, target, LONG_MS, never_called, NULL);

	assert_non_null(dial);
	for (int i = 0; i < turns; i++)
		event_base_loop(world->env.base, EVLOOP_NONBLOCK);
	dial_cancel(dial);
	for (int i = 0; i < 3; i++)
		event_base_loop(world->env.base, EVLOOP_NONBLOCK);
}

static void cancelled_while_looking_up(void **state)
{
	struct world *world = *state;
	struct address target = target_of("hang.test:80");

	world->hang = true;
	struct dial *dial = dial_start(&world->env, &target, LONG_MS, never_called, NULL);
	wait_for(&world->entered);
	dial_cancel(dial);
	sem_post(&world->release);
	wait_for(&world->left);
	event_base_loop(world->env.base, EVLOOP_NONBLOCK);
	address_clear(&target);
}

static void cancelled_with_the_answer_in_the_mailbox(void **state)
{
	struct world *world = *state;
	struct address target = target_of("a.test:80");

	add_answer(world, "127.0.0.1");
	struct dial *dial = dial_start(&world->env, &target, LONG_MS, never_called, NULL);
	wait_for(&world->left);
	dial_cancel(dial);
	event_base_loop(world->env.base, EVLOOP_NONBLOCK);
	address_clear(&target);
}

static void cancelled_while_connecting(void **state)
{
	struct world *world = *state;
	uint16_t port = bind_to(world, "127.0.0.3", 0, 8);
	struct address target = target_of("127.0.0.2:%u", port);

	make_black_hole(world, "127.0.0.2", port);
	cancel_after(world, &target, 0);
	cancel_after(world, &target, 2);
	address_clear(&target);
}

static void cancelled_between_connected_and_reported(void **state)
{
	struct world *world = *state;
	struct address target = target_of("unix:@sallyport-test-%d", getpid());

	unix_listen(world, &target, 8);
	cancel_after(world, &target, 0);
	address_clear(&target);
}

static void cancelled_between_failed_and_reported(void **state)
{
	struct world *world = *state;
	struct address target = target_of("unix:@sallyport-nobody-%d", getpid());

	cancel_after(world, &target, 0);
	address_clear(&target);
}

static void cancelled_while_waiting_to_retry(void **state)
{
	struct world *world = *state;
	struct address target = target_of("unix:@sallyport-test-%d", getpid());

	unix_listen(world, &target, 0);
	unix_fill(world, &target);
	cancel_after(world, &target, 0);
	cancel_after(world, &target, 1);
	address_clear(&target);
}

/* What the callback may do: free all that the caller brought. */
struct caller {
	struct world *world;
	struct address target;
};

static void on_outcome_free_all(void *arg, const struct dial_outcome *outcome)
{
	struct caller *caller = arg;

	on_outcome(caller->world, outcome);
	address_clear(&caller->target);
	free(caller);
}

static void the_callback_may_free_the_caller(void **state)
{
	struct world *world = *state;
	struct caller *caller = calloc(1, sizeof(*caller));

	caller->world = world;
	caller->target = target_of("127.0.0.1:%u", bind_to(world, "127.0.0.1", 0, 8));
	assert_non_null(dial_start(&world->env, &caller->target, LONG_MS, on_outcome_free_all, caller));
	event_base_dispatch(world->env.base);
	check_outcome(world, DIAL_OK, 0);
}

/* --- in a network of our own, with a single port to connect from -------------------------------------------------- */

#define ONLY_PORT 40000

static bool enter_own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return false;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	close(fd);
	FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "we");
	return up && range != NULL && fprintf(range, "%d %d\n", ONLY_PORT, ONLY_PORT) > 0 && fclose(range) == 0;
}

enum { CHILD_FINE = 0, CHILD_CANNOT = 77 };

static struct dial_outcome dial_in_child(struct world *world, uint16_t port)
{
	struct address target = target_of("127.0.0.1:%u", port);

	world->done = false;
	if (dial_start(&world->env, &target, LONG_MS, on_outcome, world) == NULL)
		_exit(2);
	event_base_dispatch(world->env.base);
	address_clear(&target);
	return world->outcome;
}

static int child_main(void)
{
	struct world world = { .env.base = NULL };

	if (!enter_own_network())
		return CHILD_CANNOT;
	world.env.base = base_new();
	/* Nobody listens there, but the connect would find itself. */
	struct dial_outcome itself = dial_in_child(&world, ONLY_PORT);
	if (itself.result != DIAL_REFUSED || itself.error != ECONNREFUSED)
		return 3;

	uint16_t port = bind_to(&world, "127.0.0.1", 50000, 8);
	if (dial_in_child(&world, port).result != DIAL_OK)
		return 4;
	struct dial_outcome exhausted = dial_in_child(&world, port);
	return exhausted.result == DIAL_NO_RESOURCE && exhausted.error == EADDRNOTAVAIL ? CHILD_FINE : 5;
}

/* rl_ports, and the connection to oneself. A child, since the network is a process's for good. */
static void ports_run_out_and_nobody_meets_himself(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(child_main());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_CANNOT)
		skip();
	assert_int_equal(WEXITSTATUS(status), CHILD_FINE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_run_out_and_nobody_meets_himself),
		TEST(a_number_is_reached_and_its_socket_prepared),
		TEST(a_port_without_listener_refuses),
		TEST(within_one_host_it_takes_no_further_turn),
		TEST(a_window_can_be_limited),
		TEST(a_target_that_answers_late_is_reached),
		TEST(a_black_hole_times_out),
		TEST(the_next_address_is_tried_while_the_first_hangs),
		TEST(without_spare_descriptors_the_oldest_attempt_gives_way),
		TEST(a_spare_descriptor_is_one_more_attempt),
		TEST(the_next_address_is_tried_at_once_when_the_first_refuses),
		TEST(all_addresses_refuse),
		TEST(families_take_turns),
		TEST(a_name_without_address_is_not_found),
		TEST(the_last_good_answer_is_dialled_when_none_comes),
		TEST(a_look_up_that_hangs_times_out),
		TEST(a_look_up_that_hangs_gives_way_to_the_last_good_answer),
		TEST(no_descriptor_is_left),
		TEST(a_unix_socket_answers_at_once_but_is_reported_later),
		TEST(unix_sockets_that_nobody_serves_refuse),
		TEST(a_full_unix_backlog_is_tried_again_until_it_drains),
		TEST(a_full_unix_backlog_times_out),
		TEST(cancelled_while_looking_up),
		TEST(cancelled_with_the_answer_in_the_mailbox),
		TEST(cancelled_while_connecting),
		TEST(cancelled_between_connected_and_reported),
		TEST(cancelled_between_failed_and_reported),
		TEST(cancelled_while_waiting_to_retry),
		TEST(the_callback_may_free_the_caller),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
