/* SPDX-License-Identifier: Apache-2.0 */
/* test_e1000_registers.c - the card as a driver finds it: PCI, resets, register tables, EEPROM, PHY, ports, partial accesses */
#include "tests/unit/test.h"

#include "tests/unit/nic/e1000_driver.h"

static struct driver d;

static int setup(void **state)
{
	(void)state;
	return driver_begin(&d, 0);
}

static int teardown(void **state)
{
	(void)state;
	driver_end(&d);
	return 0;
}

static void it_is_an_82540em_on_the_bus(void **state)
{
	(void)state;
	assert_int_equal(mf_nic_config_read(d.nic, 0, 4, 0), 0x100e8086);
	assert_int_equal(mf_nic_config_read(d.nic, 8, 4, 0) >> 8, 0x020000);
	assert_int_equal(mf_nic_config_read(d.nic, 0x3d, 1, 0), 1);
	mf_nic_config_write(d.nic, 0x10, UINT32_MAX, 4, 0);
	mf_nic_config_write(d.nic, 0x14, UINT32_MAX, 4, 0);
	assert_int_equal(mf_nic_config_read(d.nic, 0x10, 4, 0), 0xfffe0000);
	assert_int_equal(mf_nic_config_read(d.nic, 0x14, 4, 0), 0xffffffc1);
	for (unsigned at = 0x18; at <= 0x28; at += 4)
		assert_int_equal(mf_nic_config_read(d.nic, at, 4, 0), 0);
}

static void constructors_refuse_what_cannot_be(void **state)
{
	struct mf_nic_host host = d.nic->host;
	struct mf_e1000_options options = { .mac = { 1 } };
	struct mf_nic *nic;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_e1000_new(&options, &host, &nic, &err), MF_E_INVAL);
	options.mac[0] = 0;
	assert_int_equal(mf_e1000_new(&options, &host, &nic, &err), MF_E_INVAL);
	options.mac[0] = 2;
	host.memory = NULL;
	assert_int_equal(mf_e1000_new(&options, &host, &nic, &err), MF_E_INVAL);
}

/* Values after a reset, and what all ones leave (8254x manual, chapter 13). */
static void registers_have_their_values_and_masks(void **state)
{
	static const struct {
		uint32_t off, reset, ones;
	} table[] = {
		{ MF_E1000_STATUS, 0x83, 0x83 },
		{ MF_E1000_FCAL, 0x00c28001, 0xffffffff },
		{ MF_E1000_FCAH, 0x100, 0xffff },
		{ MF_E1000_FCT, 0x8808, 0xffff },
		{ MF_E1000_VET, 0x8100, 0xffff },
		{ MF_E1000_ITR, 0, 0xffff },
		{ MF_E1000_FCTTV, 0, 0xffff },
		{ MF_E1000_TIPG, 0x00602008, 0x3fffffff },
		{ MF_E1000_PBA, 0x00100030, 0x0010ffff },
		{ MF_E1000_FCRTL, 0, 0x8000fff8 },
		{ MF_E1000_FCRTH, 0, 0xfff8 },
		{ MF_E1000_RDBAL, 0, 0xfffffff0 },
		{ MF_E1000_RDBAH, 0, 0xffffffff },
		{ MF_E1000_RDLEN, 0, 0xfff80 },
		{ MF_E1000_RDH, 0, 0xffff },
		{ MF_E1000_RDTR, 0, 0xffff },
		{ MF_E1000_RADV, 0, 0xffff },
		{ MF_E1000_TDBAL, 0, 0xfffffff0 },
		{ MF_E1000_TDLEN, 0, 0xfff80 },
		{ MF_E1000_TIDV, 0, 0xffff },
		{ MF_E1000_TADV, 0, 0xffff },
		{ MF_E1000_RXCSUM, 0, 0x7ff },
		{ MF_E1000_WUFC, 0, 0xf00ff },
		{ MF_E1000_WUS, 0, 0 },
		{ MF_E1000_SWSM, 0, 2 },   // the semaphore can be taken: U-Boot
		{ 0x5200, 0, 0xffffffff }, // MTA
		{ 0x53fc, 0, 0xffffffff },
		{ 0x5478, 0, 0xffffffff }, // RA
		{ 0x547c, 0, 0x8003ffff }, // 30:18 are reserved: e1000.ko tests it
		{ 0x5600, 0, 0xffffffff }, // VFTA
		{ 0x57fc, 0, 0xffffffff },
	};

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		reg_write(&d, MF_E1000_CTRL, CTRL_RST);
		for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			assert_int_equal(reg_read(&d, table[i].off), table[i].reset);
			reg_write(&d, table[i].off, UINT32_MAX);
			assert_int_equal(reg_read(&d, table[i].off), table[i].ones);
		}
	}
}

