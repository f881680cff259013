/* server.c owns the main thread: it starts, reloads and stops.
 * It must never do a session's work: a connection leaves this thread in the turn it arrives. */
#include "server/server.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/signals.h"
#include "net/mailbox.h"
#include "net/offload.h"
#include "net/resolve.h"
#include "server/acceptor.h"
#include "server/announce.h"
#include "server/confine.h"
#include "server/listening.h"
#include "server/reload.h"
#include "server/steward.h"
#include "server/worker.h"
#include "sys/library_memory.h"
#include "sys/process.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HELPERS_QUEUE 1024 /* as many routes may wait for a helper thread */

struct server_worker {
	struct mail exit_mail; /* first: a mail is the object it is sent in */
	struct worker *worker;
	bool started;
};

struct server {
	struct event_base *base;
	struct log *log;
	bool log_is_file; /* that the steward opens anew */
	struct mailbox *mailbox;
	struct resolver *resolver;
	struct steward *steward;
	struct offload *offload;
	struct opener **opener; /* of its threads */
	struct listening *listening;
	struct confine *confine;
	struct generation *current;
	struct reload *reload;
	const char *path;
	struct server_worker *workers;
	size_t workers_count, workers_alive;
	struct capacity capacity;
	struct admission *admission;
	struct acceptor *acceptor;
	bool stopping, stopped;  /* by the first signal; by the second */
	struct event signals[4]; /* the base, which is freed before them, takes them off */
};

static const struct server_settings *server_settings(const struct server *srv)
{
	return srv->current->settings->server;
}

static void server_configure_log(struct server *srv)
{
	log_configure(srv->log, (enum log_level)server_settings(srv)->log_level,
	              (enum log_format)server_settings(srv)->log_format);
}

static void server_tell_restart(void *arg, const char *what)
{
	const struct server *srv = arg;
	log_line(srv->log, LEVEL_WARN, "%s changed, which takes effect at the next start", what);
}

static void server_commit(void *arg, struct generation *next, struct listening_plan *plan)
{
	struct server *srv = arg;
	struct generation *old = srv->current;
	char first[ADDR_TEXT_MAX];
	routes_inherit(&next->routes, &old->routes);
	conf_restart_differences(old->settings->conf, next->settings->conf, server_tell_restart, srv);
	listening_commit(plan);
	steward_take(srv->steward);
	srv->current = next;
	generation_unref(old);
	server_configure_log(srv);
	log_line(srv->log, LEVEL_INFO, "configuration was reloaded");
	listening_announce(srv->listening, first);
}

static uint64_t server_sessions(const struct server *srv)
{
	uint64_t sessions = 0;
	for (size_t i = 0; i < srv->workers_count; i++)
		if (srv->workers[i].started)
			sessions += worker_load(srv->workers[i].worker);
	return sessions;
}

static void server_drain(struct server *srv)
{
	srv->stopping = true;
	announce_stop(srv->log, LEVEL_INFO, "stopping", server_sessions(srv), server_settings(srv)->drain_timeout);
	reload_cancel(srv->reload);
	listening_free(srv->listening);
	srv->listening = NULL;
	for (size_t i = 0; i < srv->workers_count; i++)
		worker_drain(srv->workers[i].worker, server_settings(srv)->drain_timeout);
}

static void server_stop(struct server *srv)
{
	announce_stop(srv->log, LEVEL_WARN, "stopping at once", server_sessions(srv), 0);
	for (size_t i = 0; i < srv->workers_count; i++)
		worker_stop(srv->workers[i].worker);
	srv->stopped = true;
}

static void server_on_stop_signal(evutil_socket_t number, short what, void *arg)
{
	struct server *srv = arg;
	if (!srv->stopping)
		server_drain(srv);
	else if (!srv->stopped)
		server_stop(srv);
}

static void server_on_hangup(evutil_socket_t number, short what, void *arg)
{
	struct server *srv = arg;
	if (!srv->stopping)
		reload_start(srv->reload);
}

static void server_on_usr1(evutil_socket_t number, short what, void *arg)
{
	struct server *srv = arg;
	struct err err;
	err_init(&err);
	int fd = srv->log_is_file ? steward_open_log(srv->steward, &err) : -1;
	if (fd >= 0)
		log_reopen(srv->log, fd);
	log_lines(srv->log, LEVEL_ERROR, &err);
	if (err.count > 0)
		log_line(srv->log, LEVEL_ERROR, "log was not reopened: the old file stays in use");
	else
		log_line(srv->log, LEVEL_INFO, "log was reopened");
}

static int server_catch_signals(struct server *srv, struct err *err)
{
	static const struct {
		int number;
		event_callback_fn on;
	} table[] = { { SIGTERM, server_on_stop_signal },
		      { SIGINT, server_on_stop_signal },
		      { SIGHUP, server_on_hangup },
		      { SIGUSR1, server_on_usr1 } };

	signals_block(NULL); /* so that none gets lost between the two lines below */
	int result = 0;
	for (size_t i = 0; i < ARRAY_LEN(table) && result == 0; i++) {
		evsignal_assign(&srv->signals[i], srv->base, table[i].number, table[i].on, srv);
		if (event_add(&srv->signals[i], NULL) != 0)
			result = err_add(err, "cannot watch signal %d", table[i].number);
	}
	process_hear_signals();
	return result;
}

