/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_snapshot.c - virtio cards saved and restored in the middle of their work, and snapshots that cannot be */
#include "tests/unit/nic/virtio_driver.h"
#include "tests/unit/test.h"

#define PACKED MF_VIRTIO_BIT(MF_VIRTIO_F_RING_PACKED)

static struct driver d;
static uint8_t snapshot[8192], again[8192];
static uint8_t frame[1514];

static void open_card(uint64_t without)
{
	const struct mf_virtio_net_options opt = { .mac = { 0x52, 1, 2, 3, 4, 5 },
						   .pairs = 2,
						   .packed = true,
						   .coalesce = true,
						   .mtu = 1500,
						   .queue_size = 512 };

	assert_int_equal(driver_open(&d, &opt, true, 0), 0);
	driver_msix(&d, 6);
	assert_true(driver_negotiate(&d, driver_offered(&d) & ~without));
	for (unsigned i = 0; i < 5; i++)
		driver_add_ring(&d, i, 512 >> (i != 1));
	driver_ok(&d);
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 3);
	frame[0] = 0x52;
}

static size_t save(uint8_t *to)
{
	size_t len = mf_nic_save(d.nic, NULL, 0);

	assert_true(len > 0 && len <= sizeof(snapshot));
	assert_int_equal(mf_nic_save(d.nic, to, sizeof(snapshot)), len);
	assert_int_equal(mf_nic_save(d.nic, to, len), len);
	return len;
}

/* Another card of the same options takes the place of the first, over the same memory. */
static void change_card(void)
{
	const struct mf_virtio_net_options opt = { .mac = { 0x52, 1, 2, 3, 4, 5 },
						   .pairs = 2,
						   .packed = true,
						   .coalesce = true,
						   .mtu = 1500,
						   .queue_size = 512 };
	struct mf_nic_host host = d.nic->host;
	size_t len = save(snapshot);

	mf_nic_free(d.nic);
	assert_int_equal(mf_virtio_net_new(&opt, &host, &d.nic, NULL), 0);
	assert_int_equal(mf_nic_restore(d.nic, snapshot, len, NULL), 0);
	assert_int_equal(save(again), len);
	assert_memory_equal(snapshot, again, len);
}

static void add_frame(void)
{
	uint32_t taken = d.taken;
	struct driver_buf b = { driver_alloc(&d, 12 + sizeof(frame), 16), 12 + sizeof(frame) };

	memcpy(driver_at(&d, b.gpa + 12), frame, sizeof(frame));
	driver_add(&d, 1, &b, 1, 0, false);
	d.taken = taken; // all of them are the same
}

static void work_goes_on_in_another_card(void **state)
{
	uint16_t id;
	uint32_t len;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		unsigned used = 0;

		open_card(packed ? 0 : PACKED);
		driver_want_event(&d, 0, 0);
		for (unsigned i = 0; i < 200; i++) {
			struct driver_buf b = { driver_alloc(&d, 600, 16), 600 };

			driver_add(&d, 0, &b, 0, 1, i & 1);
		}
		for (unsigned i = 0; i < 400; i++)
			add_frame();
		driver_kick(&d, 1);
		assert_int_equal(d.frames, 256); // in the midst of a kick's work
		change_card();
		assert_true(mf_nic_deadline(d.nic) == 0);
		mf_nic_tick(d.nic, 0);
		assert_int_equal(d.frames, 400);
		for (unsigned i = 0; i < 60; i++) { // three merged buffers each
			if (i % 7 == 0)
				change_card();
			assert_int_equal(driver_receive(&d, frame, sizeof(frame)), MF_NIC_TAKEN);
		}
		while (driver_used(&d, 0, &id, &len))
			used++;
		assert_int_equal(used, 180);
		while (driver_used(&d, 1, &id, &len))
			used++;
		assert_int_equal(used, 580);
		for (unsigned e = 0; e < MF_VIRTQ_ERROR_NUM; e++)
			assert_true(mf_virtio_net_ring_errors(d.nic, e) == 0);
		assert_true(d.messages > 0);
		driver_close(&d);
	}
}

static uint8_t control(uint8_t class_, uint8_t command, const void *bytes, uint32_t n)
{
	uint64_t at = driver_alloc(&d, n + 3, 16);
	struct driver_buf b[2] = { { at, 2 + n }, { at + 2 + n, 1 } };
	uint32_t len;
	uint16_t id;

	*driver_at(&d, at) = class_;
	*driver_at(&d, at + 1) = command;
	memcpy(driver_at(&d, at + 2), bytes, n);
	driver_add(&d, 4, b, 1, 1, false);
	driver_kick(&d, 4);
	assert_true(driver_used(&d, 4, &id, &len));
	return *driver_at(&d, at + 2 + n);
}

