/* options.c owns the sections there are: the types of their options, their form, where one has an effect, and the tables.
 * It must never judge what two options mean together: settings.c does that. */
#include "config/settings.h"

#include "base/conf_row.h"
#include "base/mem.h"
#include "gate/origin.h"
#include "gate/sources.h"
#include "proto/http.h"
#include "proto/upgrade.h"
#include "proto/ip.h"

#include <stdlib.h>
#include <string.h>

/* A type that is one of some words; the field is the word's index, which the enum named in settings.h follows. */
#define CHOICE(id, ...)                                                                                                          \
	static int id##_parse(const char *text, void *field, struct err *err)                                                    \
	{                                                                                                                        \
		static const char *const words[] = { __VA_ARGS__ };                                                              \
		return conf_choose(text, words, ARRAY_LEN(words), field, err);                                                   \
	}                                                                                                                        \
	static const struct conf_type conf_##id = { "choice", false, id##_parse, NULL, NULL, NULL };

CHOICE(log_level, "error", "warn", "info", "debug")
CHOICE(log_format, "text", "json")
CHOICE(tls_mode, "off", "on", "auto")
CHOICE(tls_client, "off", "optional", "required")
CHOICE(tls_version, "1.2", "1.3")
CHOICE(message_kinds, "both", "binary", "text")
CHOICE(message_kind, "binary", "text")
CHOICE(connect_error, "auto", "close", "http")
CHOICE(profile, "bulk", "interactive")

static int mode_parse(const char *text, void *field, struct err *err)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end != '\0' || mode > 0777)
		return err_add(err, "\"%s\" is not an octal mode from 0000 to 0777", text);
	*(uint32_t *)field = (uint32_t)mode;
	return 0;
}

static int target_parse(const char *text, void *field, struct err *err)
{
	return text[0] == '\0' ? 0 : address_parse_target(field, text, err);
}

static void target_clear(void *field)
{
	address_clear(field);
}

/* "" for what has no file. */
static const char *socket_file(const struct address *address)
{
	return address->text != NULL && address->kind == ADDRESS_UNIX && address->name[0] == '/' ? address->name : "";
}

static const char *target_file(const void *field, size_t i)
{
	return i > 0 ? NULL : socket_file(field);
}

static const char *listen_addresses_file(const void *field, size_t i)
{
	const struct address_list *list = field;

	return i < list->count ? socket_file(&list->item[i]) : NULL;
}

static int port_range_parse(struct port_range *range, const char *text, struct err *err)
{
	char first[8];
	uint64_t from, to;
	const char *dash = strchr(text, '-');
	size_t len = dash != NULL ? (size_t)(dash - text) : strlen(text);

	*range = (struct port_range){ 0, UINT16_MAX };
	if (strcmp(text, "any") == 0)
		return 0;
	snprintf(first, sizeof(first), "%.*s", (int)len, text);
	if (str_to_number(first, 1, UINT16_MAX, &from) != 0 ||
	    str_to_number(dash != NULL ? dash + 1 : first, from, UINT16_MAX, &to) != 0)
		return err_add(err, "\"%s\" is not a port from 1 to 65535; write 22, a range such as 5900-5999, or any", text);
	*range = (struct port_range){ (uint16_t)from, (uint16_t)to };
	return 0;
}

/* The type of a list of structs: item_parse reads one, item_clear frees what it holds; (void): nothing. */
#define LIST(id, words, list_type, item_type, item_parse, item_clear, paths)                                                     \
	static int id##_parse(const char *text, void *field, struct err *err)                                                    \
	{                                                                                                                        \
		struct list_type *list = field;                                                                                  \
		struct item_type item;                                                                                           \
		if (item_parse(&item, text, err) != 0)                                                                           \
			return -1;                                                                                               \
		list->item = mem_resize(list->item, list->count + 1, sizeof(item));                                              \
		list->item[list->count++] = item;                                                                                \
		return 0;                                                                                                        \
	}                                                                                                                        \
	static void id##_clear(void *field)                                                                                      \
	{                                                                                                                        \
		struct list_type *list = field;                                                                                  \
		while (list->count > 0)                                                                                          \
			item_clear(&list->item[--list->count]);                                                                  \
		free(list->item);                                                                                                \
		list->item = NULL;                                                                                               \
	}                                                                                                                        \
	static const struct conf_type conf_##id = { words, true, id##_parse, id##_clear, NULL, paths };

LIST(listen_addresses, "addresses", address_list, address, address_parse_listen, address_clear, listen_addresses_file)
LIST(cidrs, "networks", cidr_list, cidr, cidr_parse, (void), NULL)
LIST(ports, "ports", port_list, port_range, port_range_parse, (void), NULL)

static const struct conf_type conf_mode = { "mode", false, mode_parse, NULL, NULL, NULL };
static const struct conf_type conf_target = { "target", false, target_parse, target_clear, NULL, target_file };

static bool host_valid(const char *text)
{
	if (strcmp(text, REACH_HOST_ANY) == 0)
		return true;
	struct span host = uri_host(span_of(text));
	bool in6 = host.p != text || (strchr(text, ':') != NULL && strchr(text, ':') != strrchr(text, ':'));

	return host.n > 0 && span_made_of(host, in6 ? "0123456789abcdefABCDEF:." : HOST_NAME_BYTES);
}

static bool path_valid(const char *path)
{
	bool exact;
	struct span fixed = uri_path_prefix(path, &exact);

	for (size_t i = 0; i < fixed.n; i++)
		if (fixed.p[i] <= ' ' || fixed.p[i] == 0x7f || strchr("*?#", fixed.p[i]) != NULL)
			return false;
	return path[0] == '/';
}

