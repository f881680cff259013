/* Whether the other end of a connection that lasts is still there: the kernel finds out, or we where it errs. */
#pragma once

#include "net/stream.h"

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