/* All that can be set is set, an interrupt waits for its time, one is pending, buffers are owed. */
static void set_everything(void)
{
	open_card(PACKED);
	d.now = 1000000;
	assert_int_equal(control(0, 0, "\0", 1), 0);
	assert_int_equal(control(0, 1, "\1", 1), 0);
	assert_int_equal(control(1, 0, "\1\0\0\0\2\2\2\2\2\2\1\0\0\0\3\3\3\3\3\3", 20), 0);
	assert_int_equal(control(1, 1, "\2\0\0\0\0\7", 6), 0);
	assert_int_equal(control(2, 0, "\5\0", 2), 0);
	assert_int_equal(control(4, 0, "\2\0", 2), 0);
	mf_nic_tick(d.nic, d.now); // looks at the second pair
	assert_int_equal(control(6, 0, "\10\0\0\0\144\0\0\0", 8), 0);
	driver_want_event(&d, 1, 0);
	add_frame();
	driver_kick(&d, 1);
	frame[0] = 3;
	memset(frame + 1, 3, 5);
	assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_NO_BUFFER);
	driver_write(&d, MF_VIRTIO_AT_TABLE + 12, 4, 1);
	driver_write(&d, 16, 2, 0);
	mf_nic_set_link(d.nic, false, d.now);
	mf_nic_set_link(d.nic, true, d.now);
	assert_int_equal(driver_read(&d, MF_VIRTIO_AT_PBA, 4), 1);
}

static void settings_live_on(void **state)
{
	struct driver_buf b;
	unsigned messages;

	(void)state;
	set_everything();
	assert_true(mf_nic_deadline(d.nic) == 1100000);
	d.now = 1030000;
	mf_nic_tick(d.nic, d.now);
	change_card();
	mf_nic_tick(d.nic, 0); // the new card's clock begins at 0: 70 us are left
	messages = d.messages;
	assert_int_equal(driver_read(&d, 0x2000, 4), 2);
	assert_int_equal(driver_read(&d, 0x2004, 2), 0x700);
	memcpy(frame, "\2\2\2\2\2\2", 6);
	assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_NO_BUFFER);
	memcpy(frame, "\2\2\2\2\2\3", 6);
	assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_NOT_FOR_IT);
	b = (struct driver_buf){ driver_alloc(&d, 600, 16), 600 };
	driver_add(&d, 0, &b, 0, 1, false);
	driver_kick(&d, 0);
	assert_int_equal(d.ready, 1);
	driver_write(&d, MF_VIRTIO_AT_TABLE + 12, 4, 0); // the message that was held back
	assert_int_equal(d.messages, messages + 1);
	driver_close(&d);
}

/* What cannot be is refused, and leaves the card as it was; what is taken, the card survives. */
static void survive(const uint8_t *bytes, size_t len, size_t whole)
{
	struct mf_err err = { 0 };
	int rc = mf_nic_restore(d.nic, bytes, len, &err);

	if (rc) {
		assert_true(rc == MF_E_BAD || rc == MF_E_UNSUPPORTED);
		assert_true(err.msg[0]);
		assert_int_equal(save(again), whole);
		assert_memory_equal(snapshot, again, whole);
		return;
	}
	for (unsigned i = 0; i < 5; i++)
		driver_kick(&d, i);
	driver_receive(&d, frame, 60);
	driver_receive(&d, frame, 1514);
	mf_nic_tick(d.nic, d.now + 1);
	mf_nic_deadline(d.nic);
	driver_read(&d, 0x1000, 1);
	assert_int_equal(mf_nic_restore(d.nic, snapshot, whole, NULL), 0);
}

static void hostile_snapshots_are_refused_or_survived(void **state)
{
	static const uint8_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff };
	uint8_t bytes[sizeof(snapshot)];
	size_t len;

	(void)state;
	set_everything();
	// The card's clock as it will be: times are saved relative to it.
	len = save(snapshot);
	assert_int_equal(mf_nic_restore(d.nic, snapshot, len, NULL), 0);
	for (size_t n = 0; n < len; n += n < 64 ? 1 : 37)
		survive(snapshot, n, len);
	for (size_t i = 0; i < len; i++)
		for (unsigned v = 0; v < sizeof(values); v++) {
			memcpy(bytes, snapshot, len);
			if (bytes[i] == values[v])
				continue;
			bytes[i] = values[v];
			survive(bytes, len, len);
		}
	memcpy(bytes, snapshot, len);
	survive(bytes, len + 1, len);
	driver_close(&d);
}

static void other_cards_snapshots_are_refused(void **state)
{
	const struct mf_virtio_net_options one = { .mac = { 0x52 } };
	struct mf_err err = { 0 };
	size_t len;

	(void)state;
	set_everything();
	len = save(snapshot);
	driver_close(&d);
	assert_int_equal(driver_open(&d, &one, true, 0), 0);
	assert_int_equal(mf_nic_restore(d.nic, snapshot, len, &err), MF_E_BAD);
	assert_non_null(strstr(err.msg, "other features"));
	driver_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_goes_on_in_another_card),
		cmocka_unit_test(settings_live_on),
		cmocka_unit_test(hostile_snapshots_are_refused_or_survived),
		cmocka_unit_test(other_cards_snapshots_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
