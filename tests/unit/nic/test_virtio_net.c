/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_net.c - the virtio network card: frames both ways, merged buffers, offloads, the control queue, several pairs */
#include "core/packet/checksum.h"
#include "tests/unit/nic/virtio_driver.h"
#include "tests/unit/test.h"

#define V1	   MF_VIRTIO_BIT(MF_VIRTIO_F_VERSION_1)
#define PACKED	   MF_VIRTIO_BIT(MF_VIRTIO_F_RING_PACKED)
#define CSUM	   MF_VIRTIO_BIT(0)
#define GUEST_CSUM MF_VIRTIO_BIT(1)
#define GUEST_TSO4 MF_VIRTIO_BIT(7)
#define HOST_TSO4  MF_VIRTIO_BIT(11)
#define HOST_TSO6  MF_VIRTIO_BIT(12)
#define MRG	   MF_VIRTIO_BIT(15)
#define CTRL_VQ	   MF_VIRTIO_BIT(17)
#define CTRL_RX	   MF_VIRTIO_BIT(18)
#define CTRL_VLAN  MF_VIRTIO_BIT(19)
#define RX_EXTRA   MF_VIRTIO_BIT(20)
#define MQ	   MF_VIRTIO_BIT(22)
#define CTRL_MAC   MF_VIRTIO_BIT(23)
#define NOTF_COAL  MF_VIRTIO_BIT(53)

static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static struct driver d;
static uint8_t frame[DRIVER_FRAME];

static void open_card(uint64_t features, uint16_t pairs, unsigned can)
{
	struct mf_virtio_net_options opt = { .pairs = pairs, .packed = true, .coalesce = true };

	memcpy(opt.mac, mac, 6);
	assert_int_equal(driver_open(&d, &opt, false, can), 0);
	assert_true(driver_negotiate(&d, V1 | features));
	for (unsigned i = 0; i < 2u * pairs + !!(features & CTRL_VQ); i++)
		driver_add_ring(&d, i, 64);
	driver_ok(&d);
	memcpy(frame, mac, 6);
	memcpy(frame + 6, "\x02\x00\x00\x00\x00\x01\x08\x00", 8);
	for (unsigned i = 14; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
}

/* --- receiving ------------------------------------------------------------------------------------------------------ */

static uint64_t add_buffer(unsigned queue, uint32_t len)
{
	struct driver_buf b = { driver_alloc(&d, len, 16), len };

	driver_add(&d, queue, &b, 0, 1, false);
	return b.gpa;
}

static void one_buffer_takes_a_frame(void **state)
{
	uint64_t at;
	uint32_t len;
	uint16_t id;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		open_card(packed ? PACKED : 0, 1, 0);
		assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_NO_BUFFER);
		assert_int_equal(d.ready, 0);
		at = add_buffer(0, 2000);
		driver_kick(&d, 0);
		assert_int_equal(d.ready, 1);
		assert_int_equal(driver_receive(&d, frame, 1514), MF_NIC_TAKEN);
		assert_true(driver_used(&d, 0, &id, &len));
		assert_int_equal(len, 12 + 1514);
		assert_memory_equal(driver_at(&d, at), "\0\0\0\0\0\0\0\0\0\0\1\0", 12);
		assert_memory_equal(driver_at(&d, at + 12), frame, 1514);
		assert_true(d.line);
		// Too large for the next one: refused, and the buffer waits for another.
		at = add_buffer(0, 112);
		assert_int_equal(driver_receive(&d, frame, 101), MF_NIC_REFUSED);
		assert_int_equal(driver_receive(&d, frame, 100), MF_NIC_TAKEN);
		assert_true(driver_used(&d, 0, &id, &len));
		assert_int_equal(len, 112);
		assert_memory_equal(driver_at(&d, at + 12), frame, 100);
		assert_int_equal(driver_receive(&d, frame, 13), MF_NIC_REFUSED);
		assert_true(d.nic->counts[MF_NIC_RX_BAD] == 2);
		assert_true(d.nic->counts[MF_NIC_RX_FRAMES] == 2);
		assert_true(d.nic->counts[MF_NIC_RX_BYTES] == 1614);
		driver_close(&d);
	}
}

