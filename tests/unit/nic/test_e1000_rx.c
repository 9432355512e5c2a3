/* SPDX-License-Identifier: Apache-2.0 */
/* test_e1000_rx.c - receiving: filters, buffer sizes, long packets, checksums, VLANs, full rings, buffers outside memory */
#include "tests/unit/test.h"

#include "tests/unit/nic/e1000_driver.h"
#include "tests/unit/nic/packets.h"

static struct driver d;
static uint8_t frame[16400];

static int setup(void **state)
{
	(void)state;
	memset(frame, 0, sizeof(frame));
	return driver_begin(&d, 0);
}

static int teardown(void **state)
{
	(void)state;
	driver_end(&d);
	return 0;
}

static void address(const char *dst)
{
	memcpy(frame, dst, 6);
}

static void a_frame_is_in_memory_and_its_descriptor_says_so(void **state)
{
	size_t len = make_tcp(frame, false, 1000, 0x10);
	uint8_t *p = rx_descriptor(&d, 0);

	(void)state;
	assert_int_equal(rx_frame(&d, frame, len), MF_NIC_TAKEN);
	assert_int_equal(mf_load_le16(p + 8), len);
	assert_int_equal(p[12], RXD_DD | RXD_EOP | RXD_IXSM);
	assert_int_equal(p[13], 0);
	assert_memory_equal(guest_at(&d, RX_BUFFERS), frame, len);
	assert_int_equal(reg_read(&d, MF_E1000_RDH), 1);
	assert_true(d.line);
	assert_int_equal(reg_read(&d, MF_E1000_ICR) & ICR_RXT0, ICR_RXT0);
	assert_int_equal(reg_read(&d, 0x4074), 1);	 // GPRC
	assert_int_equal(reg_read(&d, 0x4088), len + 4); // GORC, low then high
	assert_int_equal(reg_read(&d, 0x408c), 0);
	assert_int_equal(reg_read(&d, 0x4088), 0);
}

static void short_frames_are_padded_and_parts_put_together(void **state)
{
	struct mf_span parts[3];

	(void)state;
	make_tcp(frame, false, 0, 0x10);
	memset(guest_at(&d, RX_BUFFERS), 0xee, 64);
	parts[0] = mf_span_of(frame, 14);
	parts[1] = mf_span_of(NULL, 0);
	parts[2] = mf_span_of(frame + 14, 28);
	assert_int_equal(mf_nic_receive(d.nic, parts, 3, 42, NULL, d.now), MF_NIC_TAKEN);
	assert_int_equal(mf_load_le16(rx_descriptor(&d, 0) + 8), 60);
	assert_memory_equal(guest_at(&d, RX_BUFFERS), frame, 42);
	for (unsigned i = 42; i < 60; i++)
		assert_int_equal(guest_at(&d, RX_BUFFERS)[i], 0);
	assert_int_equal(guest_at(&d, RX_BUFFERS)[60], 0xee);
}

static void the_fcs_counts_unless_it_is_stripped(void **state)
{
	size_t len = make_tcp(frame, false, 500, 0x10);

	(void)state;
	reg_write(&d, MF_E1000_RCTL, RCTL_EN);
	memset(guest_at(&d, RX_BUFFERS), 0xee, 2048);
	assert_int_equal(rx_frame(&d, frame, len), MF_NIC_TAKEN);
	assert_int_equal(mf_load_le16(rx_descriptor(&d, 0) + 8), len + 4);
	assert_int_equal(mf_load_le32(guest_at(&d, RX_BUFFERS + len)), 0);
}

static void filters_choose_frames(void **state)
{
	const uint32_t on = RCTL_EN | RCTL_SECRC;

	(void)state;
	make_tcp(frame, false, 100, 0x10);
	reg_write(&d, MF_E1000_RCTL, on);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	address("\x52\x54\x00\xab\xcd\xee");
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NOT_FOR_IT);
	reg_write(&d, MF_E1000_RCTL, on | RCTL_UPE);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	reg_write(&d, MF_E1000_RCTL, on);
	reg_write(&d, 0x5478, 0xab005452); // the sixteenth address
	reg_write(&d, 0x547c, 0x0000eecd);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NOT_FOR_IT); // not valid
	reg_write(&d, 0x547c, 0x8001eecd);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NOT_FOR_IT); // of the source
	reg_write(&d, 0x547c, 0x8000eecd);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	address("\xff\xff\xff\xff\xff\xff");
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NOT_FOR_IT);
	reg_write(&d, MF_E1000_RCTL, on | RCTL_BAM);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	address("\x01\x00\x5e\x00\x00\xfb");
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NOT_FOR_IT);
	reg_write(&d, MF_E1000_RCTL, on | RCTL_MPE);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	assert_int_equal(d.nic->counts[MF_NIC_RX_FILTERED], 5);
	assert_int_equal(reg_read(&d, 0x4078), 1); // BPRC
	assert_int_equal(reg_read(&d, 0x407c), 1); // MPRC
	reg_write(&d, MF_E1000_RCTL, 0);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_REFUSED);
}

