/* The settings: what the configuration file, or the command line's quick form, says, checked and typed. Immutable once read. One
 * option is one row of server.def, listen.def, tls.def or route.def, and stands nowhere else; options.c makes tables of them. */
#pragma once

#include "base/attr.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/cidr.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct opener;

enum tls_mode { TLS_MODE_OFF, TLS_MODE_ON, TLS_MODE_AUTO };
enum message_kinds { MESSAGES_BOTH, MESSAGES_BINARY, MESSAGES_TEXT };
enum message_kind { SEND_BINARY, SEND_TEXT };
enum profile { PROFILE_BULK, PROFILE_INTERACTIVE };
enum connect_error { CONNECT_ERROR_AUTO, CONNECT_ERROR_CLOSE, CONNECT_ERROR_HTTP };

struct address_list {
	struct address *item;
	size_t count;
};

/* Both ends included; 0 to 65535 is any port. */
struct port_range {
	uint16_t first, last;
};

struct port_list {
	struct port_range *item;
	size_t count;
};

#define CONF_log_level        int /* enum log_level */
#define CONF_log_format       int /* enum log_format */
#define CONF_listen_addresses struct address_list
#define CONF_tls_mode         int /* enum tls_mode */
#define CONF_cidrs            struct cidr_list
#define CONF_ports            struct port_list
#define CONF_mode             uint32_t       /* octal permissions */
#define CONF_tls_client       int            /* enum tls_client_certificate */
#define CONF_tls_version      int            /* 0: 1.2, 1: 1.3 */
#define CONF_target           struct address /* text == NULL: not set */
#define CONF_message_kinds    int            /* enum message_kinds */
#define CONF_message_kind     int            /* enum message_kind */
#define CONF_connect_error    int            /* enum connect_error */
#define CONF_profile          int            /* enum profile */

#define OPT(name, type, def, more, help) CONF_##type name;
struct server_settings {
	struct conf_section section;
#include "config/server.def"
};
struct listen_settings {
	struct conf_section section;
#include "config/listen.def"
};
struct tls_settings {
	struct conf_section section;
#include "config/tls.def"
};
struct route_settings {
	struct conf_section section;
#include "config/route.def"
};
#undef OPT

/* What a route is for; a row says it by LEADS(...). */
enum { LEADS_UPGRADES = 1, LEADS_PAGES };

/* What the files are that a configuration names; a row says it by NAMES(...). */
enum file_kind {
	FILE_CONFIGURATION, /* read already, conf.d, too */
	FILE_LOG,
	FILE_SOCKET, /* a listener's */
	FILE_CERTIFICATE,
	FILE_KEY,
	FILE_AUTHORITIES,
	FILE_TARGET, /* a socket that a route leads to */
	FILE_TOKENS, /* or a directory of them */
	FILE_ROOT,   /* a directory of static files */
	FILE_KINDS,
};

struct settings {
	struct conf *conf;       /* owns everything below */
	struct conf_file *files; /* all that it names, by enum file_kind */
	size_t files_count;
	const struct server_settings *server;
	const struct listen_settings *const *listens;
	size_t listens_count;
	const struct tls_settings *const *tls;
	size_t tls_count;
	const struct route_settings *const *routes;
	size_t routes_count;
	bool quick; /* from the command line alone */
};

/* Reads path, then conf.d/[*].conf beside it in alphabetical order, and checks what no single option can. All complaints at once;
 * NULL on failure. Checked are: a listener and a route at least; an address for every listener, and no address twice; a [tls] for
 * listeners that speak it, and such a listener for a [tls]; certificates, and authorities where client certificates are asked
 * for; exactly one of target, token_file and root in a route (the quick form's --web makes a route of its own); names of
 * listeners that exist; the form of paths, hosts, origins and subprotocols; low_water < high_water <= 192k; other sizes with
 * bounds; durations that may not be 0; routes that tie (a listener, a host, the path and the kind of request in common); options
 * that have no effect where they stand. opener: as in file_open_to_read(). */
struct settings *settings_read(const char *path, struct opener *opener, struct err *err) must_check;

/* Where further files lie, for free(); and whether one there is read, by its name in the directory. */
char *settings_directory(const char *path) must_check;
bool settings_is_file_name(const char *name);

/* Whether a file of that kind is named by exactly this path. */
bool settings_name_file(const struct settings *settings, enum file_kind kind, const char *path);

/* Every section and option there is. */
#define OPTION_KINDS 4
extern const struct conf_kind *const option_kinds[OPTION_KINDS];

/* The settings of a configuration of these kinds, checked as above. Takes conf over. where: what complaints about a section that
 * is nowhere begin with. errors: how many complaints there were before anything was said; any more mean failure. */
struct settings *settings_of(struct conf *conf, const char *where, bool quick, unsigned errors, struct err *err) must_check;

void settings_free(struct settings *settings); /* NULL is allowed */

/* Adds what works, but an operator should know. */
void settings_warn(const struct settings *settings, struct err *warnings);

/* What a route's list of hosts takes. HOST_OWN: the names of this machine (sys/own_names.h), and those listed. */
enum host_scope { HOST_ANY, HOST_OWN, HOST_LISTED };
#define REACH_HOST_ANY "*"
#define REACH_HOST_OWN "own"
enum host_scope reach_of_hosts(const struct str_list *hosts);

/* Whether the route is for the listener of that name: it names it, or none. */
bool reach_has_listener(const struct route_settings *route, const char *listen);

/* Every option with its default, in the form of a configuration file. */
void settings_print_defaults(FILE *out);
