/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_rings.c - virtqueues of both layouts, with drivers that keep to the standard and drivers that do not */
#include "tests/unit/nic/virtio_driver.h"
#include "tests/unit/test.h"

#define V1	 MF_VIRTIO_BIT(MF_VIRTIO_F_VERSION_1)
#define PACKED	 MF_VIRTIO_BIT(MF_VIRTIO_F_RING_PACKED)
#define INDIRECT MF_VIRTIO_BIT(MF_VIRTIO_F_INDIRECT_DESC)
#define EVENTS	 MF_VIRTIO_BIT(MF_VIRTIO_F_EVENT_IDX)

#define TX	 1
#define LEN	 100 /* of frames, without their header */

static struct driver d;
static uint64_t buf; /* a header of zeros and a frame */

static void open_card(uint64_t features, uint16_t size)
{
	const struct mf_virtio_net_options opt = { .mac = { 0x52 }, .packed = true };

	assert_int_equal(driver_open(&d, &opt, false, 0), 0);
	assert_true(driver_negotiate(&d, V1 | features));
	driver_add_ring(&d, TX, size);
	driver_ok(&d);
	buf = driver_alloc(&d, 4096, 16);
	for (unsigned i = 0; i < LEN; i++)
		*driver_at(&d, buf + 12 + i) = (uint8_t)i;
}

static uint64_t errors(enum mf_virtq_error e)
{
	return mf_virtio_net_ring_errors(d.nic, e);
}

static bool needs_reset(void)
{
	return driver_read(&d, 20, 1) & MF_VIRTIO_S_NEEDS_RESET;
}

static void add_frame(unsigned pieces, bool indirect)
{
	struct driver_buf bufs[16];
	uint64_t at = buf;
	uint32_t left = 12 + LEN;

	for (unsigned i = 0; i < pieces; i++) {
		uint32_t n = i + 1 == pieces ? left : left / 2;

		bufs[i] = (struct driver_buf){ at, n };
		at += n;
		left -= n;
	}
	driver_add(&d, TX, bufs, pieces, 0, indirect);
}

static void expect_frame(void)
{
	assert_int_equal(d.len, LEN);
	assert_memory_equal(d.frame, driver_at(&d, buf + 12), LEN);
	memset(d.frame, 0, sizeof(d.frame));
}

/* Any number of pieces, direct and indirect, round and round a ring whose size is no multiple of anything. */
static void run_frames(uint64_t features, uint16_t size)
{
	uint64_t frames = 0;
	uint32_t len;
	uint16_t id;

	open_card(features, size);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned pieces = 1 + i % 5;
		bool indirect = features & INDIRECT && i % 3 == 0;

		add_frame(pieces, indirect);
		driver_kick(&d, TX);
		assert_true(d.frames == ++frames);
		expect_frame();
		assert_true(driver_used(&d, TX, &id, &len));
		assert_int_equal(len, 0);
		assert_false(driver_used(&d, TX, &id, &len));
	}
	for (unsigned e = 0; e < MF_VIRTQ_ERROR_NUM; e++)
		assert_true(errors(e) == 0);
	driver_close(&d);
}

static void frames_go_round_split_rings(void **state)
{
	(void)state;
	run_frames(0, 8);
	run_frames(INDIRECT | EVENTS, 256);
}

static void frames_go_round_packed_rings(void **state)
{
	(void)state;
	run_frames(PACKED, 7);
	run_frames(PACKED | INDIRECT | EVENTS, 251);
}

/* Many at once, more than a kick's budget: the rest at the deadline. */
static void run_batches(uint64_t features)
{
	uint32_t len;
	uint16_t id;
	unsigned used = 0;
	const struct mf_virtio_net_options opt = { .mac = { 0x52 },
						   .packed = true,
						   .queue_size = 1024 };

	assert_int_equal(driver_open(&d, &opt, false, 0), 0);
	assert_true(driver_negotiate(&d, V1 | features));
	driver_add_ring(&d, TX, 1024);
	driver_ok(&d);
	buf = driver_alloc(&d, 4096, 16);
	d.now = 1000;
	for (unsigned i = 0; i < 1000; i++)
		add_frame(1, false);
	assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
	driver_kick(&d, TX);
	assert_int_equal(d.frames, MF_VIRTIO_NET_BUDGET);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(mf_nic_deadline(d.nic) <= d.now);
		mf_nic_tick(d.nic, d.now);
	}
	assert_int_equal(d.frames, 1000);
	assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
	while (driver_used(&d, TX, &id, &len))
		used++;
	assert_int_equal(used, 1000);
	driver_close(&d);
}

