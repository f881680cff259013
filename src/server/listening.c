/* listening.c owns the listeners, and which section of the configuration each of them serves.
 * It must never look at a connection: what was accepted is handed on at once. */
#include "server/listening.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/bind.h"
#include "server/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct listen_entry {
	struct listening *owner;
	struct listener *listener;
	const struct listen_settings *set;
};

struct listen_entries {
	struct listen_entry **item;
	size_t count;
};

struct listening {
	struct event_base *base;
	struct log *log;
	struct steward *steward;
	struct acceptor *acceptor;
	struct generation *current; /* which the entries' settings are of */
	struct listen_entries entries;
};

/* A planned entry is either a kept one, whose settings change at the commit, or a new one. */
struct listening_plan {
	struct planned {
		struct listen_entry *entry;
		const struct listen_settings *set;
		bool kept;
	} * item;
	size_t count;
	struct generation *generation;
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
	l->base = base;
	l->log = log;
	l->steward = steward;
	l->acceptor = acceptor;
	return l;
}

/* Whether two places to listen are one. Port 0 is another port each time, so there the section has to be the same. */
static bool same_place(const struct listener *listener, const struct listen_settings *its, const struct address *address,
                       const struct listen_settings *set)
{
	bool any_port = address->kind == ADDRESS_TCP && address->port == 0;
	return strcmp(listener_text(listener), address->text) == 0 &&
	       (!any_port || strcmp(its->section.name, set->section.name) == 0);
}

static struct listen_entry *listening_find(const struct listening *l, const struct address *address,
                                           const struct listen_settings *set)
{
	for (size_t i = 0; i < l->entries.count; i++) {
		struct listen_entry *entry = l->entries.item[i];
		if (same_place(entry->listener, entry->set, address, set))
			return entry;
	}
	return NULL;
}

static bool plan_has(const struct listening_plan *plan, const struct address *address, const struct listen_settings *set)
{
	for (size_t i = 0; i < plan->count; i++)
		if (same_place(plan->item[i].entry->listener, plan->item[i].set, address, set))
			return true;
	return false;
}

/* Whether it will still be listened on. */
static bool stays(const struct listen_entry *entry, const struct settings *settings)
{
	for (size_t i = 0; i < settings->listens_count; i++)
		for (size_t k = 0; k < settings->listens[i]->address.count; k++)
			if (same_place(entry->listener, entry->set, &settings->listens[i]->address.item[k], settings->listens[i]))
				return true;
	return false;
}

static bool has_port(const struct listen_entry *entry, const struct address *address)
{
	for (size_t i = 0; i < entry->set->address.count; i++) {
		const struct address *own = &entry->set->address.item[i];
		if (strcmp(own->text, listener_text(entry->listener)) == 0)
			return own->kind == ADDRESS_TCP && own->port == address->port && own->port != 0;
	}
	return false;
}

/* Entries that go let the address be bound that comes in their place. Returns whether there are any. */
static bool let_beside(const struct listening *l, const struct address *address, const struct settings *next, bool let)
{
	bool any = false;

	for (size_t i = 0; i < l->entries.count; i++) {
		const struct listen_entry *entry = l->entries.item[i];
		if (!has_port(entry, address) || stays(entry, next))
			continue;
		listener_let_beside(entry->listener, let);
		any = true;
	}
	return any;
}

/* Another address of a port that we hold, and go on to hold, can't be bound. */
static void hint_own_port(const struct listening *l, const struct address *address, const struct settings *next, struct err *err)
{
	for (size_t i = 0; address->kind == ADDRESS_TCP && i < l->entries.count; i++) {
		if (!has_port(l->entries.item[i], address) || !stays(l->entries.item[i], next))
			continue;
		err_add(err,
		        "the gateway itself already listens on %s ([listen %s]); two addresses with the same port must not overlap",
		        listener_text(l->entries.item[i]->listener), l->entries.item[i]->set->section.name);
		return;
	}
}

/* What was inherited is here, all else is the steward's. */
static struct listener *listener_for(struct listening *l, const struct address *address, const struct resolved *found,
                                     const struct settings *next, struct err *err)
{
	static const struct bind_options inherited = { .backlog = 0 };
	struct bound bound;

	if (address->kind == ADDRESS_FD)
		return listener_new(address, &inherited, err);
	bool beside = let_beside(l, address, next, true);
	int result = steward_bind(l->steward, address, found, beside, &bound, err);
	(void)let_beside(l, address, next, false);
	return result == 0 ? listener_adopt(address->text, &bound) : NULL;
}

