/* What a session's bytes mean, by the plainest means, and what must hold for them whatever happened on the way. */
#pragma once

#include "kernel.h"

#define JUDGE_MESSAGES 8192

/* What a route lets pass from the client. */
struct rules {
	bool text, binary;
	uint64_t max_message; /* 0: any */
};

struct message {
	uint8_t opcode;
	bool whole;
	size_t len;
};

/* A stream of frames, decoded to its end or to a violation. */
struct frames {
	struct bytes payload; /* of data frames, those of a violating one included */
	size_t sure;          /* how much of that stands in front of the violation */
	bool violation, closed, after_close;
	bool cut;                       /* the last frame is not there as a whole */
	struct bytes close, ping, pong; /* payload of the Close, of the last ping, of the last pong */
	size_t pings, pongs;
	size_t incomplete; /* bytes of a character that a text stream ends inside of */
	struct message message[JUDGE_MESSAGES];
	size_t messages;
};

/* frames' payload needs memory for len bytes; masked: they are a client's. */
void judge_frames(struct frames *frames, const uint8_t *at, size_t len, bool masked, struct rules rules);

/* The answers in front of the frames. */
struct answers {
	size_t count; /* complete heads, the 101 included */
	int status;   /* of the last one */
	bool upgraded;
	bool of_files;    /* the last one is a web root's, and no refusal */
	bool cut;         /* the last one is not there as a whole */
	size_t frames_at; /* where frames begin in what the client got */
	size_t asked_at;  /* ... and in what it sent */
};

/* Checks the form of all the client got in front of frames; answers->asked_at says where requests begin. file: what the
 * one big file holds. */
void judge_answers(struct answers *answers, const struct bytes *sent, const struct bytes *got,
                   const struct bytes *file);

bool bytes_begin_with(const struct bytes *whole, const uint8_t *at, size_t len);
