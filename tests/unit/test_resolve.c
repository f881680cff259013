/* test_resolve.c asks a resolver whose look-up function is ours: it answers, fails or hangs as the test wants it.
 * It must never ask a real name server. */
#include "net/resolve.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	struct event_base *base;
	struct mailbox *box;
	struct resolver *resolver;

	/* The look-up's side. */
	_Atomic int calls;
	_Atomic int error;         /* EAI_* for every name; 0: answer */
	_Atomic int signals_open;  /* signals that a helper thread would have taken */
	sem_t entered, release, left;

	/* What was answered. */
	int answers, wanted;
	struct resolved last;
};

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) != 0)
		;
}

static void hang(sem_t *entered, sem_t *release, sem_t *left)
{
	sem_post(entered);
	wait_for(release);
	sem_post(left);
}

/* "hang" and what begins with it returns when the test posts release. */
static void look_up(void *arg, unsigned thread, const char *host, struct resolved *answer)
{
	struct world *world = arg;
	struct sockaddr_in in = { .sin_family = AF_INET };
	sigset_t blocked;

	(void)thread;
	world->calls++;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	world->signals_open += !sigismember(&blocked, SIGTERM) + !sigismember(&blocked, SIGCHLD);
	answer->error = world->error;
	answer->count = answer->error == 0 ? 1 : 0;
	inet_pton(AF_INET, "127.0.0.9", &in.sin_addr);
	memcpy(&answer->addr[0].sa, &in, sizeof(in));
	answer->addr[0].len = sizeof(in);
	if (strncmp(host, "hang", 4) == 0)
		hang(&world->entered, &world->release, &world->left);
}

static void on_answer(void *arg, const struct resolved *answer)
{
	struct world *world = arg;

	world->answers++;
	world->last = *answer;
	if (world->answers == world->wanted)
		event_base_loopbreak(world->base);
}

static void never_called(void *arg, const struct resolved *answer)
{
	(void)arg;
	(void)answer;
	fail_msg("called after cancel");
}

static struct world *world_new(unsigned threads, uint64_t fresh_ms)
{
	struct world *world = calloc(1, sizeof(*world));
	struct event_config *config = event_config_new();
	struct resolver_options options = {
		.threads = threads, .fresh_ms = fresh_ms, .lookup = look_up, .lookup_arg = world,
	};

	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	world->base = event_base_new_with_config(config);
	event_config_free(config);
	world->box = mailbox_new(world->base, world);
	sem_init(&world->entered, 0, 0);
	sem_init(&world->release, 0, 0);
	sem_init(&world->left, 0, 0);
	world->resolver = resolver_new(&options);
	assert_non_null(world->resolver);
	return world;
}

static void world_free(struct world *world)
{
	resolver_free(world->resolver);
	mailbox_free(world->box);
	event_base_free(world->base);
	free(world);
}

static int setup(void **state)
{
	*state = world_new(3, 0);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static struct resolve *ask(struct world *world, const char *host)
{
	struct resolve *resolve = resolve_start(world->resolver, world->box, host, 5900, on_answer, world);

	assert_non_null(resolve);
	return resolve;
}

static void await(struct world *world, int answers)
{
	world->wanted = world->answers + answers;
	event_base_dispatch(world->base);
}

static void ask_and_wait(struct world *world, const char *host)
{
	ask(world, host);
	await(world, 1);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

/* For answers to grow old. */
static void let_pass(struct world *world, int ms)
{
	struct timeval time = { .tv_usec = ms * 1000 };

	event_base_once(world->base, -1, EV_TIMEOUT, on_time, world->base, &time);
	event_base_dispatch(world->base);
}

static void check_answer(const struct resolved *answer, const char *host, unsigned port)
{
	char text[INET_ADDRSTRLEN];
	struct sockaddr_in in;

	assert_int_equal(answer->count, 1);
	assert_int_equal(answer->addr[0].len, sizeof(in));
	memcpy(&in, &answer->addr[0].sa, sizeof(in));
	assert_int_equal(in.sin_family, AF_INET);
	assert_int_equal(ntohs(in.sin_port), port);
	assert_string_equal(inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text)), host);
}