static void a_kick_does_a_bounded_part_of_the_work(void **state)
{
	(void)state;
	run_batches(EVENTS);
	run_batches(PACKED | EVENTS);
	run_batches(0);
}

static void a_held_card_begins_no_frame(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		open_card(packed ? PACKED : 0, 64);
		d.hold_after = 3;
		for (unsigned i = 0; i < 10; i++)
			add_frame(1, false);
		driver_kick(&d, TX);
		assert_int_equal(d.frames, 3);
		assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
		mf_nic_tick(d.nic, 0);
		assert_int_equal(d.frames, 3);
		mf_nic_hold(d.nic, false);
		assert_true(mf_nic_deadline(d.nic) == 0);
		mf_nic_tick(d.nic, 0);
		assert_int_equal(d.frames, 10);
		driver_close(&d);
	}
}

/* The driver is told when it wants to be, and not otherwise. */
static void run_events(uint64_t features)
{
	uint32_t len;
	uint16_t id;

	open_card(features | EVENTS, 8);
	for (unsigned round = 0; round < 20; round++) {
		driver_want_event(&d, TX, 2); // when the third one has been used
		for (unsigned i = 0; i < 5; i++) {
			add_frame(1, false);
			driver_kick(&d, TX);
			assert_int_equal(d.line, i == 2);
			assert_int_equal(driver_read(&d, 0x1000, 1), i == 2);
		}
		while (driver_used(&d, TX, &id, &len))
			;
	}
	// Several at once pass the place that was named.
	driver_want_event(&d, TX, 2);
	for (unsigned i = 0; i < 5; i++)
		add_frame(1, false);
	driver_kick(&d, TX);
	assert_true(d.line);
	driver_close(&d);
}

static void events_come_where_they_are_wanted(void **state)
{
	(void)state;
	run_events(0);
	run_events(PACKED);
}

static void flags_hold_interrupts_back(void **state)
{
	(void)state;
	open_card(0, 8);
	mf_store_le16(driver_at(&d, d.q[TX].avail), 1);
	add_frame(1, false);
	driver_kick(&d, TX);
	assert_false(d.line);
	mf_store_le16(driver_at(&d, d.q[TX].avail), 0);
	add_frame(1, false);
	driver_kick(&d, TX);
	assert_true(d.line);
	driver_close(&d);
	open_card(PACKED, 8);
	mf_store_le16(driver_at(&d, d.q[TX].avail + 2), 1);
	add_frame(1, false);
	driver_kick(&d, TX);
	assert_false(d.line);
	mf_store_le16(driver_at(&d, d.q[TX].avail + 2), 0);
	add_frame(1, false);
	driver_kick(&d, TX);
	assert_true(d.line);
	driver_close(&d);
}

/* The card asks for a kick at the place that it has come to. */
static void kicks_are_asked_for(void **state)
{
	(void)state;
	open_card(EVENTS, 8);
	for (uint16_t i = 1; i < 20; i++) {
		add_frame(1, false);
		driver_kick(&d, TX);
		assert_int_equal(mf_load_le16(driver_at(&d, d.q[TX].used + 4 + 8 * 8)), i);
	}
	driver_close(&d);
	open_card(PACKED | EVENTS, 8);
	for (unsigned i = 1; i < 20; i++) {
		add_frame(1, false);
		driver_kick(&d, TX);
		assert_int_equal(mf_load_le16(driver_at(&d, d.q[TX].used + 2)), 2);
		assert_int_equal(mf_load_le16(driver_at(&d, d.q[TX].used)),
				 i % 8 | (i / 8 % 2 ? 0 : 0x8000));
	}
	driver_close(&d);
}

