/* world.c owns the course of a run: the script, the calm after it, the end that the input chose, and time for as long
 * as it takes. It must never let a run go on without end: that nothing moves and nothing ends is a finding. */
#include "world.h"

#include "../check.h"
#include "place.h"
#include "sys/beneath.h"

#include <errno.h>
#include <unistd.h>

#define TURNS_MAX 3000                        /* of the loop, in which nothing moves */
#define TIME_MAX  ((uint64_t)2 * 3600 * 1000) /* after both peers are gone */

enum phase { PHASE_SCRIPT, PHASE_CALM, PHASE_END, PHASE_ANSWER, PHASE_TIME };

struct world world;

/* --- names -------------------------------------------------------------------------------------------------------- */

struct resolve {
	struct mail mail;
	resolve_cb *cb; /* NULL: cancelled */
	void *arg;
	struct resolved answer;
	bool posted;
};

struct resolve *__wrap_resolve_start(struct resolver *resolver, struct mailbox *box, const char *host, uint16_t port,
                                     resolve_cb *cb, void *arg);
void __wrap_resolve_cancel(struct resolve *resolve);
bool __wrap_resolve_last_good(struct resolver *resolver, const char *host, uint16_t port, struct resolved *answer);

struct resolve *__wrap_resolve_start(struct resolver *resolver, struct mailbox *box, const char *host, uint16_t port,
                                     resolve_cb *cb, void *arg)
{
	struct resolve *resolve = calloc(1, sizeof(*resolve));

	(void)resolver;
	(void)box;
	CHECK(strcmp(host, "name.example") == 0 && port == 7000);
	if (resolve == NULL)
		return NULL;
	resolve->cb = cb;
	resolve->arg = arg;
	world.look_up = resolve;
	return resolve;
}

void __wrap_resolve_cancel(struct resolve *resolve)
{
	resolve->cb = NULL;
	if (world.look_up == resolve)
		world.look_up = NULL;
	if (!resolve->posted)
		free(resolve);
}

static void fill_answer(struct resolved *answer, unsigned kind)
{
	static const char *const hosts[] = { "127.0.0.1", "::1", "127.0.0.2", "::2" };
	struct resolved one;

	*answer = (struct resolved){ .error = kind % 8 == 6 ? EAI_MEMORY : EAI_NONAME };
	for (size_t i = 0; i < ARRAY_LEN(hosts) && kind % 8 < 6 && i <= kind % 8; i++) {
		CHECK(resolved_at_once(hosts[(i + kind / 8) % 4], 7000, &one));
		answer->addr[answer->count++] = one.addr[0];
	}
}

bool __wrap_resolve_last_good(struct resolver *resolver, const char *host, uint16_t port, struct resolved *answer)
{
	(void)resolver;
	(void)host;
	(void)port;
	fill_answer(answer, 0);
	return kernel.now_ms % 2 == 0; /* as good as chance */
}

static void look_up_done(struct mail *mail, void *owner)
{
	struct resolve *resolve = (struct resolve *)mail;

	(void)owner;
	if (resolve->cb != NULL)
		resolve->cb(resolve->arg, &resolve->answer);
	free(resolve);
}

void world_answer_look_up(unsigned kind)
{
	struct resolve *resolve = world.look_up;

	if (resolve == NULL)
		return;
	world.look_up = NULL;
	fill_answer(&resolve->answer, kind);
	resolve->posted = true;
	resolve->mail.run = look_up_done;
	mailbox_post(worker_context(world.worker)->dial_env.mailbox, &resolve->mail);
}

/* --- what others do ----------------------------------------------------------------------------------------------- */

/* The first one that is connected wins; others the gateway drops. */
void world_on_connect(struct sock *sock)
{
	const struct session *s = world_session();

	if (world.target.was_connected)
		return;
	if (s != NULL && s->target->tls && !world.plain_target)
		world.target.ssl = party_ssl(place_get()->targets, true);
	party_attach(&world.target, sock);
}

void world_on_close(struct sock *sock)
{
	if (sock == world.client.sock)
		party_closed(&world.client);
	else if (sock == world.target.sock)
		party_closed(&world.target);
}

