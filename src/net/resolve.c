/* resolve.c owns the helper threads, the names they look up, and the answers that are kept.
 * It must never call back with its lock held, nor look anything up on the caller's thread. */
#include "net/resolve.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/signals.h"
#include "net/addr.h"
#include "proto/ip.h"
#include "proto/uri.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Shared by the helper threads, the askers and the owner; the last of them frees it. */
struct resolver {
	pthread_mutex_t lock; /* guards everything that can change, here and in every name and resolve */
	pthread_cond_t work;
	unsigned refs;        /* helper threads, and the owner until resolver_free */
	bool closing;
	struct list names;    /* every name, the least recently used first */
	struct list queue;    /* names that wait for a thread */
	unsigned doubtful, doubtful_most; /* names being looked up that may hang, and how many of those at a time */

	uint64_t fresh_ms;
	resolve_lookup *lookup;
	void *lookup_arg;
	void (*release)(void *arg);
};

/* A host name: the last good answer for it, or the look-up under way, or both. */
struct name {
	struct list_node in_names, in_queue;
	struct list askers;
	bool pending;        /* queued or being looked up; it can't be freed */
	bool slow;           /* the last look-up took longer than anybody waits for it */
	uint64_t good_at;    /* when the answer came; meaningless while count is 0 */
	struct resolved good;
	char host[];
};

struct resolve {
	struct mail mail;         /* must be first */
	struct resolver *resolver;
	struct name *name;        /* while waiting for the answer; NULL once it is posted */
	struct list_node in_askers;
	struct mailbox *box;
	bool cancelled;           /* after the answer was posted; box's thread only */
	uint16_t port;
	resolve_cb *cb;
	void *arg;
	struct resolved answer;
};

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void set_port(struct sockaddr_storage *sa, uint16_t port)
{
	if (sa->ss_family == AF_INET)
		((struct sockaddr_in *)sa)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)sa)->sin6_port = htons(port);
}

static void copy_answer(struct resolved *to, const struct resolved *from, uint16_t port)
{
	to->count = from->count;
	to->error = from->error;
	for (size_t i = 0; i < from->count; i++) {
		to->addr[i] = from->addr[i];
		set_port(&to->addr[i].sa, port);
	}
}

static void add_address(struct resolved *answer, const void *sa, size_t len)
{
	if (answer->count == RESOLVE_MAX)
		return;
	memcpy(&answer->addr[answer->count].sa, sa, len);
	answer->addr[answer->count].len = (socklen_t)len;
	answer->count++;
}

static bool read_in6(const char *host, struct sockaddr_in6 *in6)
{
	struct span zone;

	*in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	if (!ip_read_zoned(span_of(host), in6->sin6_addr.s6_addr, &zone))
		return false;
	if (zone.p != NULL)
		in6->sin6_scope_id = if_nametoindex(zone.p);
	return zone.p == NULL || in6->sin6_scope_id != 0;
}

static void add_in(struct resolved *answer, struct in_addr number, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = number };

	add_address(answer, &in, sizeof(in));
}

static void add_in6(struct resolved *answer, struct sockaddr_in6 in6, uint16_t port)
{
	in6.sin6_port = htons(port);
	add_address(answer, &in6, sizeof(in6));
}

bool resolve_at_once(const char *host, uint16_t port, struct resolved *answer)
{
	struct in_addr in;
	struct sockaddr_in6 in6;

	answer->count = 0;
	answer->error = 0;
	if (ip_read(AF_INET, span_of(host), &in)) {
		add_in(answer, in, port);
	} else if (read_in6(host, &in6)) {
		add_in6(answer, in6, port);
	} else if (uri_is_localhost(span_of(host))) { /* more servers there are on the first alone than on the second */
		add_in(answer, (struct in_addr){ htonl(INADDR_LOOPBACK) }, port);
		add_in6(answer, (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT }, port);
	}
	return answer->count > 0;
}

void resolve_here(const char *host, struct resolved *answer)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *all;

	answer->count = 0;
	answer->error = getaddrinfo(host, NULL, &hints, &all);
	if (answer->error != 0)
		return;
	for (const struct addrinfo *at = all; at != NULL; at = at->ai_next)
		if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
			add_address(answer, at->ai_addr, at->ai_addrlen);
	freeaddrinfo(all);
}

static void look_up_here(void *arg, const char *host, struct resolved *answer)
{
	(void)arg;
	resolve_here(host, answer);
}

