/* tool_load.c owns the near end of a measurement: many WebSocket clients, or raw TCP ones, in one thread.
 * It must never spend more than it has to: frames are made once, and what comes is looked at only if needed. */
#include "benchnet.h"

#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHUNK (256 * 1024)
#define FRAME_HEADER_MAX 14
#define PATTERN_MIN (128 * 1024)
#define GRACE_NS 10000000000u      /* for the far end to finish after the load is over */
#define HISTOGRAM_SUB 32           /* steps of one power of two: a resolution of 3 % */
#define HISTOGRAM_SIZE (40 * HISTOGRAM_SUB)

struct load;
struct conn;

struct mode {
	const char *name;
	void (*on_open)(struct load *load, struct conn *conn);
	void (*on_data)(struct load *load, struct conn *conn, const uint8_t *data, size_t len);
	void (*on_writable)(struct load *load, struct conn *conn);
	bool repeats;              /* a finished connection is opened anew until the time is up */
};

struct options {
	struct endpoint address;
	const char *path, *origin;
	uint64_t size, declared, frames, seconds;
	uint32_t sessions, sources;
	uint8_t opcode;
	bool raw, tls, deaf, fragments, abrupt;
};

enum phase { CONNECTING, HANDSHAKE, HEAD, OPEN, CLOSING, DONE };

struct conn {
	int fd;
	SSL *ssl;
	enum phase phase;
	uint32_t watched;
	const uint8_t *out;        /* what is being sent, once: the request, an echo, the Close */
	size_t out_len;
	uint64_t sent, limit;      /* of the pattern, in bytes */
	size_t head_len;
	char head[1024];
	uint64_t stamp;            /* when the echo left, or the connection began */
	uint64_t payload_left;     /* decoding of what the server sends */
	size_t header_len;
	uint8_t header[10];
	uint64_t echoed;
};

struct load {
	struct options set;
	const struct mode *mode;
	int epoll_fd;
	SSL_CTX *ctx;
	struct conn *conns;
	uint8_t *pattern;          /* prefix (sent once), then the cycle (sent over and over) */
	size_t prefix_len, cycle_len, frame_len;
	uint8_t close_frame[8];
	size_t close_len;
	char request[1024];
	size_t request_len;
	uint32_t live, opened;
	bool over;
	uint64_t began, ended;
	uint64_t wire_out, wire_in, messages, failed;
	uint64_t *histogram;
	uint8_t buffer[CHUNK];
};

/* --- latency ------------------------------------------------------------------------------------------------------ */

static size_t histogram_slot(uint64_t us)
{
	unsigned power = us < HISTOGRAM_SUB ? 0 : 63u - (unsigned)__builtin_clzll(us / HISTOGRAM_SUB);
	size_t slot = power * HISTOGRAM_SUB + (size_t)(us >> power);

	return slot < HISTOGRAM_SIZE ? slot : HISTOGRAM_SIZE - 1;
}

static uint64_t histogram_value(size_t slot)
{
	unsigned power = slot < 2 * HISTOGRAM_SUB ? 0 : (unsigned)(slot / HISTOGRAM_SUB) - 1;

	return (uint64_t)(slot - power * HISTOGRAM_SUB) << power;
}

static uint64_t percentile(const struct load *load, double share)
{
	uint64_t wanted = (uint64_t)((double)load->messages * share);
	uint64_t seen = 0;
	size_t slot = 0;

	while (load->messages > 0 && slot < HISTOGRAM_SIZE - 1 && (seen += load->histogram[slot]) <= wanted)
		slot++;
	return histogram_value(slot);
}

static void count_message(struct load *load, struct conn *conn)
{
	load->messages++;
	load->histogram[histogram_slot((now_ns() - conn->stamp) / 1000)]++;
}

/* --- one connection ----------------------------------------------------------------------------------------------- */

static void conn_watch(struct load *load, struct conn *conn, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = conn };
	int op = conn->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (conn->watched == events)
		return;
	if (epoll_ctl(load->epoll_fd, op, conn->fd, &event) < 0)
		die("epoll_ctl");
	conn->watched = events;
}

