/* generation.c owns the building and the counted life of a generation.
 * It must never change one after it was built. */
#include "core/generation.h"

#include "base/mem.h"
#include "core/settings_check.h"

#include <stdlib.h>

static void identity_fill(struct tls_identity *identity, const struct tls_settings *set,
                          const struct generation *before)
{
	char place[256];
	conf_place(set, "certificate", place, sizeof(place));
	identity->where = mem_strdup(place);
	identity->certificates = set->certificate;
	identity->keys = set->key;
	identity->client_ca = set->client_ca;
	identity->client_certificate = (enum tls_client_certificate)set->client_certificate;
	identity->tls13_only = set->min_version == 1;
	identity->ciphers = set->ciphers;
	identity->ciphersuites = set->ciphersuites;
	identity->groups = set->groups;
	identity->tickets = set->tickets;
	identity->before = before != NULL ? before->tls : NULL;
}

static int generation_load_tls(struct generation *g, const struct generation *before, struct err *err,
                               struct err *warnings)
{
	size_t count = g->settings->tls_count;
	if (count == 0)
		return 0;
	struct tls_identity *identities = mem_resize(NULL, count, sizeof(*identities));
	for (size_t i = 0; i < count; i++)
		identity_fill(&identities[i], g->settings->tls[i], before);
	g->tls = tls_server_new(identities, count, err, warnings);
	for (size_t i = 0; i < count; i++)
		free((void *)(uintptr_t)identities[i].where);
	free(identities);
	return g->tls != NULL ? 0 : -1;
}

struct generation *generation_build(struct settings *settings, const struct generation *before, struct err *err,
                                    struct err *warnings)
{
	struct generation *g = mem_zalloc(sizeof(*g));
	g->refs = 1;
	g->settings = settings;
	settings_warn(settings, warnings);
	int tls = generation_load_tls(g, before, err, warnings);
	int routes = routes_build(&g->routes, settings, err);
	if (tls != 0 || routes != 0) {
		generation_unref(g);
		return NULL;
	}
	return g;
}

struct generation *generation_ref(struct generation *g)
{
	atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

void generation_unref(struct generation *g)
{
	if (g == NULL || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
		return;
	routes_clear(&g->routes);
	tls_server_free(g->tls);
	settings_free(g->settings);
	free(g);
}
