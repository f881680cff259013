/* confine.c owns what the settings need of the file system once the gateway serves, and how the process is confined to it.
 * It must never widen that later, nor let a reload find out by a bare "permission denied". */
#include "server/confine.h"

#include "base/file.h"
#include "base/mem.h"
#include "server/confine_ports.h"
#include "sys/beneath.h"
#include "sys/privs.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct confine {
	struct sandbox *sandbox; /* NULL: sandbox = off */
	char user[PRIVS_NAME_MAX];
};

/* --- what is needed ------------------------------------------------------------------------------------------------- */

/* A kind of file: those of enum file_kind, and what the system brings. */
#define SYSTEM_FILE FILE_KINDS

/* siblings: it may be replaced by a file of the same name, which is another file to the kernel, so that the directory is
 * what has to be covered. vital: no session could do without. What is not here is the steward's. */
static const struct kind_row {
	unsigned access; /* in the sandbox */
	int permission;  /* of the user; 0: it does not matter */
	bool siblings, vital;
	const char *act, *effect; /* in words: what the user may not do, and what follows from that */
} kinds[] = {
#define GIVE    "give it the permission, or name another [server] user"
#define RENEW   "a reload cannot load a new one: give it the permission, or restart after each renewal"
#define RESTART "reloads will be refused: give it the permission, or restart after each change"
	[FILE_ROOT] = { 0, X_OK, false, true, "enter", GIVE },
	[FILE_TOKENS] = { 0, R_OK, false, true, "read", GIVE },
	[FILE_AUTHORITIES] = { SANDBOX_READ, R_OK, true, false, "read", RESTART },
	[FILE_CERTIFICATE] = { SANDBOX_READ, R_OK, true, false, "read", RENEW },
	[FILE_KEY] = { SANDBOX_READ, R_OK, true, false, "read", RENEW },
	[FILE_CONFIGURATION] = { SANDBOX_READ, R_OK, true, false, "read", RESTART },
	[SYSTEM_FILE] = { SANDBOX_READ, 0, true, false, NULL, NULL },
	[FILE_TARGET] = { 0, W_OK, false, false, "connect to", "give it the permission" },
};

struct need {
	const void *section; /* NULL: none asked for it */
	const void *field;
	char *path;
	int kind;
};

struct needs {
	struct need *item;
	size_t count;
};

static void need(struct needs *needs, int kind, const void *section, const void *field, const char *path)
{
	if (path == NULL || path[0] == '\0')
		return;
	needs->item = mem_resize(needs->item, needs->count + 1, sizeof(*needs->item));
	needs->item[needs->count++] = (struct need){ section, field, mem_strdup(path), kind };
}

static void needs_clear(struct needs *needs)
{
	for (size_t i = 0; i < needs->count; i++)
		free(needs->item[i].path);
	free(needs->item);
	*needs = (struct needs){ NULL, 0 };
}

/* The directory a path lies in. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return mem_strdup(".");
	return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

/* The system's authorities are read as they are met, and are links into the directories that follow. */
static void need_authorities(struct needs *needs, const struct route_settings *set)
{
	const char *directory = getenv(X509_get_default_cert_dir_env()), *file = getenv(X509_get_default_cert_file_env());

	if (!set->target.tls || !set->target_verify || set->target_ca[0] != '\0')
		return;
	need(needs, SYSTEM_FILE, set, &set->target, directory != NULL ? directory : X509_get_default_cert_dir());
	need(needs, SYSTEM_FILE, set, &set->target, file != NULL ? file : X509_get_default_cert_file());
	need(needs, SYSTEM_FILE, set, &set->target, "/usr/share/ca-certificates");
	need(needs, SYSTEM_FILE, set, &set->target, "/usr/local/share/ca-certificates");
	need(needs, SYSTEM_FILE, set, &set->target, "/etc/pki/ca-trust/extracted");
}

static bool is_identity(const struct conf_file *file)
{
	return file->kind == FILE_CERTIFICATE || file->kind == FILE_KEY;
}

static void need_configuration(struct needs *needs, const char *file)
{
	if (file == NULL)
		return;
	char *directory = parent_of(file), *more = mem_printf("%s/conf.d", directory);
	need(needs, FILE_CONFIGURATION, NULL, NULL, file);
	need(needs, FILE_CONFIGURATION, NULL, NULL, more);
	free(more);
	free(directory);
}

