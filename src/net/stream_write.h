/* Writing to a stream: straight to its socket while nothing waits, else behind what does. */
#pragma once

#include "net/stream.h"

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