/* Frames in parts, into buffers in pieces, merged: all cuts together give the frame again. */
static void frames_are_merged_from_buffers_of_any_size(void **state)
{
	static const uint32_t sizes[] = { 12, 13, 40, 100, 700, 1526 };
	uint64_t seed = 3;
	uint64_t at[64];
	uint32_t len;
	uint16_t id;

	(void)state;
	for (int packed = 0; packed < 2; packed++)
		for (unsigned s = 0; s < 6; s++) {
			open_card(MRG | (packed ? PACKED : 0), 1, 0);
			for (unsigned round = 0; round < 20; round++) {
				size_t n = 14 + test_below(&seed, 400), got = 0, first;
				unsigned cnt, taken = d.taken;
				struct mf_span parts[3];

				parts[0] = mf_span_of(frame, test_below(&seed, (uint32_t)n));
				first = parts[0].len;
				parts[1] = mf_span_of(frame + first,
						      test_below(&seed, (uint32_t)(n - first)));
				parts[2] = mf_span_of(frame + first + parts[1].len,
						      n - first - parts[1].len);
				cnt = (unsigned)((n + 12 + sizes[s] - 1) / sizes[s]);
				for (unsigned i = 0; i < cnt; i++) {
					if (i + 1 == cnt && round % 3 == 0)
						assert_int_equal(
							mf_nic_receive(d.nic, parts, 3, n, NULL, 0),
							MF_NIC_NO_BUFFER);
					at[i] = add_buffer(0, sizes[s]);
				}
				assert_int_equal(mf_nic_receive(d.nic, parts, 3, n, NULL, 0),
						 MF_NIC_TAKEN);
				assert_int_equal(mf_load_le16(driver_at(&d, at[0] + 10)), cnt);
				for (unsigned i = 0; i < cnt; i++) {
					size_t skip = i ? 0 : 12;

					assert_true(driver_used(&d, 0, &id, &len));
					assert_true(len >= skip);
					assert_memory_equal(driver_at(&d, at[i] + skip),
							    frame + got, len - skip);
					got += len - skip;
				}
				assert_int_equal(got, n);
				assert_false(driver_used(&d, 0, &id, &len));
				d.taken = taken;
			}
			driver_close(&d);
		}
}

static void a_frame_that_can_never_fit_is_refused(void **state)
{
	uint32_t len;
	uint16_t id;

	(void)state;
	open_card(MRG, 1, 0);
	for (unsigned i = 0; i < 64; i++)
		add_buffer(0, 20);
	assert_int_equal(driver_receive(&d, frame, 1514), MF_NIC_REFUSED);
	assert_false(driver_used(&d, 0, &id, &len));
	assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_TAKEN);
	for (unsigned i = 0; i < 4; i++)
		assert_true(driver_used(&d, 0, &id, &len));
	assert_false(driver_used(&d, 0, &id, &len));
	driver_close(&d);
}

/* Chains with errors among good ones: given back empty, in front of the frame. */
static void broken_buffers_are_passed_over(void **state)
{
	struct driver_buf bad = { 0x10, 2000 };
	uint32_t len;
	uint16_t id;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		open_card(MRG | (packed ? PACKED : 0), 1, 0);
		add_buffer(0, 40);
		driver_add(&d, 0, &bad, 0, 1, false);
		add_buffer(0, 40);
		assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_TAKEN);
		assert_true(driver_used(&d, 0, &id, &len));
		assert_int_equal(len, 0);
		assert_true(driver_used(&d, 0, &id, &len));
		assert_int_equal(len, 40);
		assert_true(driver_used(&d, 0, &id, &len));
		assert_int_equal(len, 32);
		// No more behind it: what had been begun comes back empty as well.
		add_buffer(0, 40);
		driver_add(&d, 0, &bad, 0, 1, false);
		assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_NO_BUFFER);
		for (unsigned i = 0; i < 2; i++) {
			assert_true(driver_used(&d, 0, &id, &len));
			assert_int_equal(len, 0);
		}
		assert_false(driver_used(&d, 0, &id, &len));
		add_buffer(0, 100);
		assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_TAKEN);
		driver_close(&d);
	}
}

