/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_pci.c - virtio over PCI: capabilities, feature negotiation, both transports, MSI-X and INTx, resets */
#include "tests/unit/nic/virtio_driver.h"
#include "tests/unit/test.h"

#define MAC	0x52, 0x54, 0x00, 0x12, 0x34, 0x56

#define V1	MF_VIRTIO_BIT(MF_VIRTIO_F_VERSION_1)
#define BASIC	(V1 | MF_VIRTIO_BIT(5))
#define CTRL_VQ MF_VIRTIO_BIT(17)

static struct driver d;

static void open_card(bool modern_only, bool msix)
{
	const struct mf_virtio_net_options opt = { .mac = { MAC },
						   .mtu = 1400,
						   .pairs = 2,
						   .coalesce = true,
						   .packed = true,
						   .modern_only = modern_only };

	assert_int_equal(driver_open(&d, &opt, msix, 0), 0);
}

static uint32_t config(unsigned off, unsigned size)
{
	return mf_nic_config_read(d.nic, off, size, 0);
}

static void the_five_capabilities_are_there(void **state)
{
	bool seen[6] = { false }, msix = false;

	(void)state;
	open_card(false, true);
	assert_int_equal(config(0, 4), 0x10001af4);
	assert_int_equal(config(8, 1), 0);
	assert_int_equal(config(0x2e, 2), 1);
	for (unsigned at = config(0x34, 1); at; at = config(at + 1, 1)) {
		if (config(at, 1) == 0x11) {
			msix = true;
			assert_int_equal(config(at + 2, 2),
					 5); // six vectors: five queues and the rest
			assert_int_equal(config(at + 4, 4), 0x4001);
			assert_int_equal(config(at + 8, 4), 0x5001);
			continue;
		}
		assert_int_equal(config(at, 1), 9);
		assert_in_range(config(at + 3, 1), 1, 5);
		assert_int_equal(config(at + 2, 1),
				 config(at + 3, 1) == 2 || config(at + 3, 1) == 5 ? 20 : 16);
		seen[config(at + 3, 1)] = true;
		if (config(at + 3, 1) != 5) {
			assert_int_equal(config(at + 4, 1), 1);
			assert_true(config(at + 8, 4) + config(at + 12, 4) <= 0x8000);
		}
	}
	assert_true(msix && seen[1] && seen[2] && seen[3] && seen[4] && seen[5]);
	// Both BARs are 32 bits wide, as sized by writing ones.
	mf_nic_config_write(d.nic, 0x10, UINT32_MAX, 4, 0);
	mf_nic_config_write(d.nic, 0x14, UINT32_MAX, 4, 0);
	assert_int_equal(config(0x10, 4), 0xffffff01);
	assert_int_equal(config(0x14, 4), 0xffff8000);
	assert_int_equal(config(0x18, 4), 0);
	driver_close(&d);
	open_card(true, false);
	assert_int_equal(config(0, 4), 0x10411af4);
	assert_int_equal(config(8, 1), 1);
	assert_in_range(config(0x2e, 2), 0x40, 0xffff);
	assert_int_equal(config(0x10, 4), 0);
	driver_close(&d);
}

/* iPXE reads and writes through VIRTIO_PCI_CAP_PCI_CFG. */
static void the_window_reaches_the_bars(void **state)
{
	unsigned at;

	(void)state;
	open_card(false, false);
	for (at = config(0x34, 1); config(at + 3, 1) != 5;)
		at = config(at + 1, 1);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 0, 2, 0); // decoding does not matter
	mf_nic_config_write(d.nic, at + 4, 1, 1, 0);
	mf_nic_config_write(d.nic, at + 8, 0x2000, 4, 0);
	mf_nic_config_write(d.nic, at + 12, 4, 4, 0);
	assert_int_equal(config(at + 16, 4), 0x12005452);
	mf_nic_config_write(d.nic, at + 8, 20, 4, 0);
	mf_nic_config_write(d.nic, at + 12, 1, 4, 0);
	mf_nic_config_write(d.nic, at + 16, 1, 4, 0);
	assert_int_equal(config(at + 16, 1), 1);
	// Places and lengths that there are not: nothing happens.
	mf_nic_config_write(d.nic, at + 8, UINT32_MAX, 4, 0);
	mf_nic_config_write(d.nic, at + 16, 0, 4, 0);
	mf_nic_config_write(d.nic, at + 8, 20, 4, 0);
	mf_nic_config_write(d.nic, at + 12, 3, 4, 0);
	mf_nic_config_write(d.nic, at + 16, 0, 4, 0);
	mf_nic_config_write(d.nic, at + 12, 1, 4, 0);
	mf_nic_config_write(d.nic, at + 4, 5, 1, 0);
	mf_nic_config_write(d.nic, at + 16, 0, 4, 0);
	mf_nic_config_write(d.nic, at + 4, 1, 1, 0);
	assert_int_equal(config(at + 16, 1), 1);
	driver_close(&d);
}

