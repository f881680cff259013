/* fuzz_ws_split.c owns the promise that it does not matter how input is cut: the same payload, the same end.
 * It must never ask what the bytes mean, so it also tries what the oracle does not know: roles and refused kinds. */
#include "ws_feed.h"

#define CUTS_MAX 15

/* Kept from the stream in one piece. */
static struct bytes once;

struct cuts {
	const uint8_t *at; /* two bytes each */
	size_t count;
};

static bool feed_cut(struct ws_rx *rx, const struct cuts *cuts)
{
	bool fine = true;
	size_t from = 0;

	got.len = 0;
	for (size_t i = 0; fine && i < cuts->count; i++) {
		size_t gap = (size_t)cuts->at[2 * i] << 8 | cuts->at[2 * i + 1];
		size_t n = in.len == from ? 0 : gap % (in.len - from + 1);
		fine = feed(rx, in.at + from, n);
		from += n;
	}
	return fine && feed(rx, in.at + from, in.len - from);
}

/* Whichever stopped inside of a frame that is not valid UTF-8 has delivered the beginning of what the other did. */
static void compare_violations(void)
{
	size_t a = once.len - VIOLATION_LEN, b = got.len - VIOLATION_LEN;

	CHECK(once.len >= VIOLATION_LEN && got.len >= VIOLATION_LEN);
	CHECK(memcmp(once.at + a, got.at + b, VIOLATION_LEN) == 0);
	CHECK(memcmp(once.at, got.at, a < b ? a : b) == 0);
	CHECK(a == b || memcmp(once.at + a, "{1007}", VIOLATION_LEN) == 0);
}

static void compare(uint8_t flags, uint64_t max, const struct cuts *cuts)
{
	struct ws_rx whole, cut;

	ws_rx_init(&whole, flags, max);
	ws_rx_init(&cut, flags, max);
	bool fine = feed_in_steps(&whole, in.len);
	set(&once, &got);
	CHECK(feed_cut(&cut, cuts) == fine);
	if (!fine) {
		compare_violations();
		return;
	}
	CHECK(got.len == once.len && memcmp(got.at, once.at, got.len) == 0);
	CHECK(whole.frames == cut.frames && whole.left == cut.left);
	CHECK(whole.message_opcode == cut.message_opcode && whole.utf8.state == cut.utf8.state);
}

/* Flags, a limit of messages, the number of cuts, the cuts, the stream. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cuts cuts = { data + 3, size < 3 ? 0 : data[2] % (CUTS_MAX + 1) };
	size_t head = 3 + 2 * cuts.count;

	if (size <= head || size > 32768)
		return 0;
	reset();
	put(&in, data + head, size - head);
	compare((uint8_t)(data[0] & (WS_RX_MASKED | WS_RX_TEXT | WS_RX_BINARY)), data[1], &cuts);
	compare((uint8_t)(data[0] & (WS_RX_MASKED | WS_RX_TEXT | WS_RX_BINARY)) | WS_RX_MERGE, data[1], &cuts);
	return 0;
}
