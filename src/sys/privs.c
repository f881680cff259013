/* privs.c owns the way from root, or from capabilities, to an ordinary user, and the judgement of what names may be used with
 * rights. It must never leave a way back, never go on when a step of it failed, never end as root, and never take a link for
 * harmless because of where it leads today: who may change it is what counts. */
#include "sys/privs.h"

#include "base/mem.h"
#include "base/str.h"
#include "sys/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ids {
	uid_t uid;
	gid_t gid;
};

static int find_user(const char *user, struct ids *ids, struct err *err)
{
	errno = 0;
	const struct passwd *found = getpwnam(user);
	if (found != NULL && found->pw_uid != 0) {
		*ids = (struct ids){ found->pw_uid, found->pw_gid };
		return 0;
	}
	if (found != NULL)
		err_add(err, "user \"%s\" is root; sallyport does not run as root, name an unprivileged user", user);
	else if (errno == 0 || errno == ENOENT || errno == ESRCH)
		err_add(err, "there is no user \"%s\"; create it, or name another", user);
	else
		err_add(err, "user \"%s\" cannot be looked up: %s", user, strerror(errno));
	return -1;
}

static bool is_already(const struct ids *to)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) != 0 || getresgid(&rgid, &egid, &sgid) != 0)
		return false;
	return ruid == to->uid && euid == to->uid && suid == to->uid && rgid == to->gid && egid == to->gid && sgid == to->gid;
}

static int complain(const char *user, const char *step, struct err *err)
{
	const char *cure = errno == EPERM ? "; start it as root, or leave user out" : "";

	return err_add(err, "cannot switch to user \"%s\": %s: %s%s", user, step, strerror(errno), cure);
}

/* Groups first: after the user id is gone, there is no right left to change them. */
static int change_ids(const char *user, const struct ids *to, struct err *err)
{
	if (initgroups(user, to->gid) != 0)
		return complain(user, "initgroups", err);
	if (setresgid(to->gid, to->gid, to->gid) != 0)
		return complain(user, "setresgid", err);
	if (setresuid(to->uid, to->uid, to->uid) != 0)
		return complain(user, "setresuid", err);
	bool group_back = to->gid != 0 && (setgid(0) == 0 || setegid(0) == 0);
	if (!is_already(to) || group_back || setuid(0) == 0 || seteuid(0) == 0)
		return err_add(err, "cannot switch to user \"%s\": the process could still return to root", user);
	return 0;
}

#define RAISED ((uint32_t)(PRIVS_ANY_FILE | PRIVS_READ_ANY | PRIVS_ANY_OWNER))

