/* tool_refused.c owns a crowd of clients whom a server has no room for: each connects, asks for an upgrade, and takes what it is told.
 * It must never wait for one client while another could go on.
 *
 *     tool_refused [-n CLIENTS] [-t SECONDS] [-r CLIENTS_A_SECOND] HOST:PORT
 *
 * CLIENTS are under way at most (64); without -r each is followed by the next at once. Prints one line of JSON: how many were
 * refused by 503 and 429, got another answer, or none; and the time from connecting to the answer's first byte. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "benchnet.h"
#include "load/histogram.h"

#define SOURCES 250 /* addresses to come from, so that ports do not run out */

static const char request[] = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

struct client {
	int fd; /* -1: none */
	uint64_t began;
	bool asked, answered;
};

struct crowd {
	struct endpoint to;
	int epoll_fd;
	uint32_t size, live, next_source;
	uint64_t seconds, rate;
	struct client *client;
	uint64_t begun, refused, other, none;
	uint64_t longest;
	struct histogram delay;
};

static void client_end(struct crowd *crowd, struct client *client)
{
	crowd->none += !client->answered;
	close(client->fd);
	client->fd = -1;
	crowd->live--;
}

static void client_begin(struct crowd *crowd, struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = client };

	*client = (struct client){ .began = now_ns() };
	client->fd = endpoint_connect(&crowd->to, 2 + crowd->next_source++ % SOURCES);
	if (client->fd < 0 || epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0)
		die("connect");
	crowd->begun++;
	crowd->live++;
}

static void client_ask(struct crowd *crowd, struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

	client->asked = true;
	if (send(client->fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
		client_end(crowd, client);
	else
		epoll_ctl(crowd->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

static void client_hear(struct crowd *crowd, struct client *client)
{
	char answer[2048];
	ssize_t n = recv(client->fd, answer, sizeof answer, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_end(crowd, client);
		return;
	}
	if (client->answered)
		return;
	client->answered = true;
	uint64_t delay = now_ns() - client->began;
	histogram_add(&crowd->delay, delay);
	if (delay > crowd->longest)
		crowd->longest = delay;
	if (n > 12 && (memcmp(answer, "HTTP/1.1 503", 12) == 0 || memcmp(answer, "HTTP/1.1 429", 12) == 0))
		crowd->refused++;
	else
		crowd->other++;
}

/* How many may have begun by now. */
static uint64_t crowd_due(const struct crowd *crowd, uint64_t passed_ns)
{
	return crowd->rate == 0 ? UINT64_MAX : (uint64_t)((double)crowd->rate * (double)passed_ns / 1e9) + 1;
}

static void crowd_fill(struct crowd *crowd, uint64_t passed_ns)
{
	for (uint32_t i = 0; i < crowd->size && crowd->begun < crowd_due(crowd, passed_ns); i++)
		if (crowd->client[i].fd < 0)
			client_begin(crowd, &crowd->client[i]);
}

static void crowd_turn(struct crowd *crowd)
{
	struct epoll_event events[256];
	int n = epoll_wait(crowd->epoll_fd, events, 256, 1);

	for (int i = 0; i < n; i++) {
		struct client *client = events[i].data.ptr;
		if (client->fd >= 0 && !client->asked && (events[i].events & EPOLLOUT))
			client_ask(crowd, client);
		if (client->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			client_hear(crowd, client);
	}
}

static void crowd_run(struct crowd *crowd)
{
	uint64_t began = now_ns(), passed = 0;

	while ((passed = now_ns() - began) < crowd->seconds * 1000000000u) {
		crowd_fill(crowd, passed);
		crowd_turn(crowd);
	}
	while (crowd->live > 0 && now_ns() - began < (crowd->seconds + 5) * 1000000000u)
		crowd_turn(crowd);
	printf("{\"seconds\": %.3f, \"begun\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"other\": %" PRIu64 ", \"none\": %" PRIu64
	       ", \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
	       (double)passed / 1e9, crowd->begun, crowd->refused, crowd->other, crowd->none + crowd->live,
	       (double)histogram_share(&crowd->delay, 0.5) / 1e6, (double)histogram_share(&crowd->delay, 0.99) / 1e6,
	       (double)crowd->longest / 1e6);
}

int main(int argc, char **argv)
{
	struct crowd crowd = { .size = 64, .seconds = 5 };
	int option;

	while ((option = getopt(argc, argv, "n:t:r:")) != -1) {
		uint64_t value = option == '?' ? 0 : parse_number(optarg);
		if (option == 'n')
			crowd.size = (uint32_t)value;
		else if (option == 't')
			crowd.seconds = value;
		else
			crowd.rate = value;
	}
	if (optind != argc - 1 || crowd.size == 0)
		usage_error("tool_refused [-n CLIENTS] [-t SECONDS] [-r CLIENTS_A_SECOND] HOST:PORT");
	raise_descriptor_limit();
	endpoint_parse(&crowd.to, argv[optind]);
	crowd.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	crowd.client = calloc(crowd.size, sizeof *crowd.client);
	if (crowd.epoll_fd < 0 || crowd.client == NULL)
		die("preparing");
	for (uint32_t i = 0; i < crowd.size; i++)
		crowd.client[i].fd = -1;
	crowd_run(&crowd);
	free(crowd.client);
	return 0;
}
