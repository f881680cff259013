/* listening.c owns the listeners, and which section of the configuration each of them serves.
 * It must never look at a connection: what was accepted is handed on at once. */
#include "server/listening.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/bind.h"
#include "sys/privs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct door {
	struct listening *owner;
	struct listener *listener;
	const struct listen_settings *set;
};

struct door_set {
	struct door **item;
	size_t count;
};

struct listening {
	struct event_base *base;
	struct log *log;
	struct steward *steward;
	listening_cb *accepted;
	void *arg;
	struct door_set doors;
};

/* A planned door is either a kept one, whose settings change at the commit, or a new one. */
struct listening_plan {
	struct planned {
		struct door *door;
		const struct listen_settings *set;
		bool kept;
	} * item;
	size_t count;
	const char *user;
};

static void door_free(struct door *door)
{
	listener_free(door->listener);
	free(door);
}

struct listening *listening_new(struct event_base *base, struct log *log, struct steward *steward, listening_cb *accepted,
                                void *arg)
{
	struct listening *l = mem_zalloc(sizeof(*l));
	l->base = base;
	l->log = log;
	l->steward = steward;
	l->accepted = accepted;
	l->arg = arg;
	return l;
}

/* --- planning ------------------------------------------------------------------------------------------------------- */

/* Whether two places to listen are one. Port 0 is another port each time, so there the section has to be the same. */
static bool same_place(const struct listener *listener, const struct listen_settings *its, const struct address *address,
                       const struct listen_settings *set)
{
	bool any_port = address->kind == ADDRESS_TCP && address->port == 0;
	return strcmp(listener_text(listener), address->text) == 0 &&
	       (!any_port || strcmp(its->section.name, set->section.name) == 0);
}

static struct door *listening_find(const struct listening *l, const struct address *address,
                                   const struct listen_settings *set)
{
	for (size_t i = 0; i < l->doors.count; i++) {
		struct door *door = l->doors.item[i];
		if (same_place(door->listener, door->set, address, set))
			return door;
	}
	return NULL;
}

static bool plan_has(const struct listening_plan *plan, const struct address *address, const struct listen_settings *set)
{
	for (size_t i = 0; i < plan->count; i++)
		if (same_place(plan->item[i].door->listener, plan->item[i].set, address, set))
			return true;
	return false;
}

/* A socket file is made, and a stale one removed, by its name. */
static int borrow_for(struct privs_loan *loan, const char *address, const char *user, struct err *err)
{
	*loan = (struct privs_loan){ .groups = -1 };
	return strncmp(address, "unix:/", 6) == 0 ? privs_borrow(loan, user, address + 5, err) : 0;
}

/* Whether it will still be listened on. */
static bool stays(const struct door *door, const struct settings *settings)
{
	for (size_t i = 0; i < settings->listens_count; i++)
		for (size_t k = 0; k < settings->listens[i]->address.count; k++)
			if (same_place(door->listener, door->set, &settings->listens[i]->address.item[k], settings->listens[i]))
				return true;
	return false;
}

static bool has_port(const struct door *door, const struct address *address)
{
	for (size_t i = 0; i < door->set->address.count; i++) {
		const struct address *own = &door->set->address.item[i];
		if (strcmp(own->text, listener_text(door->listener)) == 0)
			return own->kind == ADDRESS_TCP && own->port == address->port && own->port != 0;
	}
	return false;
}

/* Doors that go let the address be bound that comes in their place. Returns whether there are any. */
static bool let_beside(const struct listening *l, const struct address *address, const struct settings *next, bool let)
{
	bool any = false;

	for (size_t i = 0; i < l->doors.count; i++) {
		const struct door *door = l->doors.item[i];
		if (!has_port(door, address) || stays(door, next))
			continue;
		listener_let_beside(door->listener, let);
		any = true;
	}
	return any;
}

/* Another address of a port that we hold, and go on to hold, can't be bound. */
static void hint_own_port(const struct listening *l, const struct address *address, const struct settings *next, struct err *err)
{
	for (size_t i = 0; address->kind == ADDRESS_TCP && i < l->doors.count; i++) {
		if (!has_port(l->doors.item[i], address) || !stays(l->doors.item[i], next))
			continue;
		err_add(err, "the gateway itself already listens on %s ([listen %s]); two addresses with the same port must not overlap",
		        listener_text(l->doors.item[i]->listener), l->doors.item[i]->set->section.name);
		return;
	}
}

/* NULL in *owner: as it comes. */
static int find_owner(const struct listen_settings *set, struct bind_owner *room, const struct bind_owner **owner, struct err *err)
{
	bool given = set->unix_user[0] != '\0' || set->unix_group[0] != '\0';

	*owner = given ? room : NULL;
	return given ? privs_find_owner(set->unix_user, set->unix_group, &room->user, &room->group, err) : 0;
}

/* What is bound by name or inherited is made here, ports are the steward's. */
static struct listener *listener_for(struct listening *l, const struct address *address, struct bind_options *options,
                                     const struct settings *next, struct err *err)
{
	struct privs_loan loan;
	struct bound bound;

	if (address->kind == ADDRESS_TCP) {
		options->beside = let_beside(l, address, next, true);
		int result = steward_bind(l->steward, address, options, &bound, err);
		(void)let_beside(l, address, next, false);
		return result == 0 ? listener_adopt(address->text, &bound) : NULL;
	}
	if (borrow_for(&loan, address->text, next->server->user, err) != 0)
		return NULL;
	struct listener *listener = listener_new(address, options, err);
	privs_give_back(&loan);
	return listener;
}