/* The driver gives the ring itself as a buffer: it gets what it asked for, and nobody else does. */
static void frames_may_be_received_onto_the_ring(void **state)
{
	struct driver_buf b;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		open_card(MRG | (packed ? PACKED : 0), 1, 0);
		b = (struct driver_buf){ d.q[0].desc, 1024 };
		driver_add(&d, 0, &b, 0, 1, false);
		b = (struct driver_buf){ d.q[0].avail & ~UINT64_C(15), 128 };
		driver_add(&d, 0, &b, 0, 1, false);
		b = (struct driver_buf){ d.q[0].used, 512 };
		driver_add(&d, 0, &b, 0, 1, false);
		for (unsigned i = 0; i < 20; i++)
			driver_receive(&d, frame, 1514);
		driver_close(&d);
	}
}

static void large_frames_come_in_whole_where_the_driver_can(void **state)
{
	struct mf_nic_offload o = { .csum = MF_NIC_CSUM_PARTIAL,
				    .gso = MF_NIC_GSO_TCP4,
				    .net_start = 14,
				    .csum_start = 34,
				    .csum_offset = 16,
				    .gso_size = 1448,
				    .header_len = 66 };
	struct mf_span part = mf_span_of(frame, 65000);
	uint64_t at = 0;
	uint8_t *h;

	(void)state;
	open_card(MRG | GUEST_CSUM, 1, 0);
	assert_int_equal(mf_nic_receive_can(d.nic), MF_NIC_CAN_CSUM);
	assert_int_equal(mf_nic_receive(d.nic, &part, 1, part.len, &o, 0), MF_NIC_REFUSED);
	driver_close(&d);
	open_card(MRG | GUEST_CSUM | GUEST_TSO4, 1, 0);
	assert_int_equal(mf_nic_receive_can(d.nic), MF_NIC_CAN_CSUM | MF_NIC_CAN_TSO4);
	for (unsigned i = 0; i < 44; i++) {
		uint64_t a = add_buffer(0, 1526);

		at = at ? at : a;
	}
	assert_int_equal(mf_nic_receive(d.nic, &part, 1, part.len, &o, 0), MF_NIC_TAKEN);
	h = driver_at(&d, at);
	assert_memory_equal(h, "\x01\x01\x42\x00\xa8\x05\x22\x00\x10\x00\x2b\x00", 12);
	o = (struct mf_nic_offload){ .csum = MF_NIC_CSUM_VALID };
	h = driver_at(&d, add_buffer(0, 1526));
	part.len = 100;
	while (mf_nic_receive(d.nic, &part, 1, part.len, &o, 0) == MF_NIC_TAKEN)
		;
	assert_memory_equal(h, "\x02\0\0\0\0\0\0\0\0\0\1\0", 12);
	driver_close(&d);
	open_card(0, 1, 0);
	assert_int_equal(mf_nic_receive_can(d.nic), 0);
	h = driver_at(&d, add_buffer(0, 1526));
	assert_int_equal(mf_nic_receive(d.nic, &part, 1, part.len, &o, 0), MF_NIC_TAKEN);
	assert_int_equal(h[0], 0); // a driver that has not agreed is told nothing
	driver_close(&d);
}

/* --- sending -------------------------------------------------------------------------------------------------------- */

static void send(const uint8_t h[12], const uint8_t *bytes, uint32_t len)
{
	uint32_t taken = d.taken;
	struct driver_buf b[2] = { { driver_alloc(&d, 12, 16), 12 },
				   { driver_alloc(&d, len, 16), len } };

	memcpy(driver_at(&d, b[0].gpa), h, 12);
	memcpy(driver_at(&d, b[1].gpa), bytes, len);
	driver_add(&d, 1, b, 2, 0, false);
	driver_kick(&d, 1);
	d.taken = taken;
}

