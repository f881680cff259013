/* main.c owns a run of the load generator from its first session to its report.
 * It must never look into a session: conn.c and modes.c do. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "conn.h"
#include "modes.h"

#define GRACE_NS 10000000000u      /* for the far end to finish after the load is over */
#define OPENING_NS 30000000000u    /* for all sessions to open */
#define OPEN_BATCH 100             /* opening all at once would overrun the backlogs of the server under test */

/* Tickets come behind the handshake. A copy is kept, since a connection that breaks spoils the session that it has. */
static int load_keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct load *load = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(load->session);
	load->session = SSL_SESSION_dup(session);
	return 0;
}

static void load_prepare(struct load *load)
{
	load->mode = mode_find(load->set.mode);
	if (load->mode == NULL)
		usage_error("%s: not up, down, echo, handshake or idle", load->set.mode);
	traffic_make(&load->traffic, &load->set);
	load->tally.watched = load->set.watched;
	load->conns = calloc(load->set.sessions, sizeof *load->conns);
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (load->conns == NULL || load->epoll_fd < 0)
		die("preparing");
	if (!load->set.tls)
		return;
	load->ctx = SSL_CTX_new(TLS_client_method());
	if (load->ctx == NULL)
		die("SSL_CTX_new");
	SSL_CTX_set_mode(load->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                SSL_MODE_RELEASE_BUFFERS);
	if (!load->set.resume)
		return;
	SSL_CTX_set_app_data(load->ctx, load);
	SSL_CTX_set_session_cache_mode(load->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(load->ctx, load_keep_session);
}

static void load_turn(struct load *load, int timeout)
{
	struct epoll_event events[256];
	int n = epoll_wait(load->epoll_fd, events, 256, timeout);

	for (int i = 0; i < n; i++) {
		struct conn *conn = events[i].data.ptr;

		if (conn->phase != DONE)
			conn_ready(load, conn, events[i].events);
	}
}

static void load_open(struct load *load)
{
	tally_begin(&load->tally);
	for (uint32_t i = 0; i < load->set.sessions; i++) {
		conn_start(load, &load->conns[i]);
		load->live++;
		if (i % OPEN_BATCH == OPEN_BATCH - 1)
			load_turn(load, 10);
	}
}

/* The time begins when the last session opens, which may take long, but not for ever. */
static uint64_t load_deadline(const struct load *load)
{
	uint64_t opening = load->opened < load->set.sessions ? OPENING_NS : 0;

	return load->tally.began + load->set.duration_ns + opening;
}

static void load_run(struct load *load)
{
	uint64_t now = now_ns();

	while (load->live > 0 && now < load_deadline(load)) {
		load_turn(load, (int)((load_deadline(load) - now) / 1000000u) + 1);
		now = now_ns();
	}
}

static void load_stop(struct load *load)
{
	uint64_t deadline = now_ns() + GRACE_NS;

	load->over = true;
	for (uint32_t i = 0; i < load->set.sessions; i++)
		mode_stop(load, &load->conns[i]);
	while (load->live > 0 && now_ns() < deadline)
		load_turn(load, 100);
}

static void load_report(const struct load *load, const struct tally *tally)
{
	struct outcome outcome = { .opened = load->opened, .unfinished = load->live };

	outcome.frame_len = load->traffic.frame_len > 1 ? load->traffic.frame_len : 0;
	outcome.payload_len = load->set.size;
	tally_print(tally, &outcome);
}

int main(int argc, char **argv)
{
	struct load *load = calloc(1, sizeof *load);
	struct tally counted;

	if (load == NULL)
		die("calloc");
	options_parse(&load->set, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	load_prepare(load);
	load_open(load);
	load_run(load);
	tally_end(&load->tally);
	counted = load->tally;
	load_stop(load);
	load_report(load, &counted);
	return counted.failed > 0;
}
