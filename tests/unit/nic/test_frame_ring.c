/* SPDX-License-Identifier: Apache-2.0 */
/* test_frame_ring.c - frames in shared memory: layout, wrapping, full rings, a hostile other side, two threads */
#include <pthread.h>
#include <sched.h>

#include "nic/frame_ring.h"
#include "nic/guest_memory.h"
#include "tests/unit/test.h"

#define CAPACITY 8192u
#define TABLE	 48u /* header and two descriptors */
#define TX	 TABLE
#define RX	 (TABLE + 16 + CAPACITY)

enum { HEAD, RESERVED = 4, COMMITTED = 8, DATA = 16 }; /* bytes from a ring's beginning */

struct side {
	struct mf_frame_source *source;
	unsigned frames, kicks;
	uint8_t last[4096];
	size_t last_len;
};

struct wire {
	uint8_t *mem;
	size_t len;
	struct side net, guest;
};

static void receive(void *ctx, uint8_t *frame, size_t len)
{
	struct side *s = ctx;

	s->frames++;
	memcpy(s->last, frame, len);
	s->last_len = len;
	memset(frame, 0xdd, len); /* it is ours to write to */
}

static void kick(void *ctx)
{
	((struct side *)ctx)->kicks++;
}

static int open_side(struct wire *w, struct side *s, bool guest, struct mf_err *err)
{
	struct mf_frame_ring_options o = {
		.size = sizeof(o), .guest_side = guest, .kick = kick, .ctx = s
	};
	int r = mf_frame_ring_new(&o, w->mem, w->len, &s->source, err);

	if (r == 0) {
		s->source->receiver = receive;
		s->source->ctx = s;
	}
	return r;
}

static void format(struct wire *w)
{
	memset(w, 0, sizeof(*w));
	w->len = mf_frame_ring_room(CAPACITY);
	/* Of its own and not a byte more, so that AddressSanitizer sees what goes beyond. */
	w->mem = malloc(w->len);
	assert_non_null(w->mem);
	memset(w->mem, 0xaa, w->len);
	assert_int_equal(mf_frame_ring_format(w->mem, w->len, CAPACITY), 0);
}

/* @start: where all cursors are at the beginning */
static void begin(struct wire *w, uint32_t start)
{
	format(w);
	for (unsigned word = 0; word < 12; word += 4) {
		mf_store_le32(w->mem + TX + word, start);
		mf_store_le32(w->mem + RX + word, start);
	}
	assert_int_equal(open_side(w, &w->net, false, NULL), 0);
	assert_int_equal(open_side(w, &w->guest, true, NULL), 0);
}

static void end(struct wire *w)
{
	mf_frame_source_free(w->net.source);
	mf_frame_source_free(w->guest.source);
	free(w->mem);
}

/* A frame that says which one it is. */
static void fill(uint8_t *frame, size_t len, uint32_t number)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(number * 31 + i);
	mf_store_le32(frame, number);
}

static int send(struct side *s, size_t len, uint32_t number)
{
	uint8_t frame[4096];

	fill(frame, len, number);
	return mf_frame_source_send(s->source, frame, 14, frame + 14, len - 14);
}

static void assert_last(const struct side *s, size_t len, uint32_t number)
{
	uint8_t frame[4096];

	fill(frame, len, number);
	assert_int_equal(s->last_len, len);
	assert_memory_equal(s->last, frame, len);
}

