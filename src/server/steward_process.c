/* steward_process.c owns what the steward is confined to, and its threads.
 * It must never have more than it takes to read, to bind and to ask for names, nor outlive the gateway. */
#include "server/steward_work.h"

#include "base/mem.h"
#include "server/confine.h"
#include "sys/beneath.h"
#include "sys/nss.h"
#include "sys/privs.h"
#include "sys/process.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DNS_PORT 53 /* answers that are too long for UDP */

static void close_all_between(int first, int last)
{
#ifdef SYS_close_range
	if (first <= last)
		(void)!syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0);
#endif
}

/* All that the gateway had open, or was given. */
static void close_others(const struct steward_ends *ends)
{
	int next = STDERR_FILENO + 1;

	for (size_t i = 0; i < ends->count; i++) {
		close_all_between(next, ends->fd[i] - 1);
		next = ends->fd[i] + 1;
	}
	close_all_between(next, INT32_MAX);
}

/* A terminal and a service manager signal all processes there are; this one goes when the gateway has gone. */
static void ignore_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)signal(numbers[i], SIG_IGN);
	process_hear_signals();
}

struct serving {
	struct steward_work *work;
	int end;
	bool names; /* it is asked for names, and not for files */
};

static void *serve(void *arg)
{
	const struct serving *serving = arg;

	if (serving->names)
		steward_answer(serving->end);
	else
		steward_open(serving->work, serving->end);
	_exit(EXIT_SUCCESS); /* the gateway is gone, or could not be told: no thread less, or it would wait for ever */
}

static int start_threads(struct steward_work *work, struct err *err)
{
	const struct steward_ends *ends = &work->ends;
	struct serving *serving = mem_zalloc(ends->count * sizeof(*serving)); /* theirs as long as the process lives */
	pthread_t thread;
	int error = 0;

	for (size_t i = END_NAMES; i < ends->count && error == 0; i++) {
		serving[i] = (struct serving){ work, ends->fd[i], i < END_NAMES + ends->names };
		error = pthread_create(&thread, NULL, serve, &serving[i]);
	}
	return error == 0 ? 0 : err_add(err, "cannot start the steward's threads: %s", strerror(error));
}

/* The directory that a path lies in, which is absolute. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* The directory of the log, and that of the directory, which may be replaced as well, unless that is / or lies there. */
static size_t log_paths(const char *log, struct sandbox_path path[2])
{
	char *directory = parent_of(log), *above = parent_of(directory); /* theirs as long as the process lives */

	path[0] = (struct sandbox_path){ directory, SANDBOX_WRITE };
	path[1] = (struct sandbox_path){ above, SANDBOX_WRITE };
	return strrchr(above, '/') != above ? 2 : 1;
}

/* It reads what names, configuration and web roots are made of, whatever was put in its place, asks name servers, binds, also to paths
 * that a reload names, and writes the log. */
static struct sandbox *confine_steward(const char *log, struct err *err)
{
	struct sandbox_path path[3] = { { "/", SANDBOX_READ | SANDBOX_SOCKETS } };
	static const struct sandbox_ports port[] = { { DNS_PORT, DNS_PORT, SANDBOX_CONNECT } };
	const struct sandbox_options options = { .role = SANDBOX_STEWARD,
		                                 .path = path,
		                                 .paths = 1 + (log != NULL ? log_paths(log, &path[1]) : 0),
		                                 .write_flags = log != NULL ? LOG_FILE_FLAGS : 0,
		                                 .port = port,
		                                 .ports = ARRAY_LEN(port),
		                                 .unbounded = SANDBOX_BIND,
		                                 .how = &beneath_how };

	return sandbox_new(&options, err);
}

/* A right to make files is kept only if a path that is named now lies where only root can make them. */
static uint64_t rights_for(const struct settings *settings)
{
	const char *log = log_path(settings->server->log);
	uint64_t rights = PRIVS_LOW_PORTS | PRIVS_READ_ANY | (log != NULL && privs_roots_alone(log) ? PRIVS_ANY_FILE : 0);

	for (size_t i = 0; i < settings->listens_count; i++) {
		const struct listen_settings *set = settings->listens[i];
		bool owned = set->unix_user[0] != '\0' || set->unix_group[0] != '\0';
		for (size_t k = 0; k < set->address.count; k++)
			if (set->address.item[k].kind == ADDRESS_UNIX && privs_roots_alone(set->address.item[k].name))
				rights |= PRIVS_ANY_FILE | (owned ? PRIVS_ANY_OWNER : 0);
	}
	return rights;
}

static int prepare(struct steward_work *work, struct err *err)
{
	const char *log = log_path(work->settings->server->log);
	bool on = work->settings->server->sandbox;
	struct sandbox *sandbox = NULL;

	if (log != NULL)
		work->log = mem_strdup(log);
	if (confine_become(work->settings, !on, rights_for(work->settings), err) != 0)
		return -1;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) /* after the user, whose change undoes it; Landlock may stop it */
		return err_add(err, "the steward cannot ask to end with the gateway: %s", strerror(errno));
	nss_prepare();
	if (on && (sandbox = confine_steward(work->log, err)) == NULL)
		return -1;
	return start_threads(work, err) != 0 || (on && sandbox_seal(sandbox, err) != 0) ? -1 : 0;
}

_Noreturn void steward_process(struct steward_work *work)
{
	struct err err;

	err_init(&err);
	close_others(&work->ends);
	ignore_signals();
	(void)prctl(PR_SET_NAME, "steward", 0, 0, 0);
	int result = prepare(work, &err);
	if (steward_report(work, result, &err) == 0 && result == 0) {
		mem_wait_on_oom(); /* a gateway serves by it now */
		steward_obey(work);
	}
	_exit(EXIT_SUCCESS);
}