static struct listen_entry *listen_entry_new(struct listening *l, const struct address *address, const struct settings *next,
                                             const struct lookups *lookups, struct err *err)
{
	struct listener *listener = listener_for(l, address, lookups_find(lookups, address), next, err);
	if (listener == NULL) {
		hint_own_port(l, address, next, err);
		return NULL;
	}
	struct listen_entry *entry = mem_zalloc(sizeof(*entry));
	entry->owner = l;
	entry->listener = listener;
	return entry;
}

static int plan_add(struct listening *l, struct listening_plan *plan, const struct address *address,
                    const struct listen_settings *set, const struct settings *next, const struct lookups *lookups,
                    struct err *err)
{
	if (plan_has(plan, address, set))
		return conf_complain(set, err, "address: the gateway already listens on %s", address->text);

	struct listen_entry *entry = listening_find(l, address, set);
	bool kept = entry != NULL;
	if (!kept)
		entry = listen_entry_new(l, address, next, lookups, err);
	if (entry == NULL)
		return -1;
	plan->item = mem_resize(plan->item, plan->count + 1, sizeof(*plan->item));
	plan->item[plan->count++] = (struct planned){ entry, set, kept };
	return 0;
}

struct listening_plan *listening_plan(struct listening *l, struct generation *generation, const struct lookups *lookups,
                                      struct err *err)
{
	struct listening_plan *plan = mem_zalloc(sizeof(*plan));
	int result = 0;
	plan->generation = generation;
	for (size_t i = 0; i < generation->settings->listens_count; i++) {
		const struct listen_settings *set = generation->settings->listens[i];
		for (size_t k = 0; k < set->address.count; k++)
			if (plan_add(l, plan, &set->address.item[k], set, generation->settings, lookups, err) != 0)
				result = -1;
	}
	if (result == 0)
		return plan;
	listening_plan_drop(plan);
	return NULL;
}

void listening_plan_drop(struct listening_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->item[i].kept)
			listen_entry_free(plan->item[i].entry);
	free(plan->item);
	free(plan);
}

static void listen_entry_accepted(void *arg, struct listener *listener, int fd, const struct peer *peer)
{
	const struct listen_entry *entry = arg;
	acceptor_take(entry->owner->acceptor, entry->owner->current, entry->set, fd, peer);
}

static void listen_entry_paused(void *arg, struct listener *listener, int error)
{
	const struct listen_entry *entry = arg;
	log_line(entry->owner->log, LEVEL_ERROR, "accepting on %s pauses: %s", listener_text(listener), strerror(error));
}

static const struct listener_ops listen_entry_ops = { .accepted = listen_entry_accepted, .paused = listen_entry_paused };

static bool plan_keeps(const struct listening_plan *plan, const struct listen_entry *entry)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->item[i].entry == entry)
			return true;
	return false;
}

void listening_commit(struct listening *l, struct listening_plan *plan)
{
	for (size_t i = 0; i < l->entries.count; i++)
		if (!plan_keeps(plan, l->entries.item[i]))
			listen_entry_free(l->entries.item[i]);

	l->entries.item = mem_resize(l->entries.item, plan->count, sizeof(struct listen_entry *));
	l->entries.count = plan->count;
	l->current = plan->generation;
	for (size_t i = 0; i < plan->count; i++) {
		struct planned *planned = &plan->item[i];
		l->entries.item[i] = planned->entry;
		planned->entry->set = planned->set;
		if (!planned->kept)
			listener_start(planned->entry->listener, l->base, &listen_entry_ops, planned->entry);
	}
	free(plan->item);
	free(plan);
}

static const char *const tls_words[] = { [TLS_MODE_OFF] = "off", [TLS_MODE_ON] = "on", [TLS_MODE_AUTO] = "auto" };

void listening_announce(const struct listening *l, char first[ADDR_TEXT_MAX])
{
	char address[ADDR_TEXT_MAX];
	first[0] = '\0';
	for (size_t i = 0; i < l->entries.count; i++) {
		for (size_t k = 0; listener_bound(l->entries.item[i]->listener, k, address); k++) {
			const struct listen_entry *entry = l->entries.item[i];
			const struct log_field fields[] = {
				{ .key = "listen", .kind = FIELD_TEXT, .text = span_of(entry->set->section.name) },
				{ .key = "address", .kind = FIELD_TEXT, .text = span_of(address) },
				{ .key = "tls", .kind = FIELD_TEXT, .text = span_of(tls_words[entry->set->tls]) },
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
	for (size_t i = 0; i < l->entries.count; i++)
		listen_entry_free(l->entries.item[i]);
	free(l->entries.item);
	free(l);
}
