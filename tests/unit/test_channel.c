/* test_channel.c has both ends of a channel, and a process that may have no more descriptors. */
#include "sys/channel.h"

#include "base/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

static void open_pair(int end[2])
{
	assert_int_equal(channel_pair(end), 0);
}

static void close_pair(const int end[2])
{
	close(end[0]);
	close(end[1]);
}

/* The lowest number that is free. */
static int next_number(int end)
{
	int fd = dup(end);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void descriptors_arrive_with_their_message(void **state)
{
	const int sent[] = { STDIN_FILENO, STDIN_FILENO, STDIN_FILENO };
	int end[2], fd[CHANNEL_FDS_MAX];
	size_t fds = 2;
	char message;

	(void)state;
	open_pair(end);
	const int next = next_number(end[0]);
	assert_int_equal(channel_send(end[0], "a", 1, sent, ARRAY_LEN(sent)), 0);
	assert_int_equal(channel_receive_fds(end[1], &message, 1, fd, &fds), 0);
	assert_true(message == 'a' && fds == 2 && (fcntl(fd[0], F_GETFD) & FD_CLOEXEC) != 0);
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(next_number(end[0]), next); /* nor is the third, for which was no room, left open */
	close_pair(end);
}

/* Fewer would be taken for all there are. */
static void all_descriptors_arrive_or_none(void **state)
{
	const int sent[] = { STDIN_FILENO, STDIN_FILENO };
	struct rlimit before, few;
	int end[2], fd[CHANNEL_FDS_MAX];
	char message;

	(void)state;
	open_pair(end);
	const int next = next_number(end[0]);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	for (int room = 0; room < 2; room++) {
		size_t fds = ARRAY_LEN(fd);
		assert_int_equal(channel_send(end[0], "a", 1, sent, ARRAY_LEN(sent)), 0);
		few.rlim_cur = (rlim_t)(next + room);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		int result = channel_receive_fds(end[1], &message, 1, fd, &fds), error = errno;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_true(result == -1 && error == EMFILE && fds == 0);
		assert_int_equal(next_number(end[0]), next);
	}
	assert_int_equal(channel_send(end[0], "b", 1, NULL, 0), 0); /* and the channel is whole */
	assert_int_equal(channel_receive(end[1], &message, 1), 0);
	assert_int_equal(message, 'b');
	close_pair(end);
}

static void a_message_has_its_size(void **state)
{
	int end[2];
	char message[2];

	(void)state;
	open_pair(end);
	for (size_t size = 1; size <= 3; size += 2) {
		assert_int_equal(channel_send(end[0], "abc", size, NULL, 0), 0);
		assert_int_equal(channel_receive(end[1], message, sizeof(message)), -1);
		assert_int_equal(errno, EBADMSG);
	}
	close(end[0]);
	assert_int_equal(channel_receive(end[1], message, sizeof(message)), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(channel_send(end[1], "a", 1, NULL, 0), -1);
	assert_int_equal(errno, EPIPE);
	close(end[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_arrive_with_their_message),
		cmocka_unit_test(all_descriptors_arrive_or_none),
		cmocka_unit_test(a_message_has_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
