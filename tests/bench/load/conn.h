/* One connection of a run: connecting, TLS, the upgrade, sending without blocking, and the end. What it does once it is
 * open is its mode's business. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frames.h"
#include "options.h"
#include "tally.h"
#include "traffic.h"

#define CHUNK (256 * 1024)         /* most bytes of one read or write */

enum phase { CONNECTING, HANDSHAKE, HEAD, OPEN, CLOSING, DONE };

struct conn {
	int fd;
	SSL *ssl;
	bool resumes;                  /* it offered a TLS session, and is a failure if that is not taken */
	enum phase phase;
	uint32_t watched;              /* what epoll reports */
	const uint8_t *out;            /* what is being sent, once: the request, an echo, the Close */
	size_t out_len;
	uint64_t sent, limit;          /* of the stream of frames, in bytes */
	size_t head_len;
	char head[1024];               /* the server's answer to the request */
	uint64_t stamp;                /* when the message left, or the connection began */
	bool awaits;                   /* a message that has not come back */
	uint64_t echoed;               /* its payload that has */
	struct frame_reader reader;
};

struct load;

/* What sessions do once they are open; each handler may end the connection. NULL: nothing. */
struct mode {
	const char *name;
	void (*on_open)(struct load *load, struct conn *conn);
	void (*on_data)(struct load *load, struct conn *conn, const uint8_t *data, size_t len); /* NULL: it is dropped */
	void (*on_writable)(struct load *load, struct conn *conn);
	bool repeats;                  /* a finished connection is opened anew until the time is up */
};

struct load {
	struct options set;
	const struct mode *mode;
	struct traffic traffic;
	struct tally tally;
	int epoll_fd;
	SSL_CTX *ctx;
	SSL_SESSION *session;          /* the latest that can be resumed, or NULL */
	struct conn *conns;
	uint32_t live, opened;
	uint32_t awaited, turn;        /* echo: messages under way, and which session sent last */
	bool over;                     /* the time is up: what still comes does not count */
	uint8_t buffer[CHUNK];
};

void conn_start(struct load *load, struct conn *conn);
void conn_end(struct load *load, struct conn *conn, bool failed);
/* The polite end: a Close, or a FIN without WebSocket; then the far end closes. */
void conn_finish(struct load *load, struct conn *conn);
/* Sends data, which must stay where it is, and goes on when the socket takes more. */
void conn_send(struct load *load, struct conn *conn, const void *data, size_t len);
/* Bytes taken, -1 for none now, -2 for a failure. */
ssize_t conn_write(struct load *load, struct conn *conn, const uint8_t *data, size_t len);
void conn_watch(struct load *load, struct conn *conn, uint32_t events);
/* The events of a session that has nothing to send. */
uint32_t conn_reading(const struct load *load, const struct conn *conn);
/* epoll reported these. */
void conn_ready(struct load *load, struct conn *conn, uint32_t events);