/* --- names; all of it with the lock held -------------------------------------------------------------------------- */

static struct name *name_find(struct resolver *resolver, const char *host)
{
	list_each(&resolver->names, node, after) {
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

	list_each(&resolver->names, node, after)
		idle += !list_entry(node, struct name, in_names)->pending;
	list_each(&resolver->names, node, after) {
		struct name *name = list_entry(node, struct name, in_names);
		if (name->pending)
			continue;
		if (idle <= RESOLVE_NAMES_MAX)
			return;
		name_drop(resolver, name);
		idle--;
	}
}

static struct name *name_add(struct resolver *resolver, const char *host)
{
	size_t size = strlen(host) + 1;
	struct name *name = malloc(sizeof(*name) + size);

	if (name == NULL)
		return NULL;
	name->pending = name->slow = false;
	name->good.count = 0;
	memcpy(name->host, host, size);
	list_init(&name->askers);
	list_append(&resolver->names, &name->in_names);
	return name;
}

/* It may take a thread for as long as a name server says nothing, and then for nothing. */
static bool name_is_doubtful(const struct name *name)
{
	return name->good.count == 0 || name->slow;
}

static bool name_has_answer(const struct name *name, uint64_t younger_than)
{
	return name->good.count > 0 && clock_ms() - name->good_at < younger_than;
}

static void name_used(struct resolver *resolver, struct name *name)
{
	list_remove(&resolver->names, &name->in_names);
	list_append(&resolver->names, &name->in_names);
}

/* The mail is posted with the resolver's lock held, so that resolve_cancel() finds it either not yet posted, and
 * prevents it, or wholly posted, and the mailbox may go. */
static void resolve_answer(struct resolve *resolve, const struct resolved *answer)
{
	resolve->name = NULL;
	copy_answer(&resolve->answer, answer, resolve->port);
	mailbox_post(resolve->box, &resolve->mail);
}

/* "No such name" is an answer; everything else says only that nobody could be asked. */
static bool is_denial(int error)
{
	return error == EAI_NONAME || error == EAI_NODATA;
}

static void name_answered(struct resolver *resolver, struct name *name, const struct resolved *answer)
{
	name->pending = false;
	if (answer->count > 0) {
		copy_answer(&name->good, answer, 0);
		name->good_at = clock_ms();
	} else if (is_denial(answer->error)) {
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

/* --- helper threads ----------------------------------------------------------------------------------------------- */

static void resolver_unref(struct resolver *resolver)
{
	pthread_mutex_lock(&resolver->lock);
	unsigned left = --resolver->refs;
	pthread_mutex_unlock(&resolver->lock);
	if (left > 0)
		return;
	for (struct list_node *node = list_take(&resolver->names); node != NULL; node = list_take(&resolver->names))
		free(list_entry(node, struct name, in_names));
	if (resolver->release != NULL)
		resolver->release(resolver->lookup_arg);
	pthread_cond_destroy(&resolver->work);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

/* With the lock held, which is let go during the look-up itself. */
static void helper_look_up(struct resolver *resolver, struct name *name)
{
	bool doubtful = name_is_doubtful(name);
	uint64_t begun = clock_ms();
	struct resolved answer;

	resolver->doubtful += doubtful;
	pthread_mutex_unlock(&resolver->lock);
	resolver->lookup(resolver->lookup_arg, name->host, &answer);
	pthread_mutex_lock(&resolver->lock);
	resolver->doubtful -= doubtful;
	name->slow = clock_ms() - begun >= RESOLVE_PATIENCE_MS;
	name_answered(resolver, name, &answer);
}

/* The next name that somebody waits for, or has taken an old answer for; sessions that gave up must not keep the helpers
 * busy with anything else. With the lock held. */
static struct name *helper_next(struct resolver *resolver)
{
	list_each(&resolver->queue, node, after) {
		struct name *name = list_entry(node, struct name, in_queue);
		bool wanted = name->good.count > 0 || !list_empty(&name->askers);
		if (wanted && name_is_doubtful(name) && resolver->doubtful >= resolver->doubtful_most)
			continue;
		list_remove(&resolver->queue, node);
		if (wanted)
			return name;
		name_drop(resolver, name);
	}
	return NULL;
}

static void *helper_main(void *arg)
{
	struct resolver *resolver = arg;

	pthread_mutex_lock(&resolver->lock);
	while (!resolver->closing) {
		struct name *name = helper_next(resolver);
		if (name != NULL)
			helper_look_up(resolver, name);
		else
			pthread_cond_wait(&resolver->work, &resolver->lock);
	}
	pthread_mutex_unlock(&resolver->lock);
	resolver_unref(resolver);
	return NULL;
}

/* Returns 0 or an errno. */
static int helper_start(struct resolver *resolver, const pthread_attr_t *detached)
{
	pthread_t thread;

	pthread_mutex_lock(&resolver->lock);
	resolver->refs++;
	pthread_mutex_unlock(&resolver->lock);
	int error = pthread_create(&thread, detached, helper_main, resolver);
	if (error == 0)
		return 0;
	pthread_mutex_lock(&resolver->lock);
	resolver->refs--; /* not the last: who starts helpers has one */
	pthread_mutex_unlock(&resolver->lock);
	return error;
}

static int helpers_start(struct resolver *resolver, unsigned count)
{
	pthread_attr_t detached;
	sigset_t before;
	int error = 0;

	signals_block(&before); /* signals belong to the main thread */
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (unsigned i = 0; i < count && error == 0; i++)
		error = helper_start(resolver, &detached);
	pthread_attr_destroy(&detached);
	signals_restore(&before);
	return error;
}

struct resolver *resolver_new(const struct resolver_options *options)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL) {
		if (options->release != NULL)
			options->release(options->lookup_arg);
		return NULL;
	}
	resolver->refs = 1;
	resolver->doubtful_most = options->threads - (options->threads > 1) * (1 + options->threads / 8);
	resolver->fresh_ms = options->fresh_ms == 0 ? RESOLVE_FRESH_MS : options->fresh_ms;
	resolver->lookup = options->lookup == NULL ? look_up_here : options->lookup;
	resolver->lookup_arg = options->lookup_arg;
	resolver->release = options->release;
	pthread_mutex_init(&resolver->lock, NULL);
	pthread_cond_init(&resolver->work, NULL);
	list_init(&resolver->names);
	list_init(&resolver->queue);

	int error = helpers_start(resolver, options->threads);
	if (error == 0)
		return resolver;
	resolver_free(resolver);
	errno = error;
	return NULL;
}

void resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	pthread_mutex_lock(&resolver->lock);
	list_each(&resolver->names, node, after)
		assert(list_empty(&list_entry(node, struct name, in_names)->askers));
	resolver->closing = true;
	pthread_cond_broadcast(&resolver->work);
	pthread_mutex_unlock(&resolver->lock);
	resolver_unref(resolver);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

bool resolve_last_good(struct resolver *resolver, const char *host, uint16_t port, struct resolved *answer)
{
	pthread_mutex_lock(&resolver->lock);
	const struct name *name = name_find(resolver, host);
	bool kept = name != NULL && name_has_answer(name, RESOLVE_KEEP_MS);
	if (kept)
		copy_answer(answer, &name->good, port);
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

/* With the lock held. */
static int resolve_ask(struct resolver *resolver, struct resolve *resolve, const char *host)
{
	struct name *name = name_find(resolver, host);

	if (name == NULL && (name = name_add(resolver, host)) == NULL)
		return -1;
	name_used(resolver, name);
	if (name_has_answer(name, resolver->fresh_ms)) {
		resolve_answer(resolve, &name->good);
		return 0;
	}
	resolve->name = name;
	list_append(&name->askers, &resolve->in_askers);
	if (!name->pending) {
		name->pending = true;
		list_append(&resolver->queue, &name->in_queue);
		pthread_cond_signal(&resolver->work);
	}
	return 0;
}

struct resolve *resolve_start(struct resolver *resolver, struct mailbox *box, const char *host, uint16_t port,
                              resolve_cb *cb, void *arg)
{
	struct resolve *resolve = malloc(sizeof(*resolve));

	if (resolve == NULL)
		return NULL;
	resolve->mail.run = resolve_run;
	resolve->resolver = resolver;
	resolve->box = box;
	resolve->cancelled = false;
	resolve->port = port;
	resolve->cb = cb;
	resolve->arg = arg;

	pthread_mutex_lock(&resolver->lock);
	int result = resolve_ask(resolver, resolve, host);
	pthread_mutex_unlock(&resolver->lock);
	if (result == 0)
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
