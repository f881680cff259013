/* memory.c owns the allocations of a fuzzed session, ours (by the linker's --wrap) and libevent's: they are counted,
 * and one of them may be refused. It must never refuse one that was made before the session began. */
#include "kernel.h"

#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <stdarg.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void __real_free(void *p);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
int __wrap_asprintf(char **out, const char *format, ...);
void __wrap_free(void *p);

static bool refused(void)
{
	if (!kernel.running || kernel.allocations_left == 0 || --kernel.allocations_left > 0)
		return false;
	kernel.allocation_failed = true;
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	if (kernel.running && p != NULL)
		kernel.live++;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refused() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
	if (refused())
		return NULL;
	return old == NULL ? counted(__real_realloc(old, size)) : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	return refused() ? NULL : counted(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t len)
{
	return refused() ? NULL : counted(__real_strndup(text, len));
}

__attribute__((__format__(__printf__, 2, 3))) int __wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = refused() ? -1 : vasprintf(out, format, args);
	va_end(args);
	if (n >= 0)
		counted(*out);
	return n;
}

void __wrap_free(void *p)
{
	if (kernel.running && p != NULL)
		kernel.live--;
	__real_free(p);
}

/* libevent 2.1.12 calls through a null pointer when the first allocations of a bufferevent with an SSL fail: nothing
 * that could be found here is ours. */
struct bufferevent *__real_bufferevent_openssl_socket_new(struct event_base *base, evutil_socket_t fd,
                                                          struct ssl_st *ssl, enum bufferevent_ssl_state state,
                                                          int options);
struct bufferevent *__wrap_bufferevent_openssl_socket_new(struct event_base *base, evutil_socket_t fd,
                                                          struct ssl_st *ssl, enum bufferevent_ssl_state state,
                                                          int options);

struct bufferevent *__wrap_bufferevent_openssl_socket_new(struct event_base *base, evutil_socket_t fd,
                                                          struct ssl_st *ssl, enum bufferevent_ssl_state state,
                                                          int options)
{
	unsigned left = kernel.allocations_left;

	kernel.allocations_left = 0;
	struct bufferevent *bev = __real_bufferevent_openssl_socket_new(base, fd, ssl, state, options);
	kernel.allocations_left = left;
	return bev;
}

void kernel_use_allocator(void)
{
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, __wrap_free);
}
