/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_e1000_manual.c - the 82540EM beside the manual, the rest: every counter of the statistics block, flow control and wake-up
 * registers that change nothing else, a snapshot between any two descriptors of a packet
 */
#include "tests/unit/test.h"

#include "tests/unit/nic/e1000_driver.h"
#include "tests/unit/nic/packets.h"

#define LAST  (TXD_EOP | TXD_IFCS | TXD_RS)
#define STATS 0x4000u

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

/* ---- statistics (13.7) ------------------------------------------------------------------------------------------- */

/* Those that a model can count: all others stay 0 whatever happens. */
struct expected {
	uint32_t off, value;
};

static void assert_statistics(const struct expected *e, unsigned cnt)
{
	for (uint32_t off = 0; off < 0x100; off += 4) {
		uint32_t want = 0, got = reg_read(&d, STATS + off);

		for (unsigned i = 0; i < cnt; i++)
			if (e[i].off == off)
				want = e[i].value;
		if (got != want)
			fail_msg("0x%04x is %u, not %u", STATS + off, got, want);
	}
	/* Reading has cleared all of them. */
	for (uint32_t off = 0; off < 0x100; off += 4)
		assert_int_equal(reg_read(&d, STATS + off), 0);
}

static void give(size_t len, const char *dst)
{
	static uint8_t frame[1514];

	memset(frame, 0, sizeof(frame));
	memcpy(frame, dst ? (const uint8_t *)dst : card_mac, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	assert_int_equal(rx_frame(&d, frame, len), MF_NIC_TAKEN);
}

static void received_frames_are_counted_by_length_and_kind(void **state)
{
	static const struct expected want[] = {
		{ 0x5c, 2 },
		{ 0x60, 2 },
		{ 0x64, 2 },
		{ 0x68, 1 },
		{ 0x6c, 1 },
		{ 0x70, 2 },
		{ 0x74, 10 }, /* good ones */
		{ 0x78, 1 },  /* broadcast */
		{ 0x7c, 1 },  /* multicast */
		/* octets, FCS included; the low half is read first */
		{ 0x88, 64 + 64 + 65 + 127 + 128 + 255 + 256 + 512 + 1024 + 1518 },
		{ 0xc0, 64 + 64 + 65 + 127 + 128 + 255 + 256 + 512 + 1024 + 1518 },
		{ 0xd0, 10 },
	};

	(void)state;
	reg_write(&d, MF_E1000_RCTL, reg_read(&d, MF_E1000_RCTL) | RCTL_BAM | RCTL_MPE);
	for (uint32_t off = 0; off < 0x100; off += 4)
		(void)reg_read(&d, STATS + off);
	give(60, NULL);
	give(60, "\xff\xff\xff\xff\xff\xff");
	give(61, "\x01\0\x5e\0\0\1");
	give(123, NULL);
	give(124, NULL);
	give(251, NULL);
	give(252, NULL);
	give(508, NULL);
	give(1020, NULL);
	give(1514, NULL);
	assert_statistics(want, sizeof(want) / sizeof(want[0]));
}

static void sent_frames_are_counted_by_length_and_kind(void **state)
{
	static const struct expected want[] = {
		{ 0x80, 8 },
		{ 0x90, 64 + 64 + 65 + 128 + 256 + 512 + 1024 + 1518 },
		{ 0xc8, 64 + 64 + 65 + 128 + 256 + 512 + 1024 + 1518 },
		{ 0xd4, 8 },
		{ 0xd8, 2 },
		{ 0xdc, 1 },
		{ 0xe0, 1 },
		{ 0xe4, 1 },
		{ 0xe8, 1 },
		{ 0xec, 2 },
		{ 0xf0, 1 }, /* multicast */
		{ 0xf4, 1 }, /* broadcast */
	};
	static const uint16_t lens[] = { 42, 60, 61, 124, 252, 508, 1020, 1514 };

	(void)state;
	for (uint32_t off = 0; off < 0x100; off += 4)
		(void)reg_read(&d, STATS + off);
	for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint8_t *p = guest_at(&d, TX_BUFFERS + 2048 * i);

		memset(p, 0, 14);
		memset(p, i == 0 ? 0xff : 0, 6);
		p[0] |= i == 1;
		tx_legacy(&d, TX_BUFFERS + 2048 * i, lens[i], LAST);
	}
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 8);
	assert_statistics(want, sizeof(want) / sizeof(want[0]));
}

