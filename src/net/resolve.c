/* resolve.c owns the names that are looked up, who waits for them, and the answers that are kept.
 * It must never call back with its lock held, nor look anything up on the caller's thread. */
#include "net/resolve.h"

#include "base/clock.h"
#include "base/list.h"
#include "net/offload.h"

#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct resolver {
	pthread_mutex_t lock; /* guards everything that can change, here and in every name and resolve */
	struct offload *offload;
	struct list names; /* every name, the least recently used first */
	struct resolver_options options;
};

/* A host name: the last good answer for it, or the look-up under way, or both. */
struct name {
	struct offload_job job; /* first; it has no owner, as those who wait are on several threads */
	struct resolver *resolver;
	struct list_node in_names;
	struct list askers;
	bool pending;     /* queued or being looked up; it can't be freed */
	uint64_t good_at; /* when the answer came; meaningless while count is 0 */
	struct resolved good;
	char host[];
};

struct resolve {
	struct mail mail; /* must be first */
	struct resolver *resolver;
	struct name *name; /* while waiting for the answer; NULL once it is posted */
	struct list_node in_askers;
	struct mailbox *box;
	bool cancelled; /* after the answer was posted; box's thread only */
	uint16_t port;
	resolve_cb *cb;
	void *arg;
	struct resolved answer;
};

/* --- names; all of it with the lock held -------------------------------------------------------------------------- */

static struct name *name_find(struct resolver *resolver, const char *host)
{
	list_each (&resolver->names, node, after) {
		struct name *name = list_entry(node, struct name, in_names);
		if (strcmp(name->host, host) == 0)
			return name;
	}
	return NULL;
}

static void name_drop(struct resolver *resolver, struct name *name)
{
	list_remove(&resolver->names, &name->in_names);
	free(name);
}

/* Drops what was not used for longest until the names that only keep an answer are few enough. */
static void names_trim(struct resolver *resolver)
{
	size_t idle = 0;

	list_each (&resolver->names, node, after)
		idle += !list_entry(node, struct name, in_names)->pending;
	list_each (&resolver->names, node, after) {
		struct name *name = list_entry(node, struct name, in_names);
		if (name->pending)
			continue;
		if (idle <= RESOLVE_NAMES_MAX)
			return;
		name_drop(resolver, name);
		idle--;
	}
}

static bool name_has_answer(const struct name *name, uint64_t younger_than)
{
	return name->good.count > 0 && clock_ms() - name->good_at < younger_than;
}

/* The mail is posted with the resolver's lock held, so that resolve_cancel() finds it either not yet posted, and
 * prevents it, or wholly posted, and the mailbox may go. */
static void resolve_answer(struct resolve *resolve, const struct resolved *answer)
{
	resolve->name = NULL;
	resolved_copy(&resolve->answer, answer, resolve->port);
	mailbox_post(resolve->box, &resolve->mail);
}

static void name_answered(struct resolver *resolver, struct name *name, const struct resolved *answer)
{
	name->pending = false;
	if (answer->count > 0) {
		resolved_copy(&name->good, answer, 0);
		name->good_at = clock_ms();
	} else if (answer->error == EAI_NONAME || answer->error == EAI_NODATA) {
		/* That is an answer; everything else says only that nobody could be asked. */
		name->good.count = 0;
	} else if (name_has_answer(name, RESOLVE_KEEP_MS)) {
		name->good.error = answer->error;
		answer = &name->good;
	}
	for (struct list_node *node = list_take(&name->askers); node != NULL; node = list_take(&name->askers))
		resolve_answer(list_entry(node, struct resolve, in_askers), answer);
	if (name->good.count == 0)
		name_drop(resolver, name);
	names_trim(resolver);
}

/* --- looking up, on a helper thread ------------------------------------------------------------------------------- */

