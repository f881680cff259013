/* main.c owns the clients of a churn and what its master, a script at the other end of its standard input, wants of
 * them. It must never judge the figures: it prints them. */
#include "backend.h"
#include "client.h"
#include "kinds.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LISTENERS_MAX 8
#define SOURCES       200
#define PATIENCE_MS   60000
#define COMPLAINTS    30

static const char usage[] =
        "usage: churn [-n CLIENTS] KIND=ADDRESS...    backends: echo, fin, rst; prints `backend KIND=ADDRESS` for "
        "each\n"
        "Commands, a line each:\n"
        "  listen NAME HOST:PORT  where the gateway's [listen NAME] is\n"
        "  only KIND              sessions of this kind alone\n"
        "  run N                  N sessions, at most CLIENTS at a time; prints `ran {...}` when all have ended\n"
        "  stop                   begins none of them any more\n"
        "  hold N                 N sessions that stay; prints `held N told M cut L` when they are open: M and L have "
        "ended\n"
        "  poke                   an echo in each of them; prints the same when all have come back\n"
        "  count                  prints the same when those that are left have ended\n"
        "  drop                   ends those that are left and forgets all\n";

struct listener {
	char name[64];
	struct endpoint endpoint;
};

struct churn {
	struct item master; /* standard input */
	struct loop *loop;
	struct client_env env, held_env;
	struct kind *kinds;
	size_t kinds_count;
	uint32_t *wheel; /* the kinds, each as often as it weighs */
	size_t wheel_size;
	struct listener listeners[LISTENERS_MAX];
	size_t listeners_count;
	struct client **clients, *idle;
	size_t clients_count;
	struct client **held;
	size_t held_count, held_waiting, held_told, held_cut;
	uint64_t to_begin, live, begun, random, swept_ms;
	uint64_t outcomes[OUTCOMES];
	unsigned complaints;
	bool dropping;
	char input[4096];
	size_t input_len;
};

static const char *const outcome_names[OUTCOMES] = { "fine", "told", "refused", "cut", "wrong", "late" };

/* --- the draw -------------------------------------------------------------------------------------------------------
 */

static uint64_t random_next(struct churn *churn)
{
	churn->random ^= churn->random << 13;
	churn->random ^= churn->random >> 7;
	churn->random ^= churn->random << 17;
	return churn->random;
}

static void wheel_add(struct churn *churn, size_t kind, unsigned times)
{
	churn->wheel = realloc(churn->wheel, (churn->wheel_size + times) * sizeof(*churn->wheel));
	if (churn->wheel == NULL)
		die("realloc");
	while (times-- > 0)
		churn->wheel[churn->wheel_size++] = (uint32_t)kind;
}

static void wheel_fill(struct churn *churn)
{
	for (size_t i = 0; i < churn->kinds_count; i++)
		if (churn->kinds[i].weight > 0)
			wheel_add(churn, i, churn->kinds[i].weight);
}

static struct kind *kind_named(struct churn *churn, const char *name)
{
	for (size_t i = 0; i < churn->kinds_count; i++)
		if (strcmp(churn->kinds[i].name, name) == 0)
			return &churn->kinds[i];
	usage_error("%s: there is no such kind", name);
}

static const struct endpoint *endpoint_of(const struct churn *churn, const char *listener)
{
	for (size_t i = 0; i < churn->listeners_count; i++)
		if (strcmp(churn->listeners[i].name, listener) == 0)
			return &churn->listeners[i].endpoint;
	usage_error("%s: the gateway has no such listener", listener);
}

/* --- sessions -------------------------------------------------------------------------------------------------------
 */

static void begin(struct churn *churn, struct client *client, struct kind *kind)
{
	uint32_t source = 2 + (uint32_t)(random_next(churn) % SOURCES);

	kind->begun++;
	client_begin(client, kind, endpoint_of(churn, kind->listener), source);
}

static void report_run(struct churn *churn)
{
	printf("ran {\"begun\": %llu", (unsigned long long)churn->begun);
	for (size_t i = 0; i < OUTCOMES; i++)
		printf(", \"%s\": %llu", outcome_names[i], (unsigned long long)churn->outcomes[i]);
	printf(", \"kinds\": {");
	for (size_t i = 0; i < churn->kinds_count; i++)
		printf("%s\"%s\": [\"%s\", %llu]", i > 0 ? ", " : "", churn->kinds[i].name, churn->kinds[i].reason,
		       (unsigned long long)churn->kinds[i].begun);
	printf("}}\n");
	fflush(stdout);
}

