/* confine.c owns how the process is confined to what the settings need of it, and whether the user may do that.
 * It must never widen that later, nor let a session find out by a bare "permission denied". */
#include "server/confine.h"

#include "base/file.h"
#include "base/mem.h"
#include "sys/privs.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct confine {
	struct sandbox *sandbox; /* NULL: sandbox = off */
	char user[PRIVS_NAME_MAX];
	struct log *log;
	struct event *refused; /* there is something to tell of calls */
};

/* Who needs a file: the user at any time, or the steward at a reload. vital: no session could do without. */
static const struct kind_row {
	int permission; /* of the user; 0: it does not matter */
	bool vital, at_reload;
	const char *act, *effect; /* in words: what may not be done, and what follows from that */
} kinds[FILE_KINDS] = {
#define GIVE    "give it the permission, or name another [server] user"
#define RESTART "reloads will be refused: give it the permission, or restart after each change"
	[FILE_ROOT] = { X_OK, true, false, "enter", GIVE },
	[FILE_TOKENS] = { R_OK, true, false, "read", GIVE },
	[FILE_TARGET] = { W_OK, false, false, "connect to", "give it the permission" },
	[FILE_AUTHORITIES] = { 0, false, true, "read", RESTART },
	[FILE_CERTIFICATE] = { 0, false, true, "read", RESTART },
	[FILE_KEY] = { 0, false, true, "read", RESTART },
	[FILE_CONFIGURATION] = { 0, false, true, "read", RESTART },
};

static bool is_denied_by(struct opener *opener, const struct conf_file *file)
{
	int fd = opener->open(opener, file->path);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EACCES;
}

/* What is not there is told by who opens it. opener: for a reload; NULL: there will be none. */
static int look(const struct settings *settings, struct opener *opener, const char *user, struct err *err, struct err *warnings)
{
	unsigned before = err->count;

	for (size_t i = 0; i < settings->files_count; i++) {
		const struct conf_file *file = &settings->files[i];
		const struct kind_row *kind = &kinds[file->kind];
		struct err *where = kind->vital ? err : warnings;
		bool denied = kind->permission != 0 && faccessat(AT_FDCWD, file->path, kind->permission, AT_EACCESS) != 0 &&
		              errno == EACCES;
		if (!denied && (!kind->at_reload || opener == NULL || !is_denied_by(opener, file)))
			continue;
		if (file->section != NULL)
			conf_complain_option(file->section, file->field, where, "user %s may not %s %s: %s", user, kind->act,
			                     file->path, kind->effect);
		else
			err_add(where, "user %s may not %s %s: %s", user, kind->act, file->path, kind->effect);
	}
	return err->count == before ? 0 : -1;
}

int confine_become(const struct settings *settings, bool debuggable, uint64_t keep, struct err *err)
{
	struct err why; /* is told by the user's line */

	err_init(&why);
	if (privs_become(settings->server->user, debuggable, keep, &why) == 0)
		return 0;
	return conf_complain_option(settings->server, &settings->server->user, err, "%s", why.text);
}

int confine_check(const struct settings *settings, struct err *err, struct err *warnings)
{
	char user[PRIVS_NAME_MAX];

	if (privs_are_roots() && confine_become(settings, true, 0, err) != 0)
		return -1;
	privs_name(user);
	if (settings->server->user[0] != '\0' && strcmp(settings->server->user, user) != 0)
		conf_complain_option(settings->server, &settings->server->user, warnings,
		                     "only root can switch to user %s; this check was made as %s, who may have other permissions",
		                     settings->server->user, user);
	return look(settings, NULL, user, err, warnings);
}

static bool is_abstract(const struct address *target)
{
	return target->text != NULL && target->kind == ADDRESS_UNIX && target->name[0] == '@';
}

/* Bounded is where the settings lead to on the network; where they listen is the steward's. What a token names is not, unless the
 * administrator said which ports these are. */
static struct sandbox *sandbox_of(const struct settings *settings, struct err *err)
{
	const struct port_list *more = &settings->server->sandbox_ports;
	struct sandbox_ports *port = mem_resize(NULL, settings->routes_count + more->count, sizeof(*port));
	struct sandbox_options options = { .port = port };

