/* channel.c owns how messages and descriptors get from one process to another.
 * It must never leave a descriptor open that nobody was given, nor take part of a message for a whole one. */
#include "sys/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
};

int channel_pair(int end[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end);
}

static ssize_t send_with(int end, struct iovec *all, const int *fd, size_t fds)
{
	union control control = {
		.align = { .cmsg_len = CMSG_LEN(fds * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS }
	};
	const struct msghdr head = {
		.msg_iov = all,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(fds * sizeof(int)),
	};

	memcpy(CMSG_DATA(&control.align), fd, fds * sizeof(int));
	return sendmsg(end, &head, MSG_NOSIGNAL);
}

int channel_send(int end, const void *message, size_t size, const int *fd, size_t fds)
{
	struct iovec all = { (void *)(uintptr_t)message, size };
	ssize_t sent;

	assert(fds <= CHANNEL_FDS_MAX);
	do
		sent = fds > 0 ? send_with(end, &all, fd, fds) : send(end, message, size, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

/* What a call returned that was to take the whole message; length: what the message had. */
static int judge(ssize_t length, size_t size)
{
	if (length == (ssize_t)size)
		return 0;
	if (length >= 0)
		errno = length == 0 ? ECONNRESET : EBADMSG;
	return -1;
}

int channel_receive(int end, void *message, size_t size)
{
	ssize_t length;

	do
		length = recv(end, message, size, MSG_TRUNC); /* descriptors that came with it are closed by the kernel */
	while (length < 0 && errno == EINTR);
	return judge(length, size);
}

static size_t take_fds(struct msghdr *head, int *fd, size_t room)
{
	size_t taken = 0;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(head); at != NULL; at = CMSG_NXTHDR(head, at)) {
		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int one;
			memcpy(&one, CMSG_DATA(at) + i * sizeof(int), sizeof(one));
			if (taken < room)
				fd[taken++] = one;
			else
				close(one);
		}
	}
	return taken;
}

int channel_receive_fds(int end, void *message, size_t size, int *fd, size_t *fds)
{
	union control control;
	struct iovec all = { message, size };
	struct msghdr head = { .msg_iov = &all, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t length;

	do
		length = recvmsg(end, &head, MSG_TRUNC | MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	size_t taken = length < 0 ? 0 : take_fds(&head, fd, *fds);
	int result = judge(length, size);
	if (result == 0 && (head.msg_flags & MSG_CTRUNC) != 0) {
		errno = EMFILE; /* some are lost: who takes the rest takes it for all */
		result = -1;
	}
	for (size_t i = 0; result != 0 && i < taken; i++)
		close(fd[i]);
	*fds = result == 0 ? taken : 0;
	return result;
}
