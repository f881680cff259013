/* A client session: it connects, does step for step what its kind says, and reports how that ended. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "kinds.h"
#include "loop.h"

/* How a session ended, from where the client stands. */
enum outcome {
	FINE,    /* as its kind says */
	TOLD,    /* refused or ended in words: 503, 429, Close 1012 */
	REFUSED, /* no connection */
	CUT,     /* ended without a word */
	WRONG,   /* not the right answer */
	LATE,    /* no answer in a minute */
	OUTCOMES
};

struct client;

struct client_env {
	struct loop *loop;
	SSL_CTX *ctx;
	void (*on_end)(struct client *client, enum outcome outcome, const char *what);
	void (*on_hold)(struct client *client); /* it is at its step `hold` */
	void *owner;
};

/* What the gateway has said and was not yet awaited. */
struct heard {
	uint8_t bytes[4096]; /* not understood yet: a part of a head or of a frame's header */
	size_t len;
	bool ended;  /* FIN, close_notify or reset */
	bool frames; /* after the 101 */
	bool closed; /* a Close came, nothing may follow it */
	unsigned status, close_code, pongs;
	bool pinged; /* and has not got its pong */
	uint8_t ping[125];
	size_t ping_len;
	uint64_t body_left;    /* of an answer */
	uint64_t payload_left; /* of a data frame */
	uint64_t payload;
};

struct client {
	struct item item;
	struct client_env *env;
	const struct kind *kind; /* NULL: at rest */
	size_t step;
	bool connected, begun; /* begun: what the step says is on its way */
	SSL *ssl;
	uint8_t out[9216];
	size_t out_len, out_at;
	size_t bulk, bulk_at; /* of the loop's pattern, behind out */
	uint64_t since_ms;    /* when its last step began */
	struct heard heard;
	struct client *next; /* its owner's, as what follows */
	bool awaited;
};

/* source: the last two bytes of the client's address in 127.0.0.0/16. The session may have ended when this returns. */
void client_begin(struct client *client, const struct kind *kind, const struct endpoint *gateway, uint32_t source);
void client_go_on(struct client *client); /* past its step `hold`, to the ones before it again */
void client_end(struct client *client, enum outcome outcome, const char *what);
