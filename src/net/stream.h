/* One end of a session: a connected socket, plain or TLS, read and written without blocking.
 *
 * Reading is done by the stream's own read event, straight into the caller's buffer, and writing goes straight to the
 * socket as long as the backlog is empty. A libevent bufferevent does the TLS handshake, and holds and drains the backlog:
 * the bytes the socket refused. It is made when it is first needed, and it never reads for us, because it would read 4 KiB
 * at a time into a buffer of its own. So an idle stream owns neither a buffer nor a bufferevent.
 *
 * All calls are made on the thread of the event base. Calling back is the last thing the stream does with itself, so the
 * callback may do anything with it, close it too. */
#pragma once

#include "base/attr.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bufferevent;
struct stream;

enum stream_event {
	STREAM_READY,    /* the TLS handshake is done */
	STREAM_READABLE, /* there may be something to read; only while nothing holds the stream */
	STREAM_DRAINED,  /* the backlog is at low water or below; told again when it is empty */
	STREAM_BROKEN,   /* writing, or the handshake, failed: nothing more can be sent, but what came may still be read. With
	                    error 0 a queued file was shorter than announced */
};

typedef void stream_cb(void *owner, struct stream *stream, enum stream_event event);

/* Bytes of a TLS record of ours, and of a chunk of the backlog, as a refused record must lie in one: with libevent's 48 bytes for
 * the chunk, less than which it has on 64 bits, an allocation of 16 KiB and not of 32. */
#define STREAM_PIECE ((size_t)16384 - 64)

/* Why a stream is not being read. The read event is pending exactly while the set is empty. */
enum stream_hold {
	HOLD_STATE = 1 << 0, /* the session's state has no use for its bytes; set when the stream is opened */
	HOLD_PEER = 1 << 1,  /* the other end's backlog is high */
	HOLD_EOF = 1 << 2,   /* there is nothing more to come; the stream's own, never released */
	HOLD_TLS = 1 << 3,   /* the handshake is under way; the stream's own */
	HOLD_PACE = 1 << 4,  /* its bandwidth is used up for now */
};

/* Bytes that the peers of one thread make it hold: in the backlogs of streams, in SSLs, and what owners add. */
struct stream_pool {
	size_t held;
	size_t most; /* at the same time, 0: any. Who offers bytes asks; of streams it ends large TLS handshakes only */
	unsigned handshake_reads; /* of all TLS handshakes in this turn of the loop */
	struct event *next_turn;  /* a timer that makes it 0 again; NULL: handshakes take what they like */
};

static inline bool stream_pool_is_full(const struct stream_pool *pool)
{
	return pool->most != 0 && pool->held >= pool->most;
}

struct stream {
	struct event rd;
	int fd;
	bool open;
	uint8_t hold;
	SSL *ssl;                /* NULL: plain */
	struct bufferevent *bev; /* NULL: no TLS handshake under way, and never a backlog so far */
	size_t low_water;
	struct stream_pool *pool; /* that counts its backlog, or NULL */
	struct event *wr;         /* only while TLS must wait for room to write something of its own */
	stream_cb *cb;
	void *owner;
	uint64_t received;       /* bytes read so far */
	uint64_t offered;        /* bytes written so far, backlog included */
	int error;               /* errno of the failure, or 0 */
	int notsent_lowat;       /* 0: the kernel's limit is the only one */
	unsigned long tls_error; /* OpenSSL's code of the failure, or 0 */
	bool eof;                /* the other side ended its direction, or reading failed */
	bool broken;             /* writing failed */
	bool finishing;          /* stream_finish() was called */
	bool finished;           /* our FIN is out */
	bool full;               /* the peer's window was closed when stream_look() saw it last */
	bool truncated;          /* TLS: FIN without close_notify */
	bool flooded;            /* TLS: too many records without data came, and nothing more is read */
	bool crowded;            /* TLS: the handshake was large when the pool was full, and was given up */
	size_t in_ssl;           /* TLS: bytes that its SSL holds; while it handshakes, all that came */
	uint16_t reads;          /* TLS: how often the descriptor was read in this turn */
	uint16_t turn_records;   /* TLS: how many came in this turn */
	uint16_t records;        /* TLS: how many came since the last one with data */
	int8_t ended;            /* what the next stream_read() will answer, once the bytes before it were taken; or 0 */
};

/* Takes fd over: a plain stream. It starts with HOLD_STATE. */
void stream_open(struct stream *stream, struct event_base *base, int fd, stream_cb *cb, void *owner);

/* Turns an open plain stream, of which nothing was read (but skipped) or written, into a TLS one. Takes ssl over, in its accept
 * or connect state: the handshake begins at once, STREAM_READY ends it. -1: out of memory. */
must_check int stream_start_tls(struct stream *stream, SSL *ssl);

static inline bool stream_is_open(const struct stream *stream)
{
	return stream->open;
}