static struct door *door_new(struct listening *l, const struct address *address, const struct listen_settings *set,
                             const struct settings *next, const struct lookups *lookups, struct err *err)
{
	struct bind_options options = { .backlog = (int)set->backlog, .unix_mode = set->unix_mode,
		                        .found = lookups_find(lookups, address) };
	struct bind_owner owner;
	if (find_owner(set, &owner, &options.owner, err) != 0)
		return NULL;
	struct listener *listener = listener_for(l, address, &options, next, err);
	if (listener == NULL) {
		hint_own_port(l, address, next, err);
		return NULL;
	}
	struct door *door = mem_zalloc(sizeof(*door));
	door->owner = l;
	door->listener = listener;
	return door;
}

static int plan_add(struct listening *l, struct listening_plan *plan, const struct address *address,
                    const struct listen_settings *set, const struct settings *next, const struct lookups *lookups,
                    struct err *err)
{
	if (plan_has(plan, address, set))
		return conf_complain(set, err, "address: the gateway already listens on %s", address->text);

	struct door *door = listening_find(l, address, set);
	bool kept = door != NULL;
	if (!kept)
		door = door_new(l, address, set, next, lookups, err);
	if (door == NULL)
		return -1;
	plan->item = mem_resize(plan->item, plan->count + 1, sizeof(*plan->item));
	plan->item[plan->count++] = (struct planned){ door, set, kept };
	return 0;
}

struct listening_plan *listening_plan(struct listening *l, const struct generation *generation,
                                      const struct lookups *lookups, struct err *err)
{
	struct listening_plan *plan = mem_zalloc(sizeof(*plan));
	int result = 0;
	plan->user = generation->settings->server->user;
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

/* Its socket file is removed as it was made. */
static void door_drop(struct door *door, const char *user)
{
	struct privs_loan loan;
	struct err ignored;
	err_init(&ignored);
	if (borrow_for(&loan, listener_text(door->listener), user, &ignored) != 0)
		return; /* the process is about to end, and the next one finds the file stale */
	door_free(door);
	privs_give_back(&loan);
}

void listening_plan_drop(struct listening_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->item[i].kept)
			door_drop(plan->item[i].door, plan->user);
	free(plan->item);
	free(plan);
}

/* --- committing ----------------------------------------------------------------------------------------------------- */

static void door_accepted(void *arg, struct listener *listener, int fd, const struct peer *peer)
{
	const struct door *door = arg;
	(void)listener;
	door->owner->accepted(door->owner->arg, door->set, fd, peer);
}

static void door_paused(void *arg, struct listener *listener, int error)
{
	const struct door *door = arg;
	log_line(door->owner->log, LEVEL_ERROR, "accepting on %s pauses: %s", listener_text(listener), strerror(error));
}

static const struct listener_ops door_ops = { .accepted = door_accepted, .paused = door_paused };

static bool plan_keeps(const struct listening_plan *plan, const struct door *door)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->item[i].door == door)
			return true;
	return false;
}

void listening_commit(struct listening *l, struct listening_plan *plan)
{
	for (size_t i = 0; i < l->doors.count; i++)
		if (!plan_keeps(plan, l->doors.item[i]))
			door_free(l->doors.item[i]);

	l->doors.item = mem_resize(l->doors.item, plan->count, sizeof(struct door *));
	l->doors.count = plan->count;
	for (size_t i = 0; i < plan->count; i++) {
		struct planned *planned = &plan->item[i];
		l->doors.item[i] = planned->door;
		planned->door->set = planned->set;
		if (!planned->kept)
			listener_start(planned->door->listener, l->base, &door_ops, planned->door);
	}
	free(plan->item);
	free(plan);
}

static const char *const tls_words[] = { [TLS_MODE_OFF] = "off", [TLS_MODE_ON] = "on", [TLS_MODE_AUTO] = "auto" };

static void listening_log(const struct listening *l, const struct door *door, const char *address)
{
	const struct log_field fields[] = {
		{ .key = "listen", .kind = FIELD_TEXT, .text = span_of(door->set->section.name) },
		{ .key = "address", .kind = FIELD_TEXT, .text = span_of(address) },
		{ .key = "tls", .kind = FIELD_TEXT, .text = span_of(tls_words[door->set->tls]) },
	};
	log_record(l->log, LEVEL_INFO, "listening", fields, ARRAY_LEN(fields));
}

void listening_announce(const struct listening *l, char first[ADDR_TEXT_MAX])
{
	char address[ADDR_TEXT_MAX];
	first[0] = '\0';
	for (size_t i = 0; i < l->doors.count; i++) {
		for (size_t k = 0; listener_bound(l->doors.item[i]->listener, k, address); k++) {
			listening_log(l, l->doors.item[i], address);
			if (first[0] == '\0')
				memcpy(first, address, sizeof(address));
		}
	}
}

void listening_free(struct listening *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->doors.count; i++)
		door_free(l->doors.item[i]);
	free(l->doors.item);
	free(l);
}
