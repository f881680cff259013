/* listening.c owns the listeners, and which section of the configuration each of them serves.
 * It must never look at a connection: what was accepted is handed on at once. */
#include "server/listening.h"

#include "base/mem.h"
#include "net/bind.h"
#include "net/listener.h"
#include "server/acceptor.h"
#include "server/steward.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/* Where to listen, as a generation's settings say. */
struct place {
	const struct listen_settings *set;
	const struct address *address;
};

struct listen_entry {
	struct listening *owner;
	struct listener *listener;
	struct place place;
};

struct listening {
	struct event_base *base;
	struct log *log;
	struct steward *steward;
	struct acceptor *acceptor;
	struct generation *current; /* which the entries' places are of */
	struct listen_entry **entry;
	size_t count;
};

struct listening_plan {
	struct listening *listening;
	struct generation *generation;
	struct planned {
		struct listening_plan *plan;
		struct place place;
		struct listen_entry *entry; /* NULL: not yet bound */
		bool kept;                  /* the entry was there before: only its place changes, at the commit */
		struct resolve *resolve;    /* the look-up of its name; NULL: none, or answered */
		struct resolved *answer;    /* NULL: it has no name that is looked up before it is bound */
	} * item;
	size_t count, waiting; /* for answers */
	listening_cb *done;
	void *arg;
};

static void listen_entry_free(struct listen_entry *entry)
{
	if (strncmp(listener_text(entry->listener), "unix:/", 6) == 0)
		steward_unbind(entry->owner->steward, listener_text(entry->listener));
	listener_free(entry->listener);
	free(entry);
}

struct listening *listening_new(struct event_base *base, struct log *log, struct steward *steward, struct acceptor *acceptor)
{
	struct listening *l = mem_zalloc(sizeof(*l));
	*l = (struct listening){ .base = base, .log = log, .steward = steward, .acceptor = acceptor };
	return l;
}

/* --- planning ------------------------------------------------------------------------------------------------------- */

/* Port 0 is another port each time, so there the section has to be the same. */
static bool is_same(const struct place *a, const struct place *b)
{
	bool any_port = a->address->kind == ADDRESS_TCP && a->address->port == 0;
	return strcmp(a->address->text, b->address->text) == 0 &&
	       (!any_port || strcmp(a->set->section.name, b->set->section.name) == 0);
}

static void plan_add(struct listening_plan *plan, const struct place *place)
{
	const struct listening *l = plan->listening;
	struct planned planned = { .plan = plan, .place = *place };
	for (size_t i = 0; i < l->count && planned.entry == NULL; i++)
		if (is_same(&l->entry[i]->place, place))
			planned.entry = l->entry[i];
	planned.kept = planned.entry != NULL;
	plan->item = mem_resize(plan->item, plan->count + 1, sizeof(*plan->item));
	plan->item[plan->count++] = planned;
}

struct listening_plan *listening_plan(struct listening *l, struct generation *generation)
{
	struct listening_plan *plan = mem_zalloc(sizeof(*plan));
	plan->listening = l;
	plan->generation = generation;
	for (size_t i = 0; i < generation->settings->listens_count; i++) {
		const struct listen_settings *set = generation->settings->listens[i];
		for (size_t k = 0; k < set->address.count; k++)
			plan_add(plan, &(struct place){ set, &set->address.item[k] });
	}
	return plan;
}

static void planned_on_answer(void *arg, const struct resolved *answer)
{
	struct planned *planned = arg;
	struct listening_plan *plan = planned->plan;
	planned->resolve = NULL;
	*planned->answer = *answer;
	if (--plan->waiting == 0)
		plan->done(plan->arg);
}

/* Not a name that is listened on already. */
static bool needs_lookup(const struct listening *l, const struct address *address)
{
	struct resolved at_once;
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->entry[i]->place.address->text, address->text) == 0)
			return false;
	return address->kind == ADDRESS_TCP && address->host != NULL && !resolved_at_once(address->host, 0, &at_once);
}

bool listening_look_up(struct listening_plan *plan, struct resolver *resolver, struct mailbox *box, listening_cb *done, void *arg)
{
	plan->done = done;
	plan->arg = arg;
	for (size_t i = 0; i < plan->count; i++) {
		struct planned *planned = &plan->item[i];
		const struct address *address = planned->place.address;
		if (!needs_lookup(plan->listening, address))
			continue;
		planned->answer = mem_zalloc(sizeof(*planned->answer));
		planned->answer->error = EAI_MEMORY; /* unless one comes */
		planned->resolve = resolve_start(resolver, box, address->host, address->port, planned_on_answer, planned);
		plan->waiting += planned->resolve != NULL;
	}
	return plan->waiting > 0;
}

/* Whether it will still be listened on. */
static bool plan_keeps(const struct listening_plan *plan, const struct listen_entry *entry)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->item[i].entry == entry)
			return true;
	return false;
}

static bool has_port(const struct listen_entry *entry, const struct address *address)
{
	const struct address *own = entry->place.address;
	return own->kind == ADDRESS_TCP && own->port == address->port && own->port != 0;
}

/* Entries that go let the address be bound that comes in their place. Returns whether there are any. */
static bool let_beside(const struct listening_plan *plan, const struct address *address, bool let)
{
	const struct listening *l = plan->listening;
	bool any = false;

	for (size_t i = 0; i < l->count; i++) {
		if (!has_port(l->entry[i], address) || plan_keeps(plan, l->entry[i]))
			continue;
		listener_let_beside(l->entry[i]->listener, let);
		any = true;
	}
	return any;
}

