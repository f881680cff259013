/* The part of the kernel that a worker and its sessions see, played in memory: sockets, epoll, a clock, and an
 * allocator that may refuse. Whatever it answers was decided by the fuzzer's input, so a run is the same each time, and
 * no run waits.
 *
 * Descriptors from KERNEL_FD_FIRST on are played; all others are the real kernel's. What is played for a TCP connection
 * is what Linux does: bytes that came before a reset can still be read, then the reset is told once, then there is only
 * an end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define KERNEL_FD_FIRST 100
#define KERNEL_FDS      28 /* libevent's table of descriptors then still is of its first size but one */
#define KERNEL_ENDLESS  ((size_t)1 << 40)

struct bytes {
	uint8_t *at;
	size_t len, cap;
};

enum kernel_kind { KERNEL_FREE, KERNEL_SOCKET, KERNEL_EPOLL, KERNEL_SIGNAL };

struct sock {
	enum kernel_kind kind;
	int fd;
	uint64_t count;     /* KERNEL_SIGNAL: an eventfd's */
	struct bytes *in;   /* what the other side sends; NULL: nobody is there */
	size_t in_at;       /* how much of it was read */
	size_t peeked;      /* how much behind that was shown by MSG_PEEK last */
	bool in_fin, reset; /* its FIN, or its RST, is behind that */
	int error;          /* to be told once */
	struct bytes *out;  /* what was sent to it */
	size_t room, held;  /* how much the send buffer takes, and has that was not acknowledged */
	bool takes_all;     /* it acknowledges at once */
	bool out_fin;
	bool is_unix, connecting, connected, at_itself;
	int connect_error; /* the answer, once there is one; 0: connected */
	bool connect_known;
	bool aborts;            /* SO_LINGER of 0: closing resets */
	bool was_closed_unread; /* closing destroyed what was not read */
	bool watched;
	struct epoll_event watch;
};

/* Calls that may be told to fail once. */
enum kernel_call { CALL_RECV, CALL_SEND, CALL_SOCKET, CALL_EPOLL_CTL, CALL_SETSOCKOPT, CALL_CONNECT, CALL_COUNT };

struct kernel {
	struct sock sock[KERNEL_FDS];
	uint64_t now_ms;
	uint32_t weather;          /* 0: reads and writes are whole; else the seed of what they are cut to */
	unsigned allocations_left; /* until one fails; 0: none does */
	bool allocation_failed;
	int fail[CALL_COUNT]; /* an errno; 0: nothing */
	int accept_connects;  /* connect() answers by itself: 0, an errno, or -1: later */
	bool meets_itself;    /* ... and a connection to 127.0.0.1:7000 is made with itself */
	unsigned long moves;  /* bytes and ends that passed */
	long live;            /* allocations that were not freed */
	bool silent;          /* the peers answer not even probes */
	bool running;         /* the clock is played and allocations are counted */
	int log_fd;
	char log[8192];
	size_t log_len;
};

extern struct kernel kernel;

/* What happens outside, called whenever the worker has nothing to do; timeout is in ms, -1: no timer is set. */
void world_turn(int timeout);
void world_on_connect(struct sock *sock); /* it is connected now, and the worker has seen it */
void world_on_close(struct sock *sock);   /* before it is forgotten */

void kernel_reset(void);
struct sock *kernel_socket(void); /* a connected one, for instance accepted */
struct sock *kernel_find(int fd); /* NULL: not one of these */
bool kernel_anything_ready(void);
void kernel_take(struct sock *sock, size_t n);                     /* the other side acknowledges so much */
void kernel_use_allocator(void);                                   /* once, before libevent is used */
void bytes_add(struct bytes *bytes, const void *data, size_t len); /* what does not fit is lost */
