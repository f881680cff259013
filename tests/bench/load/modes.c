/* modes.c owns what sessions do between the upgrade and the Close.
 * It must never touch a descriptor: conn.c moves the bytes. */
#include "modes.h"

#include <string.h>
#include <sys/epoll.h>

static void nothing_on_open(struct load *load, struct conn *conn)
{
	(void)load;
	(void)conn;
}

static void up_on_open(struct load *load, struct conn *conn)
{
	conn_watch(load, conn, conn_reading(load, conn) | EPOLLOUT);
}

static void up_on_writable(struct load *load, struct conn *conn)
{
	uint64_t left = conn->limit - conn->sent;
	size_t len;
	const uint8_t *data = traffic_at(&load->traffic, conn->sent, &len);
	ssize_t n = conn_write(load, conn, data, left < len ? (size_t)left : len);

	if (n < -1 || n == 0) {
		conn_end(load, conn, true);
		return;
	}
	if (n == -1)
		return;
	conn_watch(load, conn, conn_reading(load, conn) | EPOLLOUT);
	conn->sent += (uint64_t)n;
	load->tally.wire_out += (uint64_t)n;
	if (conn->sent == conn->limit)
		conn_finish(load, conn);
}

static void echo_send(struct load *load, struct conn *conn)
{
	conn->stamp = now_ns();
	conn->awaits = true;
	load->awaited++;
	conn_send(load, conn, load->traffic.pattern, load->traffic.frame_len);
}

static void echo_on_open(struct load *load, struct conn *conn)
{
	if (load->set.window == 0 || load->awaited < load->set.window)
		echo_send(load, conn);
}

/* With a window the sessions take turns; the one that has just been answered is free, so one is found. */
static struct conn *echo_next_sender(struct load *load, struct conn *answered)
{
	struct conn *conn = answered;

	while (load->set.window > 0) {
		load->turn = (load->turn + 1) % load->set.sessions;
		conn = &load->conns[load->turn];
		if (conn->phase == OPEN && !conn->awaits)
			break;
	}
	return conn;
}

static void echo_next(struct load *load, struct conn *conn)
{
	conn->echoed = 0;
	conn->awaits = false;
	load->awaited--;
	tally_message(&load->tally, conn->stamp);
	if (load->over)
		conn_finish(load, conn);
	else
		echo_send(load, echo_next_sender(load, conn));
}

static void echo_on_data(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
	bool raw = load->set.raw;

	conn->echoed += raw ? len : frame_reader_payload(&conn->reader, data, len);
	if (conn->echoed >= (raw ? load->traffic.frame_len : load->set.size))
		echo_next(load, conn);
}

static void handshake_on_open(struct load *load, struct conn *conn)
{
	tally_message(&load->tally, conn->stamp);
	conn_finish(load, conn);
}

static const struct mode modes[] = {
	{ "up", up_on_open, NULL, up_on_writable, false },
	{ "down", nothing_on_open, NULL, NULL, false },
	{ "echo", echo_on_open, echo_on_data, NULL, false },
	{ "handshake", handshake_on_open, NULL, NULL, true },
	{ "idle", nothing_on_open, NULL, NULL, false },
};

const struct mode *mode_find(const char *name)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (strcmp(name, modes[i].name) == 0)
			return &modes[i];
	return NULL;
}

/* A stream ends at a frame's border, so that the Close behind it is understood; one frame without an end cannot. */
static void up_stop(struct load *load, struct conn *conn)
{
	uint64_t end = traffic_frame_end(&load->traffic, conn->sent);

	if (conn->limit > end)
		conn->limit = end;
	if (conn->sent == conn->limit || load->set.declared > 0)
		conn_finish(load, conn);
}

void mode_stop(struct load *load, struct conn *conn)
{
	if (conn->phase != OPEN)
		return;
	if (load->mode->on_writable != NULL)
		up_stop(load, conn);
	else if (!conn->awaits)
		conn_finish(load, conn);
}
