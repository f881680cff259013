/* What a session needs of the worker it lives on, and all it knows of it. One for each worker, used by its thread alone. */
#pragma once

#include "base/attr.h"
#include "base/list.h"
#include "base/log.h"
#include "gate/admission.h"
#include "gate/gate.h"
#include "net/dial.h"
#include "net/stream.h"
#include "proto/http.h"
#include "session/refusal_log.h"
#include "session/state.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

/* The buffer that all reading of a worker goes through, and room in front of it for what is pushed there: a frame's header. */
#define CONTEXT_SCRATCH  ((size_t)256 * 1024)
#define CONTEXT_HEADROOM ((size_t)64)

struct opener;
struct session;

struct session_context {
	struct event_base *base;
	struct log *log;
	struct admission *admission;  /* shared with all other threads */
	struct refusal_log *refusals; /* what the log is told of strangers */
	struct dial_env dial_env;
	struct request_env request_env;
	struct opener *opener;             /* opens files for handlers */
	uint8_t *scratch;                  /* CONTEXT_SCRATCH bytes, with CONTEXT_HEADROOM in front */
	EVP_MD_CTX *sha1;                  /* for the answers to upgrades */
	struct http_head head;             /* the request being looked at; valid within one turn, as its spans are */
	struct stream_pool backlogs;       /* and all else that peers make it hold: max_backlog is for it */
	struct list sessions[STATE_COUNT]; /* each session is in the list of its state */
	bool draining;

	/* What the worker does for its sessions. */
	void (*reap_soon)(struct session_context *context); /* session_reap_all(), in this turn of the loop */
	/* Counts an admitted session as refused. False when it must be closed without an answer. */
	bool (*refuse)(struct session_context *context, const struct session *session);
	void (*gone)(struct session_context *context, bool was_refusal);
};
