/* SPDX-License-Identifier: Apache-2.0 */
/* test_e1000_state.c - time and state: masks, throttling and delays by a clock that the test moves; snapshots at any point */
#include "tests/unit/test.h"

#include "tests/unit/nic/e1000_driver.h"
#include "tests/unit/nic/packets.h"

#define LAST  (TXD_EOP | TXD_IFCS | TXD_RS)
#define NEVER UINT64_MAX

static struct driver d;
static uint8_t frame[1514];

static int setup(void **state)
{
	(void)state;
	make_tcp(frame, false, 100, 0x10);
	return driver_begin(&d, 0);
}

static int teardown(void **state)
{
	(void)state;
	driver_end(&d);
	return 0;
}

static void at(uint64_t ns_later)
{
	d.now += ns_later;
	mf_nic_tick(d.nic, d.now);
}

static void causes_and_masks_make_the_line(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_IMC, UINT32_MAX);
	reg_write(&d, MF_E1000_ICS, ICR_LSC | ICR_MDAC);
	assert_false(d.line);
	assert_int_equal(reg_read(&d, MF_E1000_IMS), 0);
	reg_write(&d, MF_E1000_IMS, ICR_RXT0);
	assert_false(d.line);
	reg_write(&d, MF_E1000_IMS, ICR_LSC);
	assert_true(d.line);
	assert_int_equal(reg_read(&d, MF_E1000_IMS), ICR_RXT0 | ICR_LSC);
	assert_true(mf_nic_config_read(d.nic, MF_PCI_STATUS, 2, 0) & MF_PCI_STATUS_INTERRUPT);
	reg_write(&d, MF_E1000_ICR, ICR_LSC); // a one written clears
	assert_false(d.line);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), ICR_MDAC);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), 0); // reading clears all
	reg_write(&d, MF_E1000_ICS, ICR_LSC);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 7 | MF_PCI_COMMAND_INTX_DISABLE, 2, d.now);
	assert_false(d.line);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 7, 2, d.now);
	assert_true(d.line);
	reg_write(&d, MF_E1000_IMC, ICR_LSC);
	assert_false(d.line);
	assert_int_equal(d.rises, 3);
}

static void the_throttle_spaces_interrupts(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_ITR, 1000); // 256 us
	rx_frame(&d, frame, 154);
	assert_int_equal(d.rises, 1);
	reg_read(&d, MF_E1000_ICR);
	at(1000);
	rx_frame(&d, frame, 154);
	assert_false(d.line);
	assert_true(mf_nic_deadline(d.nic) == d.now - 1000 + 256000);
	at(254999);
	assert_false(d.line);
	at(1);
	assert_true(d.line);
	assert_true(mf_nic_deadline(d.nic) == NEVER);
	reg_read(&d, MF_E1000_ICR);
	at(256000);
	rx_frame(&d, frame, 154); // long enough ago
	assert_true(d.line);
	assert_int_equal(d.rises, 3);
}

static void received_frames_wait_for_more(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_RDTR, 100); // 102.4 us after the last
	reg_write(&d, MF_E1000_RADV, 250); // 256 us after the first
	for (unsigned i = 0; i < 3; i++) {
		rx_frame(&d, frame, 154);
		at(80000);
		assert_false(d.line);
	}
	assert_true(mf_nic_deadline(d.nic) == d.now - 240000 + 256000);
	rx_frame(&d, frame, 154);
	assert_true(mf_nic_deadline(d.nic) == d.now - 240000 + 256000);
	at(15999);
	assert_false(d.line);
	at(1);
	assert_true(d.line);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), ICR_RXT0);
	assert_true(mf_nic_deadline(d.nic) == NEVER);
	rx_frame(&d, frame, 154);
	reg_write(&d, MF_E1000_RDTR, 100 | RDTR_FPD); // flushed
	assert_true(d.line);
	reg_read(&d, MF_E1000_ICR);
	reg_write(&d, MF_E1000_RSRPD, 200); // small ones do not wait
	rx_frame(&d, frame, 154);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), ICR_SRPD);
}

static void sent_frames_wait_where_they_say_so(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_IMC, ICR_TXQE);
	reg_write(&d, MF_E1000_TIDV, 10);
	reg_write(&d, MF_E1000_TADV, 15);
	tx_legacy(&d, TX_BUFFERS, 60, LAST | TXD_IDE);
	tx_kick(&d);
	assert_false(d.line);
	assert_true(mf_nic_deadline(d.nic) == d.now + 10240);
	at(8000);
	tx_legacy(&d, TX_BUFFERS, 60, LAST | TXD_IDE);
	tx_kick(&d);
	assert_true(mf_nic_deadline(d.nic) == d.now - 8000 + 15360);
	at(7360);
	assert_true(d.line);
	assert_true(reg_read(&d, MF_E1000_ICR) & ICR_TXDW);
	tx_legacy(&d, TX_BUFFERS, 60, LAST);
	tx_kick(&d);
	assert_true(d.line);
	reg_read(&d, MF_E1000_ICR);
	tx_legacy(&d, TX_BUFFERS, 60, TXD_EOP | TXD_IFCS); // nobody wants to know
	tx_kick(&d);
	assert_false(d.line);
}