static uint32_t reading(const struct load *load, const struct conn *conn)
{
	return load->set.deaf && conn->phase == OPEN ? EPOLLRDHUP : EPOLLIN;
}

static void conn_start(struct load *load, struct conn *conn)
{
	uint32_t index = (uint32_t)(conn - load->conns);

	memset(conn, 0, sizeof *conn);
	conn->fd = endpoint_connect(&load->set.address, load->set.sources == 0 ? 0 : 2 + index % load->set.sources);
	conn->limit = UINT64_MAX;
	if (load->set.frames > 0)
		conn->limit = load->prefix_len + (uint64_t)load->frame_len * load->set.frames;
	conn->stamp = now_ns();
	conn_watch(load, conn, EPOLLOUT);
}

static void conn_end(struct load *load, struct conn *conn, bool failed)
{
	load->failed += failed && !load->over;
	SSL_free(conn->ssl);
	close(conn->fd);
	conn->phase = DONE;
	if (load->mode->repeats && !load->over && (!failed || load->failed < 100))
		conn_start(load, conn);
	else
		load->live--;
}

/* Bytes moved, 0 for the end, -1 for not now (and then the right event is watched), -2 for a failure. */
static ssize_t conn_result(struct load *load, struct conn *conn, ssize_t n)
{
	if (conn->ssl == NULL)
		return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : -2;
	if (n > 0)
		return n;
	switch (SSL_get_error(conn->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
		conn_watch(load, conn, conn->phase == HANDSHAKE ? EPOLLIN : conn->watched | EPOLLIN);
		return -1;
	case SSL_ERROR_WANT_WRITE:
		conn_watch(load, conn, EPOLLIN | EPOLLOUT);
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return -2;
	}
}

static ssize_t conn_read(struct load *load, struct conn *conn, bool look)
{
	ssize_t n;

	ERR_clear_error();
	if (conn->ssl != NULL)
		n = SSL_read(conn->ssl, load->buffer, CHUNK);
	else
		n = recv(conn->fd, load->buffer, CHUNK, look ? 0 : MSG_TRUNC);
	n = conn_result(load, conn, n);
	if (n > 0)
		load->wire_in += (uint64_t)n;
	return n;
}

static ssize_t conn_write(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
	ssize_t n;

	ERR_clear_error();
	if (conn->ssl != NULL)
		n = SSL_write(conn->ssl, data, len > CHUNK ? CHUNK : (int)len);
	else
		n = send(conn->fd, data, len, MSG_NOSIGNAL);
	return conn_result(load, conn, n);
}

/* Sends data, which must stay where it is, and goes on when the socket takes more. */
static void conn_send(struct load *load, struct conn *conn, const void *data, size_t len)
{
	ssize_t n = conn_write(load, conn, data, len);

	if (n < -1) {
		conn_end(load, conn, true);
		return;
	}
	if (n < 0)
		n = 0;
	conn->out = (const uint8_t *)data + n;
	conn->out_len = len - (size_t)n;
	conn_watch(load, conn, conn->out_len > 0 ? EPOLLIN | EPOLLOUT : reading(load, conn));
}

/* The polite end: a Close frame, or a FIN without WebSocket; then the far end closes. */
static void conn_finish(struct load *load, struct conn *conn)
{
	if (load->set.abrupt) {
		conn_end(load, conn, false);
		return;
	}
	conn->phase = CLOSING;
	if (!load->set.raw) {
		conn_send(load, conn, load->close_frame, load->close_len);
		if (conn->phase == CLOSING)
			conn_watch(load, conn, conn->out_len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
		return;
	}
	if (conn->ssl != NULL)
		SSL_shutdown(conn->ssl);
	else
		shutdown(conn->fd, SHUT_WR);
	conn_watch(load, conn, EPOLLIN);
}

static void conn_open(struct load *load, struct conn *conn)
{
	conn->phase = OPEN;
	conn_watch(load, conn, reading(load, conn));
	if (++load->opened == load->set.sessions && !load->mode->repeats) {
		printf("open %u\n", load->opened);
		fflush(stdout);
	}
	if (load->over)
		conn_finish(load, conn);
	else
		load->mode->on_open(load, conn);
}

static void conn_handshaken(struct load *load, struct conn *conn)
{
	if (load->set.raw) {
		conn_open(load, conn);
		return;
	}
	conn->phase = HEAD;
	conn_send(load, conn, load->request, load->request_len);
}

static void conn_handshake(struct load *load, struct conn *conn)
{
	int n;

	if (conn->ssl == NULL) {
		conn->ssl = SSL_new(load->ctx);
		if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1)
			die("SSL_new");
		conn->phase = HANDSHAKE;
	}
	ERR_clear_error();
	n = SSL_connect(conn->ssl);
	if (n == 1)
		conn_handshaken(load, conn);
	else if (conn_result(load, conn, n) != -1)
		conn_end(load, conn, true);
}

static void conn_connected(struct load *load, struct conn *conn)
{
	int error = 0;
	socklen_t len = sizeof error;

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		conn_end(load, conn, true);
	else if (load->set.tls)
		conn_handshake(load, conn);
	else
		conn_handshaken(load, conn);
}

/* Whatever follows the head in the same read belongs to the stream already. */
static void conn_head(struct load *load, struct conn *conn)
{
	ssize_t n = conn_read(load, conn, true);
	size_t room = sizeof conn->head - 1 - conn->head_len;
	size_t take = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room;
	size_t before = conn->head_len;
	char *end;

	if (n == -1)
		return;
	memcpy(conn->head + before, load->buffer, take);
	conn->head_len += take;
	conn->head[conn->head_len] = '\0';
	end = strstr(conn->head, "\r\n\r\n");
	if (n <= 0 || (end == NULL && take == room) || (end != NULL && strncmp(conn->head, "HTTP/1.1 101", 12) != 0)) {
		if (load->failed == 0 && !load->over)
			fprintf(stderr, "refused: %.60s\n", conn->head);
		conn_end(load, conn, true);
		return;
	}
	if (end == NULL)
		return;
	take = (size_t)(end - conn->head) + 4 - before;
	conn_open(load, conn);
	if (conn->phase == OPEN && (size_t)n > take && load->mode->on_data != NULL)
		load->mode->on_data(load, conn, load->buffer + take, (size_t)n - take);
}

static void conn_readable(struct load *load, struct conn *conn)
{
	bool look = load->mode->on_data != NULL && conn->phase == OPEN;
	ssize_t n = conn_read(load, conn, look);

	if (n == -1)
		return;
	if (n <= 0)
		conn_end(load, conn, conn->phase != CLOSING || n < 0);
	else if (look)
		load->mode->on_data(load, conn, load->buffer, (size_t)n);
}

static void conn_writable(struct load *load, struct conn *conn)
{
	if (conn->out_len > 0)
		conn_send(load, conn, conn->out, conn->out_len);
	else if (conn->phase == OPEN && load->mode->on_writable != NULL)
		load->mode->on_writable(load, conn);
	else
		conn_watch(load, conn, conn->phase == CLOSING ? EPOLLIN : reading(load, conn));
}

static void conn_ready(struct load *load, struct conn *conn, uint32_t events)
{
	switch (conn->phase) {
	case CONNECTING:
		conn_connected(load, conn);
		return;
	case HANDSHAKE:
		conn_handshake(load, conn);
		return;
	case HEAD:
		if (conn->out_len > 0)
			conn_send(load, conn, conn->out, conn->out_len);
		else
			conn_head(load, conn);
		return;
	default:
		break;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		conn_readable(load, conn);
	if ((events & EPOLLOUT) && conn->phase != DONE && (conn->watched & EPOLLOUT))
		conn_writable(load, conn);
}

/* --- modes -------------------------------------------------------------------------------------------------------- */

static void up_on_open(struct load *load, struct conn *conn)
{
	conn_watch(load, conn, reading(load, conn) | EPOLLOUT);
}

/* A stream ends at a frame's border, so that the Close behind it is understood. */
static void up_set_limit(const struct load *load, struct conn *conn)
{
	uint64_t in_cycle = conn->sent < load->prefix_len ? 0 : conn->sent - load->prefix_len;
	uint64_t frames = (in_cycle + load->frame_len - 1) / load->frame_len;

	if (conn->limit > load->prefix_len + frames * load->frame_len)
		conn->limit = load->prefix_len + frames * load->frame_len;
}

static void up_on_writable(struct load *load, struct conn *conn)
{
	size_t end = load->prefix_len + load->cycle_len;
	size_t at = conn->sent < end ? (size_t)conn->sent : load->prefix_len + (conn->sent - end) % load->cycle_len;
	uint64_t left = conn->limit - conn->sent;
	ssize_t n = conn_write(load, conn, load->pattern + at, left < end - at ? (size_t)left : end - at);

	if (n < -1 || n == 0) {
		conn_end(load, conn, true);
		return;
	}
	if (n == -1)
		return;
	conn_watch(load, conn, reading(load, conn) | EPOLLOUT);
	conn->sent += (uint64_t)n;
	load->wire_out += (uint64_t)n;
	if (conn->sent == conn->limit)
		conn_finish(load, conn);
}

static void nothing_on_open(struct load *load, struct conn *conn)
{
	(void)load;
	(void)conn;
}

static void echo_on_open(struct load *load, struct conn *conn)
{
	conn->stamp = now_ns();
	conn_send(load, conn, load->pattern, load->frame_len);
}

static void echo_next(struct load *load, struct conn *conn)
{
	conn->echoed = 0;
	count_message(load, conn);
	if (load->over)
		conn_finish(load, conn);
	else
		echo_on_open(load, conn);
}

/* The header of a server's frame: 2, 4 or 10 bytes, no masking key. Returns the input it used. */
static size_t echo_header(struct conn *conn, const uint8_t *data, size_t len)
{
	size_t used = 0;
	size_t need = 2;

	while (used < len) {
		conn->header[conn->header_len++] = data[used++];
		need = conn->header_len < 2 || conn->header[1] < 126 ? 2 : conn->header[1] == 126 ? 4 : 10;
		if (conn->header_len < need)
			continue;
		conn->payload_left = need == 2 ? conn->header[1] : 0;
		for (size_t i = 2; i < need; i++)
			conn->payload_left = conn->payload_left << 8 | conn->header[i];
		conn->header_len = 0;
		break;
	}
	return used;
}

static void echo_on_frames(struct conn *conn, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t used;

		if (conn->payload_left == 0) {
			used = echo_header(conn, data, len);
		} else {
			used = conn->payload_left < len ? (size_t)conn->payload_left : len;
			conn->payload_left -= used;
			conn->echoed += used;
		}
		data += used;
		len -= used;
	}
}

static void echo_on_data(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
	uint64_t whole = load->set.raw ? load->frame_len : load->set.size;

	if (load->set.raw)
		conn->echoed += len;
	else
		echo_on_frames(conn, data, len);
	if (conn->echoed >= whole)
		echo_next(load, conn);
}

static void handshake_on_open(struct load *load, struct conn *conn)
{
	count_message(load, conn);
	conn_finish(load, conn);
}

static const struct mode modes[] = {
	{ "up", up_on_open, NULL, up_on_writable, false },
	{ "down", nothing_on_open, NULL, NULL, false },
	{ "echo", echo_on_open, echo_on_data, NULL, false },
	{ "handshake", handshake_on_open, NULL, NULL, true },
	{ "idle", nothing_on_open, NULL, NULL, false },
};

/* --- what is sent ------------------------------------------------------------------------------------------------- */

static const uint8_t masking_key[4] = { 0x37, 0xfa, 0x21, 0x3d };

static size_t frame_header(uint8_t *out, uint8_t first, uint64_t len)
{
	unsigned bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;
	size_t at = 2;

	out[0] = first;
	out[1] = (uint8_t)(0x80 | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
	for (unsigned i = 0; i < bytes; i++)
		out[at++] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
	memcpy(out + at, masking_key, 4);
	return at + 4;
}

static size_t frame_make(uint8_t *out, uint8_t first, size_t len)
{
	size_t header = frame_header(out, first, len);

	for (size_t i = 0; i < len; i++)
		out[header + i] = (uint8_t)(i * 7) ^ masking_key[i % 4];
	return header + len;
}

static void pattern_frames(struct load *load, uint8_t first)
{
	load->frame_len = frame_make(load->pattern + load->prefix_len, first, (size_t)load->set.size);
	load->cycle_len = load->frame_len;
	while (load->cycle_len < PATTERN_MIN) {
		memcpy(load->pattern + load->prefix_len + load->cycle_len, load->pattern + load->prefix_len, load->frame_len);
		load->cycle_len += load->frame_len;
	}
}

/* Whole frames; or one that never ends (a declared length); or one message in endless fragments. */
static void pattern_make(struct load *load)
{
	const struct options *set = &load->set;

	load->pattern = calloc(1, 2 * (PATTERN_MIN + FRAME_HEADER_MAX + (size_t)set->size) + CHUNK);
	if (load->pattern == NULL)
		die("calloc");
	if (set->declared > 0) {
		load->prefix_len = frame_header(load->pattern, 0x80 | set->opcode, set->declared);
		load->cycle_len = CHUNK;
		load->frame_len = 1;
	} else if (set->fragments) {
		load->prefix_len = frame_make(load->pattern, set->opcode, 1);
		pattern_frames(load, 0);
	} else {
		pattern_frames(load, 0x80 | set->opcode);
	}
}

static void request_make(struct load *load)
{
	const struct options *set = &load->set;
	static const uint8_t normal[2] = { 1000 >> 8, 1000 & 0xff };
	int len = snprintf(load->request, sizeof load->request,
	                   "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	                   "Sec-WebSocket-Protocol: binary\r\n%s%s%s\r\n",
	                   set->path, set->origin ? "Origin: " : "", set->origin ? set->origin : "",
	                   set->origin ? "\r\n" : "");

	if (len < 0 || (size_t)len >= sizeof load->request)
		usage_error("the path or the origin is too long");
	load->request_len = (size_t)len;
	load->close_len = frame_header(load->close_frame, 0x88, 2);
	load->close_frame[load->close_len++] = normal[0] ^ masking_key[0];
	load->close_frame[load->close_len++] = normal[1] ^ masking_key[1];
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static void load_stop_conn(struct load *load, struct conn *conn)
{
	if (conn->phase != OPEN)
		return;
	if (load->mode->on_writable == NULL) {
		if (load->mode->on_data == NULL)
			conn_finish(load, conn);
		return;
	}
	up_set_limit(load, conn);
	if (conn->sent == conn->limit || load->set.declared > 0)
		conn_finish(load, conn);
}

static void load_stop(struct load *load)
{
	load->over = true;
	load->ended = now_ns();
	for (uint32_t i = 0; i < load->set.sessions; i++)
		load_stop_conn(load, &load->conns[i]);
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

static void load_run(struct load *load)
{
	uint64_t deadline = load->began + load->set.seconds * 1000000000u;

	while (load->live > 0 && now_ns() < deadline)
		load_turn(load, (int)((deadline - now_ns()) / 1000000u) + 1);
	load_stop(load);
	deadline = now_ns() + GRACE_NS;
	while (load->live > 0 && now_ns() < deadline)
		load_turn(load, 100);
}

/* Opening all at once would overrun the backlogs of the machine under test. */
static void load_start(struct load *load)
{
	load->began = now_ns();
	for (uint32_t i = 0; i < load->set.sessions; i++) {
		conn_start(load, &load->conns[i]);
		load->live++;
		if (i % 100 == 99)
			load_turn(load, 10);
	}
}

static void load_report(const struct load *load)
{
	uint64_t frames = load->frame_len > 1 ? load->wire_out / load->frame_len : 0;
	double seconds = (double)(load->ended - load->began) / 1e9;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\"seconds\": %.3f, \"opened\": %u, \"failed\": %llu, \"unfinished\": %u, \"frames\": %llu, "
	       "\"bytes_out\": %llu, \"bytes_in\": %llu, \"messages\": %llu, \"p50_us\": %llu, \"p99_us\": %llu, "
	       "\"p999_us\": %llu, \"own_cpu\": %.3f}\n",
	       seconds, load->opened, (unsigned long long)load->failed, load->live, (unsigned long long)frames,
	       (unsigned long long)(frames > 0 ? frames * load->set.size : load->wire_out), (unsigned long long)load->wire_in,
	       (unsigned long long)load->messages, (unsigned long long)percentile(load, 0.50),
	       (unsigned long long)percentile(load, 0.99), (unsigned long long)percentile(load, 0.999),
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

/* --- the command line --------------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: tool_load MODE [options] HOST:PORT|unix:NAME\n"
    "  MODE  up         masked frames as fast as they are taken (-s, -c, -d, -F, -o)\n"
    "        down       takes what comes\n"
    "        echo       one message at a time there and back, with latencies\n"
    "        handshake  open, upgrade, close, and again\n"
    "        idle       opens its sessions and holds them\n"
    "  -n N  sessions (1)            -t S  seconds (5)            -s SIZE  payload of a frame (64k)\n"
    "  -c N  frames a session, 0 = until the time is up           -d SIZE  declare one frame so long and never end it\n"
    "  -F    one message in endless fragments                     -o N     opcode (2; 9 is a ping)\n"
    "  -r    raw: no upgrade and no Close, the same frames        -S       TLS (the certificate is not checked)\n"
    "  -q    never read after the upgrade                         -x       end without Close\n"
    "  -p P  path (/)                -O O  Origin                 -a N     spread over N source addresses\n"
    "Prints `open N` once all sessions are open, and one line of JSON at the end; bytes_out is payload, bytes_in is\n"
    "as on the wire, frame headers included.";

static void options_parse(struct load *load, int argc, char **argv)
{
	struct options *set = &load->set;
	int option;

	*set = (struct options){ .path = "/", .size = 65536, .seconds = 5, .sessions = 1, .opcode = 2 };
	while ((option = getopt(argc, argv, "n:t:s:c:d:Fo:rSqxp:O:a:")) != -1) {
		switch (option) {
		case 'n': set->sessions = (uint32_t)parse_number(optarg); break;
		case 't': set->seconds = parse_number(optarg); break;
		case 's': set->size = parse_number(optarg); break;
		case 'c': set->frames = parse_number(optarg); break;
		case 'd': set->declared = parse_number(optarg); break;
		case 'F': set->fragments = true; break;
		case 'o': set->opcode = (uint8_t)parse_number(optarg); break;
		case 'r': set->raw = true; break;
		case 'S': set->tls = true; break;
		case 'q': set->deaf = true; break;
		case 'x': set->abrupt = true; break;
		case 'p': set->path = optarg; break;
		case 'O': set->origin = optarg; break;
		case 'a': set->sources = (uint32_t)parse_number(optarg); break;
		default: usage_error("%s", usage);
		}
	}
	if (argc - optind != 2 || set->sessions == 0)
		usage_error("%s", usage);
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (strcmp(argv[optind], modes[i].name) == 0)
			load->mode = &modes[i];
	if (load->mode == NULL)
		usage_error("%s", usage);
	endpoint_parse(&set->address, argv[optind + 1]);
}

static void load_prepare(struct load *load)
{
	pattern_make(load);
	request_make(load);
	load->histogram = calloc(HISTOGRAM_SIZE, sizeof *load->histogram);
	load->conns = calloc(load->set.sessions, sizeof *load->conns);
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (load->histogram == NULL || load->conns == NULL || load->epoll_fd < 0)
		die("preparing");
	if (!load->set.tls)
		return;
	load->ctx = SSL_CTX_new(TLS_client_method());
	if (load->ctx == NULL)
		die("SSL_CTX_new");
	SSL_CTX_set_mode(load->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                SSL_MODE_RELEASE_BUFFERS);
}

int main(int argc, char **argv)
{
	struct load *load = calloc(1, sizeof *load);

	if (load == NULL)
		die("calloc");
	options_parse(load, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	load_prepare(load);
	load_start(load);
	load_run(load);
	load_report(load);
	return load->failed > 0;
}
