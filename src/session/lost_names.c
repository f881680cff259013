/* lost_names.c owns the list of files that look-ups of names read, and what is said when one is out of reach.
 * It must never say it twice. */
#include "session/lost_names.h"

static const char *const files[NAME_FILES] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/localtime",
};

const char *const *name_files(void)
{
	return files;
}

void lost_names_look(struct lost_names *lost)
{
	for (size_t i = 0; i < NAME_FILES && lost->sandbox != NULL; i++) {
		if (!sandbox_hides(lost->sandbox, files[i]) || atomic_flag_test_and_set(&lost->told))
			continue;
		log_line(lost->log, LEVEL_ERROR,
		         "host names are not found: %s was replaced, and the sandbox does not cover the new file: restart to use it",
		         files[i]);
		return;
	}
}
