/* generation.c owns the building and the counted life of a generation.
 * It must never change one after it was built. */
#include "config/generation.h"

#include "base/mem.h"
#include "config/places.h"
#include "proto/ip.h"
#include "sys/privs.h"

#include <stdlib.h>

static int generation_load_tls(struct generation *g, struct opener *opener, struct err *err, struct err *warnings)
{
	size_t count = g->settings->tls_count;
	if (count == 0)
		return 0;
	struct tls_identity *identities = mem_resize(NULL, count, sizeof(*identities));
	for (size_t i = 0; i < count; i++) {
		const struct tls_settings *set = g->settings->tls[i];
		identities[i] = (struct tls_identity){
			.where = { conf_place_named, set, opener },
			.certificates = set->certificate,
			.keys = set->key,
			.client_ca = set->client_ca,
			.client_certificate = (enum tls_client_certificate)set->client_certificate,
			.tls13_only = set->min_version == 1,
			.ciphers = set->ciphers,
			.ciphersuites = set->ciphersuites,
			.groups = set->groups,
			.tickets = set->tickets,
		};
	}
	g->tls = tls_server_new(identities, count, err, warnings);
	free(identities);
	return g->tls != NULL ? 0 : -1;
}

static const struct tls_settings *tls_that(const struct settings *s, bool requires)
{
	for (size_t i = 0; i < s->tls_count; i++)
		if ((s->tls[i]->client_certificate == TLS_CLIENT_CERT_REQUIRED) == requires)
			return s->tls[i];
	return NULL;
}

static const struct listen_settings *listen_that(const struct settings *s, const struct route_settings *r, bool tls)
{
	for (size_t i = 0; i < s->listens_count; i++)
		if ((s->listens[i]->tls != TLS_MODE_OFF) == tls && reach_has_listener(r, s->listens[i]->section.name))
			return s->listens[i];
	return NULL;
}

/* Whether it is for a name that asks for a certificate, or for any name. */
static bool is_protected(const struct tls_server *tls, const struct route_settings *r)
{
	for (size_t i = 0; i < r->host.count; i++)
		if (tls_server_requires(tls, uri_host(span_of(r->host.item[i]))))
			return true;
	return r->host.count == 0;
}

/* Only where it was not said: who names the hosts and listeners of a route has said what may reach it. */
static void warn_of_bypass(const struct generation *g, const struct route_settings *r, struct err *warnings)
{
	const struct tls_settings *asks = tls_that(g->settings, true), *open = tls_that(g->settings, false);
	const struct listen_settings *plain = listen_that(g->settings, r, false), *tls = listen_that(g->settings, r, true);

	if (asks == NULL || tls == NULL || !is_protected(g->tls, r))
		return;
	if (open != NULL && r->host.count == 0)
		conf_complain(
		        r, warnings,
		        "has no host, so clients can reach it by the names of [tls %s] without the certificate that [tls %s] "
		        "requires; write host = NAME, or host = * to allow it",
		        open->section.name, asks->section.name);
	if (plain != NULL && r->listen.count == 0)
		conf_complain(r, warnings,
		              "serves every listener, so clients can reach it by [listen %s], which has no TLS, without the "
		              "certificate that [tls %s] requires; write listen = NAME",
		              plain->section.name, asks->section.name);
}

/* Whether the users and groups that are named exist, and `user` is not root. */
static int check_users(const struct settings *settings, struct err *err)
{
	unsigned before = err->count;
	struct err why;
	uid_t uid;
	gid_t gid;

	err_init(&why);
	if (privs_check(settings->server->user, &why) != 0)
		conf_complain_option(settings->server, &settings->server->user, err, "%s", why.text);
	for (size_t i = 0; i < settings->listens_count; i++) {
		const struct listen_settings *set = settings->listens[i];
		err_init(&why);
		if (privs_find_owner(set->unix_user, "", &uid, &gid, &why) != 0)
			conf_complain_option(set, &set->unix_user, err, "%s", why.text);
		err_init(&why);
		if (privs_find_owner("", set->unix_group, &uid, &gid, &why) != 0)
			conf_complain_option(set, &set->unix_group, err, "%s", why.text);
	}
	return err->count == before ? 0 : -1;
}

struct generation *generation_build(struct settings *settings, struct opener *opener, struct err *err, struct err *warnings)
{
	const struct server_settings *set = settings->server;
	struct generation *g = mem_zalloc(sizeof(*g));
	*g = (struct generation){
		.refs = 1,
		.settings = settings,
		.terms = { .limits = { .sessions = set->source_max_sessions,
		                       .rate = set->source_max_rate,
		                       .penalty_min = set->source_penalty_min,
		                       .penalty_max = set->source_penalty_max },
		           .exempt = &set->source_exempt,
		           .ipv4_prefix = (unsigned)set->source_ipv4_prefix,
		           .ipv6_prefix = (unsigned)set->source_ipv6_prefix,
		           .penalty_timeout = set->source_penalty_timeout,
		           .penalty_auth = set->source_penalty_auth,
		           .penalty_protocol = set->source_penalty_protocol },
	};
	settings_warn(settings, warnings);
	int tls = generation_load_tls(g, opener, err, warnings);
	int routes = routes_build(&g->routes, settings, opener, err);
	int places = opener != NULL ? 0 : places_check_roots(settings, err); /* a reload has asked its opener, who sees more */
	int user = opener != NULL ? 0 : check_users(settings, err);          /* a reload does not change it */
	if (tls != 0 || routes != 0 || places != 0 || user != 0) {
		generation_unref(g);
		return NULL;
	}
	for (size_t i = 0; i < settings->routes_count && g->tls != NULL; i++)
		warn_of_bypass(g, settings->routes[i], warnings);
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