static void complain(struct churn *churn, const struct client *client, enum outcome outcome, const char *what)
{
	const struct heard *heard = &client->heard;

	if (outcome == FINE || outcome == TOLD || churn->complaints++ >= COMPLAINTS)
		return;
	fprintf(stderr, "churn: %s: \"%s\" at step %zu: %s (status %u, Close %u)\n", outcome_names[outcome],
	        client->kind->name, client->step + 1, what, heard->status, heard->close_code);
}

static void on_end(struct client *client, enum outcome outcome, const char *what)
{
	struct churn *churn = client->env->owner;

	complain(churn, client, outcome, what);
	churn->outcomes[outcome]++;
	client->kind = NULL;
	client->next = churn->idle;
	churn->idle = client;
	if (--churn->live == 0 && churn->to_begin == 0)
		report_run(churn);
}

static void fill(struct churn *churn)
{
	for (unsigned most = 64; most > 0 && churn->to_begin > 0 && churn->idle != NULL; most--) {
		struct client *client = churn->idle;

		churn->idle = client->next;
		churn->to_begin--;
		churn->live++;
		churn->begun++;
		begin(churn, client, &churn->kinds[churn->wheel[random_next(churn) % churn->wheel_size]]);
	}
}

/* --- held sessions --------------------------------------------------------------------------------------------------
 */

static void held_progress(struct churn *churn)
{
	if (--churn->held_waiting > 0)
		return;
	printf("held %zu told %zu cut %zu\n", churn->held_count - churn->held_told - churn->held_cut, churn->held_told,
	       churn->held_cut);
	fflush(stdout);
}

static void held_on_hold(struct client *client)
{
	if (client->awaited)
		held_progress(client->env->owner);
	client->awaited = false;
}

static void held_on_end(struct client *client, enum outcome outcome, const char *what)
{
	struct churn *churn = client->env->owner;

	if (churn->dropping)
		return;
	complain(churn, client, outcome == FINE ? CUT : outcome, what);
	*(outcome == TOLD ? &churn->held_told : &churn->held_cut) += 1;
	client->kind = NULL;
	held_on_hold(client);
}

static struct client *client_new(struct client_env *env)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		die("calloc");
	client->env = env;
	return client;
}

static void hold(struct churn *churn, size_t count)
{
	size_t all = churn->held_count + count;

	churn->held = realloc(churn->held, all * sizeof(struct client *));
	if (churn->held == NULL)
		die("realloc");
	churn->held_waiting += count;
	while (churn->held_count < all) {
		struct client *client = client_new(&churn->held_env);

		churn->held[churn->held_count++] = client;
		client->awaited = true;
		begin(churn, client, kind_named(churn, churn->held_count % 4 == 0 ? "held, TLS" : "held"));
	}
}

static void poke(struct churn *churn)
{
	churn->held_waiting = 1; /* this function, so that one answer comes after all */
	for (size_t i = 0; i < churn->held_count; i++) {
		if (churn->held[i]->kind == NULL)
			continue;
		churn->held_waiting++;
		churn->held[i]->awaited = true;
		client_go_on(churn->held[i]);
	}
	held_progress(churn);
}

/* Waits for the end of all that are left. */
static void count(struct churn *churn)
{
	churn->held_waiting = 1;
	for (size_t i = 0; i < churn->held_count; i++) {
		churn->held[i]->awaited = churn->held[i]->kind != NULL;
		churn->held_waiting += churn->held[i]->awaited;
	}
	held_progress(churn);
}

/* Not by the end of each: whoever is dropped was not lost. */
static void drop(struct churn *churn)
{
	churn->dropping = true;
	for (size_t i = 0; i < churn->held_count; i++) {
		if (churn->held[i]->kind != NULL)
			client_end(churn->held[i], FINE, "");
		free(churn->held[i]);
	}
	churn->dropping = false;
	churn->held_count = churn->held_told = churn->held_cut = 0;
}

/* --- the master -----------------------------------------------------------------------------------------------------
 */

static void listen_at(struct churn *churn, const char *name, const char *address)
{
	struct listener *listener = churn->listeners;

	while (listener < churn->listeners + churn->listeners_count && strcmp(listener->name, name) != 0)
		listener++;
	if (listener == churn->listeners + LISTENERS_MAX)
		usage_error("too many listeners");
	if (listener == churn->listeners + churn->listeners_count)
		churn->listeners_count++;
	snprintf(listener->name, sizeof(listener->name), "%s", name);
	endpoint_parse(&listener->endpoint, address);
}