/* A change of the ids leaves the inheritable set as it was, and all of them if it was no change. */
static int drop_capabilities(uint64_t keep, struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	const uint32_t kept[_LINUX_CAPABILITY_U32S_3] = { (uint32_t)keep, (uint32_t)(keep >> 32) };

	memset(data, 0, sizeof(data));
	if (syscall(SYS_capget, &header, data) != 0)
		return err_add(err, "can't read capabilities: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		data[i].effective = data[i].permitted &= kept[i];
		data[i].inheritable = 0;
	}
	data[0].effective &= ~RAISED;
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* follows from the sets below, where it exists */
	if (syscall(SYS_capset, &header, data) != 0 || syscall(SYS_capget, &header, data) != 0)
		return err_add(err, "cannot drop capabilities: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		if (((data[i].effective | data[i].permitted) & ~kept[i]) != 0 || data[i].inheritable != 0)
			return err_add(err, "cannot drop capabilities: some are left");
	return 0;
}

static int forbid_gains(bool debuggable, struct err *err)
{
	static const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_add(err, "can't set no_new_privs: %s", strerror(errno));
	/* After the ids: changing those sets it anew, from /proc/sys/fs/suid_dumpable. */
	if (prctl(PR_SET_DUMPABLE, debuggable ? 1 : 0, 0, 0, 0) != 0)
		return err_add(err, "can't forbid to read the memory: %s", strerror(errno));
	if (!debuggable && setrlimit(RLIMIT_CORE, &none) != 0)
		return err_add(err, "can't forbid core files: %s", strerror(errno));
	return 0;
}

bool privs_are_roots(void)
{
	uid_t ruid, euid, suid;

	return getresuid(&ruid, &euid, &suid) != 0 || ruid == 0 || euid == 0 || suid == 0;
}

/* NULL: nobody else. */
static const char *choose(const char *user)
{
	if (user != NULL && user[0] != '\0')
		return user;
	if (!privs_are_roots())
		return NULL;
	return getpwnam(PRIVS_USER) != NULL ? PRIVS_USER : PRIVS_NOBODY;
}

int privs_find_owner(const char *user, const char *group, uid_t *uid, gid_t *gid, struct err *err)
{
	const struct passwd *a_user = getpwnam(user);
	const struct group *a_group = getgrnam(group);
	uint64_t user_number = UINT32_MAX, group_number = UINT32_MAX;

	if (user[0] != '\0' && a_user == NULL && str_to_number(user, 0, UINT32_MAX - 1, &user_number) != 0)
		return err_add(err, "there is no user \"%s\"", user);
	if (group[0] != '\0' && a_group == NULL && str_to_number(group, 0, UINT32_MAX - 1, &group_number) != 0)
		return err_add(err, "there is no group \"%s\"", group);
	*uid = a_user != NULL ? a_user->pw_uid : (uid_t)user_number;
	*gid = a_group != NULL ? a_group->gr_gid : (gid_t)group_number;
	return 0;
}

int privs_check(const char *user, struct err *err)
{
	struct ids to;

	return user[0] == '\0' ? 0 : find_user(user, &to, err);
}

int privs_become(const char *user, bool debuggable, uint64_t keep, struct err *err)
{
	const char *name = choose(user);
	struct ids to;

	/* Only who has CAP_SETPCAP may: for anybody else no_new_privs makes the bounding set meaningless. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_SET_KEEPCAPS, keep != 0, 0, 0, 0); /* what is not kept goes below */
	if (name != NULL && (find_user(name, &to, err) != 0 || (!is_already(&to) && change_ids(name, &to, err) != 0)))
		return -1;
	if (privs_are_roots())
		return err_add(err, "sallyport never serves as root");
	return drop_capabilities(keep, err) != 0 ? -1 : forbid_gains(debuggable, err);
}

void privs_name(char out[PRIVS_NAME_MAX])
{
	const struct passwd *found = getpwuid(geteuid());

	if (found != NULL)
		snprintf(out, PRIVS_NAME_MAX, "%s", found->pw_name);
	else
		snprintf(out, PRIVS_NAME_MAX, "%u", geteuid());
}

/* --- rights to files ---------------------------------------------------------------------------------------------- */

static bool is_roots(const char *path, bool holds_file, int *links);

/* The directories down to it; that which it lies in holds the file, or only another directory. links: how many may be followed
 * yet. */
static bool way_is_roots(const char *path, bool holds_file, int *links)
{
	bool alone = is_roots("/", holds_file && strchr(path + 1, '/') == NULL, links);

	for (const char *slash = strchr(path + 1, '/'); alone && slash != NULL; slash = strchr(slash + 1, '/')) {
		char *directory = mem_strndup(path, (size_t)(slash - path));
		alone = is_roots(directory, holds_file && strchr(slash + 1, '/') == NULL, links);
		free(directory);
	}
	return alone;
}

/* What a link says, as a path, for free(); NULL: there were too many. By the call that the sandbox allows. */
static char *follow(const char *link, int *links)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(AT_FDCWD, link, text, sizeof(text) - 1);

	if (n < 0 || --*links < 0)
		return NULL;
	text[n] = '\0';
	int directory = text[0] == '/' ? 0 : (int)(strrchr(link, '/') - link) + 1;
	return mem_printf("%.*s%s", directory, link, text);
}

/* In a sticky directory, such as /tmp, nobody can move what is root's; but the file may be missing, or another's. */
static bool is_roots(const char *path, bool holds_file, int *links)
{
	struct stat st;

	if (lstat(path, &st) != 0 || st.st_uid != 0)
		return false;
	if (S_ISLNK(st.st_mode)) { /* among root's own files it is as good as the directory it says, and as each on the way there */
		char *next = follow(path, links);
		bool alone = next != NULL && way_is_roots(next, false, links) && is_roots(next, holds_file, links);
		free(next);
		return alone;
	}
	bool closed = (st.st_mode & (S_IWGRP | S_IWOTH)) == 0, sticky = (st.st_mode & S_ISVTX) != 0;
	return S_ISDIR(st.st_mode) && (closed || (sticky && !holds_file));
}

/* Whoever opens the file follows a link in its place. */
static bool file_is_roots(const char *path, int *links)
{
	struct stat st;

	if (!way_is_roots(path, true, links))
		return false;
	if (lstat(path, &st) != 0)
		return errno == ENOENT;
	if (!S_ISLNK(st.st_mode))
		return true;
	char *next = follow(path, links);
	bool alone = next != NULL && file_is_roots(next, links);
	free(next);
	return alone;
}

bool privs_roots_alone(const char *path)
{
	int links = BENEATH_LINKS;

	return path[0] == '/' && file_is_roots(path, &links);
}

/* Of the calling thread. What can't be put in force is missed by who needs it. */
static void put_in_force(bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) != 0 || (data[0].permitted & RAISED) == 0)
		return;
	data[0].effective = on ? data[0].permitted : data[0].permitted & ~RAISED;
	(void)!syscall(SYS_capset, &header, data);
}

void privs_raise(const char *path)
{
	put_in_force(true); /* it takes them to look at directories that are closed to others */
	if (!privs_roots_alone(path))
		put_in_force(false);
}

void privs_lower(void)
{
	int before = errno;

	put_in_force(false);
	errno = before;
}