#define STREAM_AGAIN  0
#define STREAM_EOF    (-1) /* a FIN; over TLS a close_notify */
#define STREAM_FAILED (-2) /* error, tls_error, truncated say why */

/* Reads what is there, at most cap bytes. Returns how many, or one of the three above; the last two stay so. */
must_check ssize_t stream_read(struct stream *stream, void *buf, size_t cap);

/* Looks at the next bytes, at most cap, without taking them (plain only). Returns how many, or one of those above. */
must_check ssize_t stream_peek(struct stream *stream, void *buf, size_t cap);

/* Takes len bytes that stream_peek() has just shown, once more to buf. They are not the other end's own: nothing was heard
 * from it by them. -1: that failed, and so will reading. */
must_check int stream_skip(struct stream *stream, void *buf, size_t len);

/* Offers len bytes: sends what the socket takes, copies the refused rest to the backlog; data stays the caller's. Returns
 * the backlog in bytes (0 = flowing) or STREAM_FAILED. Not after stream_finish(). */
must_check ssize_t stream_write(struct stream *stream, const void *data, size_t len);

/* The same for the last bytes before stream_finish(), which must follow at once: on a plain stream they may wait for the
 * FIN, and both go in one segment. */
must_check ssize_t stream_write_last(struct stream *stream, const void *data, size_t len);

/* Appends a piece of a file, of length bytes or less, from offset. On plain streams it goes by sendfile as the socket takes
 * it, on TLS ones at most cap bytes are read through buf. fd stays the caller's, and must stay open until the backlog is
 * empty or the stream closed. Returns how many bytes of the file it took care of, or STREAM_FAILED; 0: the file is shorter
 * than that. */
must_check ssize_t stream_write_file(struct stream *stream, int fd, uint64_t offset, uint64_t length, void *buf, size_t cap);

/* Bytes of ours that the socket refused so far; those of queued files count. */
size_t stream_backlog(const struct stream *stream);

/* Bytes that the other end has not acknowledged and still can: the backlog and what the kernel holds. */
size_t stream_unsent(const struct stream *stream);

/* Bytes that the other end did acknowledge; only good to see whether there was progress. */
uint64_t stream_progress(const struct stream *stream);

/* STREAM_DRAINED is told when the backlog falls to this many bytes. */
void stream_set_low_water(struct stream *stream, size_t low);

/* Takes no more while the kernel holds so many bytes that were not sent once (TCP_NOTSENT_LOWAT). 0: no such limit. */
void stream_set_notsent_lowat(struct stream *stream, uint64_t bytes);

/* From now on its backlog, of bytes and not of files, and what its SSL holds are counted there until it is closed. */
must_check int stream_join_pool(struct stream *stream, struct stream_pool *pool); /* -1: out of memory */

/* Has the kernel look after a TCP connection that lasts: one whose peer is not heard for TCP_DEAD_MS (net/tcp.h), while
 * something waits for its acknowledgement or not, ends with ETIMEDOUT. */
void stream_watch_peer(struct stream *stream);

enum stream_peer {
	STREAM_PEER_WELL, /* as far as we know: it is the kernel that ends a connection to one that is not */
	STREAM_PEER_FULL, /* takes nothing, but says so: its window is closed */
	STREAM_PEER_DEAD, /* dead: its window was closed when it was last heard of, and it does not answer any more */
};

/* Sees how the peer of a watched stream is. The kernel would end a connection to a live peer whose window is closed, too,
 * so as long as it is, the kernel's limit is patience_ms (0: none); only this call sees then that such a peer died. It must
 * be made more often than every TCP_DEAD_MS. */
enum stream_peer stream_look(struct stream *stream, uint64_t patience_ms);

/* Whether a byte ever came, be it only of a handshake. */
bool stream_heard(const struct stream *stream);

/* Whether it ended, or broke, as the other end left: by a FIN, under TLS also without close_notify, or by an RST. */
bool stream_was_left(const struct stream *stream);

/* Both may be called at any time; release does nothing for a reason that does not hold, and neither once it is closed. */
void stream_hold(struct stream *stream, enum stream_hold why);
void stream_release(struct stream *stream, enum stream_hold why);

/* Tells STREAM_READABLE on the next turn of the loop, whether or not something came, unless it is held then. */
void stream_wake(struct stream *stream);

/* Ends our direction once the backlog is out: close_notify if TLS, then FIN. Reading goes on. */
void stream_finish(struct stream *stream);

/* Nothing can pass any more, either way. A stream that is not open is done. */
bool stream_done(const struct stream *stream);

/* Closes at once; what is in the backlog is lost. With reset the other end sees an RST instead of a FIN. */
void stream_close(struct stream *stream, bool reset);

/* What went wrong, in words, for the log; empty if nothing did. */
void stream_error_text(const struct stream *stream, char *out, size_t cap);
