/* reload.c owns a reload under way: the reading and building on its thread, and what waits for names.
 * It must never change anything that serves: that is for the commit. */
#include "server/reload.h"

#include "base/mem.h"
#include "net/offload.h"

#include <stdlib.h>

/* One reading of the configuration. */
struct reading {
	struct offload_job job;  /* first */
	struct reload *reload;   /* stays until its thread has ended */
	struct generation *next; /* NULL: it failed */
	struct err err, warnings;
};

struct reload {
	struct reload_setup setup;
	struct offload *thread;
	struct reading *reading;
	bool again;              /* once this reading ends */
	struct generation *next; /* waits for names */
	struct listening_plan *plan;
};

static void reading_work(struct offload_job *job, unsigned thread)
{
	struct reading *r = (struct reading *)job;
	const struct reload_setup *setup = &r->reload->setup;
	struct opener *reader = steward_reader(setup->steward);
	if (steward_read(setup->steward, &r->err) != 0)
		return;
	struct settings *settings = settings_read(setup->path, reader, &r->err);
	if (settings == NULL || confine_admits(setup->confine, settings, &r->err) != 0) {
		settings_free(settings);
		return;
	}
	r->next = generation_build(settings, reader, &r->err, &r->warnings);
	if (r->next != NULL)
		routes_check_gates(&r->next->routes, reader, &r->warnings);
}

static void reading_drop(struct offload_job *job)
{
	struct reading *r = (struct reading *)job;
	generation_unref(r->next);
	free(r);
}

static void refuse(const struct reload *reload, const struct err *err)
{
	log_lines(reload->setup.log, LEVEL_ERROR, err);
	steward_drop(reload->setup.steward);
	log_line(reload->setup.log, LEVEL_ERROR, "reload refused: the running configuration stays");
}

static void stop_waiting(struct reload *reload)
{
	listening_plan_drop(reload->plan);
	generation_unref(reload->next);
	reload->plan = NULL;
	reload->next = NULL;
}

static void on_names(void *arg)
{
	struct reload *reload = arg;
	struct err err;
	err_init(&err);
	if (listening_bind(reload->plan, &err) != 0) {
		stop_waiting(reload);
		refuse(reload, &err);
		return;
	}
	reload->setup.commit(reload->setup.arg, reload->next, reload->plan);
	reload->plan = NULL;
	reload->next = NULL;
}

static void use(struct reload *reload, struct reading *r)
{
	const struct reload_setup *setup = &reload->setup;
	log_lines(setup->log, LEVEL_WARN, &r->warnings);
	if (r->next == NULL) {
		refuse(reload, &r->err);
		return;
	}
	reload->next = generation_ref(r->next);
	reload->plan = listening_plan(setup->listening, reload->next);
	if (listening_look_up(reload->plan, setup->resolver, setup->mailbox, on_names, reload))
		log_line(setup->log, LEVEL_INFO, "the reload waits for the look-up of new listeners' names");
	else
		on_names(reload);
}

static void reading_done(struct offload_job *job)
{
	struct reading *r = (struct reading *)job;
	struct reload *reload = r->reload;
	bool again = reload->again;
	reload->reading = NULL;
	reload->again = false;
	if (again)
		reload_start(reload);
	else
		use(reload, r);
	reading_drop(job);
}

void reload_start(struct reload *reload)
{
	if (reload->setup.path == NULL) {
		log_line(reload->setup.log, LEVEL_WARN, "there is no configuration file to reload");
		return;
	}
	reload->again = reload->reading != NULL;
	if (reload->again)
		return;
	stop_waiting(reload);
	struct reading *r = reload->reading = mem_zalloc(sizeof(*r));
	r->job = (struct offload_job){ .work = reading_work, .done = reading_done, .drop = reading_drop };
	r->reload = reload;
	err_init(&r->err);
	err_init(&r->warnings);
	(void)!offload_start(reload->thread, &r->job, reload->setup.mailbox); /* it is the only one */
}

struct reload *reload_new(const struct reload_setup *setup)
{
	struct reload *reload = mem_zalloc(sizeof(*reload));
	reload->setup = *setup;
	reload->thread = offload_new(1, 0, 1);
	if (reload->thread != NULL)
		return reload;
	free(reload);
	return NULL;
}

void reload_cancel(struct reload *reload)
{
	if (reload == NULL)
		return;
	if (reload->reading != NULL)
		offload_cancel(&reload->reading->job);
	reload->reading = NULL;
	stop_waiting(reload);
}

int reload_free(struct reload *reload)
{
	if (reload == NULL)
		return 0;
	if (offload_end(reload->thread, OFFLOAD_END_S) != 0)
		return -1;
	offload_free(reload->thread);
	free(reload);
	return 0;
}