static void impossible_sets_of_features_are_refused(void **state)
{
	static const struct {
		uint64_t features;
		bool fine;
	} sets[] = {
		{ V1, true },
		{ 0, false },
		{ BASIC, true },
		{ MF_VIRTIO_BIT(5), false },
		{ V1 | MF_VIRTIO_BIT(60), false }, // not offered
		{ V1 | MF_VIRTIO_BIT(27), false }, // legacy's
		{ V1 | MF_VIRTIO_BIT(7), false },  // GUEST_TSO4 without GUEST_CSUM
		{ V1 | MF_VIRTIO_BIT(7) | MF_VIRTIO_BIT(1), true },
		{ V1 | MF_VIRTIO_BIT(8), false },
		{ V1 | MF_VIRTIO_BIT(11), false },
		{ V1 | MF_VIRTIO_BIT(12), false },
		{ V1 | MF_VIRTIO_BIT(12) | MF_VIRTIO_BIT(0), true },
		{ V1 | MF_VIRTIO_BIT(18), false }, // CTRL_RX without CTRL_VQ
		{ V1 | MF_VIRTIO_BIT(19), false },
		{ V1 | MF_VIRTIO_BIT(22), false },
		{ V1 | MF_VIRTIO_BIT(23), false },
		{ V1 | MF_VIRTIO_BIT(53), false },
		{ V1 | CTRL_VQ | MF_VIRTIO_BIT(53) | MF_VIRTIO_BIT(22), true },
		{ V1 | MF_VIRTIO_BIT(34), true },
		{ MF_VIRTIO_BIT(34), false },
	};

	(void)state;
	open_card(false, false);
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		assert_int_equal(driver_negotiate(&d, sets[i].features), sets[i].fine);
		driver_ok(&d); // which a card without features does not take
		assert_int_equal(driver_read(&d, 20, 1), sets[i].fine ? 15 : 3);
	}
	assert_true(driver_negotiate(&d, driver_offered(&d)));
	// What is settled stays: another word of the driver changes nothing.
	driver_write(&d, 8, 4, 0);
	driver_write(&d, 12, 4, 0);
	assert_int_equal(driver_read(&d, 12, 4), (uint32_t)driver_offered(&d));
	driver_close(&d);
}

