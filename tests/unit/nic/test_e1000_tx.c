/* SPDX-License-Identifier: Apache-2.0 */
/* test_e1000_tx.c - each kind of transmit descriptor, checksums, segments, VLAN tags, and what a hostile driver writes */
#include "tests/unit/test.h"

#include "tests/unit/nic/e1000_driver.h"
#include "tests/unit/nic/packets.h"

#define LAST (TXD_EOP | TXD_IFCS | TXD_RS)

static struct driver d;

static int setup(void **state)
{
	(void)state;
	return driver_begin(&d, 0);
}

static int setup_offloading_host(void **state)
{
	(void)state;
	return driver_begin(&d, MF_NIC_CAN_CSUM | MF_NIC_CAN_TSO4 | MF_NIC_CAN_TSO6);
}

static int teardown(void **state)
{
	(void)state;
	driver_end(&d);
	return 0;
}

static uint8_t *buffer(void)
{
	return guest_at(&d, TX_BUFFERS);
}

static void a_legacy_descriptor_is_a_frame(void **state)
{
	size_t len = make_tcp(buffer(), false, 100, 0x18);
	uint8_t *p = tx_legacy(&d, TX_BUFFERS, (uint16_t)len, LAST);

	(void)state;
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 1);
	assert_int_equal(d.frames[0].len, len);
	assert_memory_equal(d.frames[0].bytes, buffer(), len);
	assert_int_equal(p[12], TXD_DD);
	assert_int_equal(reg_read(&d, MF_E1000_TDH), 1);
	assert_true(d.line);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), ICR_TXDW | ICR_TXQE);
	assert_false(d.line);
	assert_int_equal(reg_read(&d, 0x4080), 1); // GPTC
	assert_int_equal(reg_read(&d, 0x4080), 0);
}

static void several_descriptors_are_one_frame(void **state)
{
	size_t len = make_tcp(buffer(), false, 300, 0x10);
	uint8_t *first, *last;

	(void)state;
	first = tx_legacy(&d, TX_BUFFERS, 10, TXD_IFCS);
	tx_legacy(&d, TX_BUFFERS + 10, 0, TXD_IFCS);
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 0);
	last = tx_legacy(&d, TX_BUFFERS + 10, (uint16_t)(len - 10), LAST);
	memset(buffer(), 0xee, 10); // what has been taken over may be used again
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 1);
	assert_int_equal(d.frames[0].len, len);
	assert_memory_equal(d.frames[0].bytes, card_mac, 6);
	assert_memory_equal(d.frames[0].bytes + 10, buffer() + 10, len - 10);
	assert_int_equal(first[12], 0); // no RS
	assert_int_equal(last[12], TXD_DD);
}

static void without_ifcs_the_last_four_bytes_are_the_drivers(void **state)
{
	size_t len = make_tcp(buffer(), false, 100, 0x10);

	(void)state;
	tx_legacy(&d, TX_BUFFERS, (uint16_t)(len - 2), 0);
	tx_legacy(&d, TX_BUFFERS + len - 2, 2, TXD_EOP);
	tx_kick(&d);
	assert_int_equal(d.frames[0].len, len - 4);
}

static void a_legacy_checksum_is_put_in(void **state)
{
	size_t len = make_tcp(buffer(), false, 101, 0x10);
	uint8_t *p, *f = d.frames[0].bytes;

	(void)state;
	mf_store_be16(buffer() + 34 + 16,
		      (uint16_t)pseudo_sum(buffer() + 14, false, (uint32_t)len - 34));
	p = tx_legacy(&d, TX_BUFFERS, (uint16_t)len, LAST | TXD_IC);
	p[10] = 34 + 16;
	p[13] = 34;
	tx_kick(&d);
	assert_true(transport_is_good(f + 14, false));
}

static void send_with_context(const struct tx_context *c, size_t len, uint8_t popts)
{
	tx_context(&d, c);
	tx_data(&d, TX_BUFFERS, 60, TXD_IFCS, popts); // cut in the middle of things
	tx_data(&d, TX_BUFFERS + 60, (uint32_t)(len - 60), LAST, 0);
	tx_kick(&d);
}

