/* test_stream.c has streams on socket pairs that are looked at, or that cannot be watched, because libevent has no memory
 * for it. It must never wait for a time: what is wrong leaves the loop without an event, and that ends it. */
#include "net/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "no_memory.h"

static int sends_to_fail;

/* Stands in front of the C library's. */
ssize_t send(int fd, const void *data, size_t len, int flags)
{
	static ssize_t (*libc)(int, const void *, size_t, int);

	if (sends_to_fail > 0) {
		sends_to_fail--;
		errno = ENOBUFS;
		return -1;
	}
	if (libc == NULL)
		*(void **)&libc = dlsym(RTLD_NEXT, "send");
	return libc(fd, data, len, flags);
}

struct world {
	struct event_base *base;
	struct stream stream;
	int peer;
	int readable;
	ssize_t read;
	char got[16];
};

static void on_event(void *owner, struct stream *stream, enum stream_event event)
{
	struct world *world = owner;

	assert_int_equal(event, STREAM_READABLE);
	world->readable++;
	world->read = stream_read(stream, world->got, sizeof(world->got));
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	int pair[2];

	event_adds_to_fail = 0;
	world->base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	world->peer = pair[1];
	stream_open(&world->stream, world->base, pair[0], on_event, world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	stream_close(&world->stream, false);
	close(world->peer);
	event_base_free(world->base);
	free(world);
	return 0;
}

static void turn(struct world *world)
{
	event_base_loop(world->base, EVLOOP_NONBLOCK);
}

static void check_failed(const struct world *world)
{
	char text[64];

	assert_int_equal(world->readable, 1);
	assert_int_equal(world->read, STREAM_FAILED);
	assert_true(world->stream.eof);
	stream_error_text(&world->stream, text, sizeof(text));
	assert_string_equal(text, strerror(ENOMEM));
	turn((struct world *)world);
	assert_int_equal(world->readable, 1);
}

static void what_comes_is_read(void **state)
{
	struct world *world = *state;

	stream_release(&world->stream, HOLD_STATE);
	assert_int_equal(write(world->peer, "abc", 3), 3);
	turn(world);
	assert_int_equal(world->readable, 1);
	assert_int_equal(world->read, 3);
	assert_memory_equal(world->got, "abc", 3);
}

static void what_is_looked_at_stays_until_it_is_skipped(void **state)
{
	struct world *world = *state;
	char seen[16];

	assert_int_equal(stream_peek(&world->stream, seen, sizeof(seen)), STREAM_AGAIN);
	assert_int_equal(write(world->peer, "header", 6), 6);
	assert_int_equal(write(world->peer, "rest", 4), 4);
	assert_int_equal(stream_peek(&world->stream, seen, 3), 3);
	assert_int_equal(stream_peek(&world->stream, seen, sizeof(seen)), 10);
	assert_memory_equal(seen, "headerrest", 10);
	assert_int_equal(stream_skip(&world->stream, seen, 6), 0);
	assert_false(stream_heard(&world->stream));
	stream_release(&world->stream, HOLD_STATE);
	turn(world);
	assert_int_equal(world->read, 4);
	assert_memory_equal(world->got, "rest", 4);
	assert_true(stream_heard(&world->stream));
}

static void skipping_what_is_not_there_fails(void **state)
{
	struct world *world = *state;
	char buf[16];

	assert_int_equal(write(world->peer, "abc", 3), 3);
	assert_int_equal(stream_skip(&world->stream, buf, 4), -1);
	assert_int_equal(stream_peek(&world->stream, buf, sizeof(buf)), STREAM_FAILED);
	assert_int_equal(stream_read(&world->stream, buf, sizeof(buf)), STREAM_FAILED);
}

static void a_stream_that_cannot_be_watched_fails(void **state)
{
	struct world *world = *state;

	event_adds_to_fail = 1;
	stream_release(&world->stream, HOLD_STATE);
	turn(world);
	check_failed(world);
}

static void a_stream_that_cannot_be_woken_fails(void **state)
{
	struct world *world = *state;

	stream_release(&world->stream, HOLD_STATE);
	event_adds_to_fail = 1;
	stream_wake(&world->stream);
	turn(world);
	check_failed(world);
}

static void a_stream_that_cannot_be_watched_again_fails(void **state)
{
	struct world *world = *state;

	stream_release(&world->stream, HOLD_STATE);
	stream_wake(&world->stream);
	event_adds_to_fail = 1; /* in the callback: the time-out took the event off the base */
	turn(world);
	check_failed(world);
}

static void the_failure_is_told_once_the_stream_is_not_held(void **state)
{
	struct world *world = *state;

	event_adds_to_fail = 1;
	stream_release(&world->stream, HOLD_STATE);
	stream_hold(&world->stream, HOLD_PEER);
	turn(world);
	assert_int_equal(world->readable, 0);
	stream_release(&world->stream, HOLD_PEER);
	event_base_loop(world->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	check_failed(world);
}

static void a_look_at_it_fails_too(void **state)
{
	struct world *world = *state;
	uint8_t first;

	event_adds_to_fail = 1;
	stream_release(&world->stream, HOLD_STATE);
	assert_int_equal(stream_peek(&world->stream, &first, 1), STREAM_FAILED);
}

/* The peer is well and waits, so nothing else would wake whoever has the stream. */
static void what_cannot_be_sent_for_want_of_memory_fails_the_stream(void **state)
{
	struct world *world = *state;

	stream_release(&world->stream, HOLD_STATE);
	sends_to_fail = 1;
	assert_int_equal(stream_write(&world->stream, "abc", 3), STREAM_FAILED);
	turn(world);
	check_failed(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_comes_is_read),
		TEST(what_is_looked_at_stays_until_it_is_skipped),
		TEST(skipping_what_is_not_there_fails),
		TEST(a_stream_that_cannot_be_watched_fails),
		TEST(a_stream_that_cannot_be_woken_fails),
		TEST(a_stream_that_cannot_be_watched_again_fails),
		TEST(the_failure_is_told_once_the_stream_is_not_held),
		TEST(a_look_at_it_fails_too),
		TEST(what_cannot_be_sent_for_want_of_memory_fails_the_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
