/* Reception: what becomes of a connection that has come in. It goes to the least loaded worker, or it is refused because there
 * is no room, or because its source may not have it. Main thread only. */
#ifndef SERVER_RECEPTION_H
#define SERVER_RECEPTION_H

#include "base/attr.h"
#include "base/log.h"
#include "config/generation.h"
#include "server/worker.h"
#include "session/admission.h"

#include <stddef.h>
#include <stdint.h>

struct reception;

struct reception_limits {
	uint64_t refusals;   /* being told so at once; and once more as many, by the workers */
	uint64_t timeout_ms; /* for those */
};

/* NULL: out of memory. */
struct reception *reception_new(struct event_base *base, struct log *log, struct admission *admission,
                                const struct reception_limits *limits) must_check;
void reception_free(struct reception *reception); /* NULL is allowed */

/* Before the first connection, and never taken back. */
void reception_add_worker(struct reception *reception, struct worker *worker);

/* Takes fd over. set is the listener's, in the current generation. */
void reception_take(struct reception *reception, struct generation *current, const struct listen_settings *set, int fd,
                    const struct peer *peer);

#endif