static struct needs needs_of(const struct settings *s, const char *file)
{
	struct needs needs = { NULL, 0 };

	need_configuration(&needs, file);
	for (size_t i = 0; i < s->files_count; i++)
		if (s->files[i].section != NULL && (file != NULL || !is_identity(&s->files[i]))) /* else there is no reload to read them again */
			need(&needs, s->files[i].kind, s->files[i].section, s->files[i].field, s->files[i].path);
	for (size_t i = 0; i < s->routes_count; i++)
		need_authorities(&needs, s->routes[i]);
	return needs;
}

/* --- with the user's eyes ------------------------------------------------------------------------------------------- */

static void complain(const struct need *need, const char *user, const char *act, const char *effect, struct err *err)
{
	if (need->section != NULL)
		conf_complain_option(need->section, need->field, err, "user %s may not %s %s: %s", user, act, need->path, effect);
	else
		err_add(err, "user %s may not %s %s: %s", user, act, need->path, effect);
}

/* A directory of directories that have nothing to do with each other, such as /etc or somebody's home: who names a file in
 * it has named that file, and what replaces it takes a restart. */
static bool is_too_wide(const char *directory)
{
	char *real = realpath(directory, NULL);
	const char *last = real != NULL ? strrchr(real, '/') : NULL;
	bool wide = last == NULL || last == real || strncmp(real, "/home/", (size_t)(last - real) + 1) == 0 ||
	            strncmp(real, "/proc/", 6) == 0; /* a descriptor's directory, as /dev/fd is one */

	free(real);
	return wide;
}

/* What is not there is told by who opens it. */
static int look(const struct settings *settings, const char *file, const char *user, struct err *err,
                struct err *warnings)
{
	struct needs needs = needs_of(settings, file);
	unsigned before = err->count;

	for (size_t i = 0; i < needs.count; i++) {
		const struct need *one = &needs.item[i];
		const struct kind_row *kind = &kinds[one->kind];
		if (kind->permission != 0 && faccessat(AT_FDCWD, one->path, kind->permission, AT_EACCESS) != 0 && errno == EACCES)
			complain(one, user, kind->act, kind->effect, kind->vital ? err : warnings);
	}
	needs_clear(&needs);
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

int confine_check(const struct settings *settings, const char *file, struct err *err, struct err *warnings)
{
	char user[PRIVS_NAME_MAX];

	if (privs_are_roots() && confine_become(settings, true, 0, err) != 0)
		return -1;
	privs_name(user);
	if (settings->server->user[0] != '\0' && strcmp(settings->server->user, user) != 0)
		conf_complain_option(settings->server, &settings->server->user, warnings,
		                     "only root can switch to user %s; this check was made as %s, who may have other permissions",
		                     settings->server->user, user);
	return look(settings, file, user, err, warnings);
}

/* --- the sandbox ---------------------------------------------------------------------------------------------------- */

struct paths {
	struct sandbox_path *item;
	size_t count;
};

/* Takes path over. */
static void add_path(struct paths *paths, char *path, unsigned access)
{
	paths->item = mem_resize(paths->item, paths->count + 1, sizeof(*paths->item));
	paths->item[paths->count++] = (struct sandbox_path){ path, access };
}

static void add_parent(struct paths *paths, const char *path, unsigned access)
{
	char *parent = parent_of(path);

	if (is_too_wide(parent))
		free(parent);
	else
		add_path(paths, parent, access);
}

/* Both where the name is and where it leads: either may be what changes. */
static void add_siblings(struct paths *paths, const char *path, unsigned access)
{
	char *real = realpath(path, NULL);
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		add_parent(paths, path, access);
		if (real != NULL)
			add_parent(paths, real, access);
	}
	free(real);
}

static struct paths paths_of(const struct settings *settings, const char *file)
{
	struct needs needs = needs_of(settings, file);
	struct paths paths = { NULL, 0 };

	for (size_t i = 0; i < needs.count; i++) {
		const struct kind_row *kind = &kinds[needs.item[i].kind];
		if (kind->access != 0)
			add_path(&paths, mem_strdup(needs.item[i].path), kind->access);
		if (kind->siblings)
			add_siblings(&paths, needs.item[i].path, kind->access);
	}
	needs_clear(&needs);
	return paths;
}

