/* What the load generator and the test backend share: addresses, sockets, the clock and giving up. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/socket.h>

/* HOST:PORT with a numeric host, unix:/path or unix:@abstract. */
struct endpoint {
	struct sockaddr_storage sa;
	socklen_t len;
};

noreturn void die(const char *what) __attribute__((cold)); /* with errno */
noreturn void usage_error(const char *format, ...) __attribute__((cold, format(printf, 1, 2)));

uint64_t now_ns(void);
uint64_t parse_number(const char *text);                    /* with an optional k, m, g or t (powers of 1024) */
void endpoint_parse(struct endpoint *endpoint, const char *text);
void endpoint_print(int fd, char *out, size_t cap);         /* where a listening socket really is */
int endpoint_listen(const struct endpoint *endpoint);       /* non-blocking */
/* Non-blocking. source > 0: from 127.0.0.0 + source. */
int endpoint_connect(const struct endpoint *endpoint, uint32_t source);
void raise_descriptor_limit(void);