static void run(struct churn *churn, uint64_t count)
{
	churn->to_begin = count;
	if (count == 0 && churn->live == 0)
		report_run(churn);
}

static void obey(struct churn *churn, const char *line)
{
	char name[64], address[128];
	unsigned long long n;

	if (sscanf(line, "listen %63s %127s", name, address) == 2) {
		listen_at(churn, name, address);
	} else if (strncmp(line, "only ", 5) == 0) {
		churn->wheel_size = 0;
		wheel_add(churn, (size_t)(kind_named(churn, line + 5) - churn->kinds), 1);
	} else if (sscanf(line, "run %llu", &n) == 1) {
		run(churn, n);
	} else if (sscanf(line, "hold %llu", &n) == 1) {
		hold(churn, (size_t)n);
	} else if (strcmp(line, "stop") == 0) {
		run(churn, 0);
	} else if (strcmp(line, "poke") == 0) {
		poke(churn);
	} else if (strcmp(line, "count") == 0) {
		count(churn);
	} else if (strcmp(line, "drop") == 0) {
		drop(churn);
	} else {
		usage_error("%s: not a command\n%s", line, usage);
	}
}

/* False: the master has gone. */
static bool listen_to_master(struct churn *churn)
{
	ssize_t n = read(STDIN_FILENO, churn->input + churn->input_len, sizeof(churn->input) - 1 - churn->input_len);
	char *end;

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	churn->input_len += (size_t)n;
	churn->input[churn->input_len] = '\0';
	while ((end = strchr(churn->input, '\n')) != NULL) {
		*end = '\0';
		obey(churn, churn->input);
		churn->input_len -= (size_t)(end + 1 - churn->input);
		memmove(churn->input, end + 1, churn->input_len + 1);
	}
	return true;
}

static void master_on_ready(struct item *item, uint32_t events)
{
	(void)events;
	if (!listen_to_master((struct churn *)item))
		exit(0);
}

/* Who has waited too long waits for something that was lost. */
static void sweep(struct churn *churn)
{
	uint64_t now = now_ns() / 1000000;

	if (now - churn->swept_ms < 1000)
		return;
	churn->swept_ms = now;
	for (size_t i = 0; i < churn->clients_count; i++)
		if (churn->clients[i]->kind != NULL && now - churn->clients[i]->since_ms > PATIENCE_MS)
			client_end(churn->clients[i], LATE, "nothing came");
}

static void churn_init(struct churn *churn, size_t clients)
{
	churn->loop = loop_new();
	churn->random = 88172645463325252u;
	churn->env = (struct client_env){ churn->loop, SSL_CTX_new(TLS_client_method()), on_end, NULL, churn };
	churn->held_env = (struct client_env){ churn->loop, churn->env.ctx, held_on_end, held_on_hold, churn };
	if (churn->env.ctx == NULL)
		usage_error("SSL_CTX_new failed");
	SSL_CTX_set_session_cache_mode(churn->env.ctx, SSL_SESS_CACHE_OFF);
	churn->kinds = kinds_read(&churn->kinds_count);
	wheel_fill(churn);
	churn->clients = calloc(clients, sizeof(struct client *));
	if (churn->clients == NULL)
		die("calloc");
	for (churn->clients_count = 0; churn->clients_count < clients; churn->clients_count++) {
		struct client *client = client_new(&churn->env);

		churn->clients[churn->clients_count] = client;
		client->next = churn->idle;
		churn->idle = client;
	}
}

int main(int argc, char **argv)
{
	struct churn churn = { .master = { master_on_ready, STDIN_FILENO, 0 } };
	size_t clients = 300;
	int option;

	while ((option = getopt(argc, argv, "n:")) == 'n')
		clients = (size_t)parse_number(optarg);
	if (option != -1 || optind == argc || clients == 0)
		usage_error("%s", usage);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	churn_init(&churn, clients);
	for (int i = optind; i < argc; i++)
		backend_listen(churn.loop, argv[i]);
	fflush(stdout);
	loop_watch(churn.loop, &churn.master, EPOLLIN);
	for (;;) {
		loop_turn(churn.loop, churn.to_begin > 0 && churn.idle != NULL ? 0 : 1000);
		fill(&churn);
		sweep(&churn);
	}
}
