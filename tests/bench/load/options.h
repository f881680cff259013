/* The command line of the load generator. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../benchnet.h"

struct options {
	const char *mode;
	struct endpoint address;
	const char *path, *origin;
	uint64_t size;             /* payload bytes of a frame */
	uint64_t declared;         /* > 0: one frame of this length that never ends */
	uint64_t frames;           /* of each session; 0: until the time is up */
	uint64_t duration_ns;
	uint32_t sessions, sources;
	uint32_t window;           /* echo: so many messages under way at a time; 0: one a session */
	uint8_t opcode;
	bool raw, tls, resume, deaf, fragments, abrupt;
	pid_t watched;             /* 0, or the process whose CPU time is reported */
};

/* Fills in *set, or says what is wrong on stderr and ends the program. */
void options_parse(struct options *set, int argc, char **argv);
