/* A codec: what stands between a client's frames and its target's bytes. Each kind is one table and a row of codec.def; a session has
 * one codec, and flow.c alone calls it: it hands over what came, and sends what the codec makes of it.
 *
 *     up    a run of the client's payload -> bytes for the target. Of an echo: a frame for the client
 *     down  bytes of the target           -> a frame for the client
 *
 * It works in place where it can, and makes one piece a call, of CODEC_PIECE_MAX bytes or what it was given. Has it more to say, it
 * keeps what it needs for that and is called again without input (run NULL, len 0): at once, or when the side that it is for has
 * taken what waits, and before any other input comes. So a few bytes may become very many, and a peer that does not read still
 * costs a bounded backlog. It knows no stream and no session. */
#pragma once

#include "proto/ws.h"
#include "gate/reason.h"

/* Bytes of the target that a codec holds back at most, because they mean nothing before the next ones came. */
#define CODEC_HELD_MAX 4

#define CODEC_PIECE_MAX ((size_t)16 * 1024)

struct piece {
	uint8_t *at; /* NULL: nothing to send */
	size_t len;
	uint8_t first; /* of a frame: its opcode, with WS_FIN or without. In front of it there is room for the header */
	bool own;      /* it stands in memory of the codec's, and not in what was given to it */
	bool more;     /* it is to be called again */
};

struct codec {
	const struct codec_ops *ops;
	uint8_t held[CODEC_HELD_MAX]; /* stands in front of the next bytes of the target that down() gets */
	uint8_t held_len;
	bool more_up, more_down; /* the flow's: it was stopped, and is to be called again */
};

/* A reason that comes back ends the session, after the piece was sent. */
struct codec_ops {
	uint8_t rx; /* how the decoder makes runs for it: WS_RX_MERGE, or 0 when the borders of messages matter */
	enum reason (*up)(struct codec *codec, const struct ws_run *run, struct piece *piece);
	enum reason (*down)(struct codec *codec, uint8_t *bytes, size_t len, struct piece *piece); /* NULL: there is no target */
	enum reason (*end)(const struct codec *codec); /* the target has said its last */
};

#define CODEC(name, sessions) extern const struct codec_ops codec_##name;
#include "session/codec.def"
#undef CODEC