void world_connect_all(int error)
{
	for (size_t i = 0; i < KERNEL_FDS; i++) {
		struct sock *sock = &kernel.sock[i];
		if (sock->kind != KERNEL_SOCKET || !sock->connecting)
			continue;
		sock->connect_known = true;
		sock->connect_error = error;
	}
}

void world_drain(uint64_t ms)
{
	if (world.drained || world.stopped)
		return;
	world.drained = true;
	worker_drain(world.worker, ms);
}

void world_stop(void)
{
	if (world.stopped)
		return;
	world.stopped = true;
	world.harmed = true;
	worker_stop(world.worker);
}

/* The shortest of all limits is a second. */
void world_pass(uint64_t ms)
{
	kernel.now_ms += ms;
	if (kernel.now_ms - world.calm_ms >= 900)
		world.late = true;
}

struct session *world_session(void)
{
	for (size_t state = 0; state < STATE_COUNT; state++) {
		struct list *list = &worker_context(world.worker)->sessions[state];
		if (!list_empty(list))
			return list_entry(list_first(list), struct session, link);
	}
	return NULL;
}

/* --- the course --------------------------------------------------------------------------------------------------- */

/* Whatever is asked for is there. */
static void serve(void)
{
	if (world.ending == ENDING_SILENCE || world.ending == ENDING_SILENT_DRAIN)
		return;
	party_take_all(&world.client);
	party_take_all(&world.target);
	world_connect_all(0);
	world_answer_look_up(0);
}

static void become_calm(void)
{
	kernel.weather = 0;
	kernel.allocations_left = 0;
	kernel.silent = world.ending == ENDING_SILENCE;
	memset(kernel.fail, 0, sizeof(kernel.fail));
	kernel.accept_connects = 0;
	world.calm_ms = kernel.now_ms;
}

static void end(void)
{
	static const uint8_t close[] = { 0x03, 0xe8 };

	switch (world.ending) {
	case ENDING_TARGET:
		party_end(&world.target, false);
		break;
	case ENDING_CLIENT:
		script_client_frame(0x88, close, sizeof(close));
		break;
	case ENDING_CLIENT_LEAVES:
		party_end(&world.client, false);
		break;
	case ENDING_RESETS:
		world.harmed = true;
		party_abort(&world.client);
		party_abort(&world.target);
		break;
	case ENDING_STOP:
		world_stop();
		break;
	case ENDING_DRAIN:
	case ENDING_SILENT_DRAIN:
		world_drain(20000);
		break;
	default:
		break;
	}
}

/* Whoever is told an end answers with his own. */
static void answer_end(void)
{
	static const uint8_t close[] = { 0x03, 0xe8 };

	if (world.ending == ENDING_SILENCE || world.ending == ENDING_SILENT_DRAIN)
		return;
	if (world.ending != ENDING_CLIENT && world.ending != ENDING_CLIENT_LEAVES)
		script_client_frame(0x88, close, sizeof(close));
	party_end(&world.client, false);
	party_end(&world.target, false);
}

/* False: there is no other left. */
static bool next_phase(void)
{
	if (world.phase == PHASE_TIME)
		return false;
	switch (world.phase++) {
	case PHASE_SCRIPT:
		become_calm();
		break;
	case PHASE_CALM:
		verdict_calm();
		end();
		break;
	case PHASE_END:
		answer_end();
		break;
	default:
		break;
	}
	return true;
}

static void count_turn(void)
{
	if (kernel.moves != world.moves || script_goes_on() || world.resting > 0)
		world.turns = 0;
	world.moves = kernel.moves;
	CHECK(world.turns++ < TURNS_MAX);
}

/* The worker sleeps until its next timer, or the rest is over. Returns whether a timer is due. */
static bool rest(int *timeout)
{
	uint64_t until = *timeout < 0 ? UINT64_MAX : (uint64_t)*timeout;
	uint64_t ms = world.resting < until ? world.resting : until;

	world_pass(ms);
	world.resting -= ms;
	if (*timeout > 0)
		*timeout -= (int)ms;
	return ms == until;
}