static void queues_are_described_and_set_up(void **state)
{
	(void)state;
	open_card(false, true);
	assert_int_equal(driver_read(&d, 18, 2), 5);
	assert_true(driver_negotiate(&d, V1));
	for (unsigned i = 0; i < 5; i++) {
		driver_write(&d, 22, 2, i);
		assert_int_equal(driver_read(&d, 24, 2), 256);
		assert_int_equal(driver_read(&d, 30, 2), i);
		assert_int_equal(driver_read(&d, 28, 2), 0);
		assert_int_equal(driver_read(&d, 26, 2), 0xffff);
		driver_write(&d, 26, 2, i);
		assert_int_equal(driver_read(&d, 26, 2), i);
		driver_write(&d, 26, 2, 6); // there is none: says so
		assert_int_equal(driver_read(&d, 26, 2), 0xffff);
	}
	driver_write(&d, 22, 2, 5);
	assert_int_equal(driver_read(&d, 24, 2), 0);
	driver_write(&d, 28, 2, 1);
	assert_int_equal(driver_read(&d, 28, 2), 0);
	driver_write(&d, 22, 2, 0);
	driver_write(&d, 32, 4, 0x12345000);
	driver_write(&d, 36, 4, 0x9);
	driver_write(&d, 24, 2, 128);
	driver_write(&d, 28, 2, 1);
	assert_int_equal(driver_read(&d, 28, 2), 1);
	driver_write(&d, 24, 2, 64); // too late
	driver_write(&d, 32, 4, 0);
	driver_write(&d, 28, 2, 0);
	assert_int_equal(driver_read(&d, 24, 2), 128);
	assert_int_equal(driver_read(&d, 32, 4), 0x12345000);
	assert_int_equal(driver_read(&d, 36, 4), 9);
	assert_int_equal(driver_read(&d, 28, 2), 1);
	assert_int_equal(mf_nic_bar_read(d.nic, 1, 32, 8, 0), UINT64_C(0x912345000));
	// A size that no ring has: the device says that it needs a reset.
	driver_write(&d, 22, 2, 1);
	driver_write(&d, 24, 2, 100);
	driver_write(&d, 28, 2, 1);
	assert_int_equal(driver_read(&d, 28, 2), 0);
	assert_true(driver_read(&d, 20, 1) & MF_VIRTIO_S_NEEDS_RESET);
	driver_write(&d, 20, 1, 0);
	assert_int_equal(driver_read(&d, 20, 1), 0);
	driver_write(&d, 22, 2, 0);
	assert_int_equal(driver_read(&d, 28, 2), 0);
	assert_int_equal(driver_read(&d, 24, 2), 256);
	assert_int_equal(driver_read(&d, 32, 4), 0);
	driver_close(&d);
}

static void the_configuration_says_what_the_card_is(void **state)
{
	uint32_t generation;

	(void)state;
	open_card(false, false);
	assert_int_equal(driver_read(&d, 0x2000, 4), 0x12005452);
	assert_int_equal(driver_read(&d, 0x2004, 2), 0x5634);
	assert_int_equal(driver_read(&d, 0x2006, 2), 1);
	assert_int_equal(driver_read(&d, 0x2008, 2), 2);
	assert_int_equal(driver_read(&d, 0x200a, 2), 1400);
	driver_write(&d, 0x2000, 4, 0); // read-only to modern drivers
	assert_int_equal(driver_read(&d, 0x2000, 4), 0x12005452);
	assert_true(driver_negotiate(&d, V1 | MF_VIRTIO_BIT(16)));
	driver_ok(&d);
	generation = driver_read(&d, 21, 1);
	mf_nic_set_link(d.nic, false, 0);
	assert_true(d.line);
	assert_int_not_equal(driver_read(&d, 21, 1), generation);
	assert_int_equal(driver_read(&d, 0x2006, 2), 0);
	assert_int_equal(driver_read(&d, 0x1000, 1), 2); // and gone with the reading
	assert_false(d.line);
	assert_int_equal(driver_read(&d, 0x1000, 1), 0);
	driver_close(&d);
}

