/* dial.c owns the way from a target to one connected descriptor: which address is tried when, and until when.
 * It must never report from inside dial_start, nor touch a dial once its callback was called. */
#include "net/dial.h"

#include "base/clock.h"
#include "net/tcp.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAGGER_MS   250 /* RFC 8305, section 5 */
#define RETRY_MIN_MS 10  /* a UNIX socket whose backlog is full */
#define RETRY_MAX_MS 200

/* One address, and the attempt to reach it. */
struct attempt {
	struct event ready; /* writable; zeroed until it is waited for */
	struct dial *dial;
	int fd; /* -1: not begun, or failed */
	socklen_t len;
	struct sockaddr_storage sa;
};

struct dial {
	struct event deadline; /* over everything */
	struct event step;     /* when next is to be done */
	void (*next)(struct dial *dial);
	struct dial_env env; /* a copy; all dials of the thread share *env.spare */
	const struct address *target;
	struct resolve *resolve; /* while the look-up is under way */
	dial_cb *cb;
	void *arg;

	struct attempt *attempts; /* in the order of trying; &only, or an array of its own */
	size_t count, begun, open;
	unsigned retry_ms;
	struct attempt *winner;
	enum dial_result result; /* what to report when nothing works out */
	int error;
	struct attempt only; /* numbers and UNIX sockets need no second allocation */
};

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Of the open ones, all but one are spare. */
static void dial_count_open(struct dial *dial, int more)
{
	size_t before = dial->open;
	dial->open += (size_t)more;
	if (dial->env.spare != NULL && (before > 1 || dial->open > 1))
		*dial->env.spare -= (unsigned)more;
}

static void attempt_close(struct attempt *attempt)
{
	if (attempt->fd < 0)
		return;
	if (event_initialized(&attempt->ready))
		event_del(&attempt->ready);
	close(attempt->fd);
	attempt->fd = -1;
	dial_count_open(attempt->dial, -1);
}

void dial_cancel(struct dial *dial)
{
	if (dial->resolve != NULL)
		resolve_cancel(dial->resolve);
	for (size_t i = 0; i < dial->begun; i++)
		attempt_close(&dial->attempts[i]);
	if (dial->attempts != &dial->only)
		free(dial->attempts);
	event_del(&dial->deadline);
	event_del(&dial->step);
	free(dial);
}

/* Called by the loop's callbacks only, as their last deed. */
static void dial_report(struct dial *dial)
{
	struct dial_outcome outcome = { .result = dial->result, .fd = -1, .error = dial->error };
	dial_cb *cb = dial->cb;
	void *arg = dial->arg;

	if (dial->winner != NULL) {
		outcome.result = DIAL_OK;
		outcome.error = 0;
		outcome.fd = dial->winner->fd;
		dial->winner->fd = -1;
		dial_count_open(dial, -1);
	}
	dial_cancel(dial);
	cb(arg, &outcome);
}

static void dial_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dial *dial = arg;

	dial->result = DIAL_TIMED_OUT;
	dial->error = ETIMEDOUT;
	dial_report(dial);
}

static void dial_on_step(evutil_socket_t fd, short what, void *arg)
{
	struct dial *dial = arg;

	dial->next(dial);
}

/* 0 ms: still in this turn of the loop, because what follows needs no new events. */
static void dial_next_step(struct dial *dial, void (*next)(struct dial *dial), unsigned ms)
{
	struct timeval after = clock_timeval(ms);

	event_del(&dial->step);
	dial->next = next;
	/* Only the heap of timers can fail to grow. This goes without a timer, and without an allocation. */
	if (ms == 0 || event_add(&dial->step, &after) != 0)
		event_active(&dial->step, EV_TIMEOUT, 1);
}

/* Reports from the loop, since dial_start or a caller in a loop over the attempts may be below us on the stack. */
static void dial_settle(struct dial *dial)
{
	dial_next_step(dial, dial_report, 0);
}

/* --- trying ------------------------------------------------------------------------------------------------------- */