/* A TCP frame with the pseudo header's sum in place; @tags VLAN tags. Return: length of its headers */
static size_t make_tcp(size_t payload, bool six, unsigned tags)
{
	static const uint8_t addresses[32] = { 0xfd, 1,	 2,  3,	   4, 5, 6, 7, 8, 9, 10, 11, 12,
					       13,   14, 15, 0xfd, 9, 8, 7, 6, 5, 4, 3,	 2,  1 };
	uint8_t *p = frame + 12, *ip;
	size_t tcp_len = 32 + payload;
	uint64_t sum = mf_csum_add_be32(mf_csum_add_be16(0, 6), (uint32_t)tcp_len);

	for (unsigned i = 0; i < tags; i++, p += 4) {
		mf_store_be16(p, 0x8100);
		mf_store_be16(p + 2, (uint16_t)(i + 5));
	}
	mf_store_be16(p, six ? 0x86dd : 0x0800);
	ip = p + 2;
	memset(ip, 0, 40);
	if (six) {
		mf_store_be32(ip, 0x60000000);
		mf_store_be16(ip + 4, (uint16_t)tcp_len);
		ip[6] = 6;
		ip[7] = 64;
		memcpy(ip + 8, addresses, 32);
		sum = mf_csum_add(sum, addresses, 32);
		p = ip + 40;
	} else {
		mf_store_be16(ip, 0x4500);
		mf_store_be16(ip + 2, (uint16_t)(20 + tcp_len));
		mf_store_be16(ip + 4, 0xfffe);
		mf_store_be16(ip + 6, 0x4000);
		ip[8] = 64;
		ip[9] = 6;
		memcpy(ip + 12, addresses, 8);
		sum = mf_csum_add(sum, addresses, 8);
		mf_store_be16(ip + 10, mf_csum_ip4_header(ip, 20));
		p = ip + 20;
	}
	memset(p, 0, 32);
	mf_store_be32(p + 4, 0xfffffff0); // the sequence number wraps on the way
	p[12] = 0x80;
	p[13] = 0x80 | 0x18 | 0x01; // CWR ACK PSH FIN
	mf_store_be16(p + 16, mf_csum_fold(sum));
	return (size_t)(p + 32 - frame);
}

/* Is a finished TCP frame right? @l4: where TCP begins */
static bool checksum_is_right(const uint8_t *f, size_t len, size_t ip, size_t l4)
{
	uint64_t sum = mf_csum_add_be32(mf_csum_add_be16(0, 6), (uint32_t)(len - l4));

	sum = f[ip] >> 4 == 6 ? mf_csum_join(sum, mf_csum_add(0, f + ip + 8, 32))
			      : mf_csum_join(sum, mf_csum_add(0, f + ip + 12, 8));
	return mf_csum_fold(mf_csum_join(sum, mf_csum_add(0, f + l4, len - l4))) == 0xffff;
}

static void checksums_are_finished_or_passed_on(void **state)
{
	uint8_t h[12] = { 1, 0, 0, 0, 0, 0, 34, 0, 16 };
	size_t len;

	(void)state;
	open_card(CSUM, 1, 0);
	len = make_tcp(777, false, 0) + 777;
	send(h, frame, (uint32_t)len);
	assert_int_equal(d.frames, 1);
	assert_int_equal(d.len, len);
	assert_int_equal(d.offload.csum, MF_NIC_CSUM_NONE);
	assert_true(checksum_is_right(d.frame, len, 14, 34));
	// Places outside of the frame: nothing goes out.
	mf_store_le16(h + 8, (uint16_t)(len - 34 - 1));
	send(h, frame, (uint32_t)len);
	mf_store_le16(h + 6, 0xffff);
	mf_store_le16(h + 8, 0xffff);
	send(h, frame, (uint32_t)len);
	assert_int_equal(d.frames, 1);
	assert_true(d.nic->counts[MF_NIC_BAD_OFFLOAD] == 2);
	driver_close(&d);
	open_card(CSUM, 1, MF_NIC_CAN_CSUM);
	mf_store_le16(h + 6, 34);
	mf_store_le16(h + 8, 16);
	send(h, frame, (uint32_t)len);
	assert_memory_equal(d.frame, frame, len);
	assert_int_equal(d.offload.csum, MF_NIC_CSUM_PARTIAL);
	assert_int_equal(d.offload.csum_start, 34);
	assert_int_equal(d.offload.csum_offset, 16);
	driver_close(&d);
	open_card(0, 1, 0); // not agreed to
	send(h, frame, (uint32_t)len);
	assert_int_equal(d.frames, 0);
	assert_true(d.nic->counts[MF_NIC_BAD_OFFLOAD] == 1);
	driver_close(&d);
}

static struct {
	unsigned cnt;
	size_t payload, ip, l4;
} segments;

