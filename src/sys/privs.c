/* privs.c owns the way from root to the service's user.
 * It must never leave a way back, and never go on when a step of it failed. */
#include "sys/privs.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

struct ids {
	uid_t uid;
	gid_t gid;
};

static int find_user(const char *user, struct ids *ids, struct err *err)
{
	errno = 0;
	const struct passwd *found = getpwnam(user);
	if (found == NULL) {
		err_add(err, "user \"%s\": %s", user, errno != 0 ? strerror(errno) : "no such user");
		return -1;
	}
	if (found->pw_uid == 0) {
		err_add(err, "user \"%s\" is root; name one without privileges, or none to stay as started", user);
		return -1;
	}
	*ids = (struct ids){ found->pw_uid, found->pw_gid };
	return 0;
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
	return err_add(err, "can't become user \"%s\": %s: %s", user, step, strerror(errno));
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
		return err_add(err, "can't become user \"%s\": the way back to root is open", user);
	return 0;
}

static int forbid_gains(struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_add(err, "can't set no_new_privs: %s", strerror(errno));
	/* After the ids: changing those sets it anew, from /proc/sys/fs/suid_dumpable. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_add(err, "can't forbid core files: %s", strerror(errno));
	return 0;
}

int privs_become(const char *user, struct err *err)
{
	if (user != NULL && user[0] != '\0') {
		struct ids to;
		if (find_user(user, &to, err) != 0)
			return -1;
		if (!is_already(&to) && change_ids(user, &to, err) != 0)
			return -1;
	}
	return forbid_gains(err);
}
