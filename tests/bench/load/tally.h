/* What a run counted between the opening of its last session and the end of its time, and the line that says so. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "histogram.h"

struct tally {
	pid_t watched;             /* 0, or the process whose CPU time counts */
	uint64_t began, cpu_began; /* nanoseconds */
	uint64_t seconds_ns, cpu_ns;
	uint64_t wire_out, wire_in, failed;
	struct histogram latency;  /* microseconds of each message or handshake */
};

/* Whatever was counted before is forgotten. Call it when the load starts, and again when all sessions are open. */
void tally_begin(struct tally *tally);
void tally_end(struct tally *tally);
void tally_message(struct tally *tally, uint64_t since);

/* How the run as a whole went, for the report. */
struct outcome {
	uint32_t opened, unfinished;
	uint64_t frame_len, payload_len;   /* frame_len 0: no frames are counted */
};

void tally_print(const struct tally *tally, const struct outcome *outcome);
