// SPDX-License-Identifier: Apache-2.0
// TCP streams from segments: any order, repeats, holes, bounds, and what disagrees.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <moonfence/moonfence.h>

#include "core/packet/stream.h"

static int add(struct mf_stream *s, uint32_t seq, const char *text)
{
	return mf_stream_add(s, seq, mf_span_str(text));
}

static void assert_ready(const struct mf_stream *s, const char *text)
{
	struct mf_span got = mf_stream_ready(s);

	assert_int_equal(got.len, strlen(text));
	assert_memory_equal(got.len ? (const char *)got.ptr : "", text, got.len);
}

static void bytes_come_out_in_order_whatever_order_they_came_in(void **state)
{
	struct mf_stream s;

	(void)state;
	mf_stream_begin(&s, 0xfffffffe, 100); /* over the end of sequence numbers */
	assert_int_equal(add(&s, 4, "gh"), 0);
	assert_ready(&s, "");
	assert_true(mf_stream_has_holes(&s));
	assert_int_equal(add(&s, 0, "cd"), 0);
	assert_int_equal(add(&s, 0xfffffffe, "ab"), 0);
	assert_ready(&s, "abcd");
	assert_int_equal(add(&s, 2, "ef"), 0);
	assert_ready(&s, "abcdefgh");
	assert_false(mf_stream_has_holes(&s));
	assert_int_equal(mf_stream_next(&s), 6);
	mf_stream_done(&s);
}

static void what_was_consumed_does_not_come_again(void **state)
{
	struct mf_stream s;

	(void)state;
	mf_stream_begin(&s, 10, 8);
	assert_int_equal(add(&s, 10, "abcd"), 0);
	assert_int_equal(add(&s, 16, "gh"), 0);
	mf_stream_consume(&s, 3);
	assert_ready(&s, "d");
	assert_int_equal(add(&s, 10, "abcdef"), 0);
	assert_ready(&s, "defgh");
	mf_stream_consume(&s, 5);
	assert_ready(&s, "");
	assert_int_equal(add(&s, 18, "ij"), 0);
	assert_ready(&s, "ij");
	assert_false(s.disagreed);
	mf_stream_done(&s);
}

static void where_segments_disagree_the_first_bytes_stay(void **state)
{
	struct mf_stream s;

	(void)state;
	mf_stream_begin(&s, 0, 100);
	assert_int_equal(add(&s, 2, "CD"), 0);
	assert_int_equal(add(&s, 0, "abcdef"), 0);
	assert_ready(&s, "abCDef");
	assert_true(s.disagreed);
	mf_stream_done(&s);
}

static void bytes_beyond_the_window_are_not_kept(void **state)
{
	struct mf_stream s;

	(void)state;
	mf_stream_begin(&s, 0, 6);
	assert_int_equal(add(&s, 4, "efgh"), MF_E_FULL);
	assert_int_equal(add(&s, 6, "g"), MF_E_FULL);
	assert_int_equal(add(&s, 0x7fffffff, "z"), MF_E_FULL);
	assert_int_equal(add(&s, 0, "abcd"), 0);
	assert_ready(&s, "abcdef");
	mf_stream_done(&s);
}

static void holes_are_bounded(void **state)
{
	struct mf_stream s;

	(void)state;
	mf_stream_begin(&s, 0, 1000);
	for (uint32_t i = 0; i < MF_STREAM_RANGES_MAX; i++)
		assert_int_equal(add(&s, 2 + i * 2, "x"), 0);
	assert_int_equal(add(&s, 500, "y"), MF_E_LIMIT);
	assert_int_equal(add(&s, 3, "x"), 0); /* joins two */
	assert_int_equal(add(&s, 500, "y"), 0);
	mf_stream_done(&s);
}

/* Against the obvious way: a byte array and a flag for each byte. */
static void any_mixture_agrees_with_a_model(void **state)
{
	enum { SIZE = 200 };

	(void)state;
	srand(7);
	for (unsigned round = 0; round < 3000; round++) {
		uint8_t bytes[SIZE], there[SIZE] = { 0 }, truth[SIZE];
		uint32_t base = (uint32_t)rand() * 2654435761u, consumed = 0;
		struct mf_stream s;
		bool disagreed = false;

		for (unsigned i = 0; i < SIZE; i++)
			truth[i] = (uint8_t)rand();
		mf_stream_begin(&s, base, SIZE);
		for (unsigned step = 0; step < 30; step++) {
			uint32_t off = (uint32_t)rand() % SIZE,
				 len = (uint32_t)rand() % (SIZE - off) % 40;
			uint8_t part[SIZE];
			struct mf_span ready;
			uint32_t n = consumed;
			int r;

			memcpy(part, truth + off, len);
			if (len && rand() % 8 == 0)
				part[rand() % (int)len] ^= 1;
			r = mf_stream_add(&s, base + off, mf_span_of(part, len));
			if (r == MF_E_LIMIT)
				continue;
			assert_int_equal(r, 0);
			for (uint32_t i = 0; i < len; i++) {
				if (off + i < consumed)
					continue;
				if (there[off + i] && bytes[off + i] != part[i])
					disagreed = true;
				if (!there[off + i])
					bytes[off + i] = part[i];
				there[off + i] = 1;
			}
			while (n < SIZE && there[n])
				n++;
			ready = mf_stream_ready(&s);
			assert_int_equal(ready.len, n - consumed);
			if (ready.len)
				assert_memory_equal(ready.ptr, bytes + consumed, ready.len);
			assert_int_equal(s.disagreed, disagreed);
			if (ready.len && rand() % 4 == 0) {
				uint32_t eat = 1 + (uint32_t)rand() % (uint32_t)ready.len;

				mf_stream_consume(&s, eat);
				consumed += eat;
			}
		}
		mf_stream_done(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_out_in_order_whatever_order_they_came_in),
		cmocka_unit_test(what_was_consumed_does_not_come_again),
		cmocka_unit_test(where_segments_disagree_the_first_bytes_stay),
		cmocka_unit_test(bytes_beyond_the_window_are_not_kept),
		cmocka_unit_test(holes_are_bounded),
		cmocka_unit_test(any_mixture_agrees_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
