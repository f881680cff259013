/* refusal_log.c owns the count of refusals that the log was not told yet, and the second it waits between lines.
 * It must never lose one: what is left when the second is over is told then. */
#include "core/refusal_log.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define EVERY_MS 1000

struct refusal_log {
	struct log *log;
	struct event *over; /* pending: a line was written less than a second ago */
	uint64_t untold;
	enum reason reason; /* of the last one, as is what follows */
	struct peer peer;
	char listen[64];
};

static void refusal_log_tell(struct refusal_log *news)
{
	const struct timeval second = clock_timeval(EVERY_MS);
	char peer[ADDR_TEXT_MAX];

	peer_format(&news->peer, peer);
	const struct log_field fields[] = {
		{ .key = "count", .kind = FIELD_COUNT, .number = news->untold },
		{ .key = "reason", .kind = FIELD_TEXT, .text = span_of(reason_row[news->reason].label) },
		{ .key = "peer", .kind = FIELD_TEXT, .text = span_of(peer) },
		{ .key = "listen", .kind = FIELD_TEXT, .text = span_of(news->listen) },
	};
	log_record(news->log, LEVEL_WARN, "connections refused", fields, ARRAY_LEN(fields));
	news->untold = 0;
	evtimer_add(news->over, &second); /* without it the next one is told at once */
}

static void refusal_log_on_over(evutil_socket_t fd, short what, void *arg)
{
	struct refusal_log *news = arg;
	(void)fd;
	(void)what;
	if (news->untold > 0)
		refusal_log_tell(news);
}

void refusal_log_note(struct refusal_log *news, enum reason reason, const struct peer *peer, const struct listen_settings *listen)
{
	news->untold++;
	news->reason = reason;
	news->peer = *peer;
	snprintf(news->listen, sizeof(news->listen), "%s", listen->section.name);
	if (!evtimer_pending(news->over, NULL))
		refusal_log_tell(news);
}

struct refusal_log *refusal_log_new(struct event_base *base, struct log *log)
{
	struct refusal_log *news = mem_zalloc(sizeof(*news));

	news->log = log;
	news->over = evtimer_new(base, refusal_log_on_over, news);
	if (news->over != NULL)
		return news;
	free(news);
	return NULL;
}

void refusal_log_free(struct refusal_log *news)
{
	if (news == NULL)
		return;
	if (news->untold > 0)
		refusal_log_tell(news);
	event_free(news->over);
	free(news);
}
