/* reception.c owns the choice of a worker for each connection, and the news of those that were refused.
 * It must never look into a connection: what it says is for its worker, or for refusal.c. */
#include "server/reception.h"

#include "base/mem.h"
#include "server/refusal.h"
#include "session/admission.h"
#include "session/refusal_log.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct reception {
	struct admission *admission;
	struct refusals *refusals;
	struct refusal_log *news;
	struct limiter handshakes; /* for refusals */
	struct reception_limits limits;
	struct worker **worker;
	size_t workers;
	uint64_t next_id;
};

static struct worker *least_loaded(const struct reception *r)
{
	struct worker *least = r->worker[0];
	for (size_t i = 1; i < r->workers; i++)
		if (worker_load(r->worker[i]) < worker_load(least))
			least = r->worker[i];
	return least;
}

static void post(struct reception *r, struct worker *worker, struct generation *current, struct arrival *arrival)
{
	arrival->generation = generation_ref(current);
	if (worker_post(worker, arrival) != 0)
		session_unborn(arrival, r->admission, r->news);
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
static void refuse(struct reception *r, struct worker *least, struct generation *current, struct arrival *arrival)
{
	bool in_words = reason_row[arrival->refusal].http != 0;

	refusal_log_note(r->news, arrival->refusal, &arrival->peer, arrival->listen);
	if (in_words && may_be_plain(arrival->listen))
		refusals_take(r->refusals, arrival->fd, arrival->refusal, arrival->listen->tls == TLS_MODE_AUTO);
	else if (in_words && worker_may_refuse(least) && admission_tells(&r->handshakes, current->settings->server, arrival->listen,
	                                                     &arrival->peer, arrival->refusal))
		post(r, least, current, arrival);
	else
		reset(arrival->fd);
}

/* Who may connect to a UNIX socket is said by its permissions. */
static bool is_proxy(const struct arrival *arrival)
{
	return arrival->peer.sa.any.sa_family == AF_UNIX || cidr_list_has(&arrival->listen->trusted_proxy, &arrival->peer);
}

/* Behind a proxy the source is known when its header was read: session_admit(). */
static enum reason admit(const struct reception *r, const struct generation *current, struct arrival *arrival)
{
	bool proxied = arrival->listen->proxy_protocol;
	if (proxied && !is_proxy(arrival))
		return REASON_PROXY_UNTRUSTED;
	return admission_enter(r->admission, current->settings->server, proxied ? NULL : &arrival->peer, &arrival->seat);
}

void reception_take(struct reception *r, struct generation *current, const struct listen_settings *set, int fd,
                    const struct peer *peer)
{
	struct worker *least = least_loaded(r);
	struct arrival arrival = { .fd = fd, .peer = *peer, .id = ++r->next_id, .listen = set };

	arrival.refusal = admit(r, current, &arrival);
	if (arrival.refusal == REASON_NONE)
		post(r, least, current, &arrival);
	else
		refuse(r, least, current, &arrival);
}

void reception_add_worker(struct reception *r, struct worker *worker)
{
	r->worker = mem_resize(r->worker, r->workers + 1, sizeof(struct worker *));
	r->worker[r->workers++] = worker;
}

struct reception *reception_new(struct event_base *base, struct log *log, struct admission *admission,
                                const struct reception_limits *limits)
{
	struct reception *r = mem_zalloc(sizeof(*r));
	r->admission = admission;
	r->limits = *limits;
	r->refusals = refusals_new(base, (unsigned)limits->refusals, limits->timeout_ms);
	r->news = refusal_log_new(base, log);
	if (r->refusals != NULL && r->news != NULL)
		return r;
	reception_free(r);
	return NULL;
}

void reception_free(struct reception *r)
{
	if (r == NULL)
		return;
	refusal_log_free(r->news);
	refusals_free(r->refusals);
	free(r->worker);
	free(r);
}