static void paths_clear(struct paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free((void *)(uintptr_t)paths->item[i].path);
	free(paths->item);
}

static struct sandbox *sandbox_of(const struct settings *settings, const char *file, struct err *err)
{
	struct paths paths = paths_of(settings, file);
	struct confine_ports ports = confine_ports_of(settings);
	const struct sandbox_options options = {
		.path = paths.item,
		.paths = paths.count,
		.port = ports.item,
		.ports = ports.count,
		.unbounded = ports.unbounded,
		.how = beneath_hows(),
		.hows = BENEATH_HOWS,
	};
	struct sandbox *sandbox = sandbox_new(&options, err);

	confine_ports_clear(&ports);
	paths_clear(&paths);
	return sandbox;
}

struct confine *confine_enter(const struct settings *settings, const char *file, struct err *err, struct err *warnings)
{
	bool on = settings->server->sandbox;
	struct confine *confine = mem_zalloc(sizeof(*confine));
	bool failed = confine_become(settings, !on, 0, err) != 0;

	privs_name(confine->user);
	failed = failed || look(settings, file, confine->user, err, warnings) != 0;
	if (!failed && on)
		confine->sandbox = sandbox_of(settings, file, err);
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
	snprintf(words, CONFINE_WORDS_MAX, "Landlock ABI %d, %u system calls", sandbox_landlock_abi(confine->sandbox),
	         sandbox_calls(confine->sandbox));
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
	if (sandbox_landlock_abi(confine->sandbox) == 0)
		log_line(log, LEVEL_WARN, "sandbox: this kernel has no Landlock: the process can read all files that user %s may read",
		         confine->user);
	if (sandbox_calls(confine->sandbox) == 0)
		log_line(log, LEVEL_WARN, "sandbox: built without libseccomp: the process may make any system call");
}

void confine_free(struct confine *confine)
{
	if (confine == NULL)
		return;
	sandbox_free(confine->sandbox);
	free(confine);
}

/* --- reloads -------------------------------------------------------------------------------------------------------- */

static const char instead[] = "give it the permission, or restart instead of reloading";
static const char outside[] = "is outside of the sandbox, which allows only what was configured at the start: restart to use it";

static bool is_denied(const char *path)
{
	if (file_is_special(path)) /* who reads it will tell */
		return false;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EACCES;
}

int confine_admits_file(const struct confine *confine, const char *file, struct err *err)
{
	if (!is_denied(file))
		return 0;
	if (confine->sandbox != NULL && sandbox_hides(confine->sandbox, file))
		return err_add(err, "%s %s", file, outside);
	return err_add(err, "user %s may not read %s: %s", confine->user, file, instead);
}

static bool is_outside(const struct sandbox *sandbox, const struct need *need)
{
	return (kinds[need->kind].access & SANDBOX_READ) != 0 && sandbox_hides(sandbox, need->path);
}

static void admit(const struct confine *confine, const struct need *need, struct err *err, struct err *warnings)
{
	bool read = (kinds[need->kind].access & SANDBOX_READ) != 0;

	if (read && need->section != NULL && file_is_special(need->path)) {
		conf_complain_option(need->section, need->field, err, "%s " FILE_SPECIAL, need->path);
	} else if (confine->sandbox != NULL && is_outside(confine->sandbox, need)) {
		if (need->section != NULL)
			conf_complain_option(need->section, need->field, err, "%s %s", need->path, outside);
		else /* one of the system's, and nobody asked for it now */
			err_add(warnings, "%s was replaced and %s", need->path, outside);
	} else if (need->kind == FILE_AUTHORITIES && is_denied(need->path)) {
		complain(need, confine->user, "read", instead, err);
	}
}

int confine_admits(const struct confine *confine, const struct settings *settings, const char *file, struct err *err,
                   struct err *warnings)
{
	struct needs needs = needs_of(settings, file);
	unsigned before = err->count;

	for (size_t i = 0; i < needs.count; i++)
		admit(confine, &needs.item[i], err, warnings);
	needs_clear(&needs);
	if (confine->sandbox != NULL && confine_ports_admit(confine->sandbox, settings, err) != 0)
		return -1;
	return err->count == before ? 0 : -1;
}