static bool take_segment(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
			 const struct mf_nic_offload *o)
{
	size_t head = segments.l4 + 32;
	bool six;

	driver_frame_out(ctx, parts, cnt, len, o);
	assert_int_equal(o->csum, MF_NIC_CSUM_NONE);
	six = d.frame[segments.ip] >> 4 == 6;
	assert_true(checksum_is_right(d.frame, len, segments.ip, segments.l4));
	assert_memory_equal(d.frame + head, frame + head + segments.payload, len - head);
	assert_int_equal(mf_load_be32(d.frame + segments.l4 + 4),
			 (uint32_t)(0xfffffff0 + segments.payload));
	if (six) {
		assert_int_equal(mf_load_be16(d.frame + segments.ip + 4), len - segments.ip - 40);
	} else {
		assert_int_equal(mf_load_be16(d.frame + segments.ip + 2), len - segments.ip);
		assert_int_equal(mf_load_be16(d.frame + segments.ip + 4),
				 (uint16_t)(0xfffe + segments.cnt));
		assert_int_equal(mf_csum_fold(mf_csum_add(0, d.frame + segments.ip, 20)), 0xffff);
	}
	assert_int_equal(d.frame[segments.l4 + 13] & 0x80, segments.cnt ? 0 : 0x80);
	segments.payload += len - head;
	segments.cnt++;
	return true;
}

static void large_frames_are_cut(void **state)
{
	uint8_t h[12] = { 1 };

	(void)state;
	for (unsigned six = 0; six < 2; six++)
		for (unsigned tags = 0; tags < 3; tags++) {
			size_t payload = 60000, head;

			open_card(CSUM | HOST_TSO4 | HOST_TSO6, 1, 0);
			d.nic->host.frame_out = take_segment;
			head = make_tcp(payload, six, tags);
			memset(&segments, 0, sizeof(segments));
			segments.ip = 14 + 4 * tags;
			segments.l4 = head - 32;
			h[1] = six ? 4 : 0x81;	      // with ECN's bit, which may be there
			mf_store_le16(h + 2, 0xffff); // a hint, and a lie
			mf_store_le16(h + 4, 1441);
			mf_store_le16(h + 6, (uint16_t)segments.l4);
			mf_store_le16(h + 8, 16);
			send(h, frame, (uint32_t)(head + payload));
			assert_int_equal(segments.payload, payload);
			assert_int_equal(segments.cnt, (payload + 1440) / 1441);
			assert_true(d.nic->counts[MF_NIC_TX_FRAMES] == segments.cnt);
			assert_int_equal(d.frame[segments.l4 + 13] & 9,
					 9); // FIN and PSH in the last
			driver_close(&d);
			open_card(CSUM | HOST_TSO4 | HOST_TSO6, 1,
				  MF_NIC_CAN_CSUM | MF_NIC_CAN_TSO4 | MF_NIC_CAN_TSO6);
			make_tcp(payload, six, tags);
			send(h, frame, (uint32_t)(head + payload));
			assert_int_equal(d.frames, 1);
			assert_int_equal(d.len, head + payload);
			assert_memory_equal(d.frame, frame, d.len);
			assert_int_equal(d.offload.gso, six ? MF_NIC_GSO_TCP6 : MF_NIC_GSO_TCP4);
			assert_int_equal(d.offload.header_len, head);
			assert_int_equal(d.offload.net_start, segments.ip);
			assert_int_equal(d.offload.gso_size, 1441);
			driver_close(&d);
		}
}

static void absurd_segmentation_sends_nothing(void **state)
{
	/* flags, gso_type, gso_size, csum_start, csum_offset */
	static const struct {
		uint8_t flags, type;
		uint16_t size, start, offset;
	} bad[] = {
		{ 0, 1, 1448, 34, 16 }, { 1, 1, 0, 34, 16 },	    { 1, 1, 1448, 13, 16 },
		{ 1, 1, 1448, 34, 6 },	{ 1, 1, 1448, 0xfff0, 16 }, { 1, 1, 1448, 490, 16 },
		{ 1, 1, 1, 34, 16 },	{ 1, 4, 1448, 34, 16 },	    { 1, 3, 1448, 34, 16 },
		{ 1, 5, 1448, 34, 16 }, { 1, 0x7f, 1448, 34, 16 },  { 1, 1, 1448, 20, 16 },
		{ 1, 1, 1448, 0, 0 },
	};
	uint8_t h[12] = { 0 };
	size_t head;

	(void)state;
	open_card(CSUM | HOST_TSO4 | HOST_TSO6, 1, 0);
	head = make_tcp(60000, false, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		h[0] = bad[i].flags;
		h[1] = bad[i].type;
		mf_store_le16(h + 4, bad[i].size);
		mf_store_le16(h + 6, bad[i].start);
		mf_store_le16(h + 8, bad[i].offset);
		send(h, frame, (uint32_t)(head + 60000));
		if (d.frames)
			fail_msg("case %u was sent", (unsigned)i);
		assert_true(d.nic->counts[MF_NIC_BAD_OFFLOAD] == i + 1);
	}
	driver_close(&d);
}

