/* ops.c owns what each word of a script sends and awaits.
 * It must never read or write a socket but to end it: client.c moves the bytes. */
#include "ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIN_BIT    0x80u
#define MASKED     0x80u
#define HEAD_LIMIT 8192 /* the gateway's */

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* --- what is sent ---------------------------------------------------------------------------------------------------
 */

static void put(struct client *c, const void *bytes, size_t n)
{
	memcpy(c->out + c->out_len, bytes, n);
	c->out_len += n;
}

static void put_text(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put_text(struct client *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	c->out_len += (size_t)vsnprintf((char *)c->out + c->out_len, sizeof(c->out) - c->out_len, format, args);
	va_end(args);
}

/* With a masking key of zeros the payload goes as it is. */
static void put_header(struct client *c, unsigned opcode, unsigned mask, uint64_t n)
{
	static const uint8_t key[4];
	unsigned bytes = n < 126 ? 0 : 2;
	uint8_t header[4] = { (uint8_t)(FIN_BIT | opcode), (uint8_t)(mask | (bytes == 0 ? n : 126)), (uint8_t)(n >> 8),
		              (uint8_t)n };

	put(c, header, 2 + bytes);
	if (mask)
		put(c, key, sizeof(key));
}

static void put_bulk(struct client *c, size_t n)
{
	c->bulk = n;
	c->bulk_at = 0;
}

static void put_request(struct client *c, const char *origin)
{
	put_text(c, "GET %s HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%s",
	         c->kind->path, origin);
	put_text(c, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
}

static void upgrade_begin(struct client *c, unsigned n)
{
	(void)n;
	put_request(c, "");
}

static void page_begin(struct client *c, unsigned n)
{
	(void)n;
	put_request(c, c->kind->listener[0] == 't' ? "Origin: https://gateway.test\r\n"
	                                           : "Origin: http://gateway.test\r\n");
}

static void foreign_begin(struct client *c, unsigned n)
{
	(void)n;
	put_request(c, "Origin: http://elsewhere.test\r\n");
}

static void get_begin(struct client *c, unsigned n)
{
	(void)n;
	put_text(c, "GET %s HTTP/1.1\r\nHost: gateway.test\r\n\r\n", c->kind->path);
}

static void post_begin(struct client *c, unsigned n)
{
	(void)n;
	put_text(c, "POST %s HTTP/1.1\r\nHost: gateway.test\r\n\r\n", c->kind->path);
}

static void spaced_begin(struct client *c, unsigned n)
{
	(void)n;
	put_text(c, "GET %s HTTP/1.1\r\nHost : gateway.test\r\n\r\n", c->kind->path);
}

static void long_begin(struct client *c, unsigned n)
{
	(void)n;
	put_text(c, "GET %s HTTP/1.1\r\nHost: gateway.test\r\nX: ", c->kind->path);
	memset(c->out + c->out_len, 'x', HEAD_LIMIT);
	c->out_len += HEAD_LIMIT;
}

static void part_begin(struct client *c, unsigned n)
{
	put_request(c, "");
	c->out_len = n;
}

static void noise_begin(struct client *c, unsigned n)
{
	put(c, "this is not what a TLS client begins with.", n);
}

static void hello_begin(struct client *c, unsigned n)
{
	static const uint8_t hello[64] = { 0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3 };

	put(c, hello, n);
}

static void send_begin(struct client *c, unsigned n)
{
	put_header(c, BINARY, MASKED, n);
	put_bulk(c, n);
}

static void text_begin(struct client *c, unsigned n)
{
	uint8_t byte = (uint8_t)n;

	put_header(c, TEXT, MASKED, 1);
	put(c, &byte, 1);
}

static void unmasked_begin(struct client *c, unsigned n)
{
	put_header(c, BINARY, 0, n);
	put_bulk(c, n);
}

static void declare_begin(struct client *c, unsigned n)
{
	put_header(c, BINARY, MASKED, n);
}

static void ping_begin(struct client *c, unsigned n)
{
	put_header(c, PING, MASKED, n);
	put_bulk(c, n);
}

void op_pong(struct client *c)
{
	put_header(c, PONG, MASKED, c->heard.ping_len);
	put(c, c->heard.ping, c->heard.ping_len);
	c->heard.pinged = false;
}

static void close_begin(struct client *c, unsigned n)
{
	uint8_t code[2] = { (uint8_t)(n >> 8), (uint8_t)n };

	put_header(c, CLOSE, MASKED, sizeof(code));
	put(c, code, sizeof(code));
}

/* --- what ends a direction or all -----------------------------------------------------------------------------------
 */

static void tls_begin(struct client *c, unsigned n)
{
	(void)n;
	c->ssl = SSL_new(c->env->ctx);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->item.fd) != 1)
		usage_error("SSL_new failed");
	SSL_set_connect_state(c->ssl);
}