	for (size_t i = 0; i < settings->routes_count; i++) {
		const struct address *target = &settings->routes[i]->target;
		bool tokens = settings->routes[i]->token_file[0] != '\0';
		if (target->text != NULL && target->kind == ADDRESS_TCP)
			port[options.ports++] = (struct sandbox_ports){ target->port, target->port, SANDBOX_CONNECT };
		if (is_abstract(target) || tokens)
			options.unbounded |= SANDBOX_ABSTRACT;
		if (tokens && more->count == 0)
			options.unbounded |= SANDBOX_CONNECT;
	}
	for (size_t i = 0; i < more->count; i++) {
		const struct port_range *range = &more->item[i];
		port[options.ports++] = (struct sandbox_ports){ range->first, range->last, SANDBOX_CONNECT };
		if (range->first == 0 && range->last == UINT16_MAX)
			options.unbounded |= SANDBOX_CONNECT;
	}
	struct sandbox *sandbox = sandbox_new(&options, err);
	free(port);
	return sandbox;
}

struct confine *confine_enter(const struct settings *settings, struct opener *opener, struct err *err, struct err *warnings)
{
	bool on = settings->server->sandbox;
	struct confine *confine = mem_zalloc(sizeof(*confine));
	bool failed = confine_become(settings, !on, 0, err) != 0;

	privs_name(confine->user);
	failed = failed || look(settings, opener, confine->user, err, warnings) != 0;
	if (!failed && on)
		confine->sandbox = sandbox_of(settings, err);
	if (!failed && (!on || confine->sandbox != NULL))
		return confine;
	confine_free(confine);
	return NULL;
}

int confine_seal(struct confine *confine, struct err *err)
{
	return confine->sandbox != NULL ? sandbox_seal(confine->sandbox, err) : 0;
}

/* Without it nobody would know why a library fails. The sandbox names a call once, however often it is made. */
static void on_refused(evutil_socket_t fd, short what, void *arg)
{
	const struct confine *confine = arg;
	char name[SANDBOX_CALL_MAX];

	while (sandbox_refused(confine->sandbox, name))
		log_line(confine->log, LEVEL_WARN,
		         "sandbox: refused system call %s with EPERM; if a library was updated it may need "
		         "this call: please report it",
		         name);
}

int confine_watch(struct confine *confine, struct event_base *base, struct log *log, struct err *err)
{
	if (confine->sandbox == NULL)
		return 0;
	confine->log = log;
	confine->refused = event_new(base, confine->sandbox->refused, EV_READ | EV_PERSIST, on_refused, confine);
	return confine->refused != NULL && event_add(confine->refused, NULL) == 0 ? 0 : err_add(err, "out of memory");
}

const struct sandbox *confine_sandbox(const struct confine *confine)
{
	return confine->sandbox;
}

const char *confine_words(const struct confine *confine, char words[static CONFINE_WORDS_MAX])
{
	snprintf(words, CONFINE_WORDS_MAX, "Landlock ABI %d, %u system calls", confine->sandbox->abi, confine->sandbox->calls);
	return words;
}

void confine_log(const struct confine *confine, struct log *log)
{
	char words[CONFINE_WORDS_MAX];

	if (confine->sandbox == NULL) {
		log_line(log, LEVEL_INFO, "sandbox = off: the process has all rights of user %s", confine->user);
		return;
	}
	log_line(log, LEVEL_INFO, "sandbox: user %s, %s", confine->user, confine_words(confine, words));
	if (confine->sandbox->abi == 0)
		log_line(log, LEVEL_WARN, "sandbox: this kernel has no Landlock: the process can connect to any port");
	if (confine->sandbox->calls == 0)
		log_line(log, LEVEL_WARN, "sandbox: built without libseccomp: the process may make any system call");
}

void confine_free(struct confine *confine)
{
	if (confine == NULL)
		return;
	if (confine->refused != NULL)
		event_free(confine->refused);
	free(confine->sandbox);
	free(confine);
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

int confine_admits(const struct confine *confine, const struct settings *settings, struct err *err)
{
	unsigned before = err->count;

	for (size_t i = 0; i < settings->files_count; i++) { /* what else is special is told by who opens it */
		const struct conf_file *file = &settings->files[i];
		if (file->kind == FILE_TOKENS && file_is_special(file->path))
			conf_complain_option(file->section, file->field, err, "%s " FILE_SPECIAL, file->path);
	}
	for (size_t i = 0; confine->sandbox != NULL && i < settings->routes_count; i++)
		admit_route(confine->sandbox, settings->routes[i], settings->server->sandbox_ports.count > 0, err);
	return err->count == before ? 0 : -1;
}