static void legacy_drivers_have_their_registers(void **state)
{
	struct driver_buf buf = { 0, 10 + 60 };
	uint64_t ring;

	(void)state;
	open_card(false, false);
	assert_int_equal(driver_old_read(&d, 18, 1), 0);
	driver_old_write(&d, 18, 1, 3);
	// Neither VERSION_1 nor what stands above; what cannot be without others is taken off.
	assert_true(driver_old_read(&d, 0, 4) & UINT32_C(1) << 27);
	driver_old_write(&d, 4, 4, UINT32_C(1) << 22 | UINT32_C(1) << 5);
	assert_int_equal(driver_old_read(&d, 4, 4), 1u << 5);
	assert_int_equal(driver_old_read(&d, 20, 4), 0x12005452);
	assert_int_equal(driver_old_read(&d, 26, 2), 1);
	driver_old_write(&d, 20, 1, 0x56);
	assert_int_equal(driver_old_read(&d, 20, 1), 0x56);
	driver_old_write(&d, 14, 2, 1);
	assert_int_equal(driver_old_read(&d, 12, 2), 256);
	ring = driver_alloc(&d, 16384, 4096);
	d.q[1] = (struct driver_ring){ .size = 256,
				       .desc = ring,
				       .avail = ring + 4096,
				       .used = ring + 8192,
				       .tables = driver_alloc(&d, 65536, 16) };
	driver_old_write(&d, 8, 4, (uint32_t)(ring / 4096));
	assert_int_equal(driver_old_read(&d, 8, 4), ring / 4096);
	buf.gpa = driver_alloc(&d, 128, 16);
	memset(driver_at(&d, buf.gpa + 10), 0xab, 60);
	driver_add(&d, 1, &buf, 1, 0, false);
	driver_old_write(&d, 16, 2, 1);
	assert_int_equal(d.frames, 0); // not before DRIVER_OK
	driver_write(&d, 22, 2, 0);    // a modern driver has no say now
	driver_write(&d, 20, 1, 15);
	assert_int_equal(driver_old_read(&d, 18, 1), 3);
	driver_old_write(&d, 18, 1, 7);
	assert_int_equal(d.frames, 1);
	assert_int_equal(d.len, 60); // 10 bytes of header
	assert_int_equal(d.frame[0], 0xab);
	assert_true(d.line);
	assert_int_equal(driver_old_read(&d, 19, 1), 1);
	assert_false(d.line);
	driver_add(&d, 1, &buf, 1, 0, false);
	driver_old_write(&d, 16, 2, 1);
	assert_int_equal(d.frames, 2);
	driver_old_write(&d, 18, 1, 0);
	assert_int_equal(driver_old_read(&d, 8, 4), 0);
	assert_int_equal(driver_old_read(&d, 20, 1), 0x52); // its own address again
	assert_true(driver_negotiate(&d, V1));		    // and now a modern one
	driver_close(&d);
}

static void with_msix_on_the_legacy_configuration_moves(void **state)
{
	(void)state;
	open_card(false, true);
	assert_int_equal(driver_old_read(&d, 20, 4), 0x12005452);
	driver_msix(&d, 6);
	driver_old_write(&d, 20, 2, 5);
	assert_int_equal(driver_old_read(&d, 20, 2), 5);
	driver_old_write(&d, 22, 2, 77);
	assert_int_equal(driver_old_read(&d, 22, 2), 0xffff);
	assert_int_equal(driver_old_read(&d, 24, 4), 0x12005452);
	driver_close(&d);
}

static void messages_go_where_the_table_says(void **state)
{
	(void)state;
	open_card(false, true);
	driver_msix(&d, 6);
	assert_true(driver_negotiate(&d, V1 | MF_VIRTIO_BIT(16)));
	driver_write(&d, 16, 2, 3);
	assert_int_equal(driver_read(&d, 16, 2), 3);
	driver_ok(&d);
	mf_nic_set_link(d.nic, false, 0);
	assert_int_equal(d.messages, 1);
	assert_true(d.message_address == 0xfee00030);
	assert_int_equal(d.message_data, 0x4003);
	assert_false(d.line);
	// Masked: pending, and sent when it is unmasked.
	driver_write(&d, MF_VIRTIO_AT_TABLE + 16 * 3 + 12, 4, 1);
	mf_nic_set_link(d.nic, true, 0);
	mf_nic_set_link(d.nic, false, 0);
	assert_int_equal(d.messages, 1);
	assert_int_equal(driver_read(&d, MF_VIRTIO_AT_PBA, 4), 1 << 3);
	assert_int_equal(mf_nic_bar_read(d.nic, 1, MF_VIRTIO_AT_PBA, 8, 0), 1 << 3);
	driver_write(&d, MF_VIRTIO_AT_TABLE + 16 * 3 + 12, 4, 0);
	assert_int_equal(d.messages, 2);
	assert_int_equal(driver_read(&d, MF_VIRTIO_AT_PBA, 4), 0);
	// Without bus mastering no device stores anything.
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 3, 2, 0);
	mf_nic_set_link(d.nic, true, 0);
	assert_int_equal(d.messages, 2);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 7, 2, 0);
	assert_int_equal(d.messages, 3);
	// No vector: nobody is told.
	driver_write(&d, 16, 2, 0xffff);
	mf_nic_set_link(d.nic, false, 0);
	assert_int_equal(d.messages, 3);
	// What is past the table, or reserved in it, cannot be written.
	driver_write(&d, MF_VIRTIO_AT_TABLE + 16 * 6, 4, 0x1234);
	assert_int_equal(driver_read(&d, MF_VIRTIO_AT_TABLE + 16 * 6, 4), 0);
	driver_write(&d, MF_VIRTIO_AT_TABLE + 12, 4, UINT32_MAX);
	assert_int_equal(driver_read(&d, MF_VIRTIO_AT_TABLE + 12, 4), 1);
	mf_nic_reset(d.nic);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 7, 2, 0);
	assert_int_equal(driver_read(&d, MF_VIRTIO_AT_TABLE + 16 * 3 + 12, 4), 1);
	driver_close(&d);
}

