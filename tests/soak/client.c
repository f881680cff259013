/* client.c owns a session's socket and its way from step to step.
 * It must never know what a step is for: ops.c does. */
#include "client.h"

#include "hear.h"
#include "ops.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AGAIN = -1, BROKEN = -2 };

void client_end(struct client *c, enum outcome outcome, const char *what)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->item.fd >= 0)
		close(c->item.fd);
	c->item.fd = -1;
	c->env->on_end(c, outcome, what);
}

/* --- bytes ----------------------------------------------------------------------------------------------------------
 */

/* Bytes moved, 0 for the end, AGAIN or BROKEN. */
static ssize_t client_result(struct client *c, ssize_t n)
{
	if (c->ssl == NULL)
		return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? AGAIN : BROKEN;
	if (n > 0)
		return n;
	switch (SSL_get_error(c->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return BROKEN;
	}
}

static ssize_t client_write(struct client *c, const uint8_t *bytes, size_t n)
{
	ERR_clear_error();
	return client_result(c, c->ssl != NULL && SSL_is_init_finished(c->ssl)
	                                ? SSL_write(c->ssl, bytes, (int)n)
	                                : send(c->item.fd, bytes, n, MSG_NOSIGNAL));
}

/* False: not all of it could be sent yet. What cannot be sent at all is not needed: reading finds out why. */
static bool client_flush(struct client *c)
{
	while (c->out_at < c->out_len || c->bulk > 0) {
		bool head = c->out_at < c->out_len;
		const uint8_t *from = head ? c->out + c->out_at : c->env->loop->pattern + c->bulk_at;
		ssize_t n = client_write(c, from, head ? c->out_len - c->out_at : c->bulk);

		if (n == AGAIN)
			return false;
		if (n <= 0) {
			c->bulk = 0;
			break;
		}
		*(head ? &c->out_at : &c->bulk_at) += (size_t)n;
		c->bulk -= head ? 0 : (size_t)n;
	}
	c->out_at = c->out_len = 0;
	return true;
}

/* Reads all there is. False: the gateway talks nonsense. */
static bool client_read(struct client *c)
{
	struct heard *h = &c->heard;

	while (!h->ended) {
		size_t room = sizeof(h->bytes) - 1 - h->len;
		ssize_t n;

		ERR_clear_error();
		n = client_result(c, c->ssl != NULL ? SSL_read(c->ssl, h->bytes + h->len, (int)room)
		                                    : recv(c->item.fd, h->bytes + h->len, room, 0));
		if (n == AGAIN)
			return true;
		if (n > 0)
			h->len += (size_t)n;
		h->ended = n <= 0;
		if (n > 0 && !hear(h))
			return false;
	}
	return true;
}

/* --- steps ----------------------------------------------------------------------------------------------------------
 */

/* It waits for something that cannot come any more. */
static void client_give_up(struct client *c)
{
	unsigned code = c->heard.close_code;

	if (code != 0)
		client_end(c, code == 1012 ? TOLD : WRONG, "an unexpected Close");
	else
		client_end(c, CUT, "an unexpected end");
}

static enum look client_step(struct client *c)
{
	const struct step *step = &c->kind->steps[c->step];

	if (!c->begun) {
		c->begun = true;
		c->since_ms = now_ns() / 1000000;
		if (step->op->begin != NULL)
			step->op->begin(c, step->n);
	}
	if (!client_flush(c))
		return WAIT;
	return step->op->look != NULL ? step->op->look(c, step->n) : DONE;
}

static void client_advance(struct client *c)
{
	enum look look;

	if (c->heard.pinged && c->out_len == 0 && c->bulk == 0)
		op_pong(c);
	while ((look = client_step(c)) == DONE) {
		c->step++;
		c->begun = false;
	}
	if (look == GONE)
		return;
	if (c->heard.ended || c->heard.close_code != 0) {
		client_give_up(c);
		return;
	}
	loop_watch(c->env->loop, &c->item, c->out_len > 0 || c->bulk > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void client_connected(struct client *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(c->item.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		client_end(c, REFUSED, strerror(error));
		return;
	}
	c->connected = true;
	client_advance(c);
}

static void client_on_ready(struct item *item, uint32_t events)
{
	struct client *c = (struct client *)item;

	if (!c->connected) {
		client_connected(c);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && (c->ssl == NULL || SSL_is_init_finished(c->ssl)) &&
	    !client_read(c)) {
		client_end(c, WRONG, "not an answer, nor a frame");
		return;
	}
	client_advance(c);
}

void client_go_on(struct client *c)
{
	c->step--;
	c->begun = false;
	client_advance(c);
}

void client_begin(struct client *c, const struct kind *kind, const struct endpoint *gateway, uint32_t source)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + source) };
	struct client_env *env = c->env;
	int one = 1;

	memset(c, 0, offsetof(struct client, next));
	c->env = env;
	c->kind = kind;
	c->since_ms = now_ns() / 1000000;
	c->item = (struct item){ client_on_ready,
		                 socket(gateway->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 0 };
	if (c->item.fd < 0)
		die("socket");
	if (gateway->sa.ss_family == AF_INET) {
		setsockopt(c->item.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(c->item.fd, (struct sockaddr *)&from, sizeof(from)) < 0)
			die("bind");
	}
	if (connect(c->item.fd, (const struct sockaddr *)&gateway->sa, gateway->len) < 0 && errno != EINPROGRESS) {
		client_end(c, REFUSED, strerror(errno));
		return;
	}
	loop_watch(env->loop, &c->item, EPOLLOUT);
}
