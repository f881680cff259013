/* worker.c owns a thread, its event loop, its scratch buffer and the lists its sessions are in.
 * It must never touch a session from another thread: whatever comes from outside comes as a mail. */
#include "server/worker.h"

#include "base/clock.h"
#include "base/limiter.h"
#include "base/signals.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct worker {
	struct session_context context; /* what its sessions know of it */
	struct mailbox *mailbox;
	uint8_t *buffer;               /* the scratch buffer with its headroom */
	struct event reap, drain_over; /* the base, which is freed before them, takes them off */
	uint64_t drain_timeout;
	unsigned dial_spare;       /* see dial.h */
	atomic_uint load;          /* sessions that were posted and are not gone */
	atomic_uint refusals;      /* those of them that only are to be refused */
	struct limiter handshakes; /* of those */
	struct worker_setup setup;
	pthread_t thread;
	struct mail drain, stop;
};

struct arrival_mail {
	struct mail mail;
	struct arrival arrival;
};

static struct worker *worker_of(struct session_context *context)
{
	return list_entry(context, struct worker, context);
}

static void worker_on_arrival(struct mail *mail, void *owner)
{
	struct arrival_mail *letter = (struct arrival_mail *)mail;
	struct worker *w = owner;
	arrival_start(&w->context, &letter->arrival);
	free(letter);
}

unsigned worker_load(const struct worker *w)
{
	return atomic_load_explicit(&w->load, memory_order_relaxed);
}

bool worker_may_refuse(const struct worker *w, struct limiter *handshakes, const struct generation *generation,
                       const struct listen_settings *listen, const struct peer *peer, enum reason refusal)
{
	bool unnamed = listen->proxy_protocol && refusal == REASON_OVERLOAD; /* no proxy has said whose it is */
	if (atomic_load_explicit(&w->refusals, memory_order_relaxed) >= w->setup.refusals || refusal == REASON_SOURCE_PENALTY)
		return false;
	return listen->tls != TLS_MODE_ON || admission_spares_handshake(handshakes, &generation->terms, unnamed ? NULL : peer,
	                                                                generation->settings->server->max_tls_refusals);
}

static bool worker_refuse(struct session_context *context, const struct session *s)
{
	struct worker *w = worker_of(context);
	bool told = worker_may_refuse(w, &w->handshakes, s->generation, s->listen, &s->peer, s->refusal);
	atomic_fetch_add_explicit(&w->refusals, 1, memory_order_relaxed);
	refusal_log_note(context->refusals, s->refusal, &s->peer, s->listen);
	return told;
}

int worker_post(struct worker *w, const struct arrival *arrival)
{
	struct arrival_mail *letter = malloc(sizeof(*letter));
	if (letter == NULL)
		return -1;
	letter->mail.run = worker_on_arrival;
	letter->arrival = *arrival;
	atomic_fetch_add_explicit(&w->load, 1, memory_order_relaxed);
	if (arrival->refusal != REASON_NONE)
		atomic_fetch_add_explicit(&w->refusals, 1, memory_order_relaxed);
	mailbox_post(w->mailbox, &letter->mail);
	return 0;
}

static void worker_reap_soon(struct session_context *context)
{
	event_active(&worker_of(context)->reap, EV_TIMEOUT, 1); /* when the callbacks that wait in this turn have run */
}

static void worker_on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	session_reap_all(&w->context);
}

static void worker_gone(struct session_context *context, bool was_refusal)
{
	struct worker *w = worker_of(context);
	if (was_refusal)
		atomic_fetch_sub_explicit(&w->refusals, 1, memory_order_relaxed);
	unsigned before = atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
	if (context->draining && before == 1)
		event_base_loopbreak(context->base);
}

static void worker_on_drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	session_cut_all(&w->context);
}

static void worker_end_if_empty(struct worker *w)
{
	if (worker_load(w) == 0)
		event_base_loopbreak(w->context.base);
}