/* Another card that goes on from @d's snapshot. */
static void go_on_elsewhere(uint8_t *buf, size_t cap, uint64_t now)
{
	size_t len = mf_nic_save(d.nic, buf, cap);
	struct mf_err err;

	assert_int_equal(len, mf_nic_save(d.nic, NULL, 0));
	assert_int_equal(mf_nic_save(d.nic, buf, len - 1), 0);
	assert_int_equal(mf_nic_save(d.nic, buf, cap), len);
	mf_nic_free(d.nic);
	d.line = false;
	assert_int_equal(driver_new_card(&d, 0), 0);
	d.now = now;
	mf_nic_tick(d.nic, now);
	if (mf_nic_restore(d.nic, buf, len, &err))
		fail_msg("%s", err.msg);
}

static void a_snapshot_goes_on_in_the_middle_of_a_packet(void **state)
{
	static uint8_t buf[1 << 17], again[1 << 17];
	size_t len = make_tcp(guest_at(&d, TX_BUFFERS), false, 900, 0x10);

	(void)state;
	reg_write(&d, 0x5210, 0xfeed);
	reg_write(&d, MF_E1000_ITR, 1000);
	rx_frame(&d, frame, 154);
	tx_legacy(&d, TX_BUFFERS, 500, TXD_IFCS);
	tx_kick(&d);
	memset(guest_at(&d, TX_BUFFERS + 100), 0, 100); // used again by the guest
	go_on_elsewhere(buf, sizeof(buf), 77);		// another clock
	assert_true(d.line);
	assert_int_equal(reg_read(&d, 0x5210), 0xfeed);
	assert_int_equal(reg_read(&d, MF_E1000_RDH), 1);
	assert_int_equal(mf_nic_config_read(d.nic, 0x10, 4, 0), 0xfebc0000);
	assert_int_equal(mf_nic_save(d.nic, again, sizeof(again)), mf_load_le32(buf + 12));
	assert_memory_equal(buf, again, mf_load_le32(buf + 12));
	tx_legacy(&d, TX_BUFFERS + 500, (uint16_t)(len - 500), LAST);
	tx_kick(&d);
	assert_int_equal(d.frames[0].len, len);
	make_tcp(guest_at(&d, TX_BUFFERS), false, 900, 0x10);
	assert_memory_equal(d.frames[0].bytes, guest_at(&d, TX_BUFFERS), len);
	reg_read(&d, MF_E1000_ICR);
	rx_frame(&d, frame, 154);
	assert_false(d.line); // the throttle's interval goes on, too
	assert_true(mf_nic_deadline(d.nic) == 77 + 256000);
}

static void a_snapshot_keeps_a_half_read_eeprom_word(void **state)
{
	static uint8_t buf[1 << 17];
	uint16_t word = 0;

	(void)state;
	for (unsigned i = 0; i < 9 + 16; i++) {
		uint32_t bit = i < 9 && (6u << 6) >> (8 - i) & 1 ? EECD_DI : 0; // READ word 0

		if (i == 13)
			go_on_elsewhere(buf, sizeof(buf), d.now);
		reg_write(&d, MF_E1000_EECD, EECD_CS | bit);
		reg_write(&d, MF_E1000_EECD, EECD_CS | bit | EECD_SK);
		if (i >= 9)
			word = (uint16_t)(word << 1 |
					  (reg_read(&d, MF_E1000_EECD) & EECD_DO ? 1 : 0));
	}
	assert_int_equal(word, 0x5452);
}

/* Each byte of a snapshot changed: refused and nothing is different, or taken and the card works on. */
static void hostile_snapshots_are_refused_or_harmless(void **state)
{
	static uint8_t good[1 << 17], bad[1 << 17], after[1 << 17];
	size_t len;
	unsigned refused = 0;

	(void)state;
	tx_legacy(&d, TX_BUFFERS, 500, TXD_IFCS);
	tx_kick(&d);
	len = mf_nic_save(d.nic, good, sizeof(good));
	for (size_t i = 0; i < len; i++) {
		struct mf_err err;

		memcpy(bad, good, len);
		bad[i] ^= 0xff;
		if (mf_nic_restore(d.nic, bad, len, &err)) {
			assert_int_equal(mf_nic_save(d.nic, after, sizeof(after)), len);
			assert_memory_equal(after, good, len);
			refused++;
			continue;
		}
		rx_frame(&d, frame, 154);
		reg_write(&d, MF_E1000_TDT, d.tx_tail);
		mf_nic_tick(d.nic, d.now);
		assert_int_equal(mf_nic_restore(d.nic, good, len, &err), 0);
	}
	assert_true(refused > 100);
	for (size_t cut = 0; cut < len; cut += 7)
		assert_true(mf_nic_restore(d.nic, good, cut, NULL) < 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(causes_and_masks_make_the_line),
		T(the_throttle_spaces_interrupts),
		T(received_frames_wait_for_more),
		T(sent_frames_wait_where_they_say_so),
		T(a_snapshot_goes_on_in_the_middle_of_a_packet),
		T(a_snapshot_keeps_a_half_read_eeprom_word),
		T(hostile_snapshots_are_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