static enum dial_result result_of(int error)
{
	static const int ours[] = { EADDRNOTAVAIL, EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (ours[i] == error)
			return DIAL_NO_RESOURCE;
	return error == ETIMEDOUT ? DIAL_TIMED_OUT : DIAL_REFUSED;
}

static void attempt_failed(struct attempt *attempt, int error)
{
	struct dial *dial = attempt->dial;
	enum dial_result result = result_of(error);

	attempt_close(attempt);
	/* What an address said tells more than what could not be asked: ::1 is "not available" without IPv6. */
	if (result == DIAL_NO_RESOURCE && dial->error != 0 && dial->result != DIAL_NO_RESOURCE)
		return;
	dial->result = result;
	dial->error = error;
}

/* A connect to a local port on which nobody listens can meet itself, if that port is chosen as its own. */
static bool is_connected_to_itself(const struct attempt *attempt)
{
	struct sockaddr_storage own = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(own);

	return attempt->sa.ss_family != AF_UNIX && getsockname(attempt->fd, (struct sockaddr *)&own, &len) == 0 &&
	       len == attempt->len && memcmp(&own, &attempt->sa, len) == 0;
}

static void dial_try(struct dial *dial);

static void attempt_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *attempt = arg;
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	else if (error == 0 && is_connected_to_itself(attempt))
		error = ECONNREFUSED;
	if (error == 0) {
		attempt->dial->winner = attempt;
		dial_report(attempt->dial);
	} else {
		attempt_failed(attempt, error);
		dial_try(attempt->dial);
	}
}

static int attempt_connect(const struct attempt *attempt)
{
	return connect(attempt->fd, (const struct sockaddr *)&attempt->sa, attempt->len) == 0 ? 0 : errno;
}

static void dial_retry(struct dial *dial);

/* Returns 0 when connected or under way, or the errno. */
static int attempt_go(struct attempt *attempt)
{
	struct dial *dial = attempt->dial;
	int error = attempt_connect(attempt);

	/* Within one host the handshake is over before connect() returns, although it says EINPROGRESS: asked again, it knows.
	 * That saves a turn of the loop and all the watching. */
	if (error == EINPROGRESS)
		error = attempt_connect(attempt);
	switch (error) {
	case 0:
		if (is_connected_to_itself(attempt))
			return ECONNREFUSED;
		dial->winner = attempt;
		dial_settle(dial);
		return 0;
	case EINTR: /* goes on by itself */
	case EINPROGRESS:
	case EALREADY:
		event_assign(&attempt->ready, dial->env.base, attempt->fd, EV_WRITE, attempt_on_ready, attempt);
		return event_add(&attempt->ready, NULL) == 0 ? 0 : ENOMEM;
	case EAGAIN:
		if (attempt->sa.ss_family != AF_UNIX)
			return EAGAIN;
		dial->retry_ms = dial->retry_ms == 0 ? RETRY_MIN_MS : dial->retry_ms * 2;
		if (dial->retry_ms > RETRY_MAX_MS)
			dial->retry_ms = RETRY_MAX_MS;
		dial_next_step(dial, dial_retry, dial->retry_ms);
		return 0;
	default:
		return error;
	}
}

static void dial_retry(struct dial *dial)
{
	int error = attempt_go(&dial->only);

	if (error != 0) {
		attempt_failed(&dial->only, error);
		dial_report(dial);
	}
}

