/* users.c owns the check of users and groups by their names.
 * It must never become one of them. */
#include "config/users.h"

#include "sys/privs.h"

static void check_owner(const struct listen_settings *set, const void *option, const char *user, const char *group, struct err *err)
{
	struct err why;
	uid_t uid;
	gid_t gid;

	err_init(&why);
	if (privs_find_owner(user, group, &uid, &gid, &why) != 0)
		conf_complain_option(set, option, err, "%s", why.text);
}

int users_check(const struct settings *settings, struct err *err)
{
	unsigned before = err->count;
	struct err why;

	err_init(&why);
	if (privs_check(settings->server->user, &why) != 0)
		conf_complain_option(settings->server, &settings->server->user, err, "%s", why.text);
	for (size_t i = 0; i < settings->listens_count; i++) {
		const struct listen_settings *set = settings->listens[i];
		check_owner(set, &set->unix_user, set->unix_user, "", err);
		check_owner(set, &set->unix_group, "", set->unix_group, err);
	}
	return err->count == before ? 0 : -1;
}
