/* dial.c owns the way from a target to one connected descriptor: which address is tried when, and until when.
 * It must never report from inside dial_start, nor touch a dial once its callback was called. */
#include "net/dial.h"

#include "base/clock.h"
#include "net/connect.h"

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
	struct event ready; /* writable; initialised while fd >= 0 and the target is TCP */
	struct dial *dial;
	int fd; /* -1: not begun, or failed */
	socklen_t len;
	struct sockaddr_storage sa;
};

struct dial {
	struct event deadline; /* over everything */
	struct event step;     /* what is to be done next, by its callback: try on, try again, or report */
	struct event_base *base;
	struct resolver *resolver;
	const struct address *target;
	struct resolve *resolve; /* while the look-up is under way */
	dial_cb *cb;
	void *arg;

	struct attempt *attempts; /* in the order of trying; &only, or an array of its own */
	size_t count, begun, open;
	unsigned *spare; /* what is left of env->spare, or NULL */
	unsigned retry_ms;
	int receive_buffer;
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
	if (dial->spare != NULL && (before > 1 || dial->open > 1))
		*dial->spare -= (unsigned)more;
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

static void dial_free(struct dial *dial)
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

void dial_cancel(struct dial *dial)
{
	dial_free(dial);
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
	dial_free(dial);
	cb(arg, &outcome);
}

static void dial_on_report(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	dial_report(arg);
}

static void dial_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dial *dial = arg;

	(void)fd;
	(void)what;
	dial->result = DIAL_TIMED_OUT;
	dial->error = ETIMEDOUT;
	dial_report(dial);
}

static void dial_next_step(struct dial *dial, unsigned ms, event_callback_fn step)
{
	struct timeval after = clock_timeval(ms);

	event_del(&dial->step);
	event_assign(&dial->step, dial->base, -1, 0, step, dial);
	if (event_add(&dial->step, &after) != 0) {
		/* Only the heap of timers can fail to grow. This goes without a timer, and without an allocation. */
		event_active(&dial->step, EV_TIMEOUT, 1);
	}
}

/* Reports from the loop, since dial_start or a caller in a loop over the attempts may be below us on the stack; still in
 * this turn, because what follows needs no new events. */
static void dial_settle(struct dial *dial)
{
	event_del(&dial->step);
	event_assign(&dial->step, dial->base, -1, 0, dial_on_report, dial);
	event_active(&dial->step, EV_TIMEOUT, 1);
}

static void dial_fail(struct dial *dial, enum dial_result result, int error)
{
	dial->result = result;
	dial->error = error;
	dial_settle(dial);
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

static void dial_try(struct dial *dial);

static void dial_on_stagger(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	dial_try(arg);
}

static void attempt_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *attempt = arg;
	int error = connect_result(attempt->fd, &attempt->sa, attempt->len);

	(void)fd;
	(void)what;
	if (error == 0) {
		attempt->dial->winner = attempt;
		dial_report(attempt->dial);
	} else {
		attempt_failed(attempt, error);
		dial_try(attempt->dial);
	}
}

/* Each returns 0 or an errno. */
static int attempt_open(struct attempt *attempt)
{
	attempt->fd = connect_socket(attempt->sa.ss_family, attempt->dial->receive_buffer);
	if (attempt->fd < 0)
		return errno;
	dial_count_open(attempt->dial, 1);
	return 0;
}

static int attempt_wait(struct attempt *attempt)
{
	event_assign(&attempt->ready, attempt->dial->base, attempt->fd, EV_WRITE, attempt_on_ready, attempt);
	return event_add(&attempt->ready, NULL) == 0 ? 0 : ENOMEM;
}

static void dial_on_retry(evutil_socket_t fd, short what, void *arg);

/* Returns 0 when connected or under way, or the errno. */
static int attempt_go(struct attempt *attempt)
{
	struct dial *dial = attempt->dial;
	int error = connect_start(attempt->fd, &attempt->sa, attempt->len);

	switch (error) {
	case 0:
		dial->winner = attempt;
		dial_settle(dial);
		return 0;
	case EINTR: /* goes on by itself */
	case EINPROGRESS:
	case EALREADY:
		return attempt_wait(attempt);
	case EAGAIN:
		if (attempt->sa.ss_family != AF_UNIX)
			return EAGAIN;
		dial->retry_ms = dial->retry_ms == 0 ? RETRY_MIN_MS : dial->retry_ms * 2;
		if (dial->retry_ms > RETRY_MAX_MS)
			dial->retry_ms = RETRY_MAX_MS;
		dial_next_step(dial, dial->retry_ms, dial_on_retry);
		return 0;
	default:
		return error;
	}
}