/* --- drivers that do not keep to it --------------------------------------------------------------------------------- */

static uint8_t *desc(unsigned i)
{
	return driver_at(&d, d.q[TX].desc + 16u * i);
}

static void make_available(uint16_t head)
{
	struct driver_ring *r = &d.q[TX];

	mf_store_le16(driver_at(&d, r->avail + 4 + 2u * (r->at % r->size)), head);
	r->at++;
	mf_store_le16(driver_at(&d, r->avail + 2), r->at);
	r->desc_next = (uint16_t)((head + 1) % r->size);
}

/* The chain at 0 has this error: it comes back with nothing done, and the next frame goes out. */
static void expect_chain_error(enum mf_virtq_error e)
{
	uint64_t before = errors(e), frames = d.frames;
	uint32_t len;
	uint16_t id;

	make_available(0);
	driver_kick(&d, TX);
	assert_true(errors(e) == before + 1);
	assert_true(d.frames == frames);
	assert_true(driver_used(&d, TX, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 0);
	assert_false(needs_reset());
	d.q[TX].desc_next = 4;
	add_frame(2, false);
	driver_kick(&d, TX);
	assert_true(d.frames == frames + 1);
	expect_frame();
	assert_true(driver_used(&d, TX, &id, &len));
}

static void chains_with_errors_come_back_and_the_card_goes_on(void **state)
{
	uint64_t table;

	(void)state;
	open_card(INDIRECT, 8);
	driver_desc(desc(0), buf, 20, 1, 0); // to itself
	expect_chain_error(MF_VIRTQ_LOOP);
	driver_desc(desc(0), buf, 20, 1, 1);
	driver_desc(desc(1), buf, 20, 1, 0);
	expect_chain_error(MF_VIRTQ_LOOP);
	driver_desc(desc(0), buf, 20, 1, 8);
	expect_chain_error(MF_VIRTQ_NEXT);
	driver_desc(desc(0), buf, 20, 1, 0xffff);
	expect_chain_error(MF_VIRTQ_NEXT);
	driver_desc(desc(0), 0, 20, 0, 0);
	expect_chain_error(MF_VIRTQ_BUFFER);
	driver_desc(desc(0), UINT64_MAX - 8, 20, 0, 0);
	expect_chain_error(MF_VIRTQ_BUFFER);
	driver_desc(desc(0), DRIVER_BASE + DRIVER_RAM - 19, 20, 0, 0);
	expect_chain_error(MF_VIRTQ_BUFFER);
	driver_desc(desc(0), buf, UINT32_MAX, 0, 0);
	expect_chain_error(MF_VIRTQ_BUFFER);
	driver_desc(desc(0), buf, 20, 3, 1);
	driver_desc(desc(1), buf, 20, 0, 0);
	expect_chain_error(MF_VIRTQ_ORDER);
	driver_desc(desc(0), DRIVER_BASE, DRIVER_RAM, 1, 1);
	driver_desc(desc(1), DRIVER_BASE, UINT32_MAX - 1, 0, 0);
	expect_chain_error(MF_VIRTQ_LONG);
	table = driver_alloc(&d, 32768, 16);
	driver_desc(desc(0), table, 0, 4, 0);
	expect_chain_error(MF_VIRTQ_INDIRECT);
	driver_desc(desc(0), table, 24, 4, 0);
	expect_chain_error(MF_VIRTQ_INDIRECT);
	driver_desc(desc(0), table, 16 * (MF_VIRTQ_PIECES_MAX + 1), 4, 0);
	expect_chain_error(MF_VIRTQ_INDIRECT);
	driver_desc(desc(0), table, 16, 5, 1); // indirect and next
	expect_chain_error(MF_VIRTQ_INDIRECT);
	driver_desc(desc(0), table, 16, 4, 0);
	driver_desc(driver_at(&d, table), table, 16, 4, 0); // in itself
	expect_chain_error(MF_VIRTQ_INDIRECT);
	driver_desc(desc(0), 0x1000, 16, 4, 0);
	expect_chain_error(MF_VIRTQ_TABLE);
	driver_desc(desc(0), table, 32, 4, 0);
	driver_desc(driver_at(&d, table), buf, 20, 1, 1);
	driver_desc(driver_at(&d, table + 16), buf, 20, 1, 0);
	expect_chain_error(MF_VIRTQ_LOOP);
	driver_desc(driver_at(&d, table + 16), buf, 20, 1, 2);
	expect_chain_error(MF_VIRTQ_NEXT);
	// More pieces than a chain has, by a direct one before a full table.
	for (unsigned i = 0; i < MF_VIRTQ_PIECES_MAX; i++)
		driver_desc(driver_at(&d, table + 16 * i), buf, 1, 1, (uint16_t)(i + 1));
	mf_store_le16(driver_at(&d, table + 16 * (MF_VIRTQ_PIECES_MAX - 1) + 12), 0);
	driver_desc(desc(0), buf, 20, 1, 1);
	driver_desc(desc(1), table, 16 * MF_VIRTQ_PIECES_MAX, 4, 0);
	expect_chain_error(MF_VIRTQ_LOOP);
	assert_true(d.nic->counts[MF_NIC_BAD_DESCRIPTOR] > 15);
	driver_close(&d);
}

/* A chain before an indirect table is allowed (2.7.5.3.1), without the feature no table is. */
static void tables_may_end_a_chain(void **state)
{
	uint64_t table;

	(void)state;
	open_card(INDIRECT, 8);
	table = driver_alloc(&d, 64, 16);
	driver_desc(desc(0), buf, 12, 1, 1);
	driver_desc(desc(1), table, 32, 4 | 2, 0); // its WRITE is ignored
	driver_desc(driver_at(&d, table), buf + 12, 40, 1, 1);
	driver_desc(driver_at(&d, table + 16), buf + 52, 60, 0, 0);
	make_available(0);
	driver_kick(&d, TX);
	assert_int_equal(d.frames, 1);
	expect_frame();
	driver_close(&d);
	open_card(0, 8);
	table = driver_alloc(&d, 64, 16);
	driver_desc(desc(0), table, 16, 4, 0);
	driver_desc(driver_at(&d, table), buf, 12 + LEN, 0, 0);
	expect_chain_error(MF_VIRTQ_INDIRECT);
	driver_close(&d);
}

/* A buffer that crosses from one region to the next is whole all the same. */
static void buffers_may_cross_regions(void **state)
{
	struct mf_guest_region parts[2];
	uint64_t border = DRIVER_BASE + DRIVER_RAM / 2;
	struct driver_buf b = { border - 50, 12 + LEN };

	(void)state;
	open_card(0, 8);
	parts[0] = (struct mf_guest_region){ .gpa = DRIVER_BASE,
					     .size = DRIVER_RAM / 2,
					     .ptr = d.ram };
	parts[1] = (struct mf_guest_region){ .gpa = border,
					     .size = DRIVER_RAM / 2,
					     .ptr = d.ram + DRIVER_RAM / 2 };
	assert_int_equal(mf_guest_memory_set(&d.mem, parts, 2, NULL), 0);
	memcpy(driver_at(&d, b.gpa), driver_at(&d, buf), b.len);
	driver_add(&d, TX, &b, 1, 0, false);
	driver_kick(&d, TX);
	assert_int_equal(d.frames, 1);
	expect_frame();
	driver_close(&d);
}

static void expect_broken(enum mf_virtq_error e)
{
	uint64_t frames = d.frames, before = errors(e);

	driver_kick(&d, TX);
	assert_true(errors(e) == before + 1);
	assert_true(needs_reset());
	assert_true(d.line); // the configuration has changed
	assert_int_equal(d.logs, 1);
	add_frame(1, false);
	driver_kick(&d, TX);
	mf_nic_tick(d.nic, 0);
	assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
	assert_true(d.frames == frames);
	assert_true(errors(e) == before + 1);
	// A reset mends it.
	assert_true(driver_negotiate(&d, V1 | (d.packed ? PACKED : 0)));
	assert_false(needs_reset());
	driver_add_ring(&d, TX, 8);
	driver_ok(&d);
	add_frame(1, false);
	driver_kick(&d, TX);
	assert_true(d.frames == frames + 1);
	driver_close(&d);
}

static void rings_that_cannot_be_trusted_need_a_reset(void **state)
{
	(void)state;
	open_card(0, 8);
	mf_store_le16(driver_at(&d, d.q[TX].avail + 2), 9); // more than there are
	expect_broken(MF_VIRTQ_INDEX);
	open_card(0, 8);
	make_available(8);
	expect_broken(MF_VIRTQ_HEAD);
	open_card(0, 8);
	make_available(0xffff);
	expect_broken(MF_VIRTQ_HEAD);
	open_card(PACKED, 8);
	for (unsigned i = 0; i < 8; i++)
		driver_desc(desc(i), buf, 20, 0, 0x0081); // a chain all round
	expect_broken(MF_VIRTQ_LOOP);
}

static void rings_outside_of_memory_need_a_reset(void **state)
{
	static const struct {
		unsigned part;
		uint64_t at;
	} bad[] = {
		{ 0, 0 },
		{ 0, DRIVER_BASE + DRIVER_RAM - 64 },
		{ 0, DRIVER_BASE + 8 }, // not aligned
		{ 0, UINT64_MAX - 15 },
		{ 1, 0x1000 },
		{ 1, DRIVER_BASE + DRIVER_RAM - 4 },
		{ 1, DRIVER_BASE + 1 },
		{ 2, DRIVER_BASE + DRIVER_RAM },
		{ 2, DRIVER_BASE + 2 },
	};

	(void)state;
	for (unsigned packed = 0; packed < 2; packed++)
		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
			struct driver_ring *r = &d.q[TX];

			if (packed && bad[i].part == 1 && bad[i].at % 4 == 0 && bad[i].at > 0x1000)
				continue; // its event area is 4 bytes: inside
			open_card(packed ? PACKED : 0, 8);
			driver_negotiate(&d, V1 | (packed ? PACKED : 0));
			driver_make_ring(&d, TX, 8);
			*(bad[i].part == 0   ? &r->desc
			  : bad[i].part == 1 ? &r->avail
					     : &r->used) = bad[i].at;
			driver_set_ring(&d, TX);
			driver_ok(&d);
			assert_true(needs_reset());
			assert_true(errors(MF_VIRTQ_OUTSIDE) == 1);
			driver_kick(&d, TX);
			assert_true(errors(MF_VIRTQ_OUTSIDE) == 1);
			driver_close(&d);
		}
}

