/* The half of a stream that goes by way of its SSL instead of the descriptor. For stream.c only. */
#pragma once

#include "net/stream.h"

/* Gives the SSL the descriptor, and watches how much it takes. -1: out of memory. */
must_check int stream_tls_attach(struct stream *stream);

/* As stream_read() and its answers. It looks again by itself when the SSL may hold more. */
must_check ssize_t stream_tls_read(struct stream *stream, uint8_t *buf, size_t cap);

/* Returns how many bytes the SSL took, in whole records, or STREAM_FAILED. What it did not take must be offered again, all of
 * it, by way of the backlog. */
must_check ssize_t stream_tls_send(struct stream *stream, const uint8_t *data, size_t len);

/* False: there is no room for it; stream_wait_for_room() was called. */
must_check bool stream_tls_close_notify(struct stream *stream);
