/* lookups.c owns the look-ups of a reload: which names need one, and the answers.
 * It must never wait for an answer, nor ask for a name that is listened on already. */
#include "server/lookups.h"

#include "base/mem.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

struct lookup {
	struct lookups *owner;
	const struct address *address;
	struct resolve *resolve; /* NULL: answered */
	struct resolved answer;
};

struct lookups {
	struct lookup **item;
	size_t count, waiting;
	lookups_cb *done;
	void *arg;
};

static void lookups_on_answer(void *arg, const struct resolved *answer)
{
	struct lookup *lookup = arg;
	struct lookups *all = lookup->owner;

	lookup->resolve = NULL;
	lookup->answer = *answer;
	if (--all->waiting == 0)
		all->done(all->arg);
}

static void lookup_start(struct lookups *all, const struct address *address, struct resolver *resolver, struct mailbox *box)
{
	struct lookup *lookup = mem_zalloc(sizeof(*lookup));

	lookup->owner = all;
	lookup->address = address;
	lookup->answer.error = EAI_MEMORY;
	lookup->resolve = resolve_start(resolver, box, address->host, address->port, lookups_on_answer, lookup);
	all->waiting += lookup->resolve != NULL;
	all->item = mem_resize(all->item, all->count + 1, sizeof(struct lookup *));
	all->item[all->count++] = lookup;
}

static bool is_listened_on(const struct generation *before, const struct address *address)
{
	const struct settings *settings = before->settings;

	for (size_t i = 0; i < settings->listens_count; i++)
		for (size_t k = 0; k < settings->listens[i]->address.count; k++)
			if (strcmp(settings->listens[i]->address.item[k].text, address->text) == 0)
				return true;
	return false;
}

static bool needs_lookup(const struct address *address)
{
	struct resolved at_once;

	return address->kind == ADDRESS_TCP && address->host != NULL && !resolved_at_once(address->host, 0, &at_once);
}

struct lookups *lookups_new(struct resolver *resolver, struct mailbox *box, const struct generation *next,
                            const struct generation *before, lookups_cb *done, void *arg)
{
	struct lookups *all = mem_zalloc(sizeof(*all));
	const struct settings *settings = next->settings;

	all->done = done;
	all->arg = arg;
	for (size_t i = 0; i < settings->listens_count; i++) {
		const struct address_list *list = &settings->listens[i]->address;
		for (size_t k = 0; k < list->count; k++)
			if (needs_lookup(&list->item[k]) && !is_listened_on(before, &list->item[k]))
				lookup_start(all, &list->item[k], resolver, box);
	}
	return all;
}

bool lookups_are_done(const struct lookups *all)
{
	return all->waiting == 0;
}

const struct resolved *lookups_find(const struct lookups *all, const struct address *address)
{
	for (size_t i = 0; all != NULL && i < all->count; i++)
		if (all->item[i]->address == address)
			return &all->item[i]->answer;
	return NULL;
}

void lookups_free(struct lookups *all)
{
	if (all == NULL)
		return;
	for (size_t i = 0; i < all->count; i++) {
		if (all->item[i]->resolve != NULL)
			resolve_cancel(all->item[i]->resolve);
		free(all->item[i]);
	}
	free(all->item);
	free(all);
}
