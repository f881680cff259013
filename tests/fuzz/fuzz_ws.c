/* fuzz_ws.c owns the comparison of the frame decoder with the oracle of the unit tests, over any bytes.
 * It must never accept more than one freedom: how much of a frame with a violation in it is delivered. */
#include "ws_feed.h"

static void compare(bool violation)
{
	if (!violation) {
		CHECK(got.len == full.len && memcmp(got.at, full.at, got.len) == 0);
		return;
	}
	CHECK(got.len >= VIOLATION_LEN && full.len >= VIOLATION_LEN);
	size_t delivered = got.len - VIOLATION_LEN, most = full.len - VIOLATION_LEN;
	CHECK(delivered >= sure.len && delivered <= most);
	CHECK(memcmp(got.at, full.at, delivered) == 0);
	CHECK(memcmp(got.at + delivered, full.at + most, VIOLATION_LEN) == 0);
}

static void compare_steps(uint8_t flags, uint64_t max, size_t step, bool violation)
{
	struct ws_rx rx;

	ws_rx_init(&rx, flags, max);
	CHECK(feed_in_steps(&rx, step) == !violation);
	compare(violation);
}

/* The first byte limits messages (0: any), the second is the size of pieces, the rest is the stream. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t modes[] = { 0, WS_RX_MERGE };

	if (size < 3 || size > 32768)
		return 0;
	uint64_t max = (uint64_t)data[0] * 2;
	size_t step = (size_t)data[1] + 1;
	reset();
	put(&in, data + 2, size - 2);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		uint8_t flags = WS_RX_MASKED | WS_RX_TEXT | WS_RX_BINARY | modes[i];
		bool violation = oracle_decode(modes[i] == 0, max);
		compare_steps(flags, max, in.len, violation);
		compare_steps(flags, max, step, violation);
		compare_steps(flags, max, 1, violation);
	}
	return 0;
}
