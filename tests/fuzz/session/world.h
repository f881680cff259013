/* One run of a fuzzed session: a worker, a client, a target, and what happens to them. */
#pragma once

#include "kernel.h"
#include "party.h"

#include "server/worker.h"

/* How the world goes on when the script is over. In all of them the peers take what there is for them first. */
enum way_out {
	ENDING_TARGET,        /* the target ends, the client answers the Close */
	ENDING_CLIENT,        /* the client closes, the target ends when it is told to */
	ENDING_CLIENT_LEAVES, /* by a FIN without a Close */
	ENDING_RESETS,
	ENDING_SILENCE, /* both vanish: time alone ends it */
	ENDING_DRAIN,   /* ... and the peers are orderly */
	ENDING_STOP,
	ENDING_SILENT_DRAIN,
	ENDINGS,
};

struct world {
	struct worker *worker;
	struct party client, target;
	struct resolve *look_up; /* the one that was asked for */
	enum way_out ending;
	int phase;
	unsigned turns; /* since anything moved */
	unsigned long moves;
	uint64_t calm_ms;                                 /* when the script was over */
	uint64_t resting;                                 /* ms that the script lets pass */
	uint32_t key;                                     /* the last masking key */
	size_t binary_at, client_text_at, target_text_at; /* what is sent next */
	size_t header_len;                                /* of the PROXY header, in front of what the client sends */
	uint8_t message;                                  /* the opcode of the client's message under way */
	bool drained, stopped;
	bool proxied;      /* its listener wants a PROXY header */
	bool plain_target; /* it speaks no TLS, whatever the route says */
	bool harmed;       /* a call failed, or a peer reset: something may be lost */
	bool late;         /* so much time passed that a limit may have run out */
};

extern struct world world;

/* What world.c does for the others. */
struct session *world_session(void); /* NULL: it is gone */
void world_answer_look_up(unsigned kind);
void world_connect_all(int error); /* what is under way is answered */
void world_drain(uint64_t ms);
void world_stop(void);
void world_pass(uint64_t ms); /* without the worker */

/* The script: what the fuzzer's bytes have happen. */
void script_begin(const uint8_t *data, size_t size);
bool script_goes_on(void);
void script_step(void); /* all until the worker has its turn */
void script_client_frame(uint8_t first, const void *payload, size_t len);

/* The checks. */
void verdict_turn(void); /* what holds at any time */
void verdict_calm(void); /* nothing moves any more, though both take all they can get */
void verdict_end(void);  /* the session is gone */

/* Everything, from the first byte of the input to the last check. */
void world_run(const uint8_t *data, size_t size, bool tls);
