/* acceptor.c owns the choice of a worker for each connection, and the connections that get nothing but a refusal.
 * It must never take memory for a refused one, nor wait for it: there are so many of them because there is no room. */
#include "server/acceptor.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/tls.h"
#include "session/refusal_log.h"
#include "session/refusal_text.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_MAX     4096
#define READS_A_TURN 4

struct refused {
	struct list_node link; /* in free or held; the oldest first */
	struct acceptor *owner;
	struct event readable;
	int fd;
	enum reason reason;
	bool may_be_tls, answered;
	uint64_t expires_ms;
};

struct acceptor {
	struct event_base *base;
	struct admission *admission;
	struct refusal_log *reject_log;
	struct limiter handshakes; /* for refusals */
	struct worker **worker;
	size_t workers;
	uint64_t next_id;
	struct refused *slot;
	struct list free, held;
	uint64_t timeout_ms;  /* of the held */
	struct event *expiry; /* for the oldest of them */
};

static void refused_close(struct refused *r)
{
	event_del(&r->readable);
	close(r->fd);
	list_remove(&r->owner->held, &r->link);
	list_append(&r->owner->free, &r->link);
}

/* The FIN follows at once, so both go in one segment. Returns whether the socket took it: nobody waits for one that did not. */
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

static struct refused *acceptor_oldest(const struct acceptor *a)
{
	struct list_node *node = list_first(&a->held);
	return node != NULL ? list_entry(node, struct refused, link) : NULL;
}

static void acceptor_arm(struct acceptor *a)
{
	const struct refused *oldest = acceptor_oldest(a);
	if (oldest == NULL || evtimer_pending(a->expiry, NULL))
		return;
	uint64_t now = clock_ms();
	struct timeval after = clock_timeval(oldest->expires_ms > now ? oldest->expires_ms - now : 0);
	(void)event_add(a->expiry, &after); /* without a timer the next that comes makes the oldest go */
}

static void acceptor_on_expiry(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *a = arg;
	struct refused *oldest;
	uint64_t now = clock_ms();
	while ((oldest = acceptor_oldest(a)) != NULL && oldest->expires_ms <= now)
		refused_close(oldest); /* it asked for nothing, or does not go */
	acceptor_arm(a);
}

static void refused_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct refused *r = arg;
	if (!refused_look(r))
		refused_close(r);
}

static void acceptor_hold(struct acceptor *a, int fd, enum reason reason, bool may_be_tls)
{
	/* A slot that is free, or made so. */
	struct refused *oldest = acceptor_oldest(a);
	if (list_empty(&a->free) && oldest != NULL) {
		if (!oldest->answered && !oldest->may_be_tls)
			(void)refused_answer(oldest, false);
		refused_close(oldest);
	}
	struct list_node *node = list_take(&a->free);
	assert(node != NULL);
	struct refused *r = list_entry(node, struct refused, link);
	list_append(&a->held, &r->link);
	r->fd = fd;
	r->reason = reason;
	r->may_be_tls = may_be_tls;
	r->answered = false;
	r->expires_ms = clock_ms() + a->timeout_ms;
	event_assign(&r->readable, a->base, fd, EV_READ | EV_PERSIST, refused_on_readable, r);
	if (!refused_look(r) || event_add(&r->readable, NULL) != 0)
		refused_close(r);
	acceptor_arm(a);
}

static struct worker *least_loaded(const struct acceptor *a)
{
	struct worker *least = a->worker[0];
	for (size_t i = 1; i < a->workers; i++)
		if (worker_load(a->worker[i]) < worker_load(least))
			least = a->worker[i];
	return least;
}

static void post(struct acceptor *a, struct worker *worker, struct generation *current, struct arrival *arrival)
{
	arrival->generation = generation_ref(current);
	if (worker_post(worker, arrival) != 0)
		arrival_discard(arrival, a->admission, a->reject_log);
}