static void test_the_layout_is_that_of_aero(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, 0);
	assert_memory_equal(w.mem, "AIPC\1\0\0\0", 8);
	assert_int_equal(mf_load_le32(w.mem + 8), w.len);
	assert_int_equal(mf_load_le32(w.mem + 12), 2);
	assert_int_equal(mf_load_le32(w.mem + 16), 2);
	assert_int_equal(mf_load_le32(w.mem + 20), TX);
	assert_int_equal(mf_load_le32(w.mem + 24), CAPACITY);
	assert_int_equal(mf_load_le32(w.mem + 32), 3);
	assert_int_equal(mf_load_le32(w.mem + 36), RX);
	assert_int_equal(send(&w.guest, 61, 5), 0);
	assert_int_equal(mf_load_le32(w.mem + TX + HEAD), 0);
	assert_int_equal(mf_load_le32(w.mem + TX + RESERVED), 68);
	assert_int_equal(mf_load_le32(w.mem + TX + COMMITTED), 68);
	assert_int_equal(mf_load_le32(w.mem + TX + 12), CAPACITY);
	assert_int_equal(mf_load_le32(w.mem + TX + DATA), 61);
	assert_int_equal(mf_load_le32(w.mem + TX + DATA + 4), 5);
	assert_memory_equal(w.mem + TX + DATA + 4 + 61, "\0\0\0", 3); /* nothing old behind it */
	assert_int_equal(w.mem[TX + DATA + 68], 0xaa);
	mf_frame_source_flush(w.guest.source);
	mf_frame_source_flush(w.guest.source);
	assert_int_equal(w.guest.kicks, 1);
	assert_int_equal(mf_frame_source_run(w.net.source, 8), 1);
	assert_last(&w.net, 61, 5);
	assert_int_equal(mf_load_le32(w.mem + TX + HEAD), 68);
	assert_int_equal(mf_frame_source_run(w.net.source, 8), 0);
	end(&w);
}

/* Every length at every place, both directions, also where the cursors go from 2^32 - 1 to 0. */
static void test_frames_wrap_with_the_ring(void **state)
{
	static const uint32_t starts[] = { 0, CAPACITY - 4, 0xffffffffu - 3 * CAPACITY + 1,
					   0xfffffffcu };

	(void)state;
	for (unsigned n = 0; n < MF_ARRAY_SIZE(starts); n++) {
		struct wire w;
		uint64_t seed = 77;

		begin(&w, starts[n]);
		for (uint32_t i = 0; i < 3000; i++) {
			struct side *from = i & 1 ? &w.net : &w.guest;
			struct side *to = i & 1 ? &w.guest : &w.net;
			size_t len = 14 + test_below(&seed, 2035);

			assert_int_equal(send(from, len, i), 0);
			assert_int_equal(mf_frame_source_run(to->source, 4), 1);
			assert_last(to, len, i);
		}
		end(&w);
	}
}

static void test_a_turn_is_bounded_and_order_is_kept(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, 0);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(send(&w.guest, 100, i), 0);
	for (uint32_t i = 0; i < 9; i += 3) {
		assert_int_equal(mf_frame_source_run(w.net.source, 3), 3);
		assert_last(&w.net, 100, i + 2);
	}
	assert_int_equal(mf_frame_source_run(w.net.source, 3), 1);
	assert_int_equal(w.net.source->stats.in, 10);
	assert_int_equal(w.net.source->stats.in_bytes, 1000);
	end(&w);
}

static void test_a_full_ring_drops_and_counts(void **state)
{
	struct wire w;
	uint32_t cnt = 0;

	(void)state;
	begin(&w, 40);
	while (send(&w.net, 1020, cnt) == 0)
		cnt++;
	assert_int_equal(cnt, 7); /* and a marker at the end */
	assert_int_equal(w.net.source->stats.out_dropped, 1);
	assert_int_equal(mf_frame_source_run(w.guest.source, 1), 1);
	assert_last(&w.guest, 1020, 0);
	assert_int_equal(send(&w.net, 1020, 99), 0); /* over the end now */
	assert_int_equal(mf_frame_source_run(w.guest.source, 100), 7);
	assert_last(&w.guest, 1020, 99);
	assert_int_equal(send(&w.net, 2048, 1), 0);
	assert_int_equal(mf_frame_source_send(w.net.source, w.mem, 14, w.mem, 2035), MF_E_LIMIT);
	assert_int_equal(w.net.source->stats.out_dropped, 2);
	end(&w);
}

/* Exactly full is full and not empty. */
static void test_every_byte_can_be_used(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, 0);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(send(&w.net, 1020, i), 0);
	assert_int_equal(send(&w.net, 14, 9), MF_E_AGAIN);
	assert_int_equal(mf_frame_source_run(w.guest.source, 100), 8);
	assert_last(&w.guest, 1020, 7);
	end(&w);
}

