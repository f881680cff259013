/* uri.c owns the forms of hosts and paths that mean the same.
 * It must never look at what is in them: names and characters are others' to judge. */
#include "proto/uri.h"

#include <string.h>

static struct span without_dot(struct span host)
{
	return host.n > 1 && host.p[host.n - 1] == '.' ? (struct span){ host.p, host.n - 1 } : host;
}

struct span uri_host(struct span host)
{
	bool brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	return brackets ? (struct span){ host.p + 1, host.n - 2 } : without_dot(host);
}

bool uri_is_localhost(struct span host)
{
	static const struct span name = { "localhost", 9 };

	host = without_dot(host);
	if (host.n < name.n || !span_eq_nocase(span_skip(host, host.n - name.n), name))
		return false;
	return host.n == name.n || host.p[host.n - name.n - 1] == '.';
}

struct span uri_path_prefix(const char *path, bool *exact)
{
	struct span whole = span_of(path);

	*exact = whole.n < 2 || strcmp(path + whole.n - 2, "/*") != 0;
	return *exact ? whole : (struct span){ path, whole.n - 2 };
}
