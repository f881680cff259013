/* Host names to addresses, off the event loops: getaddrinfo runs in a few helper threads, because it blocks (a look-up
 * that hangs for 30 s may delay no other route). The last good answer of a name is kept and used, and refreshed in the
 * background, when a later look-up fails or a fresh one is not older than a few seconds. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "base/attr.h"
#include "net/mailbox.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct resolver;
struct resolve; /* one look-up under way */

#define RESOLVE_MAX 16 /* addresses of one answer that are kept, in getaddrinfo's order (RFC 6724) */

struct resolved {
	size_t count;             /* 0: the name was not found, or the look-up failed */
	int error;                /* EAI_* when count is 0 */
	struct {
		struct sockaddr_storage sa;
		socklen_t len;
	} addr[RESOLVE_MAX];
};

struct resolver *resolver_new(unsigned threads) must_check; /* NULL on failure, with errno */
void resolver_free(struct resolver *resolver);                   /* waits for nothing: a hung look-up must not delay the exit */

/* A numeric host fills *answer and returns true without any look-up. */
bool resolve_numeric(const char *host, uint16_t port, struct resolved *answer);

typedef void resolve_cb(void *arg, const struct resolved *answer);

/* Starts a look-up; cb runs once, later, on the thread that owns box; never from inside this call. NULL on failure (out of memory). */
struct resolve *resolve_start(struct resolver *resolver, struct mailbox *box, const char *host, uint16_t port,
                              resolve_cb *cb, void *arg) must_check;
/* On box's thread, before cb ran. cb will not run; the helper thread finishes on its own and its answer is dropped. */
void resolve_cancel(struct resolve *resolve);

#endif
