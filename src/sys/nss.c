/* nss.c owns which name service modules there are: they are loaded before the sandbox closes, and no others later.
 * It must never look up a name that only the network knows: a start must not wait for a server. */
#include "sys/nss.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/str.h"

#include <dlfcn.h>
#include <grp.h>
#include <netdb.h>
#ifdef HAVE___NSS_CONFIGURE_LOOKUP
#include <nss.h>
#endif
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SERVICE_MAX 32
#define DEFAULT     "files dns" /* glibc's, too */

/* One word of "files resolve [!UNAVAIL=return] dns". What the library has built in is no file. */
static void load_module(struct span service)
{
	char name[SERVICE_MAX + sizeof("libnss_.so.2")];

	if (service.n == 0 || service.n > SERVICE_MAX || service.p[0] == '[')
		return;
	snprintf(name, sizeof(name), "libnss_%.*s.so.2", (int)service.n, service.p);
	void *module = dlopen(name, RTLD_NOW | RTLD_NODELETE); /* stays: a look-up finds it by its name */
	if (module != NULL)
		dlclose(module);
}

static void take(const char *services)
{
	struct span rest = span_of(services), service;

	while (span_next(&rest, ' ', &service))
		load_module(service);
#ifdef HAVE___NSS_CONFIGURE_LOOKUP
	__nss_configure_lookup("hosts", services);
#endif
}

/* Whether the line is about hosts. */
static bool take_line(char *line)
{
	for (char *c = line; *c != '\0'; c++)
		if (*c == '\t')
			*c = ' ';
	line[strcspn(line, "#\n")] = '\0';
	const char *words = line + strspn(line, " ");
	if (!span_starts(span_of(words), SPAN("hosts:")))
		return false;
	take(words + sizeof("hosts:") - 1);
	return true;
}

static bool take_file(void)
{
	FILE *file = fopen("/etc/nsswitch.conf", "re");
	char line[512];
	bool found = false;

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL)
		found = take_line(line) || found;
	fclose(file);
	return found;
}

void nss_prepare(void)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all;

	if (!take_file())
		take(DEFAULT);
	if (getaddrinfo("localhost", NULL, &hints, &all) == 0)
		freeaddrinfo(all);
	(void)getpwnam(""); /* nobody's name, so every service is asked, and loaded */
	(void)getgrnam("");
}
