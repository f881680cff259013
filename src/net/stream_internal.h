/* What stream.c, stream_write.c and stream_tls.c do for each other; not for others. */
#pragma once

#include "net/stream.h"

/* Each remembers the first error, and returns what it tells the caller: STREAM_EOF or STREAM_FAILED. */
ssize_t stream_end_reading(struct stream *stream, int how, int error);
ssize_t stream_break(struct stream *stream, int error); /* nothing can be sent any more */

/* The backlog, which is made if there is none; NULL without memory for it. */
must_check struct evbuffer *stream_output(struct stream *stream);

/* So many bytes are in the SSL now. */
void stream_count_in_ssl(struct stream *stream, size_t held);

/* What the SSL wants to write has no room: once there is, reading, or the stream's end, is taken up again. -1: no memory
 * to wait with. */
must_check int stream_wait_for_room(struct stream *stream);

/* Gives the SSL the descriptor, and watches how much it takes. -1: out of memory. */
must_check int stream_tls_attach(struct stream *stream);

/* As stream_read() and its answers. It looks again by itself when the SSL may hold more. */
must_check ssize_t stream_tls_read(struct stream *stream, uint8_t *buf, size_t cap);

/* Returns how many bytes the SSL took, in whole records, or STREAM_FAILED. What it did not take must be offered again, all of
 * it, by way of the backlog. */
must_check ssize_t stream_tls_send(struct stream *stream, const uint8_t *data, size_t len);

/* False: there is no room for it; stream_wait_for_room() was called. */
must_check bool stream_tls_close_notify(struct stream *stream);
