/* judge.c owns a second, slow reading of HTTP answers and WebSocket frames, and the checks of their form.
 * It must never share a line with src/proto, nor know what the session thinks it did. */
#include "judge.h"

#include "../check.h"

#define PART_MAX 125

static uint8_t close_at[2][PART_MAX], ping_at[2][PART_MAX], pong_at[2][PART_MAX];

bool bytes_begin_with(const struct bytes *whole, const uint8_t *at, size_t len)
{
	return len <= whole->len && (len == 0 || memcmp(whole->at, at, len) == 0);
}

/* --- characters --------------------------------------------------------------------------------------------------- */

/* The length of the character at p: 0 when none begins so, more than n when it is cut but may still become one. */
static size_t character(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	uint32_t low = len < 2 ? p[0] : p[0] & (0x7fu >> len), high;

	if (len == 0)
		return 0;
	high = low;
	for (size_t i = 1; i < len; i++) { /* from the least to the most that it can become */
		if (i < n && p[i] >> 6 != 2)
			return 0;
		low = low << 6 | (i < n ? p[i] & 0x3fu : 0);
		high = high << 6 | (i < n ? p[i] & 0x3fu : 0x3fu);
	}
	if (high < least[len] || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff))
		return 0;
	return len;
}

/* Goes on from *at; false: what is there is no text. *at is left in front of a character that is cut. */
static bool read_text(const struct bytes *text, size_t *at)
{
	while (*at < text->len) {
		size_t n = character(text->at + *at, text->len - *at);
		if (n == 0)
			return false;
		if (n > text->len - *at)
			return true;
		*at += n;
	}
	return true;
}

