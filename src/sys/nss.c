/* nss.c owns which name service modules there are: they are loaded before the sandbox closes, and no others later.
 * It must never look up a name that only the network knows: a start must not wait for a server. */
#include "sys/nss.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

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
#define BLANKS      " \t"
#define HOSTS       "hosts:"
#define DEFAULT     "files dns" /* glibc's, too */

/* "files resolve [!UNAVAIL=return] dns". What the library has built in is no file. */
static void take(const char *services)
{
	char name[SERVICE_MAX + sizeof("libnss_.so.2")];
	size_t n;

	for (const char *word = services; *word != '\0'; word += n) {
		word += strspn(word, BLANKS);
		n = strcspn(word, BLANKS);
		if (n == 0 || n > SERVICE_MAX || word[0] == '[')
			continue;
		snprintf(name, sizeof(name), "libnss_%.*s.so.2", (int)n, word);
		void *module = dlopen(name, RTLD_NOW | RTLD_NODELETE); /* stays: a look-up finds it by its name */
		if (module != NULL)
			dlclose(module);
	}
#ifdef HAVE___NSS_CONFIGURE_LOOKUP
	__nss_configure_lookup("hosts", services);
#endif
}

/* False: it says nothing of hosts. */
static bool take_file(void)
{
	FILE *file = fopen("/etc/nsswitch.conf", "re");
	char line[512];
	bool found = false;

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "#\n")] = '\0';
		const char *words = line + strspn(line, BLANKS);
		if (strncmp(words, HOSTS, strlen(HOSTS)) != 0)
			continue;
		take(words + strlen(HOSTS));
		found = true;
	}
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
