/* worker.c owns a thread, its event loop, its scratch buffer and the lists its sessions are in.
 * It must never touch a session from another thread: whatever comes from outside comes as a mail. */
#include "core/worker.h"

#include "base/clock.h"
#include "core/admission.h"
#include "base/signals.h"
#include "core/closing.h"
#include "core/opening.h"
#include "core/refusal_log.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

struct arrival_mail {
	struct mail mail;
	struct arrival arrival;
};

/* --- sessions come and go ------------------------------------------------------------------------------------------- */

static void worker_on_arrival(struct mail *mail, void *owner)
{
	struct arrival_mail *letter = (struct arrival_mail *)mail;
	session_start(owner, &letter->arrival);
	free(letter);
}

unsigned worker_load(const struct worker *w)
{
	return atomic_load_explicit(&w->load, memory_order_relaxed);
}

static unsigned worker_refusals(const struct worker *w)
{
	return atomic_load_explicit(&w->refusals, memory_order_relaxed);
}

bool worker_may_refuse(const struct worker *w)
{
	return worker_refusals(w) < w->refusals_most;
}

static void worker_count_refusal(struct worker *w)
{
	atomic_fetch_add_explicit(&w->refusals, 1, memory_order_relaxed);
}

bool worker_session_refused(struct worker *w, const struct session *s)
{
	bool told = worker_may_refuse(w) && admission_tells(&w->handshakes, s->generation->settings->server, s->listen, &s->peer, s->refusal);
	worker_count_refusal(w);
	refusal_log_note(w->news, s->refusal, &s->peer, s->listen);
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
		worker_count_refusal(w);
	mailbox_post(w->mailbox, &letter->mail);
	return 0;
}

void worker_reap_soon(struct worker *w)
{
	event_active(w->reap, EV_TIMEOUT, 1); /* when the callbacks that wait in this turn have run */
}

static void worker_on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct list *dead = &w->sessions[STATE_DEAD];
	(void)fd;
	(void)what;
	while (!list_empty(dead))
		session_reap(list_entry(list_first(dead), struct session, link));
}

void worker_session_gone(struct worker *w, bool was_refusal)
{
	if (was_refusal)
		atomic_fetch_sub_explicit(&w->refusals, 1, memory_order_relaxed);
	unsigned before = atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
	if (w->draining && before == 1)
		event_base_loopbreak(w->base);
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

/* A session that closes already, or sends the rest of a file, ends by itself. */
static void worker_end_state(struct worker *w, enum session_state state)
{
	list_each(&w->sessions[state], node, after)
		session_end(list_entry(node, struct session, link), REASON_DRAIN);
}

static void worker_end_openings(struct worker *w, enum session_state state)
{
	list_each(&w->sessions[state], node, after) {
		struct session *s = list_entry(node, struct session, link);
		enum reason reason = opening_drain(s);
		if (reason != REASON_NONE)
			session_end(s, reason);
	}
}

static void worker_end_files(struct worker *w)
{
	list_each(&w->sessions[STATE_FILE], node, after)
		list_entry(node, struct session, link)->file_keep_alive = false;
}

static void worker_cut_all(struct worker *w)
{
	for (int state = 0; state < STATE_CLOSING; state++)
		list_each(&w->sessions[state], node, after)
			session_end(list_entry(node, struct session, link), REASON_STOPPED);
	list_each(&w->sessions[STATE_CLOSING], node, after)
		closing_abort(list_entry(node, struct session, link));
}

static void worker_on_drain_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	worker_cut_all(arg);
}

static void worker_on_drain(struct mail *mail, void *owner)
{
	struct worker *w = owner;
	struct timeval limit = clock_timeval(w->drain_timeout);
	(void)mail;
	w->draining = true;
	worker_end_openings(w, STATE_PROXY);
	worker_end_openings(w, STATE_TLS);
	worker_end_openings(w, STATE_REQUEST);
	worker_end_state(w, STATE_DIAL);
	worker_end_state(w, STATE_OPEN);
	worker_end_files(w);
	if (event_add(w->drain_over, &limit) != 0)
		worker_cut_all(w); /* without a timer nothing would end the wait */
	if (worker_load(w) == 0)
		event_base_loopbreak(w->base);
}

static void worker_on_stop(struct mail *mail, void *owner)
{
	struct worker *w = owner;
	(void)mail;
	w->draining = true;
	worker_cut_all(w);
	if (worker_load(w) == 0)
		event_base_loopbreak(w->base);
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

/* --- the thread ----------------------------------------------------------------------------------------------------- */

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
	mailbox_post(w->home, w->farewell);
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

static int worker_prepare(struct worker *w, struct resolver *resolver)
{
	w->buffer = malloc(WORKER_HEADROOM + WORKER_SCRATCH);
	w->base = worker_base_new();
	w->sha1 = upgrade_sha1_new();
	if (w->buffer == NULL || w->base == NULL || w->sha1 == NULL)
		return -1;
	w->scratch = w->buffer + WORKER_HEADROOM;
	w->mailbox = mailbox_new(w->base, w);
	w->reap = evtimer_new(w->base, worker_on_reap, w);
	w->drain_over = evtimer_new(w->base, worker_on_drain_over, w);
	w->news = refusal_log_new(w->base, w->log);
	if (w->mailbox == NULL || w->reap == NULL || w->drain_over == NULL || w->news == NULL)
		return -1;
	w->dial_env = (struct dial_env){ .base = w->base, .resolver = resolver, .mailbox = w->mailbox };
	return 0;
}

struct worker *worker_new(struct log *log, struct resolver *resolver, struct admission *admission, struct mailbox *home,
                          struct mail *farewell)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	for (int state = 0; state < STATE_COUNT; state++)
		list_init(&w->sessions[state]);
	w->log = log;
	w->admission = admission;
	w->home = home;
	w->farewell = farewell;
	w->drain.run = worker_on_drain;
	w->stop.run = worker_on_stop;
	if (worker_prepare(w, resolver) != 0) {
		worker_free(w);
		return NULL;
	}
	return w;
}

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	if (w->mailbox != NULL)
		mailbox_free(w->mailbox);
	if (w->reap != NULL)
		event_free(w->reap);
	if (w->drain_over != NULL)
		event_free(w->drain_over);
	refusal_log_free(w->news);
	if (w->base != NULL)
		event_base_free(w->base);
	EVP_MD_CTX_free(w->sha1);
	free(w->buffer);
	free(w);
}
