/* test_mailbox.c posts from other threads and from run() itself, and counts what arrives, in which order, after how
 * many wake-ups. It must never wait by the clock. */
#include "net/mailbox.h"

#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define POSTERS 4
#define MAILS 5000

struct owner {
	struct event_base *base;
	struct mailbox *box;
	size_t seen, stop_at;
	int next[POSTERS];
	int chain;                /* how many further mails each mail posts */
};

struct letter {
	struct mail mail;
	int poster, number;
};

static void letter_run(struct mail *mail, void *arg)
{
	struct letter *letter = (struct letter *)mail;
	struct owner *owner = arg;

	assert_int_equal(letter->number, owner->next[letter->poster]++);
	free(letter);
	if (++owner->seen == owner->stop_at)
		event_base_loopbreak(owner->base);
}

static void post_letter(struct mailbox *box, int poster, int number)
{
	struct letter *letter = malloc(sizeof(*letter));

	if (letter == NULL)
		abort();
	*letter = (struct letter){ .mail.run = letter_run, .poster = poster, .number = number };
	mailbox_post(box, &letter->mail);
}

static int setup(void **state)
{
	struct owner *owner = calloc(1, sizeof(*owner));
	struct event_config *config = event_config_new();

	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	owner->base = event_base_new_with_config(config);
	event_config_free(config);
	owner->box = mailbox_new(owner->base, owner);
	assert_non_null(owner->box);
	*state = owner;
	return 0;
}

static int teardown(void **state)
{
	struct owner *owner = *state;

	if (owner->box != NULL)
		mailbox_free(owner->box);
	event_base_free(owner->base);
	free(owner);
	return 0;
}

static void mails_run_once_and_in_order(void **state)
{
	struct owner *owner = *state;

	for (int i = 0; i < 100; i++)
		post_letter(owner->box, 0, i);
	assert_int_equal(owner->seen, 0); /* never from inside post */
	event_base_loop(owner->base, EVLOOP_ONCE);
	assert_int_equal(owner->seen, 100);
	event_base_loop(owner->base, EVLOOP_NONBLOCK);
	assert_int_equal(owner->seen, 100);
}

static void *poster_main(void *arg)
{
	struct owner *owner = arg;
	static _Atomic int posters;
	int poster = posters++ % POSTERS;

	for (int i = 0; i < MAILS; i++)
		post_letter(owner->box, poster, i);
	return NULL;
}

static void no_mail_is_lost_between_threads(void **state)
{
	struct owner *owner = *state;
	pthread_t threads[POSTERS];

	owner->stop_at = POSTERS * (size_t)MAILS;
	for (int i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, poster_main, owner), 0);
	event_base_dispatch(owner->base); /* hangs, and the run times out, if one is lost */
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(owner->next[i], MAILS);
	}
}

static void chain_run(struct mail *mail, void *arg)
{
	struct owner *owner = arg;

	owner->seen++;
	if (owner->chain-- > 0)
		mailbox_post(owner->box, mail);
	else
		event_base_loopbreak(owner->base);
}

static void mails_posted_from_run_are_run(void **state)
{
	struct owner *owner = *state;
	struct mail mail = { .run = chain_run };

	owner->chain = 10;
	mailbox_post(owner->box, &mail);
	event_base_dispatch(owner->base);
	assert_int_equal(owner->seen, 11);
}

static void free_runs_what_is_still_queued(void **state)
{
	struct owner *owner = *state;
	struct mail mail = { .run = chain_run };

	owner->chain = 3;
	mailbox_post(owner->box, &mail);
	mailbox_free(owner->box);
	owner->box = NULL;
	assert_int_equal(owner->seen, 4);
}

/* The eventfd's counter is the number of posts that woke: its descriptor is the one that mailbox_new opens next. */
static void a_burst_wakes_once(void **state)
{
	struct owner *owner = *state;
	int next = dup(STDERR_FILENO);
	eventfd_t wakes;

	close(next);
	struct mailbox *box = mailbox_new(owner->base, owner);
	for (int i = 0; i < 50; i++)
		post_letter(box, 0, i);
	assert_int_equal(eventfd_read(next, &wakes), 0);
	assert_int_equal(wakes, 1);
	mailbox_free(box);
	assert_int_equal(owner->seen, 50);
}

struct handover {
	struct mail mail;
	struct mailbox *box;
};

static void *post_last(void *arg)
{
	struct handover *handover = arg;

	mailbox_post(handover->box, &handover->mail);
	return NULL;
}

/* The owner may free the box as soon as it has seen the last mail, even if the poster has not come back from its
 * call. */
static void the_box_may_go_once_the_last_mail_was_run(void **state)
{
	struct owner *owner = *state;

	for (int i = 0; i < 200; i++) {
		struct handover handover = { .mail.run = chain_run, .box = mailbox_new(owner->base, owner) };
		pthread_t thread;

		owner->chain = 0;
		assert_int_equal(pthread_create(&thread, NULL, post_last, &handover), 0);
		event_base_dispatch(owner->base);
		mailbox_free(handover.box);
		pthread_join(thread, NULL);
	}
	assert_int_equal(owner->seen, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mails_run_once_and_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(no_mail_is_lost_between_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(mails_posted_from_run_are_run, setup, teardown),
		cmocka_unit_test_setup_teardown(free_runs_what_is_still_queued, setup, teardown),
		cmocka_unit_test_setup_teardown(a_burst_wakes_once, setup, teardown),
		cmocka_unit_test_setup_teardown(the_box_may_go_once_the_last_mail_was_run, setup, teardown),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
