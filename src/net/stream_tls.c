/* stream_tls.c owns what a stream does by way of its SSL instead of the descriptor: reading, sending, saying good-bye.
 * It must never leave bytes inside the SSL that nobody will ask for, nor offer it other bytes after a refusal. */
#include "net/stream_internal.h"

#include <errno.h>
#include <openssl/err.h>

#define TLS_RECORD_MAX 16384

/* What one turn takes from one connection: so many reads, of which a handshake needs two a record, and so many records of
 * data, of which each may be a byte. */
#define READS_A_TURN   64
#define RECORDS_A_TURN 64

/* What one turn takes of all handshakes of the thread. A ClientHello is two reads and then a signature, so that eight of RSA take some
 * milliseconds; the others wait, and what lives goes on. */
#define HANDSHAKE_READS_A_TURN 16

/* A peer that sends more than this without a byte in between (keys to update, requests to renegotiate) keeps us busy and
 * nothing else. BoringSSL has the same limit; no use comes near it. */
#define RECORDS_WITHOUT_DATA 32

/* What a handshake may always send, and the buffer that a record lies in which came in part. */
#define HANDSHAKE_LEAST ((size_t)16 * 1024)
#define RECORD_BUFFER   ((size_t)17 * 1024)

/* Told of each record's header before the record is looked at. */
static void stream_tls_on_message(int sent, int version, int type, const void *bytes, size_t len, SSL *ssl, void *arg)
{
	struct stream *st = arg;
	if (sent || type != SSL3_RT_HEADER)
		return;
	st->turn_records++;
	if (st->records <= RECORDS_WITHOUT_DATA)
		st->records++;
}

static bool stream_tls_may_read(struct stream *st)
{
	bool opening = (st->hold & HOLD_TLS) != 0;
	st->flooded = !opening && st->records > RECORDS_WITHOUT_DATA;
	st->crowded = opening && st->pool != NULL && stream_pool_is_full(st->pool) && st->in_ssl > HANDSHAKE_LEAST;
	return !st->flooded && !st->crowded;
}

/* Without a timer to begin a new count, nothing is counted. */
static bool stream_tls_has_turn(struct stream *st)
{
	struct stream_pool *pool = st->pool;
	if (!(st->hold & HOLD_TLS) || pool == NULL || pool->next_turn == NULL)
		return true;
	if (pool->handshake_reads == 0 && event_add(pool->next_turn, &(struct timeval){ 0, 0 }) != 0)
		return true;
	return pool->handshake_reads < HANDSHAKE_READS_A_TURN && ++pool->handshake_reads > 0;
}

/* Asked before and after all that the SSL does with its descriptor. What it was refused for now it takes up when the loop
 * finds the descriptor readable, in the next turn. */
static long stream_tls_on_descriptor(BIO *bio, int what, const char *bytes, size_t len, int argi, long argl, int result,
                                     size_t *done)
{
	if ((what & ~BIO_CB_RETURN) != BIO_CB_READ)
		return result;
	struct stream *st = (struct stream *)BIO_get_callback_arg(bio);
	if (what & BIO_CB_RETURN) {
		if (result <= 0 || *done == 0)
			st->reads = 0;
		else if (st->hold & HOLD_TLS)
			stream_count_in_ssl(st, st->in_ssl + *done);
		return result;
	}
	bool may = stream_tls_may_read(st);
	if (may && stream_tls_has_turn(st) && st->reads++ < READS_A_TURN)
		return result;
	st->reads = 0;
	BIO_clear_retry_flags(bio);
	errno = may ? EAGAIN : EPROTO;
	if (may)
		BIO_set_retry_read(bio);
	return -1;
}

/* A BIO for each direction, as a callback costs all that is done with its BIO, and writing needs none. */
int stream_tls_attach(struct stream *st)
{
	BIO *in = BIO_new_socket(st->fd, BIO_NOCLOSE), *out = BIO_new_socket(st->fd, BIO_NOCLOSE);
	if (in == NULL || out == NULL) {
		BIO_free(in);
		BIO_free(out);
		return -1;
	}
	BIO_set_callback_arg(in, (char *)st);
	BIO_set_callback_ex(in, stream_tls_on_descriptor);
	SSL_set_bio(st->ssl, in, out);
	SSL_set_msg_callback(st->ssl, stream_tls_on_message);
	SSL_set_msg_callback_arg(st->ssl, st);
	return 0;
}

/* Judges an SSL_read_ex that brought nothing. */
static ssize_t stream_tls_trouble(struct stream *st, int result, int error)
{
	if (st->flooded)
		return stream_end_reading(st, STREAM_FAILED, EPROTO);
	switch (SSL_get_error(st->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		return stream_wait_for_room(st) == 0 ? STREAM_AGAIN : stream_end_reading(st, STREAM_FAILED, ENOMEM);
	case SSL_ERROR_ZERO_RETURN:
		return stream_end_reading(st, STREAM_EOF, 0);
	case SSL_ERROR_SSL:
		st->tls_error = ERR_peek_error();
		st->truncated = ERR_GET_REASON(st->tls_error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
		return stream_end_reading(st, STREAM_FAILED, st->truncated ? 0 : EPROTO);
	default:
		st->truncated = error == 0;
		return stream_end_reading(st, STREAM_FAILED, error);
	}
}

ssize_t stream_tls_read(struct stream *st, uint8_t *buf, size_t cap)
{
	ssize_t trouble = 0;
	size_t total = 0, n = 0;
	bool more;
	st->reads = st->turn_records = 0;
	do {
		ERR_clear_error();
		errno = 0;
		int result = SSL_read_ex(st->ssl, buf + total, cap - total, &n);
		more = false;
		if (result != 1) {
			trouble = stream_tls_trouble(st, result, errno);
		} else {
			total += n;
			st->records = 0;
			/* A record that is not full ends a burst; after a full one the next is probably there already. */
			more = n == TLS_RECORD_MAX || SSL_has_pending(st->ssl);
		}
	} while (more && total < cap && st->turn_records < RECORDS_A_TURN);
	if (total > 0) {
		/* What came before the end is delivered first; the next read tells the end. */
		st->eof = false;
		st->hold &= (uint8_t)~HOLD_EOF;
		if (more || st->ended != 0)
			stream_wake(st);
	}
	stream_count_in_ssl(st, SSL_has_pending(st->ssl) ? RECORD_BUFFER : 0);
	return total > 0 ? (ssize_t)total : trouble;
}

/* A refused SSL_write must be repeated with the same bytes, so the whole refused piece goes to the backlog, in one chunk because
 * the backlog is empty. */
ssize_t stream_tls_send(struct stream *st, const uint8_t *data, size_t len)
{
	size_t sent = 0;
	while (sent < len) {
		size_t piece = len - sent < STREAM_PIECE ? len - sent : STREAM_PIECE;
		size_t n = 0;
		ERR_clear_error();
		errno = 0;
		int result = SSL_write_ex(st->ssl, data + sent, piece, &n);
		if (result != 1) {
			int error = errno, why = SSL_get_error(st->ssl, result);
			if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ)
				break;
			st->tls_error = ERR_peek_error();
			return stream_break(st, error != 0 ? error : EPROTO);
		}
		sent += n;
	}
	return (ssize_t)sent;
}

bool stream_tls_close_notify(struct stream *st)
{
	ERR_clear_error();
	int result = SSL_shutdown(st->ssl);
	bool full = result < 0 && SSL_get_error(st->ssl, result) == SSL_ERROR_WANT_WRITE;
	return !full || stream_wait_for_room(st) != 0; /* a FIN without it is better than none */
}
