/* refusal.c owns what a refused client is told, and the connections that get nothing but that.
 * It must never take memory for a connection, nor wait for one: there are so many of them because there is no room. */
#include "server/refusal.h"

#include "base/clock.h"
#include "base/list.h"
#include "net/tls.h"
#include "session/refusal_text.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_MAX           4096
#define READS_A_TURN       4

struct refused {
	struct list_node link; /* in free or held; the oldest first */
	struct refusals *owner;
	struct event readable;
	int fd;
	enum reason reason;
	bool may_be_tls, answered;
	uint64_t over_ms;
};

struct refusals {
	struct event_base *base;
	struct event *over; /* for the oldest */
	uint64_t timeout_ms;
	struct list free, held;
	struct refused *slot;
};

/* --- the held ------------------------------------------------------------------------------------------------------- */

static void refused_close(struct refused *r)
{
	event_del(&r->readable);
	close(r->fd);
	list_remove(&r->owner->held, &r->link);
	list_append(&r->owner->free, &r->link);
}

/* The FIN follows at once, so both go in one segment. Returns whether the socket took it: one that does not is not waited for. */
static bool refused_answer(struct refused *r, bool head_only)
{
	char text[REFUSAL_MAX];
	const struct http_stamp stamp = { .now = time(NULL) }; /* without TLS, so without HSTS */
	size_t len = refusal_text(text, r->reason, NULL, &stamp, head_only);
	r->answered = true;
	return send(r->fd, text, len, MSG_MORE | MSG_NOSIGNAL) == (ssize_t)len;
}

/* Closing with unread bytes would reset the connection and destroy the answer. Behind a whole head a client waits; any
 * other is listened to until it goes. Returns whether it is to be held on. */
static bool refused_first(struct refused *r, const char *bytes, size_t n)
{
	if (r->may_be_tls && bytes[0] == TLS_HANDSHAKE_BYTE)
		return false;
	bool whole = n < READ_MAX && n > 4 && memcmp(bytes + n - 4, "\r\n\r\n", 4) == 0;
	bool head_only = n > 5 && memcmp(bytes, "HEAD ", 5) == 0;
	if (!refused_answer(r, head_only) || whole)
		return false;
	(void)shutdown(r->fd, SHUT_WR);
	return true;
}

/* Returns whether it is to be held on. */
static bool refused_look(struct refused *r)
{
	char bytes[READ_MAX];
	for (int i = 0; i < READS_A_TURN; i++) {
		ssize_t n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0 || (!r->answered && !refused_first(r, bytes, (size_t)n)))
			return false;
	}
	return true;
}

static struct refused *refusals_oldest(const struct refusals *rs)
{
	struct list_node *node = list_first(&rs->held);
	return node != NULL ? list_entry(node, struct refused, link) : NULL;
}

static void refusals_arm(struct refusals *rs)
{
	const struct refused *oldest = refusals_oldest(rs);
	if (oldest == NULL || evtimer_pending(rs->over, NULL))
		return;
	uint64_t now = clock_ms();
	struct timeval after = clock_timeval(oldest->over_ms > now ? oldest->over_ms - now : 0);
	(void)event_add(rs->over, &after); /* without a timer the next that comes makes the oldest go */
}

static void refusals_on_over(evutil_socket_t fd, short what, void *arg)
{
	struct refusals *rs = arg;
	struct refused *oldest;
	uint64_t now = clock_ms();
	(void)fd;
	(void)what;
	while ((oldest = refusals_oldest(rs)) != NULL && oldest->over_ms <= now)
		refused_close(oldest); /* it asked for nothing, or does not go */
	refusals_arm(rs);
}

static void refused_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct refused *r = arg;
	(void)fd;
	(void)what;
	if (!refused_look(r))
		refused_close(r);
}

static void refused_make_room(struct refused *oldest)
{
	if (!oldest->answered && !oldest->may_be_tls)
		(void)refused_answer(oldest, false);
	refused_close(oldest);
}

/* A slot that is free, or made so. */
static struct refused *refusals_slot(struct refusals *rs)
{
	struct refused *oldest = refusals_oldest(rs);
	if (list_empty(&rs->free) && oldest != NULL)
		refused_make_room(oldest);
	struct list_node *node = list_take(&rs->free);
	assert(node != NULL);
	return list_entry(node, struct refused, link);
}

void refusals_take(struct refusals *rs, int fd, enum reason reason, bool may_be_tls)
{
	struct refused *r = refusals_slot(rs);
	list_append(&rs->held, &r->link);
	r->fd = fd;
	r->reason = reason;
	r->may_be_tls = may_be_tls;
	r->answered = false;
	r->over_ms = clock_ms() + rs->timeout_ms;
	event_assign(&r->readable, rs->base, fd, EV_READ | EV_PERSIST, refused_on_readable, r);
	if (!refused_look(r) || event_add(&r->readable, NULL) != 0)
		refused_close(r);
	refusals_arm(rs);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

struct refusals *refusals_new(struct event_base *base, unsigned most, uint64_t timeout_ms)
{
	struct refusals *rs = calloc(1, sizeof(*rs));
	if (rs == NULL)
		return NULL;
	list_init(&rs->free);
	list_init(&rs->held);
	rs->base = base;
	rs->timeout_ms = timeout_ms;
	rs->over = evtimer_new(base, refusals_on_over, rs);
	rs->slot = calloc(most, sizeof(*rs->slot));
	if (rs->over == NULL || rs->slot == NULL) {
		refusals_free(rs);
		return NULL;
	}
	for (unsigned i = 0; i < most; i++) {
		rs->slot[i].owner = rs;
		event_assign(&rs->slot[i].readable, base, -1, 0, refused_on_readable, &rs->slot[i]);
		list_append(&rs->free, &rs->slot[i].link);
	}
	return rs;
}

void refusals_free(struct refusals *rs)
{
	if (rs == NULL)
		return;
	struct refused *oldest;
	while ((oldest = refusals_oldest(rs)) != NULL)
		refused_close(oldest);
	if (rs->over != NULL)
		event_free(rs->over);
	free(rs->slot);
	free(rs);
}
