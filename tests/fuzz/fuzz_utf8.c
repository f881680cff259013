/* fuzz_utf8.c owns UTF-8 and the Close frame, against the arithmetic of the unit tests' oracle.
 * It must never look at more than some hundred bytes: each of their beginnings is judged by itself. */
#include "ws_feed.h"

#define TEXT_MAX 300

static size_t naive_tail(const uint8_t *given, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++)
		if ((given[len - back] & 0xc0) != 0x80)
			return oracle_utf8(given + len - back, back) == 0 ? back : 0;
	return 0;
}

static void check_text(const uint8_t *given, size_t len, size_t cut)
{
	struct utf8 bytewise = { 0 }, cut_once = { 0 };
	bool fine = true;

	for (size_t n = 1; n <= len && fine; n++) {
		fine = utf8_feed(&bytewise, given + n - 1, 1);
		CHECK(fine == (oracle_utf8(given, n) >= 0));
		CHECK(!fine || utf8_complete(&bytewise) == (oracle_utf8(given, n) == 1));
	}
	size_t whole = utf8_valid_length(given, len);
	CHECK(whole <= len && (whole == 0 || oracle_utf8(given, whole) == 1));
	for (size_t n = whole + 1; n <= len; n++)
		CHECK(oracle_utf8(given, n) != 1);
	CHECK((whole == len) == (oracle_utf8(given, len) == 1));
	CHECK((utf8_feed(&cut_once, given, cut) && utf8_feed(&cut_once, given + cut, len - cut)) == fine);
	CHECK(utf8_incomplete_tail(given, len) == naive_tail(given, len));
}

/* What a peer's Close of this payload comes to. */
static void check_close_in(const uint8_t *payload, size_t len)
{
	struct ws_rx rx;
	unsigned want = oracle_close(payload, len);

	reset();
	put_frame(FIN_CLOSE, payload, len, true);
	if (want != 0)
		log_bad(&full, want);
	else
		log_control(&full, WS_CLOSE, payload, len);
	ws_rx_init(&rx, WS_RX_MASKED, 0);
	CHECK(feed_in_steps(&rx, in.len) == (want == 0));
	CHECK(got.len == full.len && memcmp(got.at, full.at, got.len) == 0);
}

/* What our own Close looks like to who receives it. */
static void check_close_out(uint16_t code, struct span reason)
{
	uint8_t *frame_bytes = malloc(WS_CONTROL_FRAME_MAX);
	size_t len = ws_close_frame(frame_bytes, code, reason);
	struct ws_run run;
	struct ws_rx rx;

	CHECK(len <= WS_CONTROL_FRAME_MAX);
	ws_rx_init(&rx, 0, 0);
	CHECK(ws_decode(&rx, frame_bytes, len, &run) == WS_CONTROL && run.used == len && run.close_code == code);
	CHECK(run.len >= 2 && run.len - 2 <= reason.n && memcmp(run.payload + 2, reason.p, run.len - 2) == 0);
	CHECK(run.len - 2 == reason.n || run.len >= WS_CONTROL_PAYLOAD_MAX - 3);
	free(frame_bytes);
}

/* A cut, then a text that is also the payload of a Close. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > TEXT_MAX)
		return 0;
	size_t len = size - 1;
	uint8_t *text_bytes = exact_copy(data + 1, len);
	check_text(text_bytes, len, data[0] % (len + 1));
	if (len <= WS_CONTROL_PAYLOAD_MAX)
		check_close_in(text_bytes, len);
	uint16_t code = (uint16_t)(len < 2 ? 1000 : text_bytes[0] << 8 | text_bytes[1]);
	CHECK(ws_close_code_valid(code) == code_may_be_sent(code));
	if (len >= 2 && code_may_be_sent(code) && oracle_utf8(text_bytes + 2, len - 2) == 1)
		check_close_out(code, (struct span){ (char *)text_bytes + 2, len - 2 });
	free(text_bytes);
	return 0;
}