static void name_look_up(struct offload_job *job, unsigned thread)
{
	struct name *name = (struct name *)job;
	struct resolver *resolver = name->resolver;
	struct resolved answer;

	pthread_mutex_lock(&resolver->lock);
	/* Somebody waits for it, or has taken an old answer for it; sessions that gave up must not keep the helpers busy with
	 * anything else. */
	bool wanted = name->good.count > 0 || !list_empty(&name->askers);
	if (!wanted)
		name_drop(resolver, name);
	pthread_mutex_unlock(&resolver->lock);
	if (!wanted)
		return;
	uint64_t begun = clock_ms();
	resolver->options.lookup(resolver->options.lookup_arg, thread, name->host, &answer);
	pthread_mutex_lock(&resolver->lock);
	job->may_hang = clock_ms() - begun >= RESOLVE_PATIENCE_MS;
	name_answered(resolver, name, &answer);
	pthread_mutex_unlock(&resolver->lock);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct resolver *resolver_new(const struct resolver_options *options)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL)
		return NULL;
	resolver->options = *options;
	if (options->fresh_ms == 0)
		resolver->options.fresh_ms = RESOLVE_FRESH_MS;
	pthread_mutex_init(&resolver->lock, NULL);
	list_init(&resolver->names);
	unsigned reserved = (options->threads > 1) * (1 + options->threads / 8);
	/* As many may wait as there are sessions: each waits for one name. */
	resolver->offload = offload_new(options->threads, reserved, SIZE_MAX);
	if (resolver->offload != NULL)
		return resolver;
	resolver_free(resolver);
	return NULL;
}

void resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	offload_free(resolver->offload);
	for (struct list_node *node = list_take(&resolver->names); node != NULL; node = list_take(&resolver->names)) {
		struct name *name = list_entry(node, struct name, in_names);
		assert(list_empty(&name->askers));
		free(name);
	}
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

bool resolve_last_good(struct resolver *resolver, const char *host, uint16_t port, struct resolved *answer)
{
	pthread_mutex_lock(&resolver->lock);
	const struct name *name = name_find(resolver, host);
	bool kept = name != NULL && name_has_answer(name, RESOLVE_KEEP_MS);
	if (kept)
		resolved_copy(answer, &name->good, port);
	pthread_mutex_unlock(&resolver->lock);
	return kept;
}

static void resolve_run(struct mail *mail, void *owner)
{
	struct resolve *resolve = (struct resolve *)mail;

	(void)owner;
	if (!resolve->cancelled)
		resolve->cb(resolve->arg, &resolve->answer);
	free(resolve);
}

static struct name *name_add(struct resolver *resolver, const char *host)
{
	size_t size = strlen(host) + 1;
	struct name *name = malloc(sizeof(*name) + size);

	if (name == NULL)
		return NULL;
	/* It may take a thread for as long as a name server says nothing, and then for nothing. */
	*name = (struct name){ .job = { .work = name_look_up, .may_hang = true }, .resolver = resolver };
	memcpy(name->host, host, size);
	list_init(&name->askers);
	list_append(&resolver->names, &name->in_names);
	return name;
}

/* With the lock held. False: out of memory. */
static bool resolve_ask(struct resolver *resolver, struct resolve *resolve, const char *host)
{
	struct name *name = name_find(resolver, host);

	if (name == NULL && (name = name_add(resolver, host)) == NULL)
		return false;
	list_remove(&resolver->names, &name->in_names);
	list_append(&resolver->names, &name->in_names);
	if (name_has_answer(name, resolver->options.fresh_ms)) {
		resolve_answer(resolve, &name->good);
		return true;
	}
	resolve->name = name;
	list_append(&name->askers, &resolve->in_askers);
	if (!name->pending)
		name->pending = offload_start(resolver->offload, &name->job, NULL) == 0;
	return true;
}

struct resolve *resolve_start(struct resolver *resolver, struct mailbox *box, const char *host, uint16_t port, resolve_cb *cb,
                              void *arg)
{
	struct resolve *resolve = malloc(sizeof(*resolve));

	if (resolve == NULL)
		return NULL;
	*resolve = (struct resolve){
		.mail.run = resolve_run,
		.resolver = resolver,
		.box = box,
		.port = port,
		.cb = cb,
		.arg = arg,
	};
	pthread_mutex_lock(&resolver->lock);
	bool asked = resolve_ask(resolver, resolve, host);
	pthread_mutex_unlock(&resolver->lock);
	if (asked)
		return resolve;
	free(resolve);
	return NULL;
}

void resolve_cancel(struct resolve *resolve)
{
	struct resolver *resolver = resolve->resolver;

	pthread_mutex_lock(&resolver->lock);
	bool posted = resolve->name == NULL;
	if (!posted)
		list_remove(&resolve->name->askers, &resolve->in_askers);
	pthread_mutex_unlock(&resolver->lock);
	if (posted)
		resolve->cancelled = true; /* the mail can't be taken back; it frees the resolve */
	else
		free(resolve);
}
