/* party.c owns the two far ends of a fuzzed session: what they said, what they heard, and the TLS between that and the
 * wire. It must never judge: it keeps what passed. */
#include "party.h"

#include "../check.h"

#include <errno.h>
#include <openssl/err.h>

static void bytes_alloc(struct bytes *bytes, size_t cap)
{
	if (bytes->at == NULL)
		*bytes = (struct bytes){ malloc(cap), 0, cap };
	CHECK(bytes->at != NULL);
	bytes->len = 0;
}

SSL *party_ssl(SSL_CTX *context, bool server)
{
	SSL *ssl = SSL_new(context);

	CHECK(ssl != NULL);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

void party_reset(struct party *party, SSL *ssl, size_t window)
{
	struct party fresh = {
		.sent = party->sent, .got = party->got, .to_wire = party->to_wire, .from_wire = party->from_wire
	};

	SSL_free(party->ssl);
	*party = fresh;
	party->ssl = ssl;
	party->window = window;
	bytes_alloc(&party->sent, (size_t)1 << 20);
	bytes_alloc(&party->got, (size_t)2 << 20);
	bytes_alloc(&party->to_wire, (size_t)5 << 18);
	bytes_alloc(&party->from_wire, (size_t)5 << 19);
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

static void hear_wire(struct party *party)
{
	char text[16384];
	int n = (int)(party->from_wire.len - party->heard);

	if (n > 0)
		CHECK(BIO_write(SSL_get_rbio(party->ssl), party->from_wire.at + party->heard, n) == n);
	party->heard += (size_t)n;
	while ((n = SSL_read(party->ssl, text, sizeof(text))) > 0)
		bytes_add(&party->got, text, (size_t)n);
	party->got_notify = SSL_get_shutdown(party->ssl) & SSL_RECEIVED_SHUTDOWN;
}

static void speak_wire(struct party *party)
{
	char text[16384];
	size_t n = party->sent.len - party->said;
	int len;

	if (SSL_is_init_finished(party->ssl) && n > 0 &&
	    SSL_write(party->ssl, party->sent.at + party->said, (int)n) > 0)
		party->said += n;
	if (SSL_is_init_finished(party->ssl) && party->fin && !party->rude && party->said == party->sent.len)
		SSL_shutdown(party->ssl);
	while ((len = BIO_read(SSL_get_wbio(party->ssl), text, sizeof(text))) > 0)
		bytes_add(&party->to_wire, text, (size_t)len);
}

void party_pump(struct party *party)
{
	if (party->ssl == NULL || party->sock == NULL || party->reset)
		return;
	ERR_clear_error();
	hear_wire(party);
	speak_wire(party);
	ERR_clear_error();
	party->sock->in_fin = party->fin && (party->rude || party->said == party->sent.len || party->got_notify);
}

/* --- what it does ------------------------------------------------------------------------------------------------- */

void party_attach(struct party *party, struct sock *sock)
{
	party->sock = sock;
	party->was_connected = true;
	sock->in = party->ssl != NULL ? &party->to_wire : &party->sent;
	sock->out = party->ssl != NULL ? &party->from_wire : &party->got;
	sock->room = party->window;
	sock->takes_all = party->window == KERNEL_ENDLESS;
	if (party->fin)
		party_end(party, party->rude);
	if (party->reset)
		party_abort(party);
	party_pump(party);
}

void party_closed(struct party *party)
{
	struct sock *sock = party->sock;

	party->got_reset = sock->aborts || sock->was_closed_unread || sock->reset;
	party->got_fin = sock->out_fin || !party->got_reset;
	if (party->ssl != NULL)
		hear_wire(party);
	party->sock = NULL;
}

void party_say(struct party *party, const void *data, size_t len)
{
	if (party->fin || party->reset)
		return;
	bytes_add(&party->sent, data, len);
	party_pump(party);
}

void party_end(struct party *party, bool rude)
{
	party->fin = true;
	party->rude = rude;
	if (party->sock != NULL && party->ssl == NULL)
		party->sock->in_fin = true;
	party_pump(party);
}

void party_abort(struct party *party)
{
	party->reset = true;
	if (party->sock == NULL || party->sock->reset)
		return;
	party->sock->reset = true;
	party->sock->error = ECONNRESET;
	party->sock->held = 0;
}

void party_take(struct party *party, size_t n)
{
	if (party->sock != NULL && !party->sock->reset)
		kernel_take(party->sock, n);
	party_pump(party);
}

void party_take_all(struct party *party)
{
	party->window = KERNEL_ENDLESS;
	if (party->sock == NULL)
		return;
	party->sock->takes_all = true;
	party->sock->room = KERNEL_ENDLESS;
	party_take(party, party->sock->held);
}