static void a_context_says_which_checksums_are_put_in(void **state)
{
	const struct tx_context c = { .ipcss = 14,
				      .ipcso = 24,
				      .ipcse = 33,
				      .tucss = 34,
				      .tucso = 50,
				      .tucmd = TUCMD_TCP | TUCMD_IP };
	size_t len = make_tcp(buffer(), false, 333, 0x10);
	uint8_t *f = d.frames[0].bytes;

	(void)state;
	mf_store_be16(buffer() + 50,
		      (uint16_t)pseudo_sum(buffer() + 14, false, (uint32_t)len - 34));
	send_with_context(&c, len, POPTS_IXSM | POPTS_TXSM);
	assert_int_equal(d.frames[0].len, len);
	assert_true(ip4_header_is_good(f + 14));
	assert_true(transport_is_good(f + 14, false));
	// The context stays for the next packet, which wants one of them only.
	tx_data(&d, TX_BUFFERS, (uint32_t)len, LAST, POPTS_TXSM);
	tx_kick(&d);
	f = d.frames[1].bytes;
	assert_int_equal(mf_load_be16(f + 24), 0);
	assert_true(transport_is_good(f + 14, false));
	tx_data(&d, TX_BUFFERS, (uint32_t)len, LAST, 0);
	tx_kick(&d);
	assert_memory_equal(d.frames[2].bytes, buffer(), len);
}

static void a_checksum_may_end_before_the_packet_does(void **state)
{
	const struct tx_context c = {
		.tucss = 34, .tucso = 50, .tucse = 34 + 20 + 9, .tucmd = TUCMD_TCP
	};
	size_t len = make_tcp(buffer(), false, 200, 0x10);
	uint8_t *f = d.frames[0].bytes;

	(void)state;
	send_with_context(&c, len, POPTS_TXSM);
	assert_int_equal(plain_sum(f + 34, 30, 0), 0xffff);
}

static void check_segments(bool six, size_t payload, unsigned mss, unsigned vlan)
{
	size_t headers = six ? TCP6_HEADERS : TCP4_HEADERS, done = 0;
	unsigned cnt = (unsigned)((payload + mss - 1) / mss);

	assert_int_equal(d.frame_cnt, cnt);
	for (unsigned i = 0; i < cnt; i++) {
		const uint8_t *f = d.frames[i].bytes + vlan, *ip = f + 14,
			      *tcp = ip + (six ? 40 : 20);
		size_t n = payload - done < mss ? payload - done : mss;

		assert_int_equal(d.frames[i].len, headers + vlan + n);
		assert_int_equal(d.frames[i].offload.csum, MF_NIC_CSUM_NONE);
		if (six) {
			assert_int_equal(mf_load_be16(ip + 4), 20 + n);
		} else {
			assert_int_equal(mf_load_be16(ip + 2), 40 + n);
			assert_int_equal(mf_load_be16(ip + 4), 0x1234 + i);
			assert_true(ip4_header_is_good(ip));
		}
		assert_true(transport_is_good(ip, six));
		assert_int_equal(mf_load_be32(tcp + 4), (uint32_t)(0xfffffff0 + done));
		// CWR only in the first, FIN and PSH only in the last.
		assert_int_equal(tcp[13], 0x10 | (i == 0 ? 0x80 : 0) | (i + 1 == cnt ? 0x09 : 0));
		assert_memory_equal(tcp + 20, buffer() + headers + done, n);
		done += n;
	}
}