static void numbers_need_no_look_up(void **state)
{
	struct resolved answer;
	struct sockaddr_in6 in6;

	(void)state;
	assert_true(resolved_at_once("192.0.2.7", 80, &answer));
	check_answer(&answer, "192.0.2.7", 80);
	assert_true(resolved_at_once("fe80::1%lo", 80, &answer));
	memcpy(&in6, &answer.addr[0].sa, sizeof(in6));
	assert_int_equal(answer.addr[0].len, sizeof(in6));
	assert_int_equal(in6.sin6_family, AF_INET6);
	assert_int_equal(ntohs(in6.sin6_port), 80);
	assert_int_not_equal(in6.sin6_scope_id, 0);

	assert_false(resolved_at_once("127.1", 80, &answer));
	assert_false(resolved_at_once("fe80::1%nosuchinterface", 80, &answer));
	assert_int_equal(answer.count, 0);
}

static void answers_come_later_with_the_port(void **state)
{
	struct world *world = *state;

	ask(world, "a.test");
	assert_int_equal(world->answers, 0);
	await(world, 1);
	check_answer(&world->last, "127.0.0.9", 5900);
	assert_int_equal(world->signals_open, 0);
}

static void an_unknown_name_is_an_error(void **state)
{
	struct world *world = *state;

	world->error = EAI_NONAME;
	ask_and_wait(world, "a.test");
	assert_int_equal(world->last.count, 0);
	assert_int_equal(world->last.error, EAI_NONAME);
}

/* RFC 6761, section 6.3: nobody is asked for it, so nobody can say that it is elsewhere, or nowhere. */
static void localhost_needs_no_look_up(void **state)
{
	static const char *const here[] = { "localhost", "LocalHost", "localhost.", "a.localhost", "a.b.localhost." };
	static const char *const elsewhere[] = { "localhost.test", "xlocalhost", "localhos", "", ".", "localhost..", "host" };
	struct resolved answer, second;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(here); i++) {
		struct sockaddr_in6 in6;
		assert_true(resolved_at_once(here[i], 80, &answer));
		assert_int_equal(answer.count, 2);
		memcpy(&in6, &answer.addr[1].sa, sizeof(in6));
		assert_true(resolved_at_once("::1", 80, &second));
		assert_memory_equal(&in6, &second.addr[0].sa, sizeof(in6));
		answer.count = 1;
		check_answer(&answer, "127.0.0.1", 80);
	}
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
		assert_false(resolved_at_once(elsewhere[i], 80, &answer));
}

static void names_are_found_by_the_system(void **state)
{
	struct resolved answer;

	(void)state;
	resolved_by_system("localhost", 22, AI_ADDRCONFIG, &answer);
	assert_int_equal(answer.error, 0);
	assert_in_range(answer.count, 1, RESOLVED_MAX);
}

/* rl_dns_hang */
static void a_hanging_look_up_delays_no_other_name(void **state)
{
	struct world *world = *state;
	struct resolve *hanging = ask(world, "hang.test");

	wait_for(&world->entered);
	ask_and_wait(world, "a.test");
	ask_and_wait(world, "b.test");
	assert_int_equal(world->answers, 2);
	resolve_cancel(hanging);
	sem_post(&world->release);
	wait_for(&world->left);
}

static void those_who_ask_for_the_same_name_share_a_look_up(void **state)
{
	struct world *world = *state;

	ask(world, "hang.test");
	wait_for(&world->entered);
	for (int i = 0; i < 9; i++)
		ask(world, "hang.test");
	sem_post(&world->release);
	await(world, 10);
	assert_int_equal(world->calls, 1);
	wait_for(&world->left);
}

static void a_fresh_answer_is_used_again_but_never_at_once(void **state)
{
	struct world *world = *state;

	ask_and_wait(world, "a.test");
	ask(world, "a.test");
	assert_int_equal(world->answers, 1);
	await(world, 1);
	assert_int_equal(world->calls, 1);
	check_answer(&world->last, "127.0.0.9", 5900);
}

static void the_last_good_answer_helps_out_when_nobody_can_be_asked(void **state)
{
	struct world *world = world_new(1, 1);

	(void)state;
	ask_and_wait(world, "a.test");
	let_pass(world, 20);
	world->error = EAI_AGAIN;
	ask_and_wait(world, "a.test");
	assert_int_equal(world->calls, 2);
	check_answer(&world->last, "127.0.0.9", 5900);
	world_free(world);
}

