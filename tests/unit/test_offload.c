/* test_offload.c starts jobs that meet the test at semaphores, and cancels them wherever they can be.
 * It must never wait by the clock. */
#include "net/offload.h"

#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS_MAX 4

static struct world {
	struct event_base *base;
	struct mailbox *box;
	struct offload *offload;
	_Atomic int worked, dropped, signals_open, on_thread[THREADS_MAX];
	int done, wanted;
	sem_t entered, release;
} world;

struct task {
	struct offload_job job; /* first */
	int number;             /* of done ones; 0: in whatever order */
	_Atomic int rounds;     /* for one without an owner */
};

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) != 0)
		;
}

/* --- threads: one cannot be started, and one is released when it is waited for ------------------------------------------ */

static int threads_until_failure = -1;
static bool released_at_join;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (threads_until_failure >= 0 && threads_until_failure-- == 0)
		return EAGAIN;
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(thread, attr, start, arg);
}

int pthread_join(pthread_t thread, void **result)
{
	int (*real)(pthread_t, void **);

	*(void **)&real = dlsym(RTLD_NEXT, "pthread_join");
	if (released_at_join)
		sem_post(&world.release);
	return real(thread, result);
}

/* --- a world ------------------------------------------------------------------------------------------------------------ */

static void begin(unsigned threads, unsigned reserved, size_t queue_max)
{
	struct event_config *config = event_config_new();

	memset(&world, 0, sizeof(world));
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	world.base = event_base_new_with_config(config);
	event_config_free(config);
	world.box = mailbox_new(world.base, &world);
	sem_init(&world.entered, 0, 0);
	sem_init(&world.release, 0, 0);
	world.offload = offload_new(threads, reserved, queue_max);
	assert_non_null(world.offload);
}

static void end(void)
{
	offload_free(world.offload);
	if (world.box != NULL)
		mailbox_free(world.box);
	event_base_free(world.base);
}

/* --- tasks ---------------------------------------------------------------------------------------------------------------- */

static void work(struct offload_job *job, unsigned thread)
{
	sigset_t blocked;

	(void)job;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	world.signals_open += !sigismember(&blocked, SIGTERM) + !sigismember(&blocked, SIGCHLD);
	world.on_thread[thread]++;
	world.worked++;
}

static void work_until_released(struct offload_job *job, unsigned thread)
{
	sem_post(&world.entered);
	wait_for(&world.release);
	work(job, thread);
}

static void work_never(struct offload_job *job, unsigned thread)
{
	(void)job;
	(void)thread;
	abort();
}

static void done(struct offload_job *job)
{
	struct task *task = (struct task *)job;

	world.done++;
	assert_true(task->number == 0 || task->number == world.done);
	free(task);
	if (world.done == world.wanted)
		event_base_loopbreak(world.base);
}

static void done_never(struct offload_job *job)
{
	(void)job;
	fail_msg("done after cancel");
}

static void drop(struct offload_job *job)
{
	free(job);
	world.dropped++;
}

static void drop_and_tell(struct offload_job *job)
{
	drop(job);
	sem_post(&world.entered);
}

static struct task *task_new(void (*work_of_it)(struct offload_job *, unsigned))
{
	struct task *task = calloc(1, sizeof(*task));

	task->job.work = work_of_it;
	task->job.done = done;
	task->job.drop = drop;
	return task;
}

static struct task *start(struct task *task)
{
	assert_int_equal(offload_start(world.offload, &task->job, world.box), 0);
	return task;
}

static void await_done(int more)
{
	world.wanted = world.done + more;
	event_base_dispatch(world.base);
}

/* --- tests ---------------------------------------------------------------------------------------------------------------- */

static void jobs_are_done_later_and_in_their_order(void **state)
{
	(void)state;
	begin(1, 0, 100);
	for (int i = 0; i < 50; i++)
		start(task_new(work))->number = i + 1;
	assert_int_equal(world.done, 0);
	await_done(50);
	assert_int_equal(world.worked, 50);
	assert_int_equal(world.signals_open, 0);
	assert_int_equal(world.dropped, 0);
	end();
}

static void each_thread_has_a_number(void **state)
{
	(void)state;
	begin(THREADS_MAX, 0, THREADS_MAX);
	for (int i = 0; i < THREADS_MAX; i++)
		start(task_new(work_until_released));
	for (int i = 0; i < THREADS_MAX; i++)
		wait_for(&world.entered);
	for (int i = 0; i < THREADS_MAX; i++)
		sem_post(&world.release);
	await_done(THREADS_MAX);
	for (int i = 0; i < THREADS_MAX; i++)
		assert_int_equal(world.on_thread[i], 1);
	end();
}

static void more_than_the_queue_takes_are_refused(void **state)
{
	struct task *refused = task_new(work);

	(void)state;
	begin(1, 0, 2);
	start(task_new(work_until_released));
	wait_for(&world.entered);
	start(task_new(work));
	start(task_new(work));
	assert_int_equal(offload_start(world.offload, &refused->job, world.box), -1);
	sem_post(&world.release);
	await_done(3);
	start(refused);
	await_done(1);
	assert_int_equal(world.worked, 4);
	end();
}

static void one_that_waits_is_dropped_at_once(void **state)
{
	(void)state;
	begin(1, 0, 2);
	start(task_new(work_until_released));
	wait_for(&world.entered);
	struct task *waits = start(task_new(work_never));
	waits->job.done = done_never;
	offload_cancel(&waits->job);
	assert_int_equal(world.dropped, 1);
	sem_post(&world.release);
	await_done(1);
	end();
}