static void send_tso(bool six, size_t payload, unsigned mss, uint8_t cmd, uint16_t special)
{
	size_t headers = six ? TCP6_HEADERS : TCP4_HEADERS, l4 = headers - 20, off = 0;
	struct tx_context c = { .ipcss = 14,
				.ipcso = 24,
				.ipcse = six ? 0 : 33,
				.tucss = (uint8_t)l4,
				.tucso = (uint8_t)(l4 + 16),
				.tucmd = TUCMD_TCP | TXD_TSE | (six ? 0 : TUCMD_IP),
				.hdrlen = (uint8_t)headers,
				.mss = (uint16_t)mss,
				.paylen = (uint32_t)payload };
	size_t len = make_tcp(buffer(), six, payload, 0x99);

	mf_store_be16(buffer() + (six ? 18 : 16), 0); // as drivers do: lengths are the card's
	mf_store_be16(buffer() + l4 + 16, (uint16_t)pseudo_sum(buffer() + 14, six, 0));
	tx_context(&d, &c);
	while (off < len) {
		size_t n = len - off < 4001 ? len - off : 4001;
		bool last = off + n == len;
		uint8_t *p = tx_data(&d, TX_BUFFERS + off, (uint32_t)n,
				     (last ? LAST : TXD_IFCS) | TXD_TSE | cmd,
				     POPTS_TXSM | (six ? 0 : POPTS_IXSM));

		mf_store_le16(p + 14, special);
		off += n;
	}
	tx_kick(&d);
}

static void tcp_over_ipv4_is_cut(void **state)
{
	(void)state;
	send_tso(false, 10001, 1447, 0, 0);
	check_segments(false, 10001, 1447, 0);
	assert_int_equal(reg_read(&d, 0x4080), 7);
	assert_int_equal(reg_read(&d, 0x40f8), 1); // TSCTC
}

static void tcp_over_ipv6_is_cut(void **state)
{
	(void)state;
	send_tso(true, 65536, 1428, 0, 0);
	check_segments(true, 65536, 1428, 0);
}

static void one_segment_is_an_ordinary_frame(void **state)
{
	(void)state;
	send_tso(false, 1000, 1448, 0, 0);
	check_segments(false, 1000, 1448, 0);
}

static void a_host_with_a_stack_gets_it_whole(void **state)
{
	const struct mf_nic_offload *o = &d.frames[0].offload;
	const uint8_t *f = d.frames[0].bytes;

	(void)state;
	send_tso(false, 20000, 1448, 0, 0);
	assert_int_equal(d.frame_cnt, 1);
	assert_int_equal(d.frames[0].len, 20054);
	assert_int_equal(o->gso, MF_NIC_GSO_TCP4);
	assert_int_equal(o->csum, MF_NIC_CSUM_PARTIAL);
	assert_int_equal(o->net_start, 14);
	assert_int_equal(o->csum_start, 34);
	assert_int_equal(o->csum_offset, 16);
	assert_int_equal(o->header_len, 54);
	assert_int_equal(o->gso_size, 1448);
	assert_int_equal(mf_load_be16(f + 16), 20040);
	assert_true(ip4_header_is_good(f + 14));
	assert_int_equal(mf_load_be16(f + 50), pseudo_sum(f + 14, false, 20020));
	assert_int_equal(reg_read(&d, 0x4080), 14); // the wire's frames
}

static void a_tag_is_put_in_where_both_want_it(void **state)
{
	size_t len = make_tcp(buffer(), false, 100, 0x10);
	const uint8_t *f = d.frames[1].bytes;
	uint8_t *p;

	(void)state;
	p = tx_legacy(&d, TX_BUFFERS, (uint16_t)len, LAST | TXD_VLE);
	mf_store_le16(p + 14, 0x6123);
	tx_kick(&d);
	assert_int_equal(d.frames[0].len, len); // CTRL.VME is off
	reg_write(&d, MF_E1000_CTRL, CTRL_VME);
	p = tx_legacy(&d, TX_BUFFERS, (uint16_t)len, LAST | TXD_VLE);
	mf_store_le16(p + 14, 0x6123);
	tx_kick(&d);
	assert_int_equal(d.frames[1].len, len + 4);
	assert_memory_equal(f, buffer(), 12);
	assert_int_equal(mf_load_be32(f + 12), 0x81006123);
	assert_memory_equal(f + 16, buffer() + 12, len - 12);
	d.frame_cnt = 0;
	send_tso(false, 5000, 1400, TXD_VLE, 0x0042);
	check_segments(false, 5000, 1400, 4);
	assert_int_equal(mf_load_be32(d.frames[2].bytes + 12), 0x81000042);
}

