/* tally.c owns what is counted, over which time, and the line of JSON at the end.
 * It must never cost the load more than an addition and a clock for each message. */
#include "tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "../benchnet.h"

/* The CPU clock of a process counts user and system time of all its threads, ended ones too, in nanoseconds; the times
 * in /proc/PID/stat come from the same sums, cut to ticks of 10 ms. Reading it here, and not in the script around us,
 * puts both readings exactly at the borders of what was counted. */
static uint64_t cpu_of(pid_t pid)
{
	clockid_t clock;
	struct timespec ts;

	if (pid == 0)
		return 0;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		die("the CPU clock of the watched process");
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void tally_begin(struct tally *tally)
{
	pid_t watched = tally->watched;
	uint64_t failed = tally->failed;

	memset(tally, 0, sizeof *tally);
	tally->watched = watched;
	tally->failed = failed;
	tally->cpu_began = cpu_of(watched);
	tally->began = now_ns();
}

void tally_end(struct tally *tally)
{
	tally->seconds_ns = now_ns() - tally->began;
	tally->cpu_ns = cpu_of(tally->watched) - tally->cpu_began;
}

void tally_message(struct tally *tally, uint64_t since)
{
	histogram_add(&tally->latency, (now_ns() - since) / 1000);
}

static double own_cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void tally_print(const struct tally *tally, const struct outcome *outcome)
{
	uint64_t frames = outcome->frame_len > 0 ? tally->wire_out / outcome->frame_len : 0;

	printf("{\"seconds\": %.6f, \"cpu\": %.6f, \"opened\": %" PRIu32 ", \"failed\": %" PRIu64
	       ", \"unfinished\": %" PRIu32 ", \"frames\": %" PRIu64 ", \"bytes_out\": %" PRIu64
	       ", \"bytes_in\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"p50_us\": %" PRIu64
	       ", \"p99_us\": %" PRIu64 ", \"p999_us\": %" PRIu64 ", \"own_cpu\": %.3f}\n",
	       (double)tally->seconds_ns / 1e9, (double)tally->cpu_ns / 1e9, outcome->opened, tally->failed,
	       outcome->unfinished, frames, frames > 0 ? frames * outcome->payload_len : tally->wire_out, tally->wire_in,
	       tally->latency.total, histogram_share(&tally->latency, 0.5), histogram_share(&tally->latency, 0.99),
	       histogram_share(&tally->latency, 0.999), own_cpu());
}