static void a_name_that_is_gone_is_gone(void **state)
{
	struct world *world = world_new(1, 1);
	struct resolved answer;

	(void)state;
	ask_and_wait(world, "a.test");
	assert_true(resolve_last_good(world->resolver, "a.test", 7, &answer));
	check_answer(&answer, "127.0.0.9", 7);
	let_pass(world, 20);
	world->error = EAI_NONAME;
	ask_and_wait(world, "a.test");
	assert_int_equal(world->last.error, EAI_NONAME);
	assert_false(resolve_last_good(world->resolver, "a.test", 7, &answer));
	world_free(world);
}

static void the_last_good_answer_is_at_hand_while_a_look_up_hangs(void **state)
{
	struct world *world = world_new(1, 1);
	struct resolved answer;

	(void)state;
	sem_post(&world->release);
	ask_and_wait(world, "hang.test");
	wait_for(&world->entered);
	wait_for(&world->left);
	let_pass(world, 20);
	struct resolve *hanging = ask(world, "hang.test");
	wait_for(&world->entered);
	assert_true(resolve_last_good(world->resolver, "hang.test", 22, &answer));
	check_answer(&answer, "127.0.0.9", 22);
	resolve_cancel(hanging);
	sem_post(&world->release);
	wait_for(&world->left);
	world_free(world);
}

static void only_so_many_names_are_kept(void **state)
{
	struct world *world = *state;
	struct resolved answer;
	char host[32];

	for (int i = 0; i < RESOLVE_NAMES_MAX + 10; i++) {
		snprintf(host, sizeof(host), "n%d.test", i);
		ask_and_wait(world, host);
		ask_and_wait(world, "n0.test"); /* used all the time, so it stays */
	}
	assert_true(resolve_last_good(world->resolver, "n0.test", 1, &answer));
	assert_true(resolve_last_good(world->resolver, host, 1, &answer));
	assert_false(resolve_last_good(world->resolver, "n1.test", 1, &answer));
	assert_false(resolve_last_good(world->resolver, "n9.test", 1, &answer));
	assert_int_equal(world->calls, RESOLVE_NAMES_MAX + 10);
}

static void cancelled_before_the_answer(void **state)
{
	struct world *world = *state;
	struct resolve *hanging = resolve_start(world->resolver, world->box, "hang.test", 1, never_called, NULL);

	wait_for(&world->entered);
	ask(world, "hang.test");
	resolve_cancel(hanging);
	sem_post(&world->release);
	await(world, 1); /* the other asker is still answered */
	wait_for(&world->left);
}

static void cancelled_when_the_answer_is_already_under_way(void **state)
{
	struct world *world = *state;

	ask_and_wait(world, "a.test");
	resolve_cancel(resolve_start(world->resolver, world->box, "a.test", 1, never_called, NULL));
	ask_and_wait(world, "a.test");
	assert_int_equal(world->calls, 1);
}

static void cancelled_and_its_mailbox_freed_while_the_look_up_hangs(void **state)
{
	struct world *world = *state;

	resolve_cancel(resolve_start(world->resolver, world->box, "hang.test", 1, never_called, NULL));
	resolve_cancel(resolve_start(world->resolver, world->box, "hang.test", 1, never_called, NULL));
	mailbox_free(world->box);
	world->box = mailbox_new(world->base, world);
	/* Nobody waits for it any more: whether the look-up was begun is up to the threads. */
	sem_post(&world->release);
	ask_and_wait(world, "a.test");
}

static void let_go(struct world *world, struct resolve *hanging)
{
	resolve_cancel(hanging);
	sem_post(&world->release);
	wait_for(&world->left);
}

/* rl_dns_hang */
static void a_known_name_is_looked_up_anew_while_unknown_ones_hang(void **state)
{
	struct world *world = world_new(2, 1);
	struct resolve *hanging[2];

	(void)state;
	ask_and_wait(world, "a.test");
	let_pass(world, 20);
	hanging[0] = ask(world, "hang1.test");
	hanging[1] = ask(world, "hang2.test");
	wait_for(&world->entered);
	ask_and_wait(world, "a.test");
	assert_int_equal(world->calls, 3);
	let_go(world, hanging[0]);
	wait_for(&world->entered);
	let_go(world, hanging[1]);
	world_free(world);
}