static void contexts_that_do_not_fit_are_counted(void **state)
{
	static const struct tx_context bad[] = {
		{ .ipcss = 14, .tucss = 10, .tucso = 26, .hdrlen = 54, .mss = 1448 },
		{ .ipcss = 14, .tucss = 34, .tucso = 50, .hdrlen = 54, .mss = 0 },
		{ .ipcss = 14, .tucss = 34, .tucso = 50, .hdrlen = 40, .mss = 1448 },
		{ .ipcss = 14, .tucss = 34, .tucso = 51, .hdrlen = 54, .mss = 1448 },
		{ .ipcss = 255, .tucss = 255, .tucso = 15, .hdrlen = 255, .mss = 1 },
		{ .ipcss = 0, .tucss = 34, .tucso = 50, .hdrlen = 54, .mss = 1448 },
		{ .ipcss = 14, .tucss = 34, .tucso = 50, .hdrlen = 54, .mss = 1 }, // too many
		{ .ipcss = 15, .tucss = 35, .tucso = 51, .hdrlen = 55, .mss = 9 }, // no IPv4 there
	};

	(void)state;
	make_tcp(buffer(), false, 4000, 0x10);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tx_context c = bad[i];

		c.tucmd = TUCMD_TCP | TUCMD_IP | TXD_TSE;
		tx_context(&d, &c);
		tx_data(&d, TX_BUFFERS, 4054, LAST | TXD_TSE, POPTS_IXSM | POPTS_TXSM);
		tx_kick(&d);
		assert_int_equal(d.nic->counts[MF_NIC_BAD_OFFLOAD], i + 1);
		assert_int_equal(reg_read(&d, MF_E1000_TDH), d.tx_tail); // and it goes on
	}
	assert_int_equal(d.frame_cnt, 0);
}

static void buffers_outside_memory_are_counted(void **state)
{
	(void)state;
	tx_legacy(&d, 0, 100, LAST);
	tx_legacy(&d, GUEST_BASE + GUEST_SIZE - 50, 100, LAST);
	tx_legacy(&d, UINT64_MAX - 10, 100, LAST);
	tx_kick(&d);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_DESCRIPTOR], 3);
	assert_int_equal(d.logs, 1);
	tx_legacy(&d, 0, 100, 0); // and where the ring ends in the middle
	tx_kick(&d);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_DESCRIPTOR], 4);
	tx_legacy(&d, TX_BUFFERS, 100, LAST);
	tx_legacy(&d, TX_BUFFERS, 100, LAST);
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 1);
}

static void lengths_that_no_wire_has_are_counted(void **state)
{
	(void)state;
	tx_legacy(&d, TX_BUFFERS, 13, LAST);
	tx_legacy(&d, TX_BUFFERS, 0, LAST);
	tx_kick(&d);
	assert_int_equal(d.nic->counts[MF_NIC_TX_BAD], 1); // an empty packet is none
	tx_legacy(&d, TX_BUFFERS, 16381, LAST);
	tx_data(&d, TX_BUFFERS, 0xfffff, LAST, 0);
	tx_kick(&d);
	assert_int_equal(d.nic->counts[MF_NIC_TX_BAD], 3);
	tx_legacy(&d, TX_BUFFERS, 16380, LAST);
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 1);
}

static void mixed_and_unknown_descriptors_are_counted(void **state)
{
	uint8_t *p;

	(void)state;
	tx_legacy(&d, TX_BUFFERS, 100, TXD_IFCS);
	tx_data(&d, TX_BUFFERS, 100, LAST, 0);
	tx_kick(&d);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_DESCRIPTOR], 1);
	p = tx_data(&d, TX_BUFFERS, 100, LAST, 0);
	p[10] = 0x70;
	tx_kick(&d);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_DESCRIPTOR], 2);
	assert_int_equal(p[12], TXD_DD);
	assert_int_equal(d.frame_cnt, 0);
}

static void rings_that_cannot_be_are_counted(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_TDT, RING_LEN);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_RING], 1);
	reg_write(&d, MF_E1000_TDT, 0xffff);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_RING], 2);
	reg_write(&d, MF_E1000_TDBAH, 0xffffffff);
	reg_write(&d, MF_E1000_TDT, 3);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_RING], 3);
	assert_int_equal(reg_read(&d, MF_E1000_TDH), 0);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 3, 2, d.now);
	reg_write(&d, MF_E1000_TDT, 4);
	assert_int_equal(d.nic->counts[MF_NIC_NO_BUS_MASTER], 1);
	assert_int_equal(d.frame_cnt, 0);
}