static void frames_of_impossible_lengths_are_counted(void **state)
{
	uint8_t h[12] = { 0 };

	(void)state;
	open_card(0, 1, 0);
	send(h, frame, 13);
	send(h, frame, MF_VIRTIO_NET_FRAME_MAX + 1);
	assert_int_equal(d.frames, 0);
	send(h, frame, MF_VIRTIO_NET_FRAME_MAX);
	send(h, frame, 14);
	assert_int_equal(d.frames, 2);
	assert_true(d.nic->counts[MF_NIC_TX_BAD] == 2);
	mf_nic_set_link(d.nic, false, 0);
	send(h, frame, 100);
	assert_int_equal(d.frames, 2);
	assert_true(d.nic->counts[MF_NIC_TX_LOST] == 1);
	assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_REFUSED);
	driver_close(&d);
}

/* --- the control queue ---------------------------------------------------------------------------------------------- */

static uint8_t control(unsigned queue, uint8_t class_, uint8_t command, const void *bytes,
		       uint32_t len)
{
	uint32_t taken = d.taken, used;
	uint64_t at = driver_alloc(&d, len + 3, 16);
	struct driver_buf b[3] = { { at, 2 }, { at + 2, len }, { at + 2 + len, 1 } };
	uint8_t ack;
	uint16_t id;

	*driver_at(&d, at) = class_;
	*driver_at(&d, at + 1) = command;
	memcpy(driver_at(&d, at + 2), bytes, len);
	*driver_at(&d, at + 2 + len) = 0xaa;
	driver_add(&d, queue, b, 2, 1, false);
	driver_kick(&d, queue);
	assert_true(driver_used(&d, queue, &id, &used));
	assert_int_equal(used, 1);
	ack = *driver_at(&d, at + 2 + len);
	d.taken = taken;
	return ack;
}

/* Does a frame to this address come in? */
static bool comes_in(const uint8_t to[6])
{
	enum mf_nic_received r;

	memcpy(frame, to, 6);
	r = driver_receive(&d, frame, 60);
	assert_true(r == MF_NIC_NOT_FOR_IT || r == MF_NIC_NO_BUFFER);
	return r == MF_NIC_NO_BUFFER;
}

static void receive_modes_filter(void **state)
{
	static const uint8_t other[6] = { 2, 0, 0, 0, 0, 9 }, group[6] = { 1, 0, 0x5e, 1, 2, 3 },
			     all[6] = { 255, 255, 255, 255, 255, 255 };
	uint8_t table[8 + 6 * 200] = {
		1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 1, 0, 0x5e, 1, 2, 3
	};

	(void)state;
	open_card(CTRL_VQ | CTRL_RX | RX_EXTRA | CTRL_MAC, 1, 0);
	assert_true(comes_in(other)); // promiscuous until the driver says otherwise
	assert_int_equal(control(2, 0, 0, "\0", 1), 0);
	assert_false(comes_in(other));
	assert_false(comes_in(group));
	assert_true(comes_in(all) && comes_in(mac));
	assert_int_equal(control(2, 0, 1, "\1", 1), 0); // all groups
	assert_true(comes_in(group));
	assert_int_equal(control(2, 0, 3, "\1", 1), 0); // none
	assert_false(comes_in(group));
	control(2, 0, 3, "\0", 1);
	control(2, 0, 1, "\0", 1);
	assert_int_equal(control(2, 0, 2, "\1", 1), 0);
	assert_true(comes_in(other));
	control(2, 0, 2, "\0", 1);
	assert_int_equal(control(2, 0, 4, "\1", 1), 0);
	assert_false(comes_in(mac));
	control(2, 0, 4, "\0", 1);
	assert_int_equal(control(2, 0, 5, "\1", 1), 0);
	assert_false(comes_in(all));
	control(2, 0, 5, "\0", 1);
	assert_int_equal(control(2, 1, 0, table, 20), 0);
	assert_true(comes_in(other) && comes_in(group) && comes_in(mac));
	assert_int_equal(control(2, 1, 0, "\0\0\0\0\0\0\0\0", 8), 0);
	assert_false(comes_in(other) || comes_in(group));
	// More than the card keeps: all of that kind.
	memset(table, 0, sizeof(table));
	table[0] = 100;
	assert_int_equal(control(2, 1, 0, table, 8 + 600), 0);
	assert_true(comes_in(other));
	assert_false(comes_in(group));
	// Tables that are not what they say change nothing.
	assert_int_equal(control(2, 1, 0, table, 8 + 599), 1);
	assert_int_equal(control(2, 1, 0, "\377\377\377\377\0\0\0\0", 8), 1);
	assert_int_equal(control(2, 1, 0, "\0\0\0\0", 4), 1);
	assert_int_equal(control(2, 1, 0, table, 8 + 606), 1);
	assert_true(comes_in(other));
	assert_int_equal(control(2, 1, 0, "\0\0\0\0\0\0\0\0", 8), 0);
	assert_int_equal(control(2, 1, 1, other, 6), 0);
	assert_true(comes_in(other));
	assert_false(comes_in(mac));
	assert_int_equal(driver_read(&d, 0x2000, 4), 2);
	assert_true(d.nic->counts[MF_NIC_RX_FILTERED] > 5);
	driver_close(&d);
}