/* Packed: an error inside a chain, which still says where it ends. */
static void packed_chains_with_errors_come_back(void **state)
{
	uint32_t len;
	uint16_t id;
	struct driver_buf bufs[3] = { { buf, 20 }, { 0x10, 20 }, { buf, 20 } };
	uint64_t table;

	(void)state;
	open_card(PACKED | INDIRECT, 8);
	bufs[0].gpa = bufs[2].gpa = buf;
	for (unsigned i = 0; i < 10; i++) {
		driver_add(&d, TX, bufs, 3, 0, i & 1);
		add_frame(1, false);
		driver_kick(&d, TX);
		assert_true(errors(MF_VIRTQ_BUFFER) == i + 1);
		assert_int_equal(d.frames, i + 1);
		expect_frame();
		assert_true(driver_used(&d, TX, &id, &len));
		assert_int_equal(len, 0);
		assert_true(driver_used(&d, TX, &id, &len));
		assert_false(driver_used(&d, TX, &id, &len));
	}
	driver_close(&d);
	open_card(PACKED | INDIRECT, 8);
	table = driver_alloc(&d, 64, 16);
	driver_desc(desc(0), table, 24, 7, 0x0084);
	d.q[TX].slots[7] = 1;
	driver_kick(&d, TX);
	assert_true(errors(MF_VIRTQ_INDIRECT) == 1);
	assert_true(driver_used(&d, TX, &id, &len));
	assert_int_equal(id, 7);
	driver_close(&d);
}