static bool is_text(const uint8_t *at, size_t len)
{
	struct bytes text = { (uint8_t *)(uintptr_t)at, len, len };
	size_t end = 0;

	return read_text(&text, &end) && end == len;
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

struct header {
	size_t size;
	uint64_t len;
	bool fin, masked, legal;
	uint8_t opcode, mask[4];
};

static uint64_t number(const uint8_t *at, size_t n)
{
	uint64_t value = 0;

	while (n-- > 0)
		value = value * 256 + *at++;
	return value;
}

/* False: it is cut. */
static bool read_header(struct header *h, const uint8_t *p, size_t n)
{
	if (n < 2)
		return false;
	uint8_t code = p[1] & 127;
	size_t wide = code == 126 ? 2 : code == 127 ? 8 : 0;
	*h = (struct header){ .fin = p[0] & 128, .opcode = p[0] & 15, .masked = p[1] & 128, .len = code };
	h->size = 2 + wide + (h->masked ? 4 : 0);
	h->legal = (p[0] & 0x70) == 0 && (h->opcode < 3 || (h->opcode > 7 && h->opcode < 11));
	if (h->opcode > 7 && (!h->fin || code > PART_MAX))
		h->legal = false;
	if (!h->legal)
		return true; /* that much tells already */
	if (n < h->size)
		return false;
	if (wide > 0)
		h->len = number(p + 2, wide);
	if ((wide == 2 && h->len < 126) || (wide == 8 && (h->len < 65536 || h->len >> 63 != 0)))
		h->legal = false;
	if (h->masked)
		memcpy(h->mask, p + h->size - 4, 4);
	return true;
}

static bool close_legal(const struct bytes *close)
{
	if (close->len == 0)
		return true;
	if (close->len == 1)
		return false;
	uint64_t code = number(close->at, 2);
	bool known = (code > 999 && code < 1004) || (code > 1006 && code < 1015) || (code > 2999 && code < 5000);
	return known && is_text(close->at + 2, close->len - 2);
}

/* Where a stream stands between two frames. */
struct reading {
	struct frames *frames;
	struct rules rules;
	uint8_t opcode; /* of the message under way; 0: none */
	uint64_t len;   /* ... and how long it is so far */
	size_t text_at; /* how far its characters were read */
};

static bool begin_data(struct reading *r, const struct header *h)
{
	struct frames *f = r->frames;

	if ((h->opcode == 0) != (r->opcode != 0))
		return false;
	if (h->opcode != 0) {
		r->opcode = h->opcode;
		r->len = 0;
		r->text_at = f->payload.len;
		if (f->messages < JUDGE_MESSAGES)
			f->message[f->messages++] = (struct message){ .opcode = h->opcode };
	}
	r->len += h->len;
	if ((r->opcode == 1 && !r->rules.text) || (r->opcode == 2 && !r->rules.binary))
		return false;
	return r->rules.max_message == 0 || r->len <= r->rules.max_message;
}

static bool end_data(struct reading *r, const struct header *h, bool whole)
{
	struct frames *f = r->frames;
	bool text = r->opcode == 1;

	if (text && !read_text(&f->payload, &r->text_at))
		return false;
	f->incomplete = text ? f->payload.len - r->text_at : 0;
	if (!whole || !h->fin)
		return true;
	f->message[f->messages - 1].whole = true;
	r->opcode = 0;
	return f->incomplete == 0;
}

static void keep(struct bytes *part, const struct bytes *payload)
{
	part->len = 0;
	bytes_add(part, payload->at, payload->len);
}

static bool end_control(struct frames *f, uint8_t opcode, const struct bytes *payload)
{
	if (opcode == 8) {
		keep(&f->close, payload);
		f->closed = true;
		return close_legal(payload);
	}
	keep(opcode == 9 ? &f->ping : &f->pong, payload);
	f->pings += opcode == 9;
	f->pongs += opcode == 10;
	return true;
}

static void unmask(struct bytes *to, const uint8_t *at, size_t n, const struct header *h)
{
	uint8_t *start = to->at + to->len;
	uint32_t key = 0, word;

	bytes_add(to, at, n);
	memcpy(&key, h->mask, h->masked ? 4 : 0);
	for (; n >= 4 && key != 0; start += 4, n -= 4) {
		memcpy(&word, start, 4);
		word ^= key;
		memcpy(start, &word, 4);
	}
	for (size_t i = 0; i < n && key != 0; i++)
		start[i] ^= h->mask[i];
}

/* Returns false after a violation. */
static bool read_frame(struct reading *r, const struct header *h, const uint8_t *at, size_t n)
{
	struct frames *f = r->frames;
	uint8_t control[PART_MAX];
	struct bytes payload = { control, 0, sizeof(control) };
	bool whole = n == h->len;

	if (h->opcode > 7) {
		unmask(&payload, at, n, h);
		return !whole || end_control(f, h->opcode, &payload);
	}
	if (!begin_data(r, h))
		return false;
	unmask(&f->payload, at, n, h);
	f->message[f->messages - 1].len += n;
	return end_data(r, h, whole);
}

static void frames_init(struct frames *f, bool masked)
{
	struct bytes payload = f->payload;

	memset(f, 0, offsetof(struct frames, message));
	f->messages = 0;
	f->payload = (struct bytes){ payload.at, 0, payload.cap };
	f->close = (struct bytes){ close_at[masked], 0, PART_MAX };
	f->ping = (struct bytes){ ping_at[masked], 0, PART_MAX };
	f->pong = (struct bytes){ pong_at[masked], 0, PART_MAX };
}

void judge_frames(struct frames *f, const uint8_t *at, size_t len, bool masked, struct rules rules)
{
	struct reading r = { .frames = f, .rules = rules };
	struct header h;

	frames_init(f, masked);
	while (len > 0 && !f->closed) {
		f->sure = f->payload.len;
		if (len >= 2 && (bool)(at[1] & 128) != masked)
			f->violation = true;
		f->cut = !f->violation && !read_header(&h, at, len);
		if (f->violation || f->cut)
			return;
		size_t n = len < h.size ? 0 : len - h.size < h.len ? len - h.size : (size_t)h.len;
		if (!h.legal || !read_frame(&r, &h, at + h.size, n)) {
			f->violation = true;
			return;
		}
		f->cut = n < h.len;
		at += h.size + n;
		len -= h.size + n;
	}
	f->sure = f->payload.len;
	f->after_close = len > 0;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static const uint8_t *find(const uint8_t *at, size_t len, const char *text)
{
	return memmem(at, len, text, strlen(text));
}

/* The number behind a field's name in a head; fallback without such a field. */
static size_t field_number(const uint8_t *head, size_t len, const char *name, size_t fallback)
{
	const uint8_t *field = find(head, len, name);

	return field != NULL ? strtoul((const char *)field + strlen(name), NULL, 10) : fallback;
}

/* Of requests, that the answer may be to. Returns its length, 0 if it is not all there. */
static size_t head_length(const uint8_t *at, size_t len)
{
	const uint8_t *end = find(at, len, "\r\n\r\n");

	return end != NULL ? (size_t)(end - at) + 4 : 0;
}

/* What stands in the file from where the answer says that it begins. */
static void check_file(const uint8_t *head, size_t head_len, const uint8_t *body, size_t len, const struct bytes *file)
{
	size_t from = field_number(head, head_len, "Content-Range: bytes ", 0);

	if (find(head, head_len, "Content-Type: application/octet-stream") == NULL)
		return;
	CHECK(from <= file->len && len <= file->len - from && memcmp(file->at + from, body, len) == 0);
}

void judge_answers(struct answers *a, const struct bytes *sent, const struct bytes *got, const struct bytes *file)
{
	size_t at = 0;

	while (at < got->len) {
		const uint8_t *head = got->at + at, *request = sent->at + a->asked_at;
		size_t len = head_length(head, got->len - at), asked = head_length(request, sent->len - a->asked_at);
		a->cut = len == 0;
		CHECK(len == 0 || (len > 15 && memcmp(head, "HTTP/1.1 ", 9) == 0));
		if (a->cut)
			return;
		a->count++;
		a->status = atoi((const char *)head + 9);
		a->asked_at += asked;
		at += len;
		a->frames_at = at;
		a->upgraded = a->status == 101;
		if (a->upgraded)
			return;
		a->of_files = find(head, len, "X-Content-Type-Options: ") != NULL;
		size_t declared = field_number(head, len, "Content-Length: ", 0);
		bool head_only = asked > 5 && memcmp(request, "HEAD ", 5) == 0;
		if (a->status == 304 || head_only)
			declared = 0;
		size_t n = got->len - at < declared ? got->len - at : declared;
		check_file(head, len, got->at + at, n, file);
		a->cut = n < declared;
		at += n;
		CHECK(at == got->len || find(head, len, "Connection: keep-alive") != NULL);
	}
}