/* Whether the first bytes tell if the answer can be plain. */
static bool may_be_plain(const struct listen_settings *set)
{
	return set->tls == TLS_MODE_OFF || (set->tls == TLS_MODE_AUTO && !set->proxy_protocol);
}

/* For who gets no answer in words; one that just closes would leave the rest to the kernel's timers. */
static void reset(int fd)
{
	static const struct linger none = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

/* Over TLS an answer costs a handshake, so only a few get one, and nobody who is to be kept off. */
static void refuse(struct acceptor *a, struct worker *least, struct generation *current, struct arrival *arrival)
{
	bool in_words = reason_row[arrival->refusal].http != 0;

	refusal_log_note(a->reject_log, arrival->refusal, &arrival->peer, arrival->listen);
	if (in_words && may_be_plain(arrival->listen))
		acceptor_hold(a, arrival->fd, arrival->refusal, arrival->listen->tls == TLS_MODE_AUTO);
	else if (in_words && worker_may_refuse(least, &a->handshakes, current, arrival->listen, &arrival->peer, arrival->refusal))
		post(a, least, current, arrival);
	else
		reset(arrival->fd);
}

/* Who may connect to a UNIX socket is said by its permissions. */
static bool is_proxy(const struct arrival *arrival)
{
	return arrival->peer.sa.any.sa_family == AF_UNIX || cidr_list_has(&arrival->listen->trusted_proxy, &arrival->peer);
}

/* Behind a proxy the source is known when its header was read: session_admit(). */
static enum reason admit(const struct acceptor *a, const struct generation *current, struct arrival *arrival)
{
	bool proxied = arrival->listen->proxy_protocol;
	if (proxied && !is_proxy(arrival))
		return REASON_PROXY_UNTRUSTED;
	return admission_enter(a->admission, &current->terms, proxied ? NULL : &arrival->peer, &arrival->seat);
}

void acceptor_take(struct acceptor *a, struct generation *current, const struct listen_settings *set, int fd,
                   const struct peer *peer)
{
	struct worker *least = least_loaded(a);
	struct arrival arrival = { .fd = fd, .peer = *peer, .id = ++a->next_id, .listen = set };

	arrival.refusal = admit(a, current, &arrival);
	if (arrival.refusal == REASON_NONE)
		post(a, least, current, &arrival);
	else
		refuse(a, least, current, &arrival);
}

void acceptor_add_worker(struct acceptor *a, struct worker *worker)
{
	a->worker = mem_resize(a->worker, a->workers + 1, sizeof(struct worker *));
	a->worker[a->workers++] = worker;
}

struct acceptor *acceptor_new(struct event_base *base, struct log *log, struct admission *admission, uint64_t refusals,
                              uint64_t timeout_ms)
{
	struct acceptor *a = mem_zalloc(sizeof(*a));
	list_init(&a->free);
	list_init(&a->held);
	a->base = base;
	a->admission = admission;
	a->timeout_ms = timeout_ms;
	a->expiry = evtimer_new(base, acceptor_on_expiry, a);
	a->reject_log = refusal_log_new(base, log);
	a->slot = calloc(refusals, sizeof(*a->slot));
	if (a->expiry == NULL || a->reject_log == NULL || a->slot == NULL) {
		acceptor_free(a);
		return NULL;
	}
	for (uint64_t i = 0; i < refusals; i++) {
		struct refused *slot = &a->slot[i];
		slot->owner = a;
		event_assign(&slot->readable, a->base, -1, 0, refused_on_readable, slot);
		list_append(&a->free, &slot->link);
	}
	return a;
}

void acceptor_free(struct acceptor *a)
{
	if (a == NULL)
		return;
	struct refused *oldest;
	while ((oldest = acceptor_oldest(a)) != NULL)
		refused_close(oldest);
	refusal_log_free(a->reject_log);
	if (a->expiry != NULL)
		event_free(a->expiry);
	free(a->slot);
	free(a->worker);
	free(a);
}