/* ---- registers that change nothing else -------------------------------------------------------------------------- */

/* Flow control is between two ends of a cable, waking up between a machine and its power: neither is here. */
static void flow_control_and_wake_up_are_harmless(void **state)
{
	static const uint32_t registers[] = {
		0x0028, 0x002c, 0x0030, 0x0170,
		0x2160, 0x2168, /* FCAL, FCAH, FCT, FCTTV, FCRTL, FCRTH */
		0x5800, 0x5808, 0x5810, 0x5820,
		0x5838, 0x5840, /* WUC, WUFC, WUS, MANC, IPAV, IP4AT */
		0x5880, 0x5900, 0x5a00, 0x5f00,
		0x9000, 0x9800,			/* IP6AT, WUPL, WUPM, FFLT, FFMT, FFVT */
		0x0410, 0x0458, 0x0e00, 0x1000, /* TIPG, AIT, LEDCTL, PBA */
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		unsigned frames = d.frame_cnt;

		(void)reg_read(&d, registers[i]);
		reg_write(&d, registers[i], UINT32_MAX);
		(void)reg_read(&d, registers[i]);
		make_tcp(guest_at(&d, TX_BUFFERS), false, 100, 0x10);
		tx_legacy(&d, TX_BUFFERS, 154, LAST);
		tx_kick(&d);
		assert_int_equal(d.frame_cnt, frames + 1);
		give(60, NULL);
	}
	/* a pause frame is for the card's address of flow control, and stays with it or reaches the driver: nothing stops */
	{
		static const uint8_t pause[60] =
			"\x01\x80\xc2\0\0\1\2\0\0\0\0\1\x88\x08\0\1\xff\xff";
		unsigned frames = d.frame_cnt;

		(void)rx_frame(&d, pause, sizeof(pause));
		tx_legacy(&d, TX_BUFFERS, 154, LAST);
		tx_kick(&d);
		assert_int_equal(d.frame_cnt, frames + 1);
	}
	assert_int_equal(d.nic->counts[MF_NIC_BAD_ACCESS], 0);
}

/* ---- snapshots at every point ------------------------------------------------------------------------------------ */

enum kind { LEGACY, CHECKSUMS, SEGMENTS4, SEGMENTS6, KINDS };

/* Descriptors of a packet of @kind in pieces of 701 bytes; the driver's tail after each is in @tails. Return: how many */
static unsigned describe(enum kind kind, uint32_t tails[])
{
	bool six = kind == SEGMENTS6;
	size_t payload = kind >= SEGMENTS4 ? 9001 : 1300, l4 = six ? 54 : 34, off = 0;
	size_t len = make_tcp(guest_at(&d, TX_BUFFERS), six, payload, 0x18);
	struct tx_context c = { .ipcss = 14,
				.ipcso = 24,
				.ipcse = six ? 0 : 33,
				.tucss = (uint8_t)l4,
				.tucso = (uint8_t)(l4 + 16),
				.tucmd = TUCMD_TCP | (kind >= SEGMENTS4 ? TXD_TSE : 0) |
					 (six ? 0 : TUCMD_IP),
				.hdrlen = (uint8_t)(l4 + 20),
				.mss = 1447,
				.paylen = (uint32_t)payload };
	uint8_t *check = guest_at(&d, TX_BUFFERS + l4 + 16);
	unsigned cnt = 0;

	if (kind != LEGACY) {
		mf_store_be16(check,
			      (uint16_t)pseudo_sum(guest_at(&d, TX_BUFFERS + 14), six,
						   kind >= SEGMENTS4 ? 0 : (uint32_t)payload + 20));
		tx_context(&d, &c);
		tails[cnt++] = d.tx_tail;
	}
	while (off < len) {
		size_t n = len - off < 701 ? len - off : 701;
		uint8_t cmd = off + n == len ? LAST : TXD_IFCS;

		if (kind == LEGACY)
			tx_legacy(&d, TX_BUFFERS + off, (uint16_t)n, cmd);
		else
			tx_data(&d, TX_BUFFERS + off, (uint32_t)n,
				cmd | (kind >= SEGMENTS4 ? TXD_TSE : 0),
				POPTS_TXSM | (six ? 0 : POPTS_IXSM));
		tails[cnt++] = d.tx_tail;
		off += n;
	}
	return cnt;
}