void world_turn(int timeout)
{
	party_pump(&world.client);
	party_pump(&world.target);
	verdict_turn();
	count_turn();
	if (worker_load(world.worker) == 0) {
		if (timeout != 0) /* libevent has nothing left to do, or it would leak what it was about to free */
			event_base_loopbreak(worker_context(world.worker)->base);
		return;
	}
	while (script_goes_on() || world.resting > 0) {
		if (world.resting == 0)
			script_step();
		if (timeout == 0 || kernel_anything_ready() || rest(&timeout))
			return;
	}
	do {
		if (world.phase > PHASE_SCRIPT)
			serve();
		if (timeout == 0 || kernel_anything_ready())
			return;
	} while (next_phase());
	CHECK(timeout > 0); /* without a timer nothing would ever end it */
	kernel.now_ms += (uint64_t)timeout;
	CHECK(kernel.now_ms - world.calm_ms < TIME_MAX);
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static void prepare(const uint8_t *data, bool tls)
{
	static const size_t windows[] = { KERNEL_ENDLESS, KERNEL_ENDLESS, 0, 1, 100, 5000, 65536, 200000 };
	static const int connects[] = { 0, 0, 0, -1, -1, ECONNREFUSED, EADDRNOTAVAIL, ETIMEDOUT };
	const struct place *place = place_get();
	struct world fresh = { .client = world.client, .target = world.target };

	kernel_reset();
	world = fresh;
	world.key = 1;
	world.ending = (enum way_out)(data[0] >> 3) % ENDINGS;
	place_reset_chance();
	world.plain_target = data[0] & 4;
	party_reset(&world.client, tls ? party_ssl(place->clients, false) : NULL, windows[data[1] % 8]);
	party_reset(&world.target, NULL, windows[data[1] / 8 % 8]);
	kernel.weather = data[2];
	kernel.accept_connects = connects[data[3] % 8];
	kernel.meets_itself = data[3] == 0xff;
	world.calm_ms = kernel.now_ms;
}

static void arrive(const uint8_t *data, bool tls)
{
	const struct place *place = place_get();
	struct arrival arrival = { .id = 1,
		                   .generation = generation_ref(place->generation),
		                   .refusal = data[0] >= 0xf0 ? REASON_OVERLOAD : REASON_NONE };
	struct sock *sock = kernel_socket();

	arrival.listen = place->generation->settings->listens[tls           ? 1 + (data[0] & 1)
	                                                      : data[0] & 1 ? 1 + (data[1] >> 6 & 2)
	                                                                    : 0];
	world.proxied = arrival.listen->proxy_protocol;
	arrival.peer.sa.any.sa_family = AF_UNIX;
	arrival.fd = sock->fd;
	party_attach(&world.client, sock);
	if (data[0] & 2 && !tls)
		script_step();       /* what came before it was accepted */
	kernel.allocations_left = 0; /* from here on it is the session's */
	CHECK(worker_post(world.worker, &arrival) == 0);
	kernel.allocations_left = data[4];
}

/* The lowest number that is free; of the real ones, which files have. */
static int lowest_descriptor(void)
{
	int fd = dup(STDERR_FILENO);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}

void world_run(const uint8_t *data, size_t size, bool tls)
{
	struct mail exit_mail = { .next = NULL };
	const struct place *place = place_get();
	int lowest = lowest_descriptor();

	prepare(data, tls);
	kernel.running = true;
	const struct worker_setup setup = {
		.log = place->log,
		.admission = place->admission,
		.opener = &beneath_opener,
		.helper_opener = (struct opener *[]){ &beneath_opener },
		.backlogs = data[3] & 0x40 ? 100000 : 0,
		.exit_mail = &exit_mail,
	};
	world.worker = worker_new(&setup);
	CHECK(world.worker != NULL);
	script_begin(data + 5, size - 5);
	arrive(data, tls);
	while (worker_load(world.worker) > 0)
		event_base_loop(worker_context(world.worker)->base, EVLOOP_NO_EXIT_ON_EMPTY);
	event_base_loop(worker_context(world.worker)->base, EVLOOP_NO_EXIT_ON_EMPTY);
	verdict_end();
	worker_free(world.worker);
	kernel.running = false;
	for (size_t i = 0; i < KERNEL_FDS; i++)
		CHECK(kernel.sock[i].kind == KERNEL_FREE);
	CHECK(kernel.live == 0);
	CHECK(lowest_descriptor() == lowest);
}