/* A record of the other side's own making. */
static void put_record(struct wire *w, uint32_t at, uint32_t len, uint32_t committed)
{
	mf_store_le32(w->mem + TX + DATA + at, len);
	mf_store_le32(w->mem + TX + COMMITTED, committed);
}

static void test_runts_and_giants_are_left_out(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, 0);
	memset(w.mem + TX + DATA, 0, CAPACITY);
	mf_store_le32(w.mem + TX + DATA, 0);		  /* 4 bytes */
	mf_store_le32(w.mem + TX + DATA + 4, 13);	  /* 20 */
	mf_store_le32(w.mem + TX + DATA + 24, 2049);	  /* 2056 */
	mf_store_le32(w.mem + TX + DATA + 24 + 2056, 14); /* 20 */
	mf_store_le32(w.mem + TX + COMMITTED, 24 + 2056 + 20);
	assert_int_equal(mf_frame_source_run(w.net.source, 100), 4);
	assert_int_equal(w.net.frames, 1);
	assert_int_equal(w.net.last_len, 14);
	assert_int_equal(w.net.source->stats.in_bad, 3);
	assert_int_equal(mf_load_le32(w.mem + TX + HEAD), 24 + 2056 + 20);
	end(&w);
}

static void assert_broken(struct wire *w)
{
	assert_int_equal(mf_frame_source_run(w->net.source, 8), MF_E_SYNTAX);
	/* for good: whatever is written now, nobody looks */
	mf_store_le32(w->mem + TX + COMMITTED, mf_load_le32(w->mem + TX + HEAD));
	assert_int_equal(mf_frame_source_run(w->net.source, 8), MF_E_SYNTAX);
	assert_int_equal(send(&w->net, 60, 1), MF_E_AGAIN);
	assert_int_equal(w->net.source->stats.out_dropped, 1);
	assert_int_equal(w->net.frames, 0);
	end(w);
}

static void test_what_cannot_be_ends_the_wire(void **state)
{
	static const struct {
		uint32_t at, len, committed;
	} cases[] = {
		{ 0, 60, CAPACITY + 4 }, /* more than there is room for */
		{ 0, 60, 0x80000000u },
		{ 0, 60, 0xfffffffcu }, /* backwards */
		{ 0, 60, 66 },		/* no multiple of 4 */
		{ 0, 60, 60 },		/* behind what was committed */
		{ 0, CAPACITY, CAPACITY },
		{ 0, CAPACITY - 3, CAPACITY }, /* over the end */
		{ 0, 0x7fffffffu, 64 },
		{ 0, 0xfffffffeu, 64 }, /* its padding would wrap */
		{ 0, 0xffffffffu, 64 }, /* a marker that skips what is not there */
	};

	(void)state;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct wire w;

		begin(&w, 0);
		put_record(&w, cases[i].at, cases[i].len, cases[i].committed);
		assert_broken(&w);
	}
}

static void test_one_marker_after_another_ends_the_wire(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, CAPACITY - 8);
	put_record(&w, CAPACITY - 8, 0xffffffffu, CAPACITY - 8 + CAPACITY);
	put_record(&w, 0, 0xffffffffu, CAPACITY - 8 + CAPACITY);
	assert_broken(&w);
	/* one alone, with nothing behind it yet, is none */
	begin(&w, CAPACITY - 8);
	put_record(&w, CAPACITY - 8, 0xffffffffu, CAPACITY);
	assert_int_equal(mf_frame_source_run(w.net.source, 8), 0);
	assert_int_equal(mf_load_le32(w.mem + TX + HEAD), CAPACITY);
	put_record(&w, 0, 60, CAPACITY + 64);
	assert_int_equal(mf_frame_source_run(w.net.source, 8), 1);
	end(&w);
}

static void test_frames_before_the_damage_are_taken(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, 0);
	assert_int_equal(send(&w.guest, 60, 1), 0);
	mf_store_le32(w.mem + TX + COMMITTED, 64 + 4);
	mf_store_le32(w.mem + TX + DATA + 64, 1000);
	assert_int_equal(mf_frame_source_run(w.net.source, 8), 1);
	assert_last(&w.net, 60, 1);
	assert_int_equal(mf_frame_source_run(w.net.source, 8), MF_E_SYNTAX);
	end(&w);
}

