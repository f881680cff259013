/* reload.c owns a reload under way: the reading and building on its thread, and what waits for names.
 * It must never change anything that serves: that is for the commit. */
#include "server/reload.h"

#include "base/mem.h"
#include "net/offload.h"
#include "server/lookups.h"

#include <stdlib.h>

/* One reading of the configuration. */
struct reading {
	struct offload_job job;           /* first */
	struct reload *reload;            /* stays until its thread has ended */
	struct generation *before, *next; /* next: NULL: it failed */
	struct err err, warnings;
};

struct reload {
	struct reload_setup setup;
	struct offload *thread;
	struct reading *reading;
	bool again;              /* once this reading ends */
	struct generation *next; /* waits for lookups */
	struct lookups *lookups;
	reload_cb *commit;
	void *arg;
};

static struct settings *reading_settings(const struct reload_setup *setup, struct err *err)
{
	if (steward_read(setup->steward, err) != 0)
		return NULL;
	struct settings *settings = settings_read(setup->path, steward_reader(setup->steward), err);
	if (settings == NULL || confine_admits(setup->confine, settings, err) == 0)
		return settings;
	settings_free(settings);
	return NULL;
}

static void reading_work(struct offload_job *job, unsigned thread)
{
	struct reading *r = (struct reading *)job;
	struct settings *settings = reading_settings(&r->reload->setup, &r->err);
	if (settings == NULL)
		return;
	r->next = generation_build(settings, steward_reader(r->reload->setup.steward), &r->err, &r->warnings);
	if (r->next != NULL)
		routes_check_gates(&r->next->routes, steward_reader(r->reload->setup.steward), &r->warnings);
}

static void reading_drop(struct offload_job *job)
{
	struct reading *r = (struct reading *)job;
	generation_unref(r->before);
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
	lookups_free(reload->lookups);
	generation_unref(reload->next);
	reload->lookups = NULL;
	reload->next = NULL;
}

static void on_names(void *arg)
{
	struct reload *reload = arg;
	struct err err;
	err_init(&err);
	struct listening_plan *plan = listening_plan(reload->setup.listening, reload->next, reload->lookups, &err);
	if (plan == NULL)
		refuse(reload, &err);
	else
		reload->commit(reload->arg, generation_ref(reload->next), plan);
	stop_waiting(reload);
}

static void look_names_up(struct reload *reload, const struct generation *before)
{
	const struct reload_setup *setup = &reload->setup;
	reload->lookups = lookups_new(setup->resolver, setup->mailbox, reload->next, before, on_names, reload);
	if (lookups_are_done(reload->lookups))
		on_names(reload);
	else
		log_line(setup->log, LEVEL_INFO, "the reload waits for the look-up of new listeners' names");
}

static void use(struct reload *reload, struct reading *r)
{
	log_lines(reload->setup.log, LEVEL_WARN, &r->warnings);
	if (r->next == NULL) {
		refuse(reload, &r->err);
		return;
	}
	reload->next = generation_ref(r->next);
	look_names_up(reload, r->before);
}

static void reading_done(struct offload_job *job)
{
	struct reading *r = (struct reading *)job;
	struct reload *reload = r->reload;
	bool again = reload->again;
	reload->reading = NULL;
	reload->again = false;
	if (again)
		reload_start(reload, r->before);
	else
		use(reload, r);
	reading_drop(job);
}

void reload_start(struct reload *reload, struct generation *current)
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
	r->before = generation_ref(current);
	(void)!offload_start(reload->thread, &r->job, reload->setup.mailbox); /* it is the only one */
}

struct reload *reload_new(const struct reload_setup *setup, reload_cb *commit, void *arg)
{
	struct reload *reload = mem_zalloc(sizeof(*reload));
	reload->setup = *setup;
	reload->commit = commit;
	reload->arg = arg;
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