static void intx_disable_holds_the_line(void **state)
{
	(void)state;
	open_card(false, false);
	assert_true(driver_negotiate(&d, V1 | MF_VIRTIO_BIT(16)));
	driver_ok(&d);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 0x407, 2, 0);
	mf_nic_set_link(d.nic, false, 0);
	assert_false(d.line);
	assert_true(config(MF_PCI_STATUS, 2) & MF_PCI_STATUS_INTERRUPT);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 7, 2, 0);
	assert_true(d.line);
	driver_write(&d, 20, 1, 0);
	assert_false(d.line);
	driver_close(&d);
}

static void odd_accesses_do_nothing(void **state)
{
	(void)state;
	open_card(false, true);
	assert_int_equal(driver_read(&d, 0x6000, 4), 0);
	assert_int_equal(driver_read(&d, 0x3000, 4), 0);
	assert_int_equal(driver_read(&d, 0x0800, 4), 0);
	assert_int_equal(driver_read(&d, 0x1ffc, 4), 0);
	driver_write(&d, 0x3000 + 4 * 5, 2, 5); // no such queue
	driver_write(&d, 0x3001, 1, 0);
	driver_write(&d, 20, 2, 0xffff); // not the field's size
	assert_int_equal(driver_read(&d, 20, 1), 0);
	driver_write(&d, 20, 1, 1);
	driver_write(&d, 0x3000 + 4 * 5, 2, 5);
	driver_write(&d, 0x3000, 2, 0); // no queue is enabled
	assert_int_equal(driver_read(&d, 20, 1), 1);
	assert_true(d.nic->counts[MF_NIC_BAD_ACCESS] > 0);
	// A field may be read in pieces.
	assert_int_equal(driver_read(&d, 25, 1), 1);
	assert_int_equal(driver_read(&d, 24, 4), 0xffff0100);
	driver_close(&d);
}

static void options_that_cannot_be_are_refused(void **state)
{
	static const struct mf_virtio_net_options bad[] = {
		{ .pairs = 9 }, { .queue_size = 100 }, { .queue_size = 2048 },
		{ .mtu = 60 },	{ .mac = { 1 } },      { .without = MF_VIRTIO_BIT(17) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(driver_open(&d, &bad[i], false, 0), MF_E_INVAL);
		free(d.ram);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_five_capabilities_are_there),
		cmocka_unit_test(the_window_reaches_the_bars),
		cmocka_unit_test(impossible_sets_of_features_are_refused),
		cmocka_unit_test(queues_are_described_and_set_up),
		cmocka_unit_test(the_configuration_says_what_the_card_is),
		cmocka_unit_test(legacy_drivers_have_their_registers),
		cmocka_unit_test(with_msix_on_the_legacy_configuration_moves),
		cmocka_unit_test(messages_go_where_the_table_says),
		cmocka_unit_test(intx_disable_holds_the_line),
		cmocka_unit_test(odd_accesses_do_nothing),
		cmocka_unit_test(options_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