static bool is_whole_seconds(const char *text)
{
	uint64_t ms;

	return str_to_duration(text, &ms) == 0 && ms % 1000 == 0;
}

/* A check of the words of an option's value: holds tells of text, and otherwise is what its owner learns, after the text. */
#define CHECKED(id, holds, otherwise)                                                                                            \
	static int check_##id(const char *text, struct err *err)                                                                 \
	{                                                                                                                        \
		return (holds) ? 0 : err_add(err, "\"%s\" " otherwise, text);                                                    \
	}

CHECKED(log, strcmp(text, "stderr") == 0 || strcmp(text, "syslog") == 0 || strncmp(text, "file:/", 6) == 0,
        "is none of: stderr, syslog, file:/path")
CHECKED(path, path_valid(text), "is not a path; write /exact or /prefix/*")
CHECKED(host, host_valid(text), "is not a host name: write a full name without scheme, port or wildcard; or own; or *")
CHECKED(origin, origin_entry_valid(text),
        "is not an origin; write scheme://host[:port], scheme://*.domain[:port], file://, null or *")
CHECKED(token, http_is_token(span_of(text)), "is not a token as HTTP defines it (letters, digits, - . _ and a few more)")
CHECKED(seconds, is_whole_seconds(text), "is not a number of whole seconds; write, for example, 365d")

static int check_subprotocol(const char *text, struct err *err)
{
	if (strlen(text) > UPGRADE_SUBPROTOCOL_MAX)
		return err_add(err, "\"%.20s...\" is longer than %d bytes", text, UPGRADE_SUBPROTOCOL_MAX);
	return check_token(text, err);
}

/* A question to a section s, and what its owner learns if the answer is no: the option has no effect ... */
#define CONDITION(id, kind, holds, otherwise)                                                                                    \
	static const char *needs_##id(const void *section)                                                                       \
	{                                                                                                                        \
		const struct kind##_settings *s = section;                                                                       \
		return (holds) ? NULL : (otherwise);                                                                             \
	}

static bool has_unix_path(const struct listen_settings *s)
{
	for (size_t i = 0; i < s->address.count; i++)
		if (socket_file(&s->address.item[i])[0] != '\0')
			return true;
	return false;
}

static bool all_unix(const struct listen_settings *s)
{
	for (size_t i = 0; i < s->address.count; i++)
		if (s->address.item[i].kind != ADDRESS_UNIX)
			return false;
	return s->address.count > 0;
}

/* A route that leads nowhere, or to several places, is complained of for that. */
static bool may_be(const struct route_settings *s, bool it)
{
	return it || conf_leads(s, 0) != 1;
}

CONDITION(tls, listen, s->tls != TLS_MODE_OFF, "without tls = on or tls = auto")
CONDITION(unix_path, listen, has_unix_path(s), "without an address of the form unix:/path")
CONDITION(proxies, listen, conf_given(s, &s->proxy_protocol) && !all_unix(s),
          conf_given(s, &s->proxy_protocol) ? "for UNIX sockets: their permissions say who may connect"
                                            : "without proxy_protocol = on")
CONDITION(client_certificate, tls, conf_given(s, &s->client_certificate), "without client_certificate = optional or required")
CONDITION(tls12, tls, s->min_version == 0, "with min_version = 1.3; write ciphersuites")
CONDITION(root, route, may_be(s, conf_given(s, &s->root)), "without root")
CONDITION(target, route, may_be(s, conf_leads(s, LEADS_PAGES) == 0), "without target or token_file")
CONDITION(subprotocol, route, s->subprotocol.count > 0 && needs_target(s) == NULL,
          needs_target(s) != NULL ? needs_target(s) : "without subprotocol")
/* Of a target that could not be read nobody knows what it was to be. */
CONDITION(tls_target, route, may_be(s, s->target.tls || (conf_given(s, &s->target) && s->target.text == NULL)),
          "without a target of the form tls:HOST:PORT")

#define HIGH_WATER_MAX (192 << 10) /* leaves room for one more read below the 256 KiB that a stalled peer may cost */
#define READ_MIN       1024
#define READ_MAX       (208 << 10) /* the most a backlog may be: FLOW_BACKLOG_MAX */
#define KERNEL_MAX     (1 << 30)   /* a buffer of the kernel's; it has a smaller limit itself */

#define OPT(name, type, def, more, help) CONF_ROW(OWNER, name, type, def, help, more)

#define OWNER server_settings
static const struct conf_option server_options[] = {
#include "config/server.def"
};
#undef OWNER
#define OWNER listen_settings
static const struct conf_option listen_options[] = {
#include "config/listen.def"
};
#undef OWNER
#define OWNER tls_settings
static const struct conf_option tls_options[] = {
#include "config/tls.def"
};
#undef OWNER
#define OWNER route_settings
static const struct conf_option route_options[] = {
#include "config/route.def"
};
#undef OWNER
#undef OPT

#define KIND(id, repeatable, help) #id, repeatable, help, sizeof(struct id##_settings), id##_options, ARRAY_LEN(id##_options)

const struct conf_kind *const option_kinds[OPTION_KINDS] = {
	&(const struct conf_kind){ KIND(server, false, "The process as a whole.") },
	&(const struct conf_kind){ KIND(listen, true, "A listener: where clients connect. At least one section.") },
	&(const struct conf_kind){
	        KIND(tls, true,
	             "Certificates and what they are used with. The first section is the default; SNI selects the others.") },
	&(const struct conf_kind){
	        KIND(route, true, "Where requests go: exactly one of target, token_file and root. At least one section.") },
};