/* Makes the socket and begins to connect. Returns 0 or the errno, as attempt_go(); attempt_failed() closes what was made. */
static int attempt_begin(struct attempt *attempt)
{
	sa_family_t family = attempt->sa.ss_family;
	int window = attempt->dial->env.receive_buffer;

	attempt->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (attempt->fd < 0)
		return errno;
	dial_count_open(attempt->dial, 1);
	if (tcp_keep_urgent(attempt->fd) != 0)
		return errno;
	/* Before connecting: a sender waits until half of the largest window it ever saw is free, so one made small later on
	 * may only move by the sender's timers. */
	if (family != AF_UNIX && window > 0)
		(void)setsockopt(attempt->fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
	if (family != AF_UNIX && tcp_set_no_delay(attempt->fd) != 0)
		return errno;
	return attempt_go(attempt);
}

/* A client that names a host with many addresses that do not answer would else take a descriptor for each. */
static void dial_make_room(struct dial *dial)
{
	if (dial->env.spare == NULL || dial->open == 0 || *dial->env.spare > 0)
		return;
	size_t oldest = 0;
	while (dial->attempts[oldest].fd < 0)
		oldest++;
	attempt_close(&dial->attempts[oldest]);
}

/* Begins the next attempt that can be begun; when there is none, and none is under way, that was it. */
static void dial_try(struct dial *dial)
{
	while (dial->begun < dial->count) {
		struct attempt *attempt = &dial->attempts[dial->begun++];
		dial_make_room(dial);
		int error = attempt_begin(attempt);
		if (error != 0) {
			attempt_failed(attempt, error);
			continue;
		}
		if (dial->begun < dial->count && dial->winner == NULL)
			dial_next_step(dial, dial_try, STAGGER_MS);
		return;
	}
	if (dial->open == 0)
		dial_settle(dial);
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void attempt_init(struct attempt *attempt, struct dial *dial, const void *sa, socklen_t len)
{
	memset(&attempt->ready, 0, sizeof(attempt->ready)); /* event_initialized() looks at it */
	attempt->dial = dial;
	attempt->fd = -1;
	attempt->len = len;
	memcpy(&attempt->sa, sa, len);
}

static void dial_use(struct dial *dial, const struct resolved *answer)
{
	struct resolved ordered;

	if (answer->count > 1)
		dial->attempts = malloc(answer->count * sizeof(*dial->attempts));
	if (answer->count == 0 || dial->attempts == NULL) {
		bool no_memory = answer->count > 0 || answer->error == EAI_MEMORY;
		dial->result = no_memory ? DIAL_NO_RESOURCE : DIAL_NOT_FOUND;
		dial->error = no_memory ? ENOMEM : answer->error;
		dial_settle(dial);
		return;
	}
	resolved_interleave(&ordered, answer);
	for (; dial->count < ordered.count; dial->count++) {
		const struct resolved_addr *at = &ordered.addr[dial->count];
		attempt_init(&dial->attempts[dial->count], dial, &at->sa, at->len);
	}
	dial_try(dial);
}

static void dial_on_resolved(void *arg, const struct resolved *answer)
{
	struct dial *dial = arg;

	dial->resolve = NULL;
	event_del(&dial->step);
	dial_use(dial, answer);
}

static void dial_use_last_good(struct dial *dial)
{
	struct resolved answer;

	if (!resolve_last_good(dial->env.resolver, dial->target->host, dial->target->port, &answer))
		return; /* there is nothing but to wait on */
	resolve_cancel(dial->resolve);
	dial->resolve = NULL;
	dial_use(dial, &answer);
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static int dial_begin(struct dial *dial)
{
	const struct address *target = dial->target;
	struct resolved answer;

	if (target->kind == ADDRESS_UNIX) {
		struct sockaddr_un sa;
		socklen_t len = address_unix_sockaddr(target, &sa);
		attempt_init(&dial->only, dial, &sa, len);
		dial->count = 1;
		dial_try(dial);
		return 0;
	}
	if (resolved_at_once(target->host, target->port, &answer)) {
		dial_use(dial, &answer);
		return 0;
	}
	dial->resolve = resolve_start(dial->env.resolver, dial->env.mailbox, target->host, target->port, dial_on_resolved, dial);
	if (dial->resolve == NULL)
		return -1;
	dial_next_step(dial, dial_use_last_good, RESOLVE_PATIENCE_MS);
	return 0;
}

struct dial *dial_start(const struct dial_env *env, const struct address *target, uint64_t timeout_ms, dial_cb *cb, void *arg)
{
	struct timeval timeout = clock_timeval(timeout_ms);
	struct dial *dial = calloc(1, sizeof(*dial));

	assert(target->kind == ADDRESS_TCP || target->kind == ADDRESS_UNIX);
	if (dial == NULL)
		return NULL;
	dial->env = *env;
	dial->target = target;
	dial->cb = cb;
	dial->arg = arg;
	dial->attempts = &dial->only;
	event_assign(&dial->deadline, env->base, -1, 0, dial_on_deadline, dial);
	event_assign(&dial->step, env->base, -1, 0, dial_on_step, dial);
	if ((timeout_ms == 0 || event_add(&dial->deadline, &timeout) == 0) && dial_begin(dial) == 0)
		return dial;
	dial_cancel(dial);
	return NULL;
}