/* A ring onto itself: descriptors that are buffers of each other, status bytes that land in descriptors. */
static void a_ring_over_itself_ends(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RING_LEN; i++) {
		tx_legacy(&d, TX_RING, 64, LAST);
		d.tx_tail = (i + 1) % RING_LEN;
	}
	reg_write(&d, MF_E1000_TDT, RING_LEN - 1);
	assert_int_equal(reg_read(&d, MF_E1000_TDH), RING_LEN - 1);
	assert_int_equal(d.frame_cnt, RING_LEN - 1);
}

static void one_kick_does_a_bounded_part(void **state)
{
	(void)state;
	reg_write(&d, MF_E1000_TDBAL, TX_BUFFERS);
	reg_write(&d, MF_E1000_TDLEN, 1024 * 16);
	for (unsigned i = 0; i < 1024; i++) {
		uint8_t *p = guest_at(&d, TX_BUFFERS + i * 16);

		memset(p, 0, 16);
		mf_store_le64(p, RX_BUFFERS);
		mf_store_le16(p + 8, 60);
		p[11] = LAST;
	}
	reg_write(&d, MF_E1000_TDT, 600);
	assert_int_equal(reg_read(&d, MF_E1000_TDH), 256);
	assert_true(mf_nic_deadline(d.nic) <= d.now);
	mf_nic_tick(d.nic, d.now);
	mf_nic_tick(d.nic, d.now);
	assert_int_equal(reg_read(&d, MF_E1000_TDH), 600);
	assert_int_equal(d.frame_cnt, 600);
	assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
}

static void a_held_card_begins_no_frame(void **state)
{
	(void)state;
	d.hold_after_one = true;
	tx_legacy(&d, TX_BUFFERS, 60, LAST);
	tx_legacy(&d, TX_BUFFERS, 60, LAST);
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 1);
	assert_int_equal(reg_read(&d, MF_E1000_TDH), 1);
	assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
	mf_nic_hold(d.nic, false);
	assert_true(mf_nic_deadline(d.nic) <= d.now);
	mf_nic_tick(d.nic, d.now);
	assert_int_equal(d.frame_cnt, 2);
}

static void in_loopback_frames_come_back(void **state)
{
	size_t len = make_tcp(buffer(), false, 100, 0x10);

	(void)state;
	reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_SECRC | RCTL_LBM);
	tx_legacy(&d, TX_BUFFERS, (uint16_t)len, LAST);
	tx_kick(&d);
	assert_int_equal(d.frame_cnt, 0);
	assert_memory_equal(guest_at(&d, RX_BUFFERS), buffer(), len);
	assert_int_equal(rx_frame(&d, buffer(), len), MF_NIC_REFUSED); // not from outside
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_legacy_descriptor_is_a_frame),
		T(several_descriptors_are_one_frame),
		T(without_ifcs_the_last_four_bytes_are_the_drivers),
		T(a_legacy_checksum_is_put_in),
		T(a_context_says_which_checksums_are_put_in),
		T(a_checksum_may_end_before_the_packet_does),
		T(tcp_over_ipv4_is_cut),
		T(tcp_over_ipv6_is_cut),
		T(one_segment_is_an_ordinary_frame),
		cmocka_unit_test_setup_teardown(a_host_with_a_stack_gets_it_whole,
						setup_offloading_host, teardown),
		T(a_tag_is_put_in_where_both_want_it),
		T(contexts_that_do_not_fit_are_counted),
		T(buffers_outside_memory_are_counted),
		T(lengths_that_no_wire_has_are_counted),
		T(mixed_and_unknown_descriptors_are_counted),
		T(rings_that_cannot_be_are_counted),
		T(a_ring_over_itself_ends),
		T(one_kick_does_a_bounded_part),
		T(a_held_card_begins_no_frame),
		T(in_loopback_frames_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