/* Another address of a port that we hold, and go on to hold, can't be bound. */
static void hint_own_port(const struct listening_plan *plan, const struct address *address, struct err *err)
{
	const struct listening *l = plan->listening;
	for (size_t i = 0; address->kind == ADDRESS_TCP && i < l->count; i++) {
		const struct place *place = &l->entry[i]->place;
		if (!has_port(l->entry[i], address) || !plan_keeps(plan, l->entry[i]))
			continue;
		err_add(err,
		        "the gateway itself already listens on %s ([listen %s]); two addresses with the same port must not overlap",
		        place->address->text, place->set->section.name);
		return;
	}
}

/* What was inherited is here, all else is the steward's. */
static struct listener *listener_for(const struct planned *planned, struct err *err)
{
	static const struct bind_options inherited = { .backlog = 0 };
	const struct address *address = planned->place.address;
	struct bound bound;

	if (address->kind == ADDRESS_FD)
		return bind_open(&bound, address, &inherited, err) == 0 ? listener_new(address->text, &bound) : NULL;
	bool beside = let_beside(planned->plan, address, true);
	int result = steward_bind(planned->plan->listening->steward, address, planned->answer, beside, &bound, err);
	(void)let_beside(planned->plan, address, false);
	return result == 0 ? listener_new(address->text, &bound) : NULL;
}

static int planned_bind(struct planned *planned, struct err *err)
{
	struct listening_plan *plan = planned->plan;
	const struct place *place = &planned->place;

	for (const struct planned *other = plan->item; other < planned; other++)
		if (other->entry != NULL && is_same(&other->place, place))
			return conf_complain(place->set, err, "address: the gateway already listens on %s", place->address->text);
	if (planned->kept)
		return 0;
	struct listener *listener = listener_for(planned, err);
	if (listener == NULL) {
		hint_own_port(plan, place->address, err);
		return -1;
	}
	planned->entry = mem_zalloc(sizeof(*planned->entry));
	planned->entry->owner = plan->listening;
	planned->entry->listener = listener;
	return 0;
}

int listening_bind(struct listening_plan *plan, struct err *err)
{
	int result = 0;
	for (size_t i = 0; i < plan->count; i++)
		if (planned_bind(&plan->item[i], err) != 0)
			result = -1;
	return result;
}

void listening_plan_drop(struct listening_plan *plan)
{
	if (plan == NULL)
		return;
	for (size_t i = 0; i < plan->count; i++) {
		const struct planned *planned = &plan->item[i];
		if (planned->resolve != NULL)
			resolve_cancel(planned->resolve);
		if (planned->entry != NULL && !planned->kept)
			listen_entry_free(planned->entry);
		free(planned->answer);
	}
	free(plan->item);
	free(plan);
}

/* --- in force ------------------------------------------------------------------------------------------------------- */

static void listen_entry_accepted(void *arg, struct listener *listener, int fd, const struct peer *peer)
{
	const struct listen_entry *entry = arg;
	acceptor_take(entry->owner->acceptor, entry->owner->current, entry->place.set, fd, peer);
}

static void listen_entry_paused(void *arg, struct listener *listener, int error)
{
	const struct listen_entry *entry = arg;
	log_line(entry->owner->log, LEVEL_ERROR, "accepting on %s pauses: %s", listener_text(listener), strerror(error));
}

void listening_commit(struct listening_plan *plan)
{
	static const struct listener_ops ops = { .accepted = listen_entry_accepted, .paused = listen_entry_paused };
	struct listening *l = plan->listening;

	for (size_t i = 0; i < l->count; i++)
		if (!plan_keeps(plan, l->entry[i]))
			listen_entry_free(l->entry[i]);
	l->entry = mem_resize(l->entry, plan->count, sizeof(struct listen_entry *));
	l->count = plan->count;
	l->current = plan->generation;
	for (size_t i = 0; i < plan->count; i++) {
		struct planned *planned = &plan->item[i];
		l->entry[i] = planned->entry;
		planned->entry->place = planned->place;
		if (!planned->kept)
			listener_start(planned->entry->listener, l->base, &ops, planned->entry);
		planned->kept = true; /* when the plan is dropped */
	}
	listening_plan_drop(plan);
}

void listening_announce(const struct listening *l, char first[ADDR_TEXT_MAX])
{
	static const char *const tls_words[] = { [TLS_MODE_OFF] = "off", [TLS_MODE_ON] = "on", [TLS_MODE_AUTO] = "auto" };
	char address[ADDR_TEXT_MAX];

	first[0] = '\0';
	for (size_t i = 0; i < l->count; i++) {
		const struct listen_settings *set = l->entry[i]->place.set;
		for (size_t k = 0; listener_bound(l->entry[i]->listener, k, address); k++) {
			const struct log_field fields[] = {
				log_text("listen", set->section.name),
				log_text("address", address),
				log_text("tls", tls_words[set->tls]),
			};
			log_record(l->log, LEVEL_INFO, "listening", fields, ARRAY_LEN(fields));
			if (first[0] == '\0')
				memcpy(first, address, sizeof(address));
		}
	}
}

void listening_free(struct listening *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->count; i++)
		listen_entry_free(l->entry[i]);
	free(l->entry);
	free(l);
}