static void vlans_are_filtered(void **state)
{
	(void)state;
	open_card(CTRL_VQ | CTRL_RX | CTRL_VLAN, 1, 0);
	control(2, 0, 0, "\0", 1);
	memcpy(frame + 12, "\x81\x00\x20\x05\x08\x00", 6);
	assert_false(comes_in(mac));
	assert_int_equal(control(2, 2, 0, "\5\0", 2), 0);
	assert_true(comes_in(mac));
	assert_int_equal(control(2, 2, 1, "\5\0", 2), 0);
	assert_false(comes_in(mac));
	assert_int_equal(control(2, 2, 0, "\0\x10", 2), 1); // 4,096
	assert_int_equal(control(2, 2, 0, "\xff\x0f", 2), 0);
	memcpy(frame + 14, "\x0f\xff", 2);
	assert_true(comes_in(mac));
	driver_close(&d);
}

static void commands_that_cannot_be_are_answered_so(void **state)
{
	struct driver_buf b;
	uint32_t len;
	uint16_t id;

	(void)state;
	open_card(CTRL_VQ, 1, 0);
	for (unsigned c = 0; c < 256; c++)
		for (unsigned n = 0; n < 7; n++)
			assert_int_equal(control(2, (uint8_t)c, (uint8_t)n, "\0\0\0\0\0\0\0\0", 8),
					 1);
	assert_int_equal(control(2, 0, 0, "", 0), 1);
	assert_int_equal(control(2, 0, 0, "\0\0", 2), 1);
	assert_int_equal(control(2, 0, 0, "\0", 1), 1); // CTRL_RX was not agreed to
	b = (struct driver_buf){ driver_alloc(&d, 16, 16), 3 };
	driver_add(&d, 2, &b, 1, 0, false); // nowhere to answer
	driver_kick(&d, 2);
	assert_true(driver_used(&d, 2, &id, &len));
	assert_int_equal(len, 0);
	driver_add(&d, 2, &b, 0, 1, false); // nothing to read
	driver_kick(&d, 2);
	assert_true(driver_used(&d, 2, &id, &len));
	assert_int_equal(*driver_at(&d, b.gpa), 1);
	driver_close(&d);
}

/* --- several pairs, coalescing -------------------------------------------------------------------------------------- */