static void either_way_resets(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_ICS, ICR_LSC);
	assert_true(d.line);
	reg_write(&d, MF_E1000_CTRL, CTRL_RST | CTRL_SLU);
	assert_false(d.line);
	assert_int_equal(reg_read(&d, MF_E1000_TDLEN), 0);
	assert_int_equal(reg_read(&d, MF_E1000_CTRL) & CTRL_RST, 0);
	driver_set_up(&d);
	mf_nic_bar_write(d.nic, 1, 0, MF_E1000_CTRL, 4, d.now);
	mf_nic_bar_write(d.nic, 1, 4, CTRL_RST, 4, d.now);
	assert_int_equal(reg_read(&d, MF_E1000_TDLEN), 0);
	assert_int_equal(mf_nic_config_read(d.nic, 0x10, 4, 0), 0xfebc0000); // stays
	mf_nic_reset(d.nic);
	assert_int_equal(mf_nic_config_read(d.nic, 0x10, 4, 0), 0);
	assert_int_equal(mf_nic_config_read(d.nic, 4, 2, 0), 0);
}

static void the_address_is_loaded_by_each_reset(void **state)
{
	(void)state;
	assert_int_equal(reg_read(&d, 0x5400), 0xab005452);
	assert_int_equal(reg_read(&d, 0x5404), 0x8000efcd);
	reg_write(&d, 0x5400, 0);
	for (uint32_t off = 0x5404; off < 0x5480; off += 8) { // the rest of RAH is reserved
		reg_write(&d, off, UINT32_MAX);
		assert_int_equal(reg_read(&d, off), 0x8003ffff);
	}
	reg_write(&d, 0x5404, 0);
	reg_write(&d, MF_E1000_CTRL, CTRL_RST);
	assert_int_equal(reg_read(&d, 0x5400), 0xab005452);
	assert_int_equal(reg_read(&d, 0x5404), 0x8000efcd);
}

static void eerd_reads_words_that_sum_to_baba(void **state)
{
	uint16_t sum = 0;

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		uint32_t v;

		reg_write(&d, MF_E1000_EERD, i << 8 | EERD_START);
		v = reg_read(&d, MF_E1000_EERD);
		assert_true(v & EERD_DONE);
		assert_int_equal(v >> 8 & 0xff, i);
		sum = (uint16_t)(sum + (v >> 16));
		if (i < 3)
			assert_int_equal(v >> 16, mf_load_le16(card_mac + 2 * i));
	}
	assert_int_equal(sum, 0xbaba);
	reg_write(&d, MF_E1000_EERD, 64 << 8 | EERD_START);
	assert_int_equal(reg_read(&d, MF_E1000_EERD) >> 16, 0xffff);
}

/* One bit in, and what DO says while SK is high. */
static bool clock_bit(bool bit)
{
	uint32_t v = reg_read(&d, MF_E1000_EECD) & ~(EECD_SK | EECD_DI);
	bool out;

	v |= bit ? EECD_DI : 0;
	reg_write(&d, MF_E1000_EECD, v);
	reg_write(&d, MF_E1000_EECD, v | EECD_SK);
	out = reg_read(&d, MF_E1000_EECD) & EECD_DO;
	reg_write(&d, MF_E1000_EECD, v);
	return out;
}

static void shift_out(uint32_t bits, unsigned cnt)
{
	while (cnt--)
		clock_bit(bits >> cnt & 1);
}

static uint16_t shift_in(void)
{
	uint16_t v = 0;

	for (unsigned i = 0; i < 16; i++)
		v = (uint16_t)(v << 1 | clock_bit(false));
	return v;
}

static void select_chip(bool on)
{
	reg_write(&d, MF_E1000_EECD, EECD_REQ | (on ? EECD_CS : 0));
}

