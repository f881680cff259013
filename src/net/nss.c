/* nss.c owns the loading of name service modules before the sandbox closes.
 * It must never look up a name that only the network knows: a start must not wait for a server. */
#include "net/nss.h"

#include "base/str.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SERVICE_MAX 32

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

static void load_modules(char *line)
{
	struct span rest, service;

	for (char *c = line; *c != '\0'; c++)
		if (*c == '\t')
			*c = ' ';
	line[strcspn(line, "#\n")] = '\0';
	rest = span_trim(span_of(line));
	if (!span_starts(rest, SPAN("hosts:")))
		return;
	rest = span_skip(rest, sizeof("hosts:") - 1);
	while (span_next(&rest, ' ', &service))
		load_module(service);
}

static void load_all(void)
{
	FILE *file = fopen("/etc/nsswitch.conf", "re");
	char line[512];

	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL)
		load_modules(line);
	fclose(file);
}

void nss_prepare(void)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all;

	load_all();
	if (getaddrinfo("localhost", NULL, &hints, &all) == 0)
		freeaddrinfo(all);
}