static size_t server_workers_wanted(const struct settings *settings)
{
	cpu_set_t set;
	if (settings->server->workers > 0)
		return (size_t)settings->server->workers;
	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

static void server_on_worker_exit(struct mail *mail, void *owner)
{
	struct server *srv = owner;
	struct server_worker *slot = (struct server_worker *)mail;
	if (!slot->started)
		return; /* the start failed, and server_fail() has waited for it */
	worker_join(slot->worker);
	slot->started = false;
	if (--srv->workers_alive == 0)
		event_base_loopbreak(srv->base);
}

static int server_start_helpers(struct server *srv, struct err *err)
{
	unsigned threads = (unsigned)server_settings(srv)->file_threads;
	srv->opener = mem_resize(NULL, threads, sizeof(struct opener *));
	for (size_t i = 0; i < threads; i++)
		srv->opener[i] = steward_opener(srv->steward, srv->workers_count + i);
	srv->offload = offload_new(threads, 0, HELPERS_QUEUE);
	return srv->offload != NULL ? 0 : err_add(err, "cannot start helper threads: %s", strerror(errno));
}

static int server_start_workers(struct server *srv, struct err *err)
{
	srv->resolver = steward_resolver(srv->steward);
	if (srv->resolver == NULL)
		return err_add(err, "cannot start resolver threads: %s", strerror(errno));
	for (size_t i = 0; i < srv->workers_count; i++) {
		struct server_worker *slot = &srv->workers[i];
		const struct worker_setup setup = {
			.log = srv->log,
			.resolver = srv->resolver,
			.admission = srv->admission,
			.opener = steward_opener(srv->steward, i),
			.offload = srv->offload,
			.helper_opener = srv->opener,
			.backlogs = server_settings(srv)->max_backlog / srv->workers_count,
			.dial_spare = srv->capacity.dial_spare,
			.refusals = srv->capacity.refusals_each,
			.parent = srv->mailbox,
			.exit_mail = &slot->exit_mail,
		};
		slot->exit_mail.run = server_on_worker_exit;
		slot->worker = worker_new(&setup);
		int error = slot->worker == NULL ? errno : worker_start(slot->worker);
		if (error != 0)
			return err_add(err, "cannot start worker %zu: %s", i + 1, strerror(error));
		slot->started = true;
		srv->workers_alive++;
		acceptor_add_worker(srv->acceptor, slot->worker);
	}
	return 0;
}

static int server_prepare_reload(struct server *srv, struct err *err)
{
	const struct reload_setup setup = {
		.log = srv->log,
		.mailbox = srv->mailbox,
		.resolver = srv->resolver,
		.steward = srv->steward,
		.listening = srv->listening,
		.confine = srv->confine,
		.path = srv->path,
		.commit = server_commit,
		.arg = srv,
	};
	srv->reload = reload_new(&setup);
	return srv->reload != NULL ? 0 : err_add(err, "cannot start the thread of reloads: %s", strerror(errno));
}

static int server_prepare_acceptor(struct server *srv, struct err *err)
{
	const struct server_settings *set = server_settings(srv);
	struct capacity *capacity = &srv->capacity;
	if (capacity_find(capacity, set, srv->workers_count, err) != 0)
		return -1;
	srv->admission = admission_new(set->source_table, capacity->sessions);
	if (srv->admission != NULL)
		srv->acceptor = acceptor_new(srv->base, srv->log, srv->admission, capacity->refusals, set->refusal_timeout);
	return srv->acceptor != NULL ? 0 : err_add(err, "cannot make the table of sources: %s", strerror(errno));
}

static int server_open_log(struct server *srv, struct err *err)
{
	const char *target = server_settings(srv)->log;
	srv->log_is_file = log_path(target) != NULL;
	int fd = srv->log_is_file ? steward_open_log(srv->steward, err) : -1;
	if (!srv->log_is_file)
		srv->log = log_open(target, err);
	else if (fd >= 0)
		srv->log = log_from(fd);
	return srv->log != NULL ? 0 : -1;
}

static int server_prepare(struct server *srv, struct listening_plan **plan, struct err *err)
{
	srv->workers_count = server_workers_wanted(srv->current->settings);
	srv->workers = mem_zalloc(srv->workers_count * sizeof(*srv->workers));
	if (steward_join(srv->steward, err) != 0 || server_open_log(srv, err) != 0)
		return -1;
	server_configure_log(srv);

	library_memory_for_libevent();
	srv->base = event_base_new();
	srv->mailbox = srv->base != NULL ? mailbox_new(srv->base, srv) : NULL;
	if (srv->mailbox == NULL)
		return err_add(err, "cannot make an event loop: %s", strerror(errno));
	if (server_prepare_acceptor(srv, err) != 0 || steward_watch(srv->steward, srv->base, srv->log, err) != 0)
		return -1;
	srv->listening = listening_new(srv->base, srv->log, srv->steward, srv->acceptor);
	*plan = listening_plan(srv->listening, srv->current);
	return listening_bind(*plan, err);
}

/* Libraries read their own configuration and load code of theirs now, as it can't be done later. */
static int server_drop_privileges(struct server *srv, struct err *err)
{
	struct err warnings;
	err_init(&warnings);
	tls_prepare();
	tzset();
	srv->confine =
	        confine_enter(srv->current->settings, srv->path != NULL ? steward_reader(srv->steward) : NULL, err, &warnings);
	if (srv->confine != NULL)
		routes_check_gates(&srv->current->routes, steward_reader(srv->steward), &warnings);
	log_lines(srv->log, LEVEL_WARN, &warnings);
	return srv->confine != NULL ? 0 : -1;
}

static int server_start_threads(struct server *srv, struct err *err)
{
	static const struct sched_param none = { .sched_priority = 0 };

	if (server_catch_signals(srv, err) != 0 || server_start_helpers(srv, err) != 0 || server_start_workers(srv, err) != 0 ||
	    server_prepare_reload(srv, err) != 0)
		return -1;
	/* On a busy processor each new connection would wake this thread, and put a worker aside in the middle of its turn: as a
	 * batch task it waits until the worker pauses, and then takes all that came at once. Without it, it is only dearer.
	 * Workers that were started after it would inherit it, as the log's thread is to. */
	(void)!sched_setscheduler(0, SCHED_BATCH, &none);
	int error = log_start(srv->log, (size_t)server_settings(srv)->log_queue, server_settings(srv)->log_timeout);
	if (error != 0)
		return err_add(err, "cannot start the thread of the log: %s", strerror(error));
	return confine_seal(srv->confine, err) != 0 ? -1 : confine_watch(srv->confine, srv->base, srv->log, err);
}

/* In this order: what needs privileges, giving them up, threads, and only then the world may come in. */
static int server_start(struct server *srv, struct err *err)
{
	struct listening_plan *plan = NULL;
	if (server_prepare(srv, &plan, err) != 0 || server_drop_privileges(srv, err) != 0 ||
	    server_start_threads(srv, err) != 0) {
		listening_plan_drop(plan);
		return -1;
	}
	listening_commit(plan);
	return 0;
}

static void server_clear(struct server *srv)
{
	signals_block(NULL); /* nobody is left to hear of one */
	listening_free(srv->listening);
	for (size_t i = 0; i < srv->workers_count; i++)
		worker_free(srv->workers[i].worker);
	acceptor_free(srv->acceptor);
	admission_free(srv->admission);
	steward_hang_up(srv->steward); /* before anybody is waited for who may wait for it */
	if (reload_free(srv->reload) != 0 || offload_end(srv->offload, OFFLOAD_END_S) != 0) {
		log_line(srv->log, LEVEL_WARN, "a file is still being read, and hangs: the process ends without it");
		log_close(srv->log);
		_exit(srv->stopping ? EXIT_SUCCESS : EXIT_FAILURE); /* that thread has what is not freed yet */
	}
	offload_free(srv->offload);
	if (srv->mailbox != NULL)
		mailbox_free(srv->mailbox);
	if (srv->resolver != NULL)
		resolver_free(srv->resolver);
	steward_free(srv->steward);
	confine_free(srv->confine);
	if (srv->base != NULL)
		event_base_free(srv->base);
	free(srv->opener);
	free(srv->workers);
	generation_unref(srv->current);
	log_close(srv->log);
}

static int server_fail(struct server *srv, const struct err *err)
{
	struct span rest = { err->text, err->len }, line;
	while (err->len > 0 && span_next(&rest, '\n', &line))
		fprintf(stderr, "sallyport: %.*s\n", (int)line.n, line.p);
	if (srv->log != NULL && strcmp(server_settings(srv)->log, "stderr") != 0)
		log_lines(srv->log, LEVEL_ERROR, err);
	for (size_t i = 0; i < srv->workers_count; i++) {
		if (!srv->workers[i].started)
			continue;
		worker_stop(srv->workers[i].worker);
		worker_join(srv->workers[i].worker);
		srv->workers[i].started = false;
	}
	server_clear(srv);
	return 1;
}

struct steward *server_start_steward(struct settings *settings, const char *path, struct err *err)
{
	return steward_start(settings, path, server_workers_wanted(settings) + (size_t)settings->server->file_threads, err);
}

int server_run(struct generation *first, struct steward *steward, const char *path)
{
	struct server srv = { .current = first, .steward = steward, .path = path };
	struct err err;
	char address[ADDR_TEXT_MAX];

	err_init(&err);
	process_end_when_told();
	if (server_start(&srv, &err) != 0)
		return server_fail(&srv, &err);
	mem_wait_on_oom(); /* there are sessions now */
	announce_start(srv.log, srv.workers_count);
	listening_announce(srv.listening, address);
	announce_routes(srv.log, srv.current->settings);
	confine_log(srv.confine, srv.log);
	if (isatty(STDERR_FILENO))
		announce_quick(srv.current->settings, address);
	event_base_dispatch(srv.base);
	log_line(srv.log, LEVEL_INFO, "stopped");
	server_clear(&srv);
	return 0;
}