static uint16_t bang_word(unsigned word)
{
	uint16_t v;

	select_chip(true);
	shift_out(6u << 6 | word, 9);
	v = shift_in();
	select_chip(false);
	return v;
}

static void the_eeprom_is_read_bit_by_bit(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_EECD, EECD_REQ);
	assert_true(reg_read(&d, MF_E1000_EECD) & EECD_GNT);
	assert_true(reg_read(&d, MF_E1000_EECD) & EECD_PRES);
	for (unsigned i = 0; i < 64; i++) {
		reg_write(&d, MF_E1000_EERD, i << 8 | EERD_START);
		assert_int_equal(bang_word(i), reg_read(&d, MF_E1000_EERD) >> 16);
	}
	// One command, all words; zeros before the start bit do not count.
	select_chip(true);
	shift_out(0, 3);
	shift_out(6u << 6 | 62, 9);
	assert_int_equal(shift_in(), 0xffff);
	shift_in();
	assert_int_equal(shift_in(), mf_load_le16(card_mac)); // around
	select_chip(false);
	reg_write(&d, MF_E1000_EECD, 0);
	assert_false(reg_read(&d, MF_E1000_EECD) & EECD_GNT);
}

static void words_are_written_only_when_enabled(void **state)
{
	(void)state;
	select_chip(true);
	shift_out((5u << 6 | 0x20) << 16 | 0x1234, 25);
	select_chip(false);
	assert_int_equal(bang_word(0x20), 0xffff);
	select_chip(true);
	shift_out(4u << 6 | 0x30, 9); // EWEN
	select_chip(false);
	select_chip(true);
	shift_out((5u << 6 | 0x20) << 16 | 0x1234, 25);
	select_chip(false);
	select_chip(true);
	assert_true(reg_read(&d, MF_E1000_EECD) & EECD_DO); // ready
	select_chip(false);
	assert_int_equal(bang_word(0x20), 0x1234);
	select_chip(true);
	shift_out(7u << 6 | 0x20, 9); // ERASE
	select_chip(false);
	assert_int_equal(bang_word(0x20), 0xffff);
	select_chip(true);
	shift_out(4u << 6, 9); // EWDS
	select_chip(false);
	select_chip(true);
	shift_out((5u << 6 | 0x20) << 16 | 0x1234, 25);
	select_chip(false);
	assert_int_equal(bang_word(0x20), 0xffff);
}

static uint32_t phy_read(unsigned number)
{
	reg_write(&d, MF_E1000_MDIC, MDIC_READ | 1u << 21 | number << 16);
	return reg_read(&d, MF_E1000_MDIC);
}

static void the_phy_answers_at_address_one(void **state)
{
	(void)state;
	assert_int_equal(phy_read(2) & 0xffff, 0x0141);
	assert_int_equal(phy_read(3) & 0xfff0, 0x0c20);
	assert_true(phy_read(1) & 0x24);
	assert_int_equal(phy_read(1) & (MDIC_READY | MDIC_ERROR), MDIC_READY);
	reg_write(&d, MF_E1000_MDIC, MDIC_READ | 2u << 21 | 2u << 16);
	assert_true(reg_read(&d, MF_E1000_MDIC) & MDIC_ERROR);
	reg_write(&d, MF_E1000_MDIC, MDIC_WRITE | 1u << 21 | 4u << 16 | 0x1e1);
	assert_int_equal(phy_read(4) & 0xffff, 0x1e1);
	reg_write(&d, MF_E1000_MDIC, MDIC_WRITE | 1u << 21 | 2u << 16 | 0xffff);
	assert_int_equal(phy_read(2) & 0xffff, 0x0141);
	reg_read(&d, MF_E1000_ICR);
	reg_write(&d, MF_E1000_MDIC, MDIC_WRITE | MDIC_INTERRUPT | 1u << 21 | 0x9200);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), ICR_MDAC | ICR_LSC);
	assert_int_equal(phy_read(4) & 0xffff, 0x0de1); // reset
}

