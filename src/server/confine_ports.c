/* confine_ports.c owns where the settings lead to on the network; where they listen is the steward's.
 * It must never bound what a token names, unless the administrator said which ports these are. */
#include "server/confine_ports.h"

#include "base/mem.h"

#include <stdlib.h>

static void add(struct confine_ports *ports, uint16_t first, uint16_t last)
{
	ports->item = mem_resize(ports->item, ports->count + 1, sizeof(*ports->item));
	ports->item[ports->count++] = (struct sandbox_ports){ first, last, SANDBOX_CONNECT };
}

static bool is_abstract(const struct address *target)
{
	return target->text != NULL && target->kind == ADDRESS_UNIX && target->name[0] == '@';
}

static void add_route(struct confine_ports *ports, const struct route_settings *set, bool listed)
{
	if (set->target.text != NULL && set->target.kind == ADDRESS_TCP)
		add(ports, set->target.port, set->target.port);
	if (is_abstract(&set->target) || set->token_file[0] != '\0')
		ports->unbounded |= SANDBOX_ABSTRACT;
	if (set->token_file[0] != '\0' && !listed)
		ports->unbounded |= SANDBOX_CONNECT;
}

struct confine_ports confine_ports_of(const struct settings *settings)
{
	struct confine_ports ports = { NULL, 0, 0 };
	const struct port_list *more = &settings->server->sandbox_ports;

	for (size_t i = 0; i < settings->routes_count; i++)
		add_route(&ports, settings->routes[i], more->count > 0);
	for (size_t i = 0; i < more->count; i++) {
		add(&ports, more->item[i].first, more->item[i].last);
		if (more->item[i].first == 0 && more->item[i].last == UINT16_MAX)
			ports.unbounded |= SANDBOX_CONNECT;
	}
	return ports;
}

void confine_ports_clear(struct confine_ports *ports)
{
	free(ports->item);
	*ports = (struct confine_ports){ NULL, 0, 0 };
}

/* --- reloads -------------------------------------------------------------------------------------------------------- */

#define CURE    "which was not configured at the start: restart"
#define FORESEE ", or list it in [server] sandbox_ports before the next start"

static void admit_route(const struct sandbox *sandbox, const struct route_settings *set, bool listed, struct err *err)
{
	const struct address *target = &set->target;

	if (target->text != NULL && target->kind == ADDRESS_TCP && !sandbox_admits(sandbox, SANDBOX_CONNECT, target->port))
		conf_complain_option(set, &set->target, err, "the sandbox does not allow port %u, " CURE FORESEE, target->port);
	if (is_abstract(target) && !sandbox_admits(sandbox, SANDBOX_ABSTRACT, 0))
		conf_complain_option(set, &set->target, err, "the sandbox does not allow %s, " CURE, target->text);
	if (set->token_file[0] != '\0' && !listed && !sandbox_admits(sandbox, SANDBOX_CONNECT, 0))
		conf_complain_option(
		        set, &set->token_file, err,
		        "tokens may name any port, and the sandbox does not allow that: restart, or list their ports in [server] "
		        "sandbox_ports before the next start");
}

int confine_ports_admit(const struct sandbox *sandbox, const struct settings *settings, struct err *err)
{
	unsigned before = err->count;

	for (size_t i = 0; i < settings->routes_count; i++)
		admit_route(sandbox, settings->routes[i], settings->server->sandbox_ports.count > 0, err);
	return err->count == before ? 0 : -1;
}