static void test_a_reader_that_was_where_nobody_wrote(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, 0);
	mf_store_le32(w.mem + RX + HEAD, 4); /* ahead of us */
	assert_int_equal(send(&w.net, 60, 1), MF_E_AGAIN);
	assert_int_equal(mf_frame_source_run(w.net.source, 8), MF_E_SYNTAX);
	end(&w);
}

static void test_our_own_cursors_are_not_read_back(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, 0);
	for (uint32_t i = 0; i < 20; i++) {
		/* whatever the other side makes of them */
		mf_store_le32(w.mem + TX + HEAD, 0xdeadbeef);
		mf_store_le32(w.mem + RX + RESERVED, 0xdeadbeef);
		mf_store_le32(w.mem + RX + COMMITTED, 0xdeadbeef);
		mf_store_le32(w.mem + RX + 12, 4);
		assert_int_equal(send(&w.net, 700, i), 0);
		assert_int_equal(mf_frame_source_run(w.guest.source, 1), 1);
		assert_last(&w.guest, 700, i);
		assert_int_equal(mf_frame_source_run(w.net.source, 8), 0);
	}
	end(&w);
}

static void test_layouts_that_are_refused(void **state)
{
	static const struct {
		uint32_t at, value;
		int r;
	} cases[] = {
		{ 0, 0x12345678, MF_E_NOT_MINE },
		{ 4, 2, MF_E_NOT_MINE },
		{ 8, 0xffffffffu, MF_E_BAD }, /* more than is mapped */
		{ 8, 15, MF_E_BAD },	      /* not even a header */
		{ 8, RX + 15, MF_E_BAD },     /* a ring without its words */
		{ 12, 65, MF_E_BAD },
		{ 12, 0xffffffffu, MF_E_BAD },
		{ 12, 1, MF_E_NOENT },
		{ 16, 3, MF_E_BAD }, /* twice the same */
		{ 16, 4, MF_E_NOENT },
		{ 20, 12, MF_E_BAD }, /* in the table */
		{ 20, TX + 1, MF_E_BAD },
		{ 20, 0xfffffffcu, MF_E_BAD },
		{ 20, RX, MF_E_BAD }, /* one upon the other */
		{ 20, RX - 8, MF_E_BAD },
		{ 24, 0, MF_E_UNSUPPORTED },
		{ 24, CAPACITY - 4, MF_E_UNSUPPORTED },
		{ 24, 4096, MF_E_LIMIT }, /* 2,048 bytes and a length, twice */
		{ 24, 0xfffffff0u, MF_E_BAD },
		{ 24, 0x80000000u, MF_E_BAD },
		{ TX + 12, CAPACITY * 2, MF_E_BAD },
		{ TX + HEAD, 2, MF_E_BAD },
		{ RX + COMMITTED, 1, MF_E_BAD },
	};

	(void)state;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct wire w;
		struct mf_err err = { 0 };
		int r;

		format(&w);
		mf_store_le32(w.mem + cases[i].at, cases[i].value);
		r = open_side(&w, &w.net, false, &err);
		if (r != cases[i].r)
			print_error("case %u: %d, '%s'\n", i, r, err.msg);
		assert_int_equal(r, cases[i].r);
		assert_true(err.msg[0]);
		free(w.mem);
	}
}

static void test_other_queues_beside_ours_are_not_touched(void **state)
{
	struct wire w;
	struct side s = { 0 };
	const uint32_t off = 16 + 4 * 16, cap = 8192;
	uint32_t *word;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.len = off + 2 * (16 + cap);
	w.mem = calloc(1, w.len);
	word = (uint32_t *)(void *)w.mem;
	word[0] = 0x43504941;
	word[1] = 1;
	word[2] = (uint32_t)w.len;
	word[3] = 4;
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t kinds[] = { 0, 3, 4, 2 };

		word[4 + 4 * i] = kinds[i];
		word[5 + 4 * i] = i == 1 ? off : i == 3 ? off + 16 + cap : 0xffffffffu;
		word[6 + 4 * i] = i & 1 ? cap : 77;
	}
	word[off / 4 + 3] = word[(off + 16 + cap) / 4 + 3] = cap;
	assert_int_equal(open_side(&w, &s, false, NULL), 0);
	assert_int_equal(send(&s, 60, 1), 0);
	assert_int_equal(word[off / 4 + 4], 60); /* in the one of kind 3 */
	mf_frame_source_free(s.source);
	free(w.mem);
}

