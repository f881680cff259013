/* refusal_log.c owns the counts of refusals that the log was not told yet, and the second it waits between lines.
 * It must never lose one: what is left when the second is over is told then. */
#include "session/refusal_log.h"

#include "base/clock.h"
#include "base/limiter.h"
#include "base/mem.h"
#include "gate/sources.h"

#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

#define EVERY_MS  1000
#define SHARE     4 /* the part of all lines that one source may have */
#define EACH_MOST 100

/* Of those that were refused for one reason. */
struct untold {
	uint64_t count;
	struct peer peer; /* of the last one, as is what follows */
	char listen[64];
};

struct refusal_log {
	struct log *log;
	struct event over; /* pending: lines were written less than a second ago */
	struct limiter lines;
	struct untold untold[REASON_COUNT];
};

/* Returns whether there was anything. */
static bool refusal_log_tell(struct refusal_log *reject_log)
{
	bool any = false;
	for (int reason = 0; reason < REASON_COUNT; reason++) {
		struct untold *untold = &reject_log->untold[reason];
		char peer[ADDR_TEXT_MAX];
		if (untold->count == 0)
			continue;
		peer_format(&untold->peer, peer);
		const struct log_field fields[] = {
			log_count("count", untold->count),
			log_text("reason", reason_row[reason].label),
			log_text("peer", peer),
			log_text("listen", untold->listen),
		};
		log_record(reject_log->log, reason_row[reason].level, "connections refused", fields, ARRAY_LEN(fields));
		untold->count = 0;
		any = true;
	}
	return any;
}

static void refusal_log_on_over(evutil_socket_t fd, short what, void *arg)
{
	struct refusal_log *reject_log = arg;
	const struct timeval second = clock_timeval(EVERY_MS);
	if (refusal_log_tell(reject_log))
		evtimer_add(&reject_log->over, &second); /* without it the next one is told at once */
}

void refusal_log_note(struct refusal_log *reject_log, enum reason reason, const struct peer *peer,
                      const struct listen_settings *listen)
{
	struct untold *untold = &reject_log->untold[reason];
	untold->count++;
	untold->peer = *peer;
	snprintf(untold->listen, sizeof(untold->listen), "%s", listen->section.name);
	if (!evtimer_pending(&reject_log->over, NULL))
		refusal_log_on_over(-1, 0, reject_log);
}

bool refusal_log_spares_line(struct refusal_log *reject_log, const struct peer *peer, uint64_t most)
{
	uint64_t each = (most + SHARE - 1) / SHARE;
	uint64_t who = source_key(peer, 32, 48); /* what one owner has, as far as can be told */
	return limiter_take(&reject_log->lines, who, (uint8_t)(each < EACH_MOST ? each : EACH_MOST), most, clock_ms());
}

void refusal_log_punished(struct refusal_log *reject_log, const struct peer *peer, enum reason offence, uint64_t ms,
                          uint64_t most)
{
	char text[ADDR_TEXT_MAX];
	peer_format(peer, text);
	const struct log_field fields[] = {
		log_text("peer", text),
		log_ms("for", ms),
		log_text("offence", reason_row[offence].label),
	};
	enum log_level level = refusal_log_spares_line(reject_log, peer, most) ? LEVEL_WARN : LEVEL_DEBUG;
	log_record(reject_log->log, level, "source is refused", fields, ARRAY_LEN(fields));
}

struct refusal_log *refusal_log_new(struct event_base *base, struct log *log)
{
	struct refusal_log *reject_log = mem_zalloc(sizeof(*reject_log));
	reject_log->log = log;
	evtimer_assign(&reject_log->over, base, refusal_log_on_over, reject_log);
	return reject_log;
}

void refusal_log_free(struct refusal_log *reject_log)
{
	if (reject_log == NULL)
		return;
	(void)refusal_log_tell(reject_log);
	evtimer_del(&reject_log->over);
	free(reject_log);
}