/* By the manual's table: which bits of the address choose the bit, for each RCTL.MO. */
static void the_multicast_table_is_looked_up(void **state)
{
	static const uint16_t hashes[4] = { 0xfb0, 0xf60, 0xec0, 0xb00 };

	(void)state;
	make_tcp(frame, false, 100, 0x10);
	address("\x01\x00\x5e\x00\x00\xfb");
	for (unsigned mo = 0; mo < 4; mo++) {
		uint32_t reg = 0x5200 + (hashes[mo] >> 5) * 4;

		reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_SECRC | mo << 12);
		assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NOT_FOR_IT);
		reg_write(&d, reg, 1u << (hashes[mo] & 31));
		assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
		assert_true(rx_descriptor(&d, mo)[12] & RXD_PIF);
		reg_write(&d, reg, ~(1u << (hashes[mo] & 31)));
		assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NOT_FOR_IT);
		reg_write(&d, reg, 0);
	}
}

static void tag(uint16_t tci)
{
	make_tcp(frame, false, 100, 0x10);
	finish_tcp(frame, false, 154);
	memmove(frame + 16, frame + 12, 142);
	mf_store_be16(frame + 12, 0x8100);
	mf_store_be16(frame + 14, tci);
}

static void vlans_are_filtered(void **state)
{
	(void)state;
	tag(0x2123);
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_TAKEN);
	reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_SECRC | RCTL_VFE);
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_NOT_FOR_IT);
	reg_write(&d, 0x5600 + (0x123 >> 5) * 4, 1u << (0x123 & 31));
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_TAKEN);
	tag(0x2122);
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_NOT_FOR_IT);
	tag(0x3123);
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_TAKEN);
	reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_SECRC | RCTL_VFE | RCTL_CFIEN);
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_NOT_FOR_IT);
	reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_SECRC | RCTL_VFE | RCTL_CFIEN | RCTL_CFI);
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_TAKEN);
	make_tcp(frame, false, 100, 0x10);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN); // without a tag
}

static void tags_are_stripped(void **state)
{
	uint8_t *p = rx_descriptor(&d, 0), plain[154];

	(void)state;
	tag(0x2123);
	make_tcp(plain, false, 100, 0x10);
	finish_tcp(plain, false, 154);
	reg_write(&d, MF_E1000_CTRL, CTRL_VME);
	reg_write(&d, MF_E1000_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL);
	assert_int_equal(rx_frame(&d, frame, 158), MF_NIC_TAKEN);
	assert_int_equal(mf_load_le16(p + 8), 154);
	assert_int_equal(mf_load_le16(p + 14), 0x2123);
	assert_int_equal(p[12], RXD_DD | RXD_EOP | RXD_VP | RXD_IPCS | RXD_TCPCS);
	assert_int_equal(p[13], 0);
	assert_memory_equal(guest_at(&d, RX_BUFFERS), plain, 154);
}