/* Empty buffers hold nothing and harm nothing. */
static void empty_buffers_are_passed_over(void **state)
{
	struct driver_buf bufs[4] = { { 0, 0 }, { buf, 12 }, { UINT64_MAX, 0 }, { buf, LEN } };

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		open_card(packed ? PACKED : 0, 8);
		bufs[1].gpa = buf;
		bufs[3].gpa = buf + 12;
		driver_add(&d, TX, bufs, 4, 0, false);
		driver_kick(&d, TX);
		assert_int_equal(d.frames, 1);
		expect_frame();
		driver_add(&d, TX, bufs, 1, 0, false); // of nothing at all
		driver_kick(&d, TX);
		assert_int_equal(d.frames, 1);
		assert_true(d.nic->counts[MF_NIC_TX_BAD] == 1);
		driver_close(&d);
	}
}

/* The driver changes its mind between two kicks: an index that goes back is one that jumped far ahead. */
static void indexes_that_go_back_break_the_queue(void **state)
{
	(void)state;
	open_card(0, 8);
	add_frame(1, false);
	driver_kick(&d, TX);
	assert_int_equal(d.frames, 1);
	mf_store_le16(driver_at(&d, d.q[TX].avail + 2), 0);
	expect_broken(MF_VIRTQ_INDEX);
}