static void known_names_that_begin_to_hang_count_as_unknown(void **state)
{
	struct world *world = world_new(2, 1);

	(void)state;
	ask_and_wait(world, "a.test");
	for (int i = 0; i < 2; i++) { /* once it is found, and once it hangs for longer than anybody waits */
		ask(world, "hang.test");
		wait_for(&world->entered);
		let_pass(world, i * RESOLVE_PATIENCE_MS / 2);
		let_pass(world, i * RESOLVE_PATIENCE_MS / 2 + 20);
		sem_post(&world->release);
		await(world, 1);
		wait_for(&world->left);
		let_pass(world, 20);
	}
	struct resolve *unknown = ask(world, "hang1.test"), *slow = ask(world, "hang.test");
	wait_for(&world->entered);
	ask_and_wait(world, "a.test");
	let_go(world, unknown);
	wait_for(&world->entered);
	let_go(world, slow);
	world_free(world);
}

/* Whoever takes the last good answer for want of a better one gives up waiting, and the look-up is made all the same. */
static void an_old_answer_is_never_used_without_a_new_look_up(void **state)
{
	struct world *world = world_new(1, 1);
	struct resolved answer;

	(void)state;
	ask_and_wait(world, "a.test");
	let_pass(world, 20);
	struct resolve *hanging = ask(world, "hang.test");
	wait_for(&world->entered);
	struct resolve *impatient = resolve_start(world->resolver, world->box, "a.test", 1, never_called, NULL);
	assert_true(resolve_last_good(world->resolver, "a.test", 1, &answer));
	resolve_cancel(impatient);
	let_go(world, hanging);
	ask_and_wait(world, "b.test"); /* behind it in the queue */
	assert_int_equal(world->calls, 4);
	world_free(world);
}

static void names_nobody_waits_for_are_not_looked_up(void **state)
{
	struct world *world = world_new(1, 0);
	struct resolve *hanging = ask(world, "hang.test");

	(void)state;
	wait_for(&world->entered);
	for (int i = 0; i < 5; i++) {
		char host[] = { 'a', (char)('0' + i), '\0' };
		resolve_cancel(resolve_start(world->resolver, world->box, host, 1, never_called, NULL));
	}
	resolve_cancel(hanging);
	sem_post(&world->release);
	ask_and_wait(world, "z.test");
	assert_int_equal(world->calls, 2);
	wait_for(&world->left);
	world_free(world);
}

/* Whatever the threads are at when it comes, a cancel holds. */
static void cancel_races_with_the_answer(void **state)
{
	struct world *world = world_new(2, 1);
	char host[32];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(host, sizeof(host), "n%d.test", i % 100);
		struct resolve *resolve = resolve_start(world->resolver, world->box, host, 1, never_called, NULL);
		for (int spin = 0; spin < i % 50 * 20; spin++)
			__asm__ volatile("");
		resolve_cancel(resolve);
		if (i % 7 == 0)
			event_base_loop(world->base, EVLOOP_NONBLOCK);
	}
	world_free(world);
}

static void free_begins_no_look_up(void **state)
{
	struct world *world = world_new(1, 0);
	struct resolve *hanging = ask(world, "hang.test"), *waiting = ask(world, "a.test");

	(void)state;
	wait_for(&world->entered);
	resolve_cancel(hanging);
	resolve_cancel(waiting);
	sem_post(&world->release);
	world_free(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_need_no_look_up),
		TEST(answers_come_later_with_the_port),
		TEST(an_unknown_name_is_an_error),
		cmocka_unit_test(localhost_needs_no_look_up),
		cmocka_unit_test(names_are_found_by_the_system),
		TEST(a_hanging_look_up_delays_no_other_name),
		TEST(those_who_ask_for_the_same_name_share_a_look_up),
		TEST(a_fresh_answer_is_used_again_but_never_at_once),
		cmocka_unit_test(the_last_good_answer_helps_out_when_nobody_can_be_asked),
		cmocka_unit_test(a_name_that_is_gone_is_gone),
		cmocka_unit_test(the_last_good_answer_is_at_hand_while_a_look_up_hangs),
		TEST(only_so_many_names_are_kept),
		TEST(cancelled_before_the_answer),
		TEST(cancelled_when_the_answer_is_already_under_way),
		TEST(cancelled_and_its_mailbox_freed_while_the_look_up_hangs),
		cmocka_unit_test(a_known_name_is_looked_up_anew_while_unknown_ones_hang),
		TEST(known_names_that_begin_to_hang_count_as_unknown),
		TEST(an_old_answer_is_never_used_without_a_new_look_up),
		cmocka_unit_test(names_nobody_waits_for_are_not_looked_up),
		cmocka_unit_test(cancel_races_with_the_answer),
		cmocka_unit_test(free_begins_no_look_up),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
