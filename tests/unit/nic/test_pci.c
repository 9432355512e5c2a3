/* SPDX-License-Identifier: Apache-2.0 */
/* test_pci.c - a configuration space: masks, sizing of BARs, the list of capabilities, what a snapshot may bring */
#include "nic/pci.h"
#include "tests/unit/test.h"

static struct mf_pci pci;

static int setup(void **state)
{
	const struct mf_pci_ids ids = { .vendor = 0x8086,
					.device = 0x100e,
					.subsystem_vendor = 0x1af4,
					.subsystem = 0x1100,
					.revision = 3,
					.class_code = 0x020000,
					.interrupt_pin = 1 };

	(void)state;
	mf_pci_init(&pci, &ids);
	assert_int_equal(mf_pci_add_bar(&pci, 0, MF_PCI_BAR_MEMORY, 0x20000), 0);
	assert_int_equal(mf_pci_add_bar(&pci, 1, MF_PCI_BAR_IO, 0x40), 0);
	assert_int_equal(mf_pci_add_bar(&pci, 2, MF_PCI_BAR_MEMORY64, 0x4000), 0);
	mf_pci_seal(&pci);
	return 0;
}

static void the_header_says_what_it_is(void **state)
{
	(void)state;
	assert_int_equal(mf_pci_read(&pci, 0, 4), 0x100e8086);
	assert_int_equal(mf_pci_read(&pci, 8, 4), 0x02000003);
	assert_int_equal(mf_pci_read(&pci, 0x2c, 4), 0x11001af4);
	assert_int_equal(mf_pci_read(&pci, 0x3d, 1), 1);
	mf_pci_write(&pci, 0, 0xffffffff, 4);
	mf_pci_write(&pci, 8, 0, 4);
	assert_int_equal(mf_pci_read(&pci, 0, 4), 0x100e8086);
	assert_int_equal(mf_pci_read(&pci, 0xa, 2), 0x0200);
}

static void bars_are_sized_by_writing_ones(void **state)
{
	(void)state;
	for (unsigned at = 0x10; at <= 0x28; at += 4)
		mf_pci_write(&pci, at, UINT32_MAX, 4);
	assert_int_equal(mf_pci_read(&pci, 0x10, 4), 0xfffe0000);
	assert_int_equal(mf_pci_read(&pci, 0x14, 4), 0xffffffc1);
	assert_int_equal(mf_pci_read(&pci, 0x18, 4), 0xffffc004);
	assert_int_equal(mf_pci_read(&pci, 0x1c, 4), 0xffffffff);
	assert_int_equal(mf_pci_read(&pci, 0x20, 4), 0);
	assert_int_equal(mf_pci_read(&pci, 0x24, 4), 0);
	assert_int_equal(mf_pci_read(&pci, 0x28, 4), 0);
	mf_pci_write(&pci, 0x10, 0xfebc1234, 4);
	mf_pci_write(&pci, 0x14, 0xc0ff, 4);
	mf_pci_write(&pci, 0x18, 0x80000000, 4);
	mf_pci_write(&pci, 0x1c, 0x12, 4);
	assert_true(mf_pci_bar_address(&pci, 0) == 0xfebc0000);
	assert_true(mf_pci_bar_address(&pci, 1) == 0xc0c0);
	assert_true(mf_pci_bar_address(&pci, 2) == UINT64_C(0x1280000000));
	assert_true(mf_pci_bar_address(&pci, 3) == 0);
	assert_true(mf_pci_bar_address(&pci, 6) == 0);
	mf_pci_reset(&pci);
	assert_true(mf_pci_bar_address(&pci, 0) == 0);
}

static void bars_that_cannot_be_are_refused(void **state)
{
	(void)state;
	assert_int_equal(mf_pci_add_bar(&pci, 0, MF_PCI_BAR_MEMORY, 0x1000), MF_E_INVAL);
	assert_int_equal(mf_pci_add_bar(&pci, 4, MF_PCI_BAR_MEMORY, 0x1001), MF_E_INVAL);
	assert_int_equal(mf_pci_add_bar(&pci, 4, MF_PCI_BAR_MEMORY, 0), MF_E_INVAL);
	assert_int_equal(mf_pci_add_bar(&pci, 4, MF_PCI_BAR_MEMORY, 8), MF_E_INVAL);
	assert_int_equal(mf_pci_add_bar(&pci, 4, MF_PCI_BAR_IO, 512), MF_E_INVAL);
	assert_int_equal(mf_pci_add_bar(&pci, 5, MF_PCI_BAR_MEMORY64, 0x1000), MF_E_INVAL);
	assert_int_equal(mf_pci_add_bar(&pci, 6, MF_PCI_BAR_IO, 0x10), MF_E_INVAL);
}

