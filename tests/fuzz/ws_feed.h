/* Feeds `in` to a decoder in pieces and writes what comes out to `got`, in the words of tests/unit/ws_stream.h. */
#pragma once

#include "check.h"
#include "proto/ws.h"
#include "../unit/ws_oracle.h"

#define VIOLATION_LEN 6 /* `{1002}` */

static inline void feed_log(const struct ws_rx *rx, enum ws_status status, const struct ws_run *run)
{
	bool borders = !(rx->flags & WS_RX_MERGE);

	if (status == WS_CONTROL)
		log_control(&got, run->opcode, run->payload, run->len);
	if (status != WS_DATA)
		return;
	CHECK(borders || run->len > 0);
	if (borders && run->message_start)
		put_text(&got, run->opcode == WS_TEXT ? "(t" : "(b");
	put(&got, run->payload, run->len);
	if (borders && run->message_end)
		put_text(&got, ")");
}

/* One piece, in memory of its own. Returns false after a violation, having seen that it is final. */
static inline bool feed(struct ws_rx *rx, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = exact_copy(bytes, len), *buf = copy;
	struct ws_run run;
	enum ws_status status = WS_MORE;

	while (len > 0 && (status = ws_decode(rx, buf, len, &run)) != WS_BAD) {
		CHECK(run.used <= len && (status != WS_MORE || run.used == len));
		CHECK(status != WS_DATA || lies_within((struct span){ (char *)run.payload, run.len }, buf, run.used));
		feed_log(rx, status, &run);
		buf += run.used;
		len -= run.used;
	}
	if (status == WS_BAD) {
		uint16_t code = run.close_code;
		CHECK(ws_decode(rx, buf, len, &run) == WS_BAD && run.close_code == code);
		log_bad(&got, code);
	}
	free(copy);
	return status != WS_BAD;
}

/* Feeds all of `in` in pieces of `step` bytes. Returns false when it ended in a violation. */
static inline bool feed_in_steps(struct ws_rx *rx, size_t step)
{
	bool fine = true;

	got.len = 0;
	for (size_t at = 0; fine && at < in.len; at += step)
		fine = feed(rx, in.at + at, in.len - at < step ? in.len - at : step);
	return fine;
}