static void a_pulled_cable_is_told_everywhere(void **state)
{
	(void)state;
	reg_read(&d, MF_E1000_ICR);
	mf_nic_set_link(d.nic, false, d.now);
	assert_int_equal(reg_read(&d, MF_E1000_STATUS), 0x81);
	assert_false(phy_read(1) & 0x04);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), ICR_LSC);
	reg_write(&d, MF_E1000_CTRL, CTRL_RST);
	assert_int_equal(reg_read(&d, MF_E1000_STATUS), 0x81);
	mf_nic_set_link(d.nic, true, d.now);
	assert_int_equal(reg_read(&d, MF_E1000_STATUS), 0x83);
}

static void ports_reach_all_registers(void **state)
{
	(void)state;
	mf_nic_bar_write(d.nic, 1, 0, 0x5404, 4, d.now);
	assert_int_equal(mf_nic_bar_read(d.nic, 1, 0, 4, d.now), 0x5404);
	assert_int_equal(mf_nic_bar_read(d.nic, 1, 4, 4, d.now), 0x8000efcd);
	assert_int_equal(mf_nic_bar_read(d.nic, 1, 6, 2, d.now), 0x8000);
	mf_nic_bar_write(d.nic, 1, 0, 0x5200, 4, d.now);
	mf_nic_bar_write(d.nic, 1, 4, 0x11223344, 4, d.now);
	assert_int_equal(reg_read(&d, 0x5200), 0x11223344);
	mf_nic_bar_write(d.nic, 1, 0, 0xfffffffc, 4, d.now);
	mf_nic_bar_write(d.nic, 1, 4, 1, 4, d.now);
	assert_int_equal(mf_nic_bar_read(d.nic, 1, 4, 4, d.now), 0);
	assert_true(d.nic->counts[MF_NIC_BAD_ACCESS] >= 2);
}

static void smaller_and_larger_accesses_work(void **state)
{
	(void)state;
	reg_write(&d, 0x5200, 0x11223344);
	assert_int_equal(mf_nic_bar_read(d.nic, 0, 0x5201, 1, d.now), 0x33);
	assert_int_equal(mf_nic_bar_read(d.nic, 0, 0x5202, 2, d.now), 0x1122);
	mf_nic_bar_write(d.nic, 0, 0x5203, 0xaa, 1, d.now);
	mf_nic_bar_write(d.nic, 0, 0x5200, 0xbbcc, 2, d.now);
	assert_int_equal(reg_read(&d, 0x5200), 0xaa22bbcc);
	mf_nic_bar_write(d.nic, 0, 0x5208, UINT64_C(0x1122334455667788), 8, d.now);
	assert_int_equal(reg_read(&d, 0x520c), 0x11223344);
	assert_true(mf_nic_bar_read(d.nic, 0, 0x5208, 8, d.now) == UINT64_C(0x1122334455667788));
	assert_int_equal(mf_nic_bar_read(d.nic, 0, 0x5201, 2, d.now), 0xffff); // misaligned
	assert_true(mf_nic_bar_read(d.nic, 0, 0x20000, 4, d.now) == UINT32_MAX);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 0, 2, d.now);
	assert_true(reg_read(&d, 0x5200) == UINT32_MAX);
}

static void unknown_registers_are_logged_once(void **state)
{
	(void)state;
	assert_int_equal(reg_read(&d, 0x0b00), 0);
	assert_string_equal(
		d.log, "e1000: the guest's driver reads register 0x00b00, which is not there.");
	reg_write(&d, 0x0b00, 1);
	assert_int_equal(d.logs, 1);
	for (uint32_t off = 0x6000; off < 0x7000; off += 4)
		reg_write(&d, off, 1);
	assert_int_equal(d.logs, 64);
	assert_int_equal(reg_read(&d, 0x5b50), 0); // SWSM: harmless
	assert_int_equal(reg_read(&d, 0x9000), 0);
	assert_int_equal(d.logs, 64);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(it_is_an_82540em_on_the_bus),
		T(constructors_refuse_what_cannot_be),
		T(registers_have_their_values_and_masks),
		T(either_way_resets),
		T(the_address_is_loaded_by_each_reset),
		T(eerd_reads_words_that_sum_to_baba),
		T(the_eeprom_is_read_bit_by_bit),
		T(words_are_written_only_when_enabled),
		T(the_phy_answers_at_address_one),
		T(a_pulled_cable_is_told_everywhere),
		T(ports_reach_all_registers),
		T(smaller_and_larger_accesses_work),
		T(unknown_registers_are_logged_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
