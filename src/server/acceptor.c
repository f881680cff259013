/* acceptor.c owns how much room there is, the choice of a worker for each connection, and those that get nothing but a refusal.
 * It must never take memory for a refused one, nor wait for it: there are so many of them because there is no room. */
#include "server/acceptor.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/tls.h"
#include "session/explain.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Kept for everything that is no session: logs, listeners, loops, files, and clients who are told to go. */
#define RESERVE_BASE   48u
#define RESERVE_WORKER 5u
#define DIAL_SPARE     32u /* a worker's */

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
	uint64_t timeout_ms; /* of the held */
	struct event expiry; /* for the oldest of them */
};

/* A session takes two descriptors. What cannot be held is refused at the start, and not found out under load. */
int capacity_find(struct capacity *capacity, const struct server_settings *set, size_t workers, struct err *err)
{
	struct rlimit limit;
	uint64_t wanted = set->max_sessions;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return err_add(err, "cannot read the descriptor limit: %s", strerror(errno));
	const struct rlimit raised = { limit.rlim_max, limit.rlim_max };
	uint64_t all = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;

	capacity->refusals = MIN(set->max_refusals, all / 8 + 1); /* where there are few, few are kept */
	capacity->refusals_each = (unsigned)((capacity->refusals + workers - 1) / workers);
	capacity->dial_spare = (unsigned)MIN(DIAL_SPARE, all / 64);
	uint64_t reserve = MIN(RESERVE_BASE, all / 4) + 2 * capacity->refusals +
	                   (RESERVE_WORKER + capacity->dial_spare) * workers + set->resolver_threads + set->file_threads;
	uint64_t possible = all > reserve + 1 ? (all - reserve) / 2 : 0;
	capacity->sessions = wanted > 0 ? wanted : possible;
	if (possible > 0 && capacity->sessions <= possible)
		return 0;
	uint64_t needed = 2 * (wanted > 0 ? wanted : 1) + reserve;
	return err_add(err,
	               "max_sessions = %llu needs %llu descriptors, but the limit is %llu: raise it "
	               "(LimitNOFILE=, ulimit -n) or lower max_sessions",
	               (unsigned long long)wanted, (unsigned long long)needed, (unsigned long long)all);
}

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
	if (oldest == NULL || evtimer_pending(&a->expiry, NULL))
		return;
	uint64_t now = clock_ms();
	struct timeval after = clock_timeval(oldest->expires_ms > now ? oldest->expires_ms - now : 0);
	(void)event_add(&a->expiry, &after); /* without a timer the next that comes makes the oldest go */
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

/* Over TLS an answer costs a handshake, so only a few get one, and nobody who is to be kept off. Who gets none in words is reset:
 * to just close would leave the rest to the kernel's timers. False: a session is to tell it. */
static bool refuse(struct acceptor *a, const struct worker *least, const struct generation *current,
                   const struct arrival *arrival)
{
	static const struct linger none = { .l_onoff = 1 };
	const struct listen_settings *set = arrival->listen;
	bool in_words = reason_row[arrival->refusal].http != 0;
	bool may_be_plain = set->tls == TLS_MODE_OFF || (set->tls == TLS_MODE_AUTO && !set->proxy_protocol);

	refusal_log_note(a->reject_log, arrival->refusal, &arrival->peer, set);
	if (in_words && may_be_plain) { /* as the first bytes tell */
		acceptor_hold(a, arrival->fd, arrival->refusal, set->tls == TLS_MODE_AUTO);
		return true;
	}
	if (in_words && worker_may_refuse(least, &a->handshakes, current, set, &arrival->peer, arrival->refusal))
		return false;
	setsockopt(arrival->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(arrival->fd);
	return true;
}

/* Behind a proxy the source is known when its header was read: proxied_admit(). Who may connect to a UNIX socket is said by its
 * permissions. */
static enum reason admit(const struct acceptor *a, const struct generation *current, struct arrival *arrival)
{
	const struct peer *peer = &arrival->peer;
	bool proxied = arrival->listen->proxy_protocol;
	if (proxied && peer->sa.any.sa_family != AF_UNIX && !cidr_list_has(&arrival->listen->trusted_proxy, peer))
		return REASON_PROXY_UNTRUSTED;
	return admission_enter(a->admission, &current->terms, proxied ? NULL : peer, &arrival->seat);
}

void acceptor_take(struct acceptor *a, struct generation *current, const struct listen_settings *set, int fd,
                   const struct peer *peer)
{
	struct worker *least = least_loaded(a);
	struct arrival arrival = { .fd = fd, .peer = *peer, .id = ++a->next_id, .listen = set };

	arrival.refusal = admit(a, current, &arrival);
	if (arrival.refusal != REASON_NONE && refuse(a, least, current, &arrival))
		return;
	arrival.generation = generation_ref(current);
	if (worker_post(least, &arrival) != 0)
		arrival_discard(&arrival, a->admission, a->reject_log);
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
	evtimer_assign(&a->expiry, base, acceptor_on_expiry, a);
	a->reject_log = refusal_log_new(base, log);
	a->slot = calloc(refusals, sizeof(*a->slot));
	if (a->slot == NULL) {
		acceptor_free(a);
		return NULL;
	}
	for (uint64_t i = 0; i < refusals; i++) {
		a->slot[i].owner = a;
		list_append(&a->free, &a->slot[i].link);
	}
	return a;
}

void acceptor_free(struct acceptor *a)
{
	if (a == NULL)
		return;
	list_each (&a->held, node, after)
		refused_close(list_entry(node, struct refused, link));
	refusal_log_free(a->reject_log);
	event_del(&a->expiry);
	free(a->slot);
	free(a->worker);
	free(a);
}