static void dial_on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct dial *dial = arg;
	int error = attempt_go(&dial->only);

	(void)fd;
	(void)what;
	if (error != 0) {
		attempt_failed(&dial->only, error);
		dial_report(dial);
	}
}

/* A client that names a host with many addresses that do not answer would else take a descriptor for each. */
static void dial_make_room(struct dial *dial)
{
	if (dial->spare == NULL || dial->open == 0 || *dial->spare > 0)
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
		int error = attempt_open(attempt);
		if (error == 0)
			error = attempt_go(attempt);
		if (error != 0) {
			attempt_failed(attempt, error);
			continue;
		}
		if (dial->begun < dial->count && dial->winner == NULL)
			dial_next_step(dial, STAGGER_MS, dial_on_stagger);
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

static bool dial_have_room(struct dial *dial, size_t count)
{
	if (count > 1) {
		struct attempt *attempts = malloc(count * sizeof(*attempts));
		if (attempts == NULL)
			return false;
		dial->attempts = attempts;
	}
	return true;
}

static void dial_use(struct dial *dial, const struct resolved *answer)
{
	if (answer->count == 0) {
		dial_fail(dial, answer->error == EAI_MEMORY ? DIAL_NO_RESOURCE : DIAL_NOT_FOUND,
		          answer->error == EAI_MEMORY ? ENOMEM : answer->error);
	} else if (!dial_have_room(dial, answer->count)) {
		dial_fail(dial, DIAL_NO_RESOURCE, ENOMEM);
	} else {
		struct resolved ordered;
		resolved_interleave(&ordered, answer);
		while (dial->count < ordered.count) {
			size_t i = dial->count++;
			attempt_init(&dial->attempts[i], dial, &ordered.addr[i].sa, ordered.addr[i].len);
		}
		dial_try(dial);
	}
}

static void dial_on_resolved(void *arg, const struct resolved *answer)
{
	struct dial *dial = arg;

	dial->resolve = NULL;
	event_del(&dial->step);
	dial_use(dial, answer);
}

static void dial_on_impatience(evutil_socket_t fd, short what, void *arg)
{
	struct dial *dial = arg;
	struct resolved answer;

	(void)fd;
	(void)what;
	if (!resolve_last_good(dial->resolver, dial->target->host, dial->target->port, &answer))
		return; /* there is nothing but to wait on */
	resolve_cancel(dial->resolve);
	dial->resolve = NULL;
	dial_use(dial, &answer);
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static int dial_begin_unix(struct dial *dial)
{
	struct sockaddr_un sa;
	socklen_t len = address_unix_sockaddr(dial->target, &sa);

	attempt_init(&dial->only, dial, &sa, len);
	dial->count = 1;
	dial_try(dial);
	return 0;
}

static int dial_begin_tcp(struct dial *dial, struct mailbox *mailbox)
{
	const struct address *target = dial->target;
	struct resolved answer;

	if (resolved_at_once(target->host, target->port, &answer)) {
		dial_use(dial, &answer);
		return 0;
	}
	dial->resolve = resolve_start(dial->resolver, mailbox, target->host, target->port, dial_on_resolved, dial);
	if (dial->resolve == NULL)
		return -1;
	dial_next_step(dial, RESOLVE_PATIENCE_MS, dial_on_impatience);
	return 0;
}

static int dial_begin(struct dial *dial, struct mailbox *mailbox, uint64_t timeout_ms)
{
	struct timeval timeout = clock_timeval(timeout_ms);

	if (timeout_ms > 0 && event_add(&dial->deadline, &timeout) != 0)
		return -1;
	return dial->target->kind == ADDRESS_UNIX ? dial_begin_unix(dial) : dial_begin_tcp(dial, mailbox);
}

struct dial *dial_start(const struct dial_env *env, const struct address *target, uint64_t timeout_ms, dial_cb *cb, void *arg)
{
	struct dial *dial = calloc(1, sizeof(*dial));

	assert(target->kind == ADDRESS_TCP || target->kind == ADDRESS_UNIX);
	if (dial == NULL)
		return NULL;
	dial->base = env->base;
	dial->resolver = env->resolver;
	dial->receive_buffer = env->receive_buffer;
	dial->spare = env->spare;
	dial->target = target;
	dial->cb = cb;
	dial->arg = arg;
	dial->attempts = &dial->only;
	event_assign(&dial->deadline, env->base, -1, 0, dial_on_deadline, dial);
	event_assign(&dial->step, env->base, -1, 0, dial_on_report, dial);
	if (dial_begin(dial, env->mailbox, timeout_ms) == 0)
		return dial;
	dial_free(dial);
	return NULL;
}
