/* confine.c owns how the process is confined to what the settings need of it, and whether the user may do that.
 * It must never widen that later, nor let a session find out by a bare "permission denied". */
#include "server/confine.h"

#include "base/file.h"
#include "base/mem.h"
#include "server/confine_ports.h"
#include "sys/privs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct confine {
	struct sandbox *sandbox; /* NULL: sandbox = off */
	char user[PRIVS_NAME_MAX];
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

static bool is_denied_to_user(const struct conf_file *file, int permission)
{
	return permission != 0 && faccessat(AT_FDCWD, file->path, permission, AT_EACCESS) != 0 && errno == EACCES;
}

static bool is_denied_by(struct opener *opener, const struct conf_file *file)
{
	int fd = opener->open(opener, file->path);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EACCES;
}

static void complain(const struct conf_file *file, const char *user, struct err *err)
{
	const struct kind_row *kind = &kinds[file->kind];

	if (file->section != NULL)
		conf_complain_option(file->section, file->field, err, "user %s may not %s %s: %s", user, kind->act, file->path,
		                     kind->effect);
	else
		err_add(err, "user %s may not %s %s: %s", user, kind->act, file->path, kind->effect);
}

/* What is not there is told by who opens it. opener: for a reload; NULL: there will be none. */
static int look(const struct settings *settings, struct opener *opener, const char *user, struct err *err, struct err *warnings)
{
	unsigned before = err->count;

	for (size_t i = 0; i < settings->files_count; i++) {
		const struct conf_file *file = &settings->files[i];
		const struct kind_row *kind = &kinds[file->kind];
		if (is_denied_to_user(file, kind->permission) ||
		    (kind->at_reload && opener != NULL && is_denied_by(opener, file)))
			complain(file, user, kind->vital ? err : warnings);
	}
	return err->count == before ? 0 : -1;
}

/* What is wrong with the user is told by its line. */
static int complain_of_user(const struct settings *settings, const struct err *why, struct err *err)
{
	return conf_complain_option(settings->server, &settings->server->user, err, "%s", why->text);
}

int confine_become(const struct settings *settings, bool debuggable, uint64_t keep, struct err *err)
{
	struct err why;

	err_init(&why);
	return privs_become(settings->server->user, debuggable, keep, &why) == 0 ? 0 : complain_of_user(settings, &why, err);
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

static struct sandbox *sandbox_of(const struct settings *settings, struct err *err)
{
	struct confine_ports ports = confine_ports_of(settings);
	const struct sandbox_options options = {
		.port = ports.item,
		.ports = ports.count,
		.unbounded = ports.unbounded,
	};
	struct sandbox *sandbox = sandbox_new(&options, err);

	confine_ports_clear(&ports);
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

const struct sandbox *confine_sandbox(const struct confine *confine)
{
	return confine->sandbox;
}

const char *confine_words(const struct confine *confine, char words[static CONFINE_WORDS_MAX])
{
	snprintf(words, CONFINE_WORDS_MAX, "Landlock ABI %d, %u system calls", confine->sandbox->abi,
	         confine->sandbox->calls);
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
	free(confine->sandbox);
	free(confine);
}

int confine_admits(const struct confine *confine, const struct settings *settings, struct err *err)
{
	unsigned before = err->count;

	for (size_t i = 0; i < settings->files_count; i++) { /* what else is special is told by who opens it */
		const struct conf_file *file = &settings->files[i];
		if (file->kind == FILE_TOKENS && file_is_special(file->path))
			conf_complain_option(file->section, file->field, err, "%s " FILE_SPECIAL, file->path);
	}
	if (confine->sandbox != NULL && confine_ports_admit(confine->sandbox, settings, err) != 0)
		return -1;
	return err->count == before ? 0 : -1;
}