/* The state goes to another card whose memory is the same. */
static void move(void)
{
	static uint8_t buf[1 << 17], again[1 << 17];
	size_t len = mf_nic_save(d.nic, buf, sizeof(buf));
	struct mf_err err;

	assert_true(len);
	mf_nic_free(d.nic);
	assert_int_equal(driver_new_card(&d, 0), 0);
	if (mf_nic_restore(d.nic, buf, len, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(mf_nic_save(d.nic, again, sizeof(again)), len);
	assert_memory_equal(buf, again, len);
}

static void every_point_of_a_packet_may_be_saved(void **state)
{
	static struct frame want[16];

	(void)state;
	for (enum kind kind = LEGACY; kind < KINDS; kind++) {
		uint32_t tails[32];
		unsigned cnt, frames;

		/* at once */
		driver_end(&d);
		assert_int_equal(driver_begin(&d, 0), 0);
		cnt = describe(kind, tails);
		tx_kick(&d);
		frames = d.frame_cnt;
		assert_int_equal(frames, kind >= SEGMENTS4 ? 7 : 1);
		memcpy(want, d.frames, frames * sizeof(want[0]));
		/* cut at each descriptor (@cut == cnt: at all of them) */
		for (unsigned cut = 0; cut <= cnt; cut++) {
			driver_end(&d);
			assert_int_equal(driver_begin(&d, 0), 0);
			assert_int_equal(describe(kind, tails), cnt);
			for (unsigned i = 0; i < cnt; i++) {
				reg_write(&d, MF_E1000_TDT, tails[i]);
				assert_int_equal(d.frame_cnt, i + 1 == cnt ? frames : 0);
				if (i == cut || cut == cnt)
					move();
			}
			assert_int_equal(reg_read(&d, MF_E1000_TDH), tails[cnt - 1]);
			for (unsigned i = 0; i < frames; i++) {
				assert_int_equal(d.frames[i].len, want[i].len);
				assert_memory_equal(d.frames[i].bytes, want[i].bytes, want[i].len);
			}
			for (unsigned i = 0; i < cnt; i++) {
				uint8_t *p = guest_at(&d, TX_RING + (tails[i] + RING_LEN - 1) %
									    RING_LEN * 16);

				/* done is said of who asked for it */
				assert_int_equal(p[12] & 1, p[11] & TXD_RS ? 1 : 0);
			}
		}
	}
}

/* Whatever byte of a half-gathered packet is another: refused with nothing changed, or taken and harmless. */
static void a_damaged_snapshot_of_half_a_packet(void **state)
{
	static uint8_t good[1 << 17], bad[1 << 17], after[1 << 17];
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint32_t tails[32];
	unsigned cnt = describe(SEGMENTS4, tails), refused = 0, taken = 0;
	size_t len;

	(void)state;
	reg_write(&d, MF_E1000_TDT, tails[cnt / 2]);
	len = mf_nic_save(d.nic, good, sizeof(good));
	for (size_t i = 0; i < len; i += i < 4096 ? 1 : 13) {
		struct mf_err err = { 0 };

		memcpy(bad, good, len);
		bad[i] = values[i % sizeof(values)];
		if (bad[i] == good[i])
			continue;
		if (mf_nic_restore(d.nic, bad, len, &err)) {
			assert_true(err.msg[0]);
			assert_int_equal(mf_nic_save(d.nic, after, sizeof(after)), len);
			assert_memory_equal(after, good, len);
			refused++;
			continue;
		}
		taken++;
		d.frame_cnt = 0;
		reg_write(&d, MF_E1000_TDT, tails[cnt - 1]);
		mf_nic_tick(d.nic, d.now);
		assert_int_equal(mf_nic_restore(d.nic, good, len, &err), 0);
	}
	assert_true(refused && taken);
	d.frame_cnt = 0;
	reg_write(&d, MF_E1000_TDT, tails[cnt - 1]);
	assert_int_equal(d.frame_cnt, 7);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(received_frames_are_counted_by_length_and_kind),
		T(sent_frames_are_counted_by_length_and_kind),
		T(flow_control_and_wake_up_are_harmless),
		T(every_point_of_a_packet_may_be_saved),
		T(a_damaged_snapshot_of_half_a_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
