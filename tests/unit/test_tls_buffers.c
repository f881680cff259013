/* test_tls_buffers.c asks OpenSSL's allocator for buffers as libssl does, and looks at what comes: whether buffers overlap,
 * keep what was written, and give their memory back. It must never count on how many slots there are. */
#include "sys/library_memory.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define LEAST ((size_t)8 * 1024 + 1) /* what is smaller is the heap's, but for the next */
#define SMALL ((size_t)4096)         /* two of these a handshake, which does not keep them */
#define MOST  ((size_t)24 * 1024) /* what is larger, too */
#define SLOTS 16384

struct piece {
	uint8_t *at;
	size_t len;
	uint8_t mark;
};

static void piece_take(struct piece *piece, size_t len, size_t mark)
{
	piece->at = OPENSSL_malloc(len);
	assert_non_null(piece->at);
	piece->len = len;
	piece->mark = (uint8_t)(mark % 251 + 1);
	memset(piece->at, piece->mark, len);
}

static bool marked(const uint8_t *at, size_t len, uint8_t mark)
{
	return len == 0 || (at[0] == mark && memcmp(at, at + 1, len - 1) == 0);
}

static void piece_give(struct piece *piece)
{
	assert_true(marked(piece->at, piece->len, piece->mark));
	OPENSSL_free(piece->at);
	piece->at = NULL;
}

static int by_address(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void check_apart(struct piece *pieces, size_t count)
{
	qsort(pieces, count, sizeof(pieces[0]), by_address);
	for (size_t i = 1; i < count; i++)
		assert_true(pieces[i - 1].at + pieces[i - 1].len <= pieces[i].at);
}

static size_t pages_in_memory(uint8_t *at, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), count = (len + page - 1) / page, in = 0;
	unsigned char resident[64];

	assert_true(count <= sizeof(resident) && (uintptr_t)at % page == 0);
	assert_int_equal(mincore(at, len, resident), 0);
	for (size_t i = 0; i < count; i++)
		in += resident[i] & 1;
	return in;
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void sizes_at_the_borders(void **state)
{
	static const size_t sizes[] = { 1, LEAST - 1, LEAST, LEAST + 1, 16384, MOST - 1, MOST, MOST + 1, 100000 };
	struct piece pieces[9];

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		piece_take(&pieces[i], sizes[i], i);
		assert_int_equal((uintptr_t)pieces[i].at % 16, 0);
	}
	for (size_t i = 0; i < 9; i++)
		piece_give(&pieces[i]);
}

/* What OpenSSL's own functions do with nothing. */
static void nothing(void **state)
{
	(void)state;
	assert_null(OPENSSL_malloc(0));
	OPENSSL_free(NULL);
	assert_null(OPENSSL_realloc(OPENSSL_malloc(LEAST), 0));
	void *p = OPENSSL_realloc(NULL, MOST);
	assert_non_null(p);
	OPENSSL_free(p);
}

static void zeroed_when_asked(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct piece piece;
		piece_take(&piece, MOST, 7);
		piece_give(&piece);
		uint8_t *zero = OPENSSL_zalloc(MOST);
		assert_true(marked(zero, MOST, 0));
		OPENSSL_free(zero);
	}
}

/* From any size to any other, from the heap or not: what both have in common stays, and the neighbours keep theirs. */
static void growing_and_shrinking(void **state)
{
	static const size_t sizes[] = { 100, LEAST - 1, LEAST, 16384, MOST, MOST + 1, 200000 };
	struct piece before, after;

	(void)state;
	for (size_t i = 0; i < 49; i++) {
		size_t from = sizes[i / 7], to = sizes[i % 7], common = from < to ? from : to;
		piece_take(&before, MOST, 1);
		uint8_t *p = OPENSSL_malloc(from);
		piece_take(&after, MOST, 2);
		memset(p, 3, from);
		p = OPENSSL_realloc(p, to);
		assert_non_null(p);
		assert_true(marked(p, common, 3));
		memset(p, 4, to);
		piece_give(&before);
		piece_give(&after);
		assert_true(marked(p, to, 4));
		OPENSSL_free(p);
	}
}

/* A buffer that outgrows its slot must leave it: or it is used up, a slot each time. */
static void outgrown_slots_come_back(void **state)
{
	struct piece piece;

	(void)state;
	piece_take(&piece, MOST, 1);
	uint8_t *first = piece.at;
	piece_give(&piece);
	for (size_t i = 0; i < 2 * SLOTS; i++) {
		uint8_t *p = OPENSSL_realloc(OPENSSL_malloc(MOST), MOST + 1);
		assert_non_null(p);
		OPENSSL_free(p);
	}
	piece_take(&piece, MOST, 1);
	assert_ptr_equal(piece.at, first);
	piece_give(&piece);
}

