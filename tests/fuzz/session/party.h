/* The other side of a socket: a client or a target, plain or TLS. */
#pragma once

#include "kernel.h"

#include <openssl/ssl.h>

struct party {
	struct sock *sock;      /* NULL: not connected, or the gateway closed it */
	struct bytes sent, got; /* what is said and heard; of TLS the plain text */
	struct bytes to_wire, from_wire;
	SSL *ssl;           /* NULL: plain */
	size_t said, heard; /* TLS: how much of sent, and of from_wire, went through it */
	size_t window;      /* how much it takes before it has to be told to */
	bool fin, rude;     /* it says nothing more; TLS: without a close_notify */
	bool reset;
	bool was_connected, got_fin, got_notify, got_reset;
};

SSL *party_ssl(SSL_CTX *context, bool server);
void party_reset(struct party *party, SSL *ssl, size_t window);
void party_attach(struct party *party, struct sock *sock);
void party_closed(struct party *party); /* the gateway closes the socket */

void party_say(struct party *party, const void *data, size_t len);
void party_end(struct party *party, bool rude);
void party_abort(struct party *party);
void party_take(struct party *party, size_t n);
void party_take_all(struct party *party); /* from now on */
void party_pump(struct party *party);     /* TLS: moves what can be moved */
