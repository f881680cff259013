/* What stream.c does for stream_write.c and stream_tls.c; not for others. */
#pragma once

#include "net/stream.h"

ssize_t stream_end_reading(struct stream *stream, int how, int error); /* STREAM_EOF or STREAM_FAILED, which it returns */
void stream_break(struct stream *stream, int error);                   /* nothing can be sent any more */

/* The backlog, which is made if there is none; NULL without memory for it. */
must_check struct evbuffer *stream_output(struct stream *stream);

/* So many bytes are in the SSL now. */
void stream_count_in_ssl(struct stream *stream, size_t held);

/* What the SSL wants to write has no room: once there is, reading, or the stream's end, is taken up again. -1: no memory
 * to wait with. */
must_check int stream_wait_for_room(struct stream *stream);