static void one_that_runs_is_dropped_when_it_returns_and_the_mailbox_may_be_gone(void **state)
{
	struct task *task = task_new(work_until_released);

	(void)state;
	begin(1, 0, 1);
	task->job.done = done_never;
	task->job.drop = drop_and_tell;
	start(task);
	wait_for(&world.entered);
	offload_cancel(&task->job);
	mailbox_free(world.box);
	world.box = NULL;
	assert_int_equal(world.dropped, 0);
	sem_post(&world.release);
	wait_for(&world.entered);
	assert_int_equal(world.worked, 1);
	assert_int_equal(world.dropped, 1);
	end();
}

static void one_that_has_run_is_dropped_instead_of_done(void **state)
{
	struct task *task = task_new(work);

	(void)state;
	begin(1, 0, 2);
	task->job.done = done_never;
	start(task);
	start(task_new(work_until_released)); /* by the time this one runs, the answer of the first is in the box */
	wait_for(&world.entered);
	offload_cancel(&task->job);
	assert_int_equal(world.dropped, 0);
	sem_post(&world.release);
	await_done(1);
	assert_int_equal(world.dropped, 1);
	end();
}

static void jobs_that_may_hang_leave_threads_for_the_others(void **state)
{
	(void)state;
	begin(2, 1, 10);
	for (int i = 0; i < 3; i++) {
		struct task *hangs = task_new(work_until_released);
		hangs->job.may_hang = true;
		start(hangs);
	}
	wait_for(&world.entered);
	start(task_new(work));
	await_done(1);
	assert_int_equal(sem_trywait(&world.entered), -1); /* the second waits, as a thread is idle */
	for (int i = 0; i < 3; i++)
		sem_post(&world.release);
	await_done(3);
	end();
}

static void work_again(struct offload_job *job, unsigned thread)
{
	struct task *task = (struct task *)job;

	(void)thread;
	world.worked++;
	if (--task->rounds > 0) {
		assert_int_equal(offload_start(world.offload, job, NULL), 0);
		return;
	}
	free(task);
	sem_post(&world.entered);
}

static void one_without_an_owner_is_its_works(void **state)
{
	struct task *task = task_new(work_again);

	(void)state;
	begin(2, 0, 1);
	task->rounds = 1000;
	assert_int_equal(offload_start(world.offload, &task->job, NULL), 0);
	wait_for(&world.entered);
	assert_int_equal(world.worked, 1000);
	end();
}

static void free_waits_for_those_that_run_and_begins_no_other(void **state)
{
	struct task *runs = task_new(work_until_released), *forgotten = task_new(work_never);

	(void)state;
	begin(1, 0, 1);
	start(runs);
	wait_for(&world.entered);
	assert_int_equal(offload_start(world.offload, &forgotten->job, NULL), 0);
	offload_cancel(&runs->job);
	released_at_join = true;
	end();
	released_at_join = false;
	assert_int_equal(world.worked, 1);
	assert_int_equal(world.dropped, 1);
	free(forgotten);
}

static void end_waits_for_no_job_that_hangs(void **state)
{
	(void)state;
	begin(2, 0, 1);
	struct task *hangs = start(task_new(work_until_released));
	wait_for(&world.entered);
	offload_cancel(&hangs->job);
	assert_int_equal(offload_end(world.offload, 0), -1);
	assert_int_equal(offload_end(world.offload, 0), -1);
	assert_int_equal(world.dropped, 0);
	sem_post(&world.release);
	assert_int_equal(offload_end(world.offload, 60), 0);
	assert_int_equal(world.dropped, 1);
	end();
}

static void without_threads_there_is_none(void **state)
{
	(void)state;
	begin(1, 0, 1);
	threads_until_failure = 1;
	assert_null(offload_new(3, 0, 1));
	assert_int_equal(errno, EAGAIN);
	threads_until_failure = -1;
	end();
}

/* Whatever the threads are at when it comes, a cancel holds. */
static void cancel_races_with_the_work(void **state)
{
	enum { ROUNDS = 5000 };

	(void)state;
	begin(2, 0, ROUNDS);
	for (int i = 0; i < ROUNDS; i++) {
		struct task *task = task_new(work);
		task->job.done = done_never;
		start(task);
		for (int spin = 0; spin < i % 50 * 20; spin++)
			__asm__ volatile("");
		offload_cancel(&task->job);
		if (i % 7 == 0)
			event_base_loop(world.base, EVLOOP_NONBLOCK);
	}
	end();
	assert_int_equal(world.dropped, ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_are_done_later_and_in_their_order),
		cmocka_unit_test(each_thread_has_a_number),
		cmocka_unit_test(more_than_the_queue_takes_are_refused),
		cmocka_unit_test(one_that_waits_is_dropped_at_once),
		cmocka_unit_test(one_that_runs_is_dropped_when_it_returns_and_the_mailbox_may_be_gone),
		cmocka_unit_test(one_that_has_run_is_dropped_instead_of_done),
		cmocka_unit_test(jobs_that_may_hang_leave_threads_for_the_others),
		cmocka_unit_test(one_without_an_owner_is_its_works),
		cmocka_unit_test(free_waits_for_those_that_run_and_begins_no_other),
		cmocka_unit_test(end_waits_for_no_job_that_hangs),
		cmocka_unit_test(without_threads_there_is_none),
		cmocka_unit_test(cancel_races_with_the_work),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