static void notify_begin(struct client *c, unsigned n)
{
	(void)n;
	SSL_shutdown(c->ssl);
}

static void fin_begin(struct client *c, unsigned n)
{
	(void)n;
	shutdown(c->item.fd, SHUT_WR);
}

static enum look drop_look(struct client *c, unsigned n)
{
	(void)n;
	client_end(c, FINE, "");
	return GONE;
}

static enum look reset_look(struct client *c, unsigned n)
{
	reset_on_close(c->item.fd);
	return drop_look(c, n);
}

/* --- what is awaited ------------------------------------------------------------------------------------------------
 */

static enum look fail(struct client *c, enum outcome outcome, const char *what)
{
	client_end(c, outcome, what);
	return GONE;
}

static enum look tls_look(struct client *c, unsigned n)
{
	int result = SSL_do_handshake(c->ssl);
	int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, result);

	(void)n;
	if (result == 1)
		return DONE;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return WAIT;
	return fail(c, CUT, "the TLS handshake failed");
}

/* An answer with the status n, and its body. */
static enum look answer_look(struct client *c, unsigned n)
{
	unsigned status = c->heard.status;

	if (status == 0 || c->heard.body_left > 0)
		return WAIT;
	c->heard.status = 0;
	if (status == n)
		return DONE;
	return fail(c, status == 503 || status == 429 ? TOLD : WRONG, "another status");
}

static enum look echo_look(struct client *c, unsigned n)
{
	if (c->heard.payload < n)
		return WAIT;
	if (c->heard.payload > n)
		return fail(c, WRONG, "more payload than was sent");
	c->heard.payload = 0;
	return DONE;
}

static enum look ping_look(struct client *c, unsigned n)
{
	(void)n;
	if (c->heard.pongs == 0)
		return WAIT;
	c->heard.pongs--;
	return DONE;
}

static enum look closed_look(struct client *c, unsigned n)
{
	unsigned code = c->heard.close_code;

	if (code == 0)
		return WAIT;
	if (code != n)
		return fail(c, code == 1012 ? TOLD : WRONG, "another Close code");
	c->heard.close_code = 0;
	return DONE;
}

static enum look eof_look(struct client *c, unsigned n)
{
	(void)n;
	if (!c->heard.ended)
		return WAIT;
	client_end(c, FINE, "");
	return GONE;
}

static enum look hold_look(struct client *c, unsigned n)
{
	(void)n;
	c->env->on_hold(c);
	return WAIT;
}

static const struct op ops[] = {
	/* sent and answered */
	{ "tls", tls_begin, tls_look },
	{ "upgrade", upgrade_begin, answer_look },
	{ "page", page_begin, answer_look },       /* an upgrade as a page of the gateway's own asks for it */
	{ "foreign", foreign_begin, answer_look }, /* ... a page of another origin */
	{ "get", get_begin, answer_look },
	{ "post", post_begin, answer_look },
	{ "spaced", spaced_begin, answer_look }, /* a space before a colon */
	{ "long", long_begin, answer_look },
	{ "echo", send_begin, echo_look },
	{ "ping", ping_begin, ping_look },
	{ "close", close_begin, closed_look },
	/* only sent */
	{ "part", part_begin, NULL }, /* so many bytes of a request */
	{ "noise", noise_begin, NULL },
	{ "hello", hello_begin, NULL }, /* so many bytes of a ClientHello */
	{ "send", send_begin, NULL },
	{ "text", text_begin, NULL }, /* this one byte */
	{ "unmasked", unmasked_begin, NULL },
	{ "declare", declare_begin, NULL }, /* the header of a frame of this length */
	{ "bye", close_begin, NULL },
	{ "notify", notify_begin, NULL },
	{ "fin", fin_begin, NULL },
	/* only awaited, or the end */
	{ "answer", NULL, answer_look },
	{ "closed", NULL, closed_look },
	{ "eof", NULL, eof_look },
	{ "reset", NULL, reset_look },
	{ "drop", NULL, drop_look },
	{ "hold", NULL, hold_look },
};

const struct op *op_find(const char *name)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	return NULL;
}
