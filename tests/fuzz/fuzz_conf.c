/* fuzz_conf.c owns what must hold for any text of a configuration: settings without a complaint, or complaints with a place.
 * It must never depend on files but the one in memory that carries the text. */
#include "check.h"
#include "config/settings.h"

#include <sys/mman.h>
#include <unistd.h>

/* A file of this process' memory, reached by a path, with the text in it. */
static void memory_file(int *fd, char *path, size_t cap, const uint8_t *data, size_t size)
{
	if (*fd < 0)
		*fd = memfd_create("fuzz_conf", MFD_CLOEXEC);
	CHECK(*fd >= 0 && ftruncate(*fd, 0) == 0);
	CHECK(pwrite(*fd, data, size, 0) == (ssize_t)size);
	snprintf(path, cap, "/proc/self/fd/%d", *fd);
}

static void check_complaints(const struct err *err, const char *path)
{
	CHECK(err->count > 0 && err->len > 0 && strlen(err->text) == err->len);
	CHECK(strncmp(err->text, path, strlen(path)) == 0);
	for (const char *c = err->text; *c != '\0'; c++)
		CHECK(*c == '\n' || *c == '\t' || ((unsigned char)*c >= 0x20 && *c != 0x7f));
}

static void check_settings(const struct settings *s)
{
	CHECK(s->server != NULL && s->listens_count > 0 && s->routes_count > 0);
	for (size_t i = 0; i < s->listens_count; i++)
		CHECK(s->listens[i]->address.count > 0 && s->listens[i]->handshake_timeout > 0);
	for (size_t i = 0; i < s->routes_count; i++) {
		const struct route_settings *r = s->routes[i];
		int purposes = (r->target.text != NULL) + (r->token_file[0] != '\0');
		CHECK(purposes == 1 || (purposes == 0 && r->root[0] != '\0'));
		CHECK(r->path[0] == '/' && r->low_water < r->high_water && r->high_water <= 192 * 1024);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static struct err first, second;
	char path[64];

	memory_file(&fd, path, sizeof(path), data, size);
	err_init(&first);
	err_init(&second);
	struct settings *settings = settings_read(path, NULL, &first), *again = settings_read(path, NULL, &second);
	CHECK((settings == NULL) == (again == NULL) && first.count == second.count);
	CHECK(strcmp(first.text, second.text) == 0);
	CHECK((settings == NULL) == (first.count > 0));
	if (settings == NULL)
		check_complaints(&first, path);
	else
		check_settings(settings);
	settings_free(settings);
	settings_free(again);
	return 0;
}
