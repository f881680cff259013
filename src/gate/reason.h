/* Why a session ended. One row of reason.def is one: the answer to the client, the log line and its level. */
#pragma once

#include "base/log.h"
#include "net/dial.h"

#include <stdint.h>

enum reason {
	REASON_NONE,
#define REASON(name, label, http, ws_code, level, flags, text, cure) REASON_##name,
#include "gate/reason.def"
#undef REASON
	REASON_COUNT
};

enum reason_flags {
	END_CLIENT = 1 << 0,
	END_RESET = 1 << 1,
	END_BROWSER = 1 << 2,
	END_BACKEND_RESET = 1 << 3,
	END_CUT = 1 << 4,
	OFFENCE_TIMEOUT = 1 << 5,
	OFFENCE_AUTH = 1 << 6,
	OFFENCE_PROTOCOL = 1 << 7,
	UNREACHED = 1 << 8,
};

struct reason_row {
	const char *label; /* in logs and metrics */
	const char *text;  /* to the client */
	int http;          /* status if the request was not answered yet; 0: no answer */
	uint16_t ws_code;  /* Close code if the session was open; 0: no Close of our own */
	enum log_level level;
	unsigned flags;
};

extern const struct reason_row reason_row[REASON_COUNT];

/* Reasons for what the layers below report. */
enum reason reason_from_http(int status);
enum reason reason_from_ws(uint16_t close_code);
enum reason reason_from_dial(enum dial_result result);
