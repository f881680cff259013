/* The quick form of the command line: one listener, one target, no file. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"

#include <stddef.h>

/* As plain words. NULL: not given. */
struct quick_form {
	const char *listen, *target; /* positional; target may be NULL with token_file or web */
	const char *web, *cert, *key, *tls, *subprotocol, *token_file, *workers, *log_level, *user, *sandbox;
	const char *const *origins;
	size_t origins_count;
	const char *const *hosts;
	size_t hosts_count;
};

/* The settings that it stands for: sections of the name quick, and a route web for --web. Complaints as settings_read() has
 * them; NULL on failure. */
struct settings *quick_settings(const struct quick_form *form, struct err *err) must_check;