static void worker_on_drain(struct mail *mail, void *owner)
{
	struct worker *w = owner;
	struct timeval limit = clock_timeval(w->drain_timeout);
	session_drain_all(&w->context);
	if (event_add(&w->drain_over, &limit) != 0)
		session_cut_all(&w->context); /* without a timer nothing would end the wait */
	worker_end_if_empty(w);
}

static void worker_on_stop(struct mail *mail, void *owner)
{
	struct worker *w = owner;
	session_cut_all(&w->context);
	worker_end_if_empty(w);
}

void worker_drain(struct worker *w, uint64_t timeout_ms)
{
	w->drain_timeout = timeout_ms;
	mailbox_post(w->mailbox, &w->drain);
}

void worker_stop(struct worker *w)
{
	mailbox_post(w->mailbox, &w->stop);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	event_base_loop(w->context.base, EVLOOP_NO_EXIT_ON_EMPTY);
	mailbox_post(w->setup.parent, w->setup.exit_mail);
	return NULL;
}

int worker_start(struct worker *w)
{
	sigset_t before;
	signals_block(&before);
	int error = pthread_create(&w->thread, NULL, worker_main, w);
	signals_restore(&before);
	return error;
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}

static void worker_on_next_turn(evutil_socket_t fd, short what, void *arg)
{
	struct stream_pool *pool = arg;
	pool->handshake_reads = 0;
}

static struct event_base *worker_base_new(void)
{
	struct event_config *config = event_config_new();
	if (config == NULL)
		return NULL;
	/* No EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: what is taken off would be told to epoll after its descriptor was closed, when
	 * the number may be another thread's. It saves nothing for plain sessions. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static int worker_prepare(struct worker *w)
{
	struct session_context *c = &w->context;
	w->buffer = malloc(CONTEXT_HEADROOM + CONTEXT_SCRATCH);
	c->base = worker_base_new();
	c->sha1 = upgrade_sha1_new();
	if (w->buffer == NULL || c->base == NULL || c->sha1 == NULL)
		return -1;
	c->scratch = w->buffer + CONTEXT_HEADROOM;
	w->mailbox = mailbox_new(c->base, w);
	evtimer_assign(&w->reap, c->base, worker_on_reap, w);
	evtimer_assign(&w->drain_over, c->base, worker_on_drain_over, w);
	c->backlogs.next_turn = evtimer_new(c->base, worker_on_next_turn, &c->backlogs);
	c->refusals = refusal_log_new(c->base, c->log);
	if (w->mailbox == NULL || c->backlogs.next_turn == NULL)
		return -1;
	c->request_env.mailbox = w->mailbox;
	c->dial_env = (struct dial_env){
		.base = c->base, .resolver = w->setup.resolver, .mailbox = w->mailbox, .spare = &w->dial_spare
	};
	return 0;
}

struct worker *worker_new(const struct worker_setup *setup)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->context = (struct session_context){
		.log = setup->log,
		.admission = setup->admission,
		.opener = setup->opener,
		.request_env = { .log = setup->log, .offload = setup->offload, .opener = setup->helper_opener },
		.backlogs.most = setup->backlogs,
		.reap_soon = worker_reap_soon,
		.refuse = worker_refuse,
		.gone = worker_gone,
	};
	for (int state = 0; state < STATE_COUNT; state++)
		list_init(&w->context.sessions[state]);
	w->setup = *setup;
	w->dial_spare = setup->dial_spare;
	w->drain.run = worker_on_drain;
	w->stop.run = worker_on_stop;
	if (worker_prepare(w) == 0)
		return w;
	worker_free(w);
	return NULL;
}

struct session_context *worker_context(struct worker *w)
{
	return &w->context;
}

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	if (w->mailbox != NULL)
		mailbox_free(w->mailbox);
	if (w->context.backlogs.next_turn != NULL)
		event_free(w->context.backlogs.next_turn);
	refusal_log_free(w->context.refusals);
	if (w->context.base != NULL)
		event_base_free(w->context.base);
	EVP_MD_CTX_free(w->context.sha1);
	free(w->buffer);
	free(w);
}