static void command_and_status_have_their_masks(void **state)
{
	(void)state;
	mf_pci_write(&pci, MF_PCI_COMMAND, 0xffff, 2);
	assert_int_equal(mf_pci_command(&pci), 0x0547);
	mf_pci_set_interrupt_status(&pci, true);
	pci.config[MF_PCI_STATUS + 1] |= 0x20; // a master abort
	assert_int_equal(mf_pci_read(&pci, MF_PCI_STATUS, 2), 0x2008);
	mf_pci_write(&pci, MF_PCI_STATUS, 0xffff, 2);
	assert_int_equal(mf_pci_read(&pci, MF_PCI_STATUS, 2), 0x0008);
	mf_pci_write(&pci, MF_PCI_INTERRUPT_LINE, 10, 1);
	assert_int_equal(mf_pci_read(&pci, MF_PCI_INTERRUPT_LINE, 1), 10);
}

static void accesses_past_the_end_or_of_odd_sizes_do_nothing(void **state)
{
	(void)state;
	assert_true(mf_pci_read(&pci, 256, 1) == UINT32_MAX);
	assert_true(mf_pci_read(&pci, 254, 4) == UINT32_MAX);
	assert_true(mf_pci_read(&pci, 0, 3) == UINT32_MAX);
	assert_true(mf_pci_read(&pci, UINT32_MAX, 4) == UINT32_MAX);
	mf_pci_write(&pci, UINT32_MAX - 1, 0, 4);
	mf_pci_write(&pci, 253, 0, 4);
	assert_int_equal(mf_pci_read(&pci, 0xfe, 2), 0);
}

static void capabilities_make_a_list(void **state)
{
	int first = mf_pci_add_capability(&pci, 0x09, 14), second, n = 0;
	unsigned at, steps = 0;

	(void)state;
	assert_int_equal(first, 0x40);
	second = mf_pci_add_capability(&pci, 0x11, 12);
	assert_int_equal(second, 0x50);
	assert_int_equal(mf_pci_read(&pci, MF_PCI_STATUS, 2) & MF_PCI_STATUS_CAPABILITIES, 0x10);
	assert_int_equal(mf_pci_read(&pci, MF_PCI_CAPABILITIES, 1), 0x40);
	assert_int_equal(mf_pci_read(&pci, 0x40, 2), 0x5009);
	assert_int_equal(mf_pci_read(&pci, 0x50, 2), 0x0011);
	while (mf_pci_add_capability(&pci, 0x05, 16) > 0)
		n++;
	assert_int_equal(n, 10);
	for (at = mf_pci_read(&pci, MF_PCI_CAPABILITIES, 1); at; at = mf_pci_read(&pci, at + 1, 1))
		steps++;
	assert_int_equal(steps, 12);
}

static void a_snapshot_changes_only_what_a_guest_could(void **state)
{
	uint8_t all[MF_PCI_CONFIG_SIZE];

	(void)state;
	memset(all, 0xff, sizeof(all));
	mf_pci_restore(&pci, all);
	assert_int_equal(mf_pci_read(&pci, 0, 4), 0x100e8086);
	assert_int_equal(mf_pci_command(&pci), 0x0547);
	assert_int_equal(mf_pci_read(&pci, 0x10, 4), 0xfffe0000);
	assert_int_equal(mf_pci_read(&pci, 0x14, 4), 0xffffffc1);
	assert_int_equal(mf_pci_read(&pci, MF_PCI_CAPABILITIES, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_header_says_what_it_is, setup),
		cmocka_unit_test_setup(bars_are_sized_by_writing_ones, setup),
		cmocka_unit_test_setup(bars_that_cannot_be_are_refused, setup),
		cmocka_unit_test_setup(command_and_status_have_their_masks, setup),
		cmocka_unit_test_setup(accesses_past_the_end_or_of_odd_sizes_do_nothing, setup),
		cmocka_unit_test_setup(capabilities_make_a_list, setup),
		cmocka_unit_test_setup(a_snapshot_changes_only_what_a_guest_could, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