static void flows_come_in_on_the_pair_that_they_went_out_on(void **state)
{
	struct driver_buf b;
	uint32_t len;
	uint16_t id;
	size_t n;

	(void)state;
	open_card(CTRL_VQ | MQ, 2, 0);
	assert_int_equal(control(4, 4, 0, "\3\0", 2), 1);
	assert_int_equal(control(4, 4, 0, "\0\0", 2), 1);
	n = make_tcp(100, false, 0) + 100;
	memset(frame + 14 + 20, 0x11, 2);
	add_buffer(0, 2000);
	add_buffer(2, 2000);
	b = (struct driver_buf){ driver_alloc(&d, 12 + (uint32_t)n, 16), 12 + (uint32_t)n };
	memcpy(driver_at(&d, b.gpa + 12), frame, n);
	driver_add(&d, 3, &b, 1, 0, false);
	driver_kick(&d, 3);
	assert_int_equal(d.frames, 0); // the second pair is not in use yet
	assert_int_equal(control(4, 4, 0, "\2\0", 2), 0);
	assert_true(mf_nic_deadline(d.nic) == 0);
	mf_nic_tick(d.nic, 0);
	assert_int_equal(d.frames, 1);
	// The answer: addresses and ports the other way round.
	memcpy(frame + 26, driver_at(&d, b.gpa + 12 + 30), 4);
	memcpy(frame + 30, driver_at(&d, b.gpa + 12 + 26), 4);
	memcpy(frame + 34, driver_at(&d, b.gpa + 12 + 36), 2);
	memcpy(frame + 36, driver_at(&d, b.gpa + 12 + 34), 2);
	assert_int_equal(driver_receive(&d, frame, n), MF_NIC_TAKEN);
	assert_false(driver_used(&d, 0, &id, &len));
	assert_true(driver_used(&d, 2, &id, &len));
	assert_int_equal(len, 12 + n);
	driver_close(&d);
}

static void without_mq_the_control_queue_is_the_third(void **state)
{
	const struct mf_virtio_net_options opt = { .mac = { 0x52 }, .pairs = 2 };

	(void)state;
	assert_int_equal(driver_open(&d, &opt, false, 0), 0);
	assert_int_equal(driver_read(&d, 18, 2), 5);
	assert_true(driver_negotiate(&d, V1 | CTRL_VQ | CTRL_RX));
	driver_add_ring(&d, 2, 16);
	driver_ok(&d);
	assert_int_equal(control(2, 0, 0, "\1", 1), 0);
	driver_close(&d);
}

static void interrupts_wait_as_long_as_the_driver_wants(void **state)
{
	uint8_t coal[8] = { 0 }, h[12] = { 0 };

	(void)state;
	open_card(CTRL_VQ | NOTF_COAL, 1, 0);
	d.now = 5000;
	coal[0] = 4;
	coal[4] = 50;
	assert_int_equal(control(2, 6, 0, coal, 8), 0);
	driver_read(&d, 0x1000, 1);
	for (unsigned i = 0; i < 3; i++)
		send(h, frame, 60);
	assert_false(d.line);
	assert_true(mf_nic_deadline(d.nic) == 5000 + 50000);
	mf_nic_tick(d.nic, 54999);
	assert_false(d.line);
	mf_nic_tick(d.nic, 55000);
	assert_true(d.line);
	assert_true(mf_nic_deadline(d.nic) == UINT64_MAX);
	driver_read(&d, 0x1000, 1);
	d.now = 60000;
	for (unsigned i = 0; i < 4; i++) {
		assert_false(d.line);
		send(h, frame, 60);
	}
	assert_true(d.line); // four are enough
	driver_read(&d, 0x1000, 1);
	add_buffer(0, 2000); // the other direction was not asked for
	assert_int_equal(driver_receive(&d, frame, 60), MF_NIC_TAKEN);
	assert_true(d.line);
	driver_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_buffer_takes_a_frame),
		cmocka_unit_test(frames_are_merged_from_buffers_of_any_size),
		cmocka_unit_test(a_frame_that_can_never_fit_is_refused),
		cmocka_unit_test(broken_buffers_are_passed_over),
		cmocka_unit_test(frames_may_be_received_onto_the_ring),
		cmocka_unit_test(large_frames_come_in_whole_where_the_driver_can),
		cmocka_unit_test(checksums_are_finished_or_passed_on),
		cmocka_unit_test(large_frames_are_cut),
		cmocka_unit_test(absurd_segmentation_sends_nothing),
		cmocka_unit_test(frames_of_impossible_lengths_are_counted),
		cmocka_unit_test(receive_modes_filter),
		cmocka_unit_test(vlans_are_filtered),
		cmocka_unit_test(commands_that_cannot_be_are_answered_so),
		cmocka_unit_test(flows_come_in_on_the_pair_that_they_went_out_on),
		cmocka_unit_test(without_mq_the_control_queue_is_the_third),
		cmocka_unit_test(interrupts_wait_as_long_as_the_driver_wants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
