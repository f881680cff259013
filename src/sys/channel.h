/* A pair of sockets between two processes of ours: each message arrives whole or not at all, and may bring descriptors. Each
 * end of a pair belongs to one thread at a time. What arrives is the other process's word, to be checked as such. */
#pragma once

#include "base/attr.h"

#include <stddef.h>

#define CHANNEL_FDS_MAX 16 /* descriptors with one message */

must_check int channel_pair(int end[2]); /* close-on-exec; -1 and errno on failure */

/* Waits until the message is on its way. The descriptors stay the caller's. -1 and errno: EPIPE: nobody is there. */
must_check int channel_send(int end, const void *message, size_t size, const int *fd, size_t fds);

/* Waits for a message of exactly that size. -1 and errno: ECONNRESET: nobody is there; EBADMSG: another size. */
must_check int channel_receive(int end, void *message, size_t size);

/* Likewise, with descriptors, close-on-exec and the caller's, of which *fds is the number: the room at first. EMFILE: the message
 * came, but this process may not have so many, and has none of them. */
must_check int channel_receive_fds(int end, void *message, size_t size, int *fd, size_t *fds);