/* The frame is the ring itself: it is sent as it was, and the ring works on. */
static void frames_may_lie_on_the_ring(void **state)
{
	struct driver_buf b;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		open_card(packed ? PACKED : 0, 8);
		b = (struct driver_buf){ d.q[TX].desc + 32, 96 };
		for (unsigned i = 0; i < 30; i++) {
			driver_add(&d, TX, &b, 1, 0, false);
			driver_kick(&d, TX);
		}
		// Headers are what descriptors happen to be: sent or refused, but each of them counted.
		assert_true(d.nic->counts[MF_NIC_TX_FRAMES] + d.nic->counts[MF_NIC_BAD_OFFLOAD] ==
			    30);
		assert_false(needs_reset());
		driver_close(&d);
	}
}

static void without_bus_mastering_nothing_is_touched(void **state)
{
	(void)state;
	open_card(0, 8);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 3, 2, 0);
	add_frame(1, false);
	driver_kick(&d, TX);
	assert_int_equal(d.frames, 0);
	assert_true(d.nic->counts[MF_NIC_NO_BUS_MASTER] > 0);
	assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 7, 2, 0);
	assert_true(mf_nic_deadline(d.nic) == 0);
	mf_nic_tick(d.nic, 0);
	assert_int_equal(d.frames, 1);
	driver_close(&d);
}

static void errors_have_names(void **state)
{
	(void)state;
	for (unsigned e = 0; e < MF_VIRTQ_ERROR_NUM; e++)
		assert_non_null(mf_virtq_error_name(e));
	assert_null(mf_virtq_error_name(MF_VIRTQ_ERROR_NUM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_go_round_split_rings),
		cmocka_unit_test(frames_go_round_packed_rings),
		cmocka_unit_test(a_kick_does_a_bounded_part_of_the_work),
		cmocka_unit_test(a_held_card_begins_no_frame),
		cmocka_unit_test(events_come_where_they_are_wanted),
		cmocka_unit_test(flags_hold_interrupts_back),
		cmocka_unit_test(kicks_are_asked_for),
		cmocka_unit_test(chains_with_errors_come_back_and_the_card_goes_on),
		cmocka_unit_test(tables_may_end_a_chain),
		cmocka_unit_test(buffers_may_cross_regions),
		cmocka_unit_test(rings_that_cannot_be_trusted_need_a_reset),
		cmocka_unit_test(rings_outside_of_memory_need_a_reset),
		cmocka_unit_test(packed_chains_with_errors_come_back),
		cmocka_unit_test(empty_buffers_are_passed_over),
		cmocka_unit_test(indexes_that_go_back_break_the_queue),
		cmocka_unit_test(frames_may_lie_on_the_ring),
		cmocka_unit_test(without_bus_mastering_nothing_is_touched),
		cmocka_unit_test(errors_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