static void test_arguments_that_are_refused(void **state)
{
	struct mf_frame_ring_options o = { .size = sizeof(o) };
	struct mf_frame_source *source;
	struct wire w;

	(void)state;
	format(&w);
	assert_int_equal(mf_frame_ring_new(&o, w.mem + 1, w.len - 1, &source, NULL), MF_E_INVAL);
	assert_int_equal(mf_frame_ring_new(&o, w.mem, 15, &source, NULL), MF_E_NOT_MINE);
	assert_int_equal(mf_frame_ring_new(&o, w.mem, w.len - 4, &source, NULL), MF_E_BAD);
	o.frame_max = 13;
	assert_int_equal(mf_frame_ring_new(&o, w.mem, w.len, &source, NULL), MF_E_INVAL);
	o.frame_max = MF_FRAME_MAX + 1;
	assert_int_equal(mf_frame_ring_new(&o, w.mem, w.len, &source, NULL), MF_E_INVAL);
	assert_int_equal(mf_frame_ring_format(w.mem, w.len - 1, CAPACITY), MF_E_INVAL);
	assert_int_equal(mf_frame_ring_format(w.mem, w.len, 1000), MF_E_INVAL);
	assert_int_equal(mf_frame_ring_format(w.mem, w.len, 0), MF_E_INVAL);
	free(w.mem);
}

/* ---- two threads ------------------------------------------------------------------------------------------------- */

#define FRAMES 200000u

static size_t len_of(uint32_t number)
{
	return 14 + number * 7 % 300;
}

static void *produce(void *arg)
{
	struct wire *w = arg;

	for (uint32_t i = 0; i < FRAMES;) {
		if (send(&w->guest, len_of(i), i) == 0)
			i++;
		else
			sched_yield();
	}
	return NULL;
}

static void check(void *ctx, uint8_t *frame, size_t len)
{
	struct side *s = ctx;
	uint8_t want[512];

	fill(want, len_of(s->frames), s->frames);
	assert_int_equal(len, len_of(s->frames));
	assert_memory_equal(frame, want, len);
	s->frames++;
}

static void test_two_threads_see_whole_frames_in_order(void **state)
{
	struct wire w;
	pthread_t t;

	(void)state;
	begin(&w, 0xfffff000u);
	w.net.source->receiver = check;
	assert_int_equal(pthread_create(&t, NULL, produce, &w), 0);
	while (w.net.frames < FRAMES) {
		int r = mf_frame_source_run(w.net.source, 16);

		assert_true(r >= 0);
		if (!r)
			sched_yield();
	}
	pthread_join(t, NULL);
	assert_int_equal(w.net.source->stats.in, FRAMES);
	assert_int_equal(w.guest.source->stats.out, FRAMES);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_layout_is_that_of_aero),
		cmocka_unit_test(test_frames_wrap_with_the_ring),
		cmocka_unit_test(test_a_turn_is_bounded_and_order_is_kept),
		cmocka_unit_test(test_a_full_ring_drops_and_counts),
		cmocka_unit_test(test_every_byte_can_be_used),
		cmocka_unit_test(test_runts_and_giants_are_left_out),
		cmocka_unit_test(test_what_cannot_be_ends_the_wire),
		cmocka_unit_test(test_one_marker_after_another_ends_the_wire),
		cmocka_unit_test(test_frames_before_the_damage_are_taken),
		cmocka_unit_test(test_a_reader_that_was_where_nobody_wrote),
		cmocka_unit_test(test_our_own_cursors_are_not_read_back),
		cmocka_unit_test(test_layouts_that_are_refused),
		cmocka_unit_test(test_other_queues_beside_ours_are_not_touched),
		cmocka_unit_test(test_arguments_that_are_refused),
		cmocka_unit_test(test_two_threads_see_whole_frames_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