static void checksums_are_judged(void **state)
{
	uint8_t *p = rx_descriptor(&d, 0);
	unsigned n = 0;

	(void)state;
	reg_write(&d, MF_E1000_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL | 14);
	for (unsigned six = 0; six < 2; six++) {
		size_t len = make_tcp(frame, six, 777, 0x10), l4 = six ? 54 : 34;
		uint8_t ok = RXD_DD | RXD_EOP | RXD_TCPCS | (six ? 0 : RXD_IPCS);

		finish_tcp(frame, six, len);
		memset(frame + len, 0xa5, 3); // a trailer, as of short frames
		assert_int_equal(rx_frame(&d, frame, len + 3), MF_NIC_TAKEN);
		p = rx_descriptor(&d, n++);
		assert_int_equal(p[12], ok);
		assert_int_equal(p[13], 0);
		assert_int_equal(mf_load_le16(p + 10),
				 0xffff & ~plain_sum(frame + 14, len + 3 - 14, 0));
		frame[l4 + 30] ^= 1;
		assert_int_equal(rx_frame(&d, frame, len), MF_NIC_TAKEN);
		p = rx_descriptor(&d, n++);
		assert_int_equal(p[12], ok);
		assert_int_equal(p[13], RXD_TCPE);
	}
	make_tcp(frame, false, 100, 0x10);
	finish_tcp(frame, false, 154);
	frame[14 + 8]--;
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	assert_int_equal(rx_descriptor(&d, n++)[13], RXD_IPE);
	mf_store_be16(frame + 14 + 6, 0x2000); // a fragment: nobody can tell
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	assert_int_equal(rx_descriptor(&d, n++)[12], RXD_DD | RXD_EOP | RXD_IPCS);
	mf_store_be16(frame + 12, 0x0806);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	assert_int_equal(rx_descriptor(&d, n++)[12], RXD_DD | RXD_EOP | RXD_IXSM);
}

static void what_the_host_vouches_for_is_good(void **state)
{
	const struct mf_nic_offload good = { .csum = MF_NIC_CSUM_VALID };
	const struct mf_nic_offload partial = { .csum = MF_NIC_CSUM_PARTIAL, .csum_start = 34 };
	struct mf_span part = mf_span_of(frame, 154);

	(void)state;
	make_tcp(frame, false, 100, 0x10);
	finish_tcp(frame, false, 154);
	frame[50] ^= 1;
	reg_write(&d, MF_E1000_RXCSUM, RXCSUM_TUOFL);
	assert_int_equal(mf_nic_receive(d.nic, &part, 1, 154, &good, d.now), MF_NIC_TAKEN);
	assert_int_equal(rx_descriptor(&d, 0)[12], RXD_DD | RXD_EOP | RXD_TCPCS);
	assert_int_equal(rx_descriptor(&d, 0)[13], 0);
	assert_int_equal(mf_nic_receive_can(d.nic), 0);
	assert_int_equal(mf_nic_receive(d.nic, &part, 1, 154, &partial, d.now), MF_NIC_REFUSED);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_OFFLOAD], 1);
}

/* RCTL.BSIZE and BSEX: the size that a frame is cut at. */
static void buffers_have_their_sizes(void **state)
{
	static const struct {
		uint32_t rctl, size;
	} sizes[] = {
		{ 0, 2048 },
		{ 1u << 16, 1024 },
		{ 2u << 16, 512 },
		{ 3u << 16, 256 },
		{ RCTL_BSEX | 1u << 16, 16384 },
		{ RCTL_BSEX | 2u << 16, 8192 },
		{ RCTL_BSEX | 3u << 16, 4096 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const size_t len = 5000;
		size_t off = 0;
		unsigned n = 0;

		driver_set_up(&d);
		reg_write(&d, MF_E1000_RDH, 0);
		reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_LPE | RCTL_SECRC | sizes[i].rctl);
		make_tcp(frame, false, len - 54, 0x10);
		assert_int_equal(rx_frame(&d, frame, len), MF_NIC_TAKEN);
		for (; off < len; n++) {
			uint8_t *p = rx_descriptor(&d, n);
			size_t part = len - off < sizes[i].size ? len - off : sizes[i].size;

			assert_int_equal(mf_load_le16(p + 8), part);
			assert_memory_equal(guest_at(&d, RX_BUFFERS + n * 0x1000), frame + off,
					    part);
			off += part;
			assert_int_equal(p[12] & RXD_EOP, off == len ? RXD_EOP : 0);
			assert_true(p[12] & RXD_DD);
		}
		assert_int_equal(reg_read(&d, MF_E1000_RDH), n);
	}
}

static void long_packets_want_lpe(void **state)
{
	(void)state;
	make_tcp(frame, false, 16000, 0x10);
	assert_int_equal(rx_frame(&d, frame, 1518), MF_NIC_TAKEN);
	assert_int_equal(rx_frame(&d, frame, 1519), MF_NIC_REFUSED);
	assert_int_equal(reg_read(&d, 0x40ac), 1); // ROC
	reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_LPE);
	assert_int_equal(rx_frame(&d, frame, 16380), MF_NIC_TAKEN);
	assert_int_equal(rx_frame(&d, frame, 16381), MF_NIC_REFUSED);
	assert_int_equal(rx_frame(&d, frame, 13), MF_NIC_REFUSED);
	assert_int_equal(d.nic->counts[MF_NIC_RX_BAD], 3);
}