/* All at once, more than there are slots: none overlaps, all keep theirs; twice, in another order. */
static void more_than_there_are_slots(void **state)
{
	enum { COUNT = SLOTS + 300 };
	struct piece *pieces = calloc(COUNT, sizeof(*pieces));

	(void)state;
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT; i++)
			piece_take(&pieces[i], LEAST + i % (MOST - LEAST + 1), i);
		check_apart(pieces, COUNT);
		for (size_t i = 0; i < COUNT; i += 2)
			piece_give(&pieces[i]);
		for (size_t i = 0; i < COUNT; i += 2)
			piece_take(&pieces[i], LEAST, i + round);
		check_apart(pieces, COUNT);
		for (size_t i = COUNT; i-- > 0;)
			piece_give(&pieces[i]);
	}
	free(pieces);
}

static void memory_is_given_back(void **state)
{
	enum { COUNT = 500 };
	static struct piece pieces[COUNT];
	size_t in = 0, page = (size_t)sysconf(_SC_PAGESIZE);

	(void)state;
	if (MOST % page != 0)
		skip();
	for (size_t i = 0; i < COUNT; i++)
		piece_take(&pieces[i], MOST, i);
	assert_int_equal(pages_in_memory(pieces[0].at, MOST), MOST / page);
	for (size_t i = 0; i < COUNT; i++) {
		uint8_t *at = pieces[i].at;
		piece_give(&pieces[i]);
		pieces[i].at = at;
	}
	for (size_t i = 0; i < COUNT; i++)
		in += pages_in_memory(pieces[i].at, MOST);
	assert_in_range(in, 1, 64 * MOST / page); /* a few stay, for whoever comes next */
}

/* What was given back is found again, or memory would be touched anew all the time. */
static void a_warm_slot_is_used_again(void **state)
{
	struct piece piece;

	(void)state;
	piece_take(&piece, MOST, 1);
	uint8_t *first = piece.at;
	piece_give(&piece);
	for (size_t i = 0; i < 100; i++) {
		piece_take(&piece, LEAST + i, i);
		assert_ptr_equal(piece.at, first);
		piece_give(&piece);
	}
	piece_take(&piece, SMALL, 1);
	assert_ptr_equal(piece.at, first);
	piece_give(&piece);
}

/* An SSL is large but stays: it would block a slot for as long as its session lives. */
static void what_stays_is_the_heaps(void **state)
{
	struct piece piece, staying;

	(void)state;
	piece_take(&piece, MOST, 1);
	uint8_t *slot = piece.at;
	piece_give(&piece);
	piece_take(&staying, 7624, 2);
	assert_ptr_not_equal(staying.at, slot);
	piece_give(&staying);
}

/* --- many threads ------------------------------------------------------------------------------------------------- */

struct churn {
	pthread_t thread;
	uint32_t seed;
	bool good;
};

static uint32_t churn_next(struct churn *churn, uint32_t bound)
{
	churn->seed = churn->seed * 1664525u + 1013904223u;
	return (churn->seed >> 8) % bound;
}

/* cmocka's assertions belong to the thread that runs the test. */
static void churn_one(struct churn *churn, struct piece *piece)
{
	if (piece->at != NULL) {
		churn->good = churn->good && marked(piece->at, piece->len, piece->mark);
		OPENSSL_free(piece->at);
		piece->at = NULL;
		return;
	}
	piece->len = LEAST / 2 + churn_next(churn, 26 * 1024);
	piece->mark = (uint8_t)(1 + churn_next(churn, 250));
	piece->at = OPENSSL_malloc(piece->len);
	memset(piece->at, piece->mark, piece->len);
}

static void *churn_main(void *arg)
{
	struct churn *churn = arg;
	struct piece pieces[40] = { { NULL, 0, 0 } };

	for (int i = 0; i < 20000; i++)
		churn_one(churn, &pieces[churn_next(churn, 40)]);
	for (size_t i = 0; i < 40; i++)
		if (pieces[i].at != NULL)
			churn_one(churn, &pieces[i]);
	return NULL;
}

static void threads_do_not_meet(void **state)
{
	struct churn churns[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		churns[i] = (struct churn){ .seed = i + 1, .good = true };
		assert_int_equal(pthread_create(&churns[i].thread, NULL, churn_main, &churns[i]), 0);
	}
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(churns[i].thread, NULL), 0);
		assert_true(churns[i].good);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_at_the_borders),
		cmocka_unit_test(nothing),
		cmocka_unit_test(zeroed_when_asked),
		cmocka_unit_test(growing_and_shrinking),
		cmocka_unit_test(outgrown_slots_come_back),
		cmocka_unit_test(more_than_there_are_slots),
		cmocka_unit_test(memory_is_given_back),
		cmocka_unit_test(a_warm_slot_is_used_again),
		cmocka_unit_test(what_stays_is_the_heaps),
		cmocka_unit_test(threads_do_not_meet),
	};

	library_memory_for_openssl();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