static void a_full_ring_keeps_the_frame_with_the_host(void **state)
{
	(void)state;
	make_tcp(frame, false, 100, 0x10);
	for (unsigned i = 0; i < RING_LEN - 1; i++)
		assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	assert_true(reg_read(&d, MF_E1000_ICR) & ICR_RXDMT0);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NO_BUFFER);
	assert_int_equal(reg_read(&d, MF_E1000_ICR), ICR_RXO);
	assert_int_equal(reg_read(&d, 0x40a0), 1); // RNBC
	assert_int_equal(d.ready, 0);
	reg_write(&d, MF_E1000_RDT, 3);
	assert_int_equal(d.ready, 1);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	// A frame of several buffers is received whole or not at all.
	reg_write(&d, MF_E1000_RCTL, RCTL_EN | RCTL_LPE | RCTL_SECRC);
	assert_int_equal(rx_frame(&d, frame, 8000), MF_NIC_NO_BUFFER);
	assert_int_equal(reg_read(&d, MF_E1000_RDH), 0);
	assert_int_equal(rx_frame(&d, frame, 6000), MF_NIC_TAKEN);
	assert_int_equal(reg_read(&d, MF_E1000_RDH), 3);
}

static void padding_descriptors_are_given_back(void **state)
{
	(void)state;
	make_tcp(frame, false, 100, 0x10);
	mf_store_le64(rx_descriptor(&d, 0), 0);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	assert_int_equal(rx_descriptor(&d, 0)[12], RXD_DD);
	assert_int_equal(mf_load_le16(rx_descriptor(&d, 1) + 8), 154);
	assert_int_equal(reg_read(&d, MF_E1000_RDH), 2);
	for (unsigned i = 2; i < RING_LEN; i++)
		mf_store_le64(rx_descriptor(&d, i), 0);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NO_BUFFER);
}

static void buffers_and_rings_outside_memory_are_counted(void **state)
{
	(void)state;
	make_tcp(frame, false, 100, 0x10);
	mf_store_le64(rx_descriptor(&d, 0), 0x10);
	mf_store_le64(rx_descriptor(&d, 1), GUEST_BASE + GUEST_SIZE - 100);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_REFUSED);
	assert_int_equal(rx_descriptor(&d, 0)[13], RXD_RXE);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_REFUSED);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_DESCRIPTOR], 2);
	assert_int_equal(d.logs, 1);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
	reg_write(&d, MF_E1000_RDT, 0xffff);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_REFUSED);
	reg_write(&d, MF_E1000_RDT, 31);
	reg_write(&d, MF_E1000_RDBAH, 1);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_REFUSED);
	assert_int_equal(d.nic->counts[MF_NIC_BAD_RING], 2);
	mf_nic_config_write(d.nic, MF_PCI_COMMAND, 3, 2, d.now);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_NO_BUFFER);
	assert_int_equal(d.nic->counts[MF_NIC_NO_BUS_MASTER], 1);
}

static void without_a_link_nothing_comes(void **state)
{
	(void)state;
	make_tcp(frame, false, 100, 0x10);
	mf_nic_set_link(d.nic, false, d.now);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_REFUSED);
	mf_nic_set_link(d.nic, true, d.now);
	assert_int_equal(rx_frame(&d, frame, 154), MF_NIC_TAKEN);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_frame_is_in_memory_and_its_descriptor_says_so),
		T(short_frames_are_padded_and_parts_put_together),
		T(the_fcs_counts_unless_it_is_stripped),
		T(filters_choose_frames),
		T(the_multicast_table_is_looked_up),
		T(vlans_are_filtered),
		T(tags_are_stripped),
		T(checksums_are_judged),
		T(what_the_host_vouches_for_is_good),
		T(buffers_have_their_sizes),
		T(long_packets_want_lpe),
		T(a_full_ring_keeps_the_frame_with_the_host),
		T(padding_descriptors_are_given_back),
		T(buffers_and_rings_outside_memory_are_counted),
		T(without_a_link_nothing_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
