/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000_rx.c - frames into the guest's receive ring (8254x manual 3.2)
 *
 * First the descriptors that a frame needs are looked for, and only when all are there is anything changed: a frame is
 * received whole or the caller keeps it. Descriptors with the address 0 are padding, given back empty.
 */
#include "core/packet/checksum.h"
#include "nic/e1000_int.h"

#define FCS_LEN	      4u
#define FRAME_MIN     14u
#define FRAME_PADDED  60u   /* what a wire has at least, without FCS */
#define FRAME_SHORT   1522u /* with FCS: the longest that is not long */
#define SLOTS_MAX     256u  /* descriptors looked at for a frame: 65 of the smallest, and padding */

#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define PROTO_TCP     6
#define PROTO_UDP     17

/* A frame on its way into the ring. */
struct incoming {
	const uint8_t *ptr; /* in one piece */
	size_t len;	    /* without FCS */
	size_t fcs_len;	    /* zeros to be written behind it */
	uint16_t special, checksum;
	uint8_t status, errors; /* of its last descriptor */
	bool valid;		/* the host says that its checksums are */
	/* what has been summed for the transport checksum: no second pass for the packet checksum; @l4 0: nothing */
	size_t l4, l4_end;
	uint64_t l4_sum;
};

struct slot {
	uint64_t gpa; /* 0: padding */
	uint16_t index;
};

static uint32_t buffer_size(const struct e1000_state *s)
{
	uint32_t rctl = s->regs[R_RCTL], size = 2048u >> (rctl >> 16 & 3);

	// With BSEX sixteen times as much; the largest is reserved then, and taken without it.
	return rctl & RCTL_BSEX && size != 2048 ? size * 16 : size;
}

static uint32_t free_descriptors(const struct e1000_state *s, uint32_t cnt)
{
	uint32_t head = s->regs[R_RDH], tail = s->regs[R_RDT];

	return tail >= head ? tail - head : cnt - head + tail;
}

/* ---- checksums ---- */

/* Sum over [from, to) of the frame, as if it began at an even offset. */
static uint64_t sum_of(const struct incoming *in, size_t from, size_t to)
{
	return from < to ? mf_csum_add(0, in->ptr + from, to - from) : 0;
}

static bool l4_is_good(struct incoming *in, size_t ip, size_t l4, size_t end, bool six,
		       uint8_t proto)
{
	uint64_t sum = sum_of(in, ip + (six ? 8 : 12), ip + (six ? 40 : 20));

	sum = mf_csum_add_be32(sum, (uint32_t)(end - l4));
	sum = mf_csum_add_be16(sum, proto);
	in->l4 = l4;
	in->l4_end = end;
	in->l4_sum = sum_of(in, l4, end);
	sum = mf_csum_join(sum, in->l4_sum);
	return mf_csum_fold(sum) == 0xffff;
}

static void check_l4(struct incoming *in, size_t ip, size_t l4, size_t end, bool six, uint8_t proto)
{
	size_t field = proto == PROTO_TCP ? 16 : 6, least = proto == PROTO_TCP ? 20 : 8;

	if ((proto != PROTO_TCP && proto != PROTO_UDP) || end > in->len || l4 + least > end)
		return;
	if (proto == PROTO_UDP && !six && !mf_load_be16(in->ptr + l4 + field))
		return; // none
	in->status |= RXD_TCPCS;
	if (!in->valid && !l4_is_good(in, ip, l4, end, six, proto))
		in->errors |= RXD_TCPE;
}

static void check_ip4(struct incoming *in, uint32_t rxcsum, size_t ip)
{
	size_t header, total;

	if (ip + 20 > in->len || in->ptr[ip] >> 4 != 4)
		return;
	header = (in->ptr[ip] & 15) * 4u;
	total = mf_load_be16(in->ptr + ip + 2);
	if (header < 20 || ip + header > in->len || total < header)
		return;
	in->status &= (uint8_t)~RXD_IXSM;
	if (rxcsum & RXCSUM_IPOFL) {
		in->status |= RXD_IPCS;
		if (mf_csum_fold(sum_of(in, ip, ip + header)) != 0xffff)
			in->errors |= RXD_IPE;
	}
	if (rxcsum & RXCSUM_TUOFL && !(mf_load_be16(in->ptr + ip + 6) & 0x3fff)) // no fragment
		check_l4(in, ip, ip + header, ip + total, false, in->ptr[ip + 9]);
}

static void check_ip6(struct incoming *in, uint32_t rxcsum, size_t ip)
{
	if (ip + 40 > in->len || in->ptr[ip] >> 4 != 6 || !(rxcsum & RXCSUM_TUOFL))
		return;
	in->status &= (uint8_t)~RXD_IXSM;
	check_l4(in, ip, ip + 40, ip + 40 + mf_load_be16(in->ptr + ip + 4), true, in->ptr[ip + 6]);
}

/* The complement of the sum from @begin to the frame's end. */
static uint16_t packet_checksum(const struct incoming *in, size_t begin)
{
	uint64_t sum;

	if (!in->l4 || begin > in->l4)
		return (uint16_t)~mf_csum_fold(sum_of(in, begin, in->len));
	sum = sum_of(in, begin, in->l4);
	// mf_csum_fold() swaps: what a part at an odd offset needs (mf_nic_sum()).
	sum = mf_csum_join(sum, (in->l4 - begin) & 1 ? mf_csum_fold(in->l4_sum) : in->l4_sum);
	if (in->l4_end < in->len)
		sum = mf_nic_sum(sum, in->ptr + in->l4_end, in->len - in->l4_end,
				 (in->l4_end - begin) & 1);
	return (uint16_t)~mf_csum_fold(sum);
}

/* RXCSUM: what the descriptor says of the frame's checksums. @in is as it goes to memory, its VLAN tag is stripped or not. */
static void check_sums(const struct e1000_state *s, struct incoming *in)
{
	uint32_t rxcsum = s->regs[R_RXCSUM];
	uint16_t type = mf_load_be16(in->ptr + 12);
	size_t ip = 14;

	in->status |= RXD_IXSM; // until it is an IP packet
	if (type == s->regs[R_VET] && in->len >= 18) {
		type = mf_load_be16(in->ptr + 16);
		ip = 18;
	}
	if (rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL)) {
		if (type == ETHERTYPE_IP4)
			check_ip4(in, rxcsum, ip);
		else if (type == ETHERTYPE_IP6)
			check_ip6(in, rxcsum, ip);
	}
	in->checksum = packet_checksum(in, rxcsum & 0xff);
}

/* ---- memory ---- */

/* Find @need descriptors with buffers. Return: slots in @out, padding among them; 0: not that many; MF_E_BAD: the ring is no memory */
static int find_slots(struct e1000 *e, struct e1000_ring ring, uint32_t avail, uint32_t need,
		      struct slot out[SLOTS_MAX])
{
	uint32_t index = e->s.regs[R_RDH], cnt = 0;

	while (need) {
		uint8_t address[8];

		if (cnt == avail || cnt == SLOTS_MAX)
			return 0;
		if (mf_guest_read(e->nic.host.memory, ring.base + index * E1000_DESC_LEN, address,
				  sizeof(address)))
			return MF_E_BAD;
		out[cnt].gpa = mf_load_le64(address);
		out[cnt].index = (uint16_t)index;
		need -= out[cnt++].gpa != 0;
		index = index + 1 == ring.cnt ? 0 : index + 1;
	}
	return (int)cnt;
}

static void write_back(struct e1000 *e, struct e1000_ring ring, uint16_t index, uint16_t len,
		       const struct incoming *in, uint8_t status, uint8_t errors)
{
	uint8_t half[8];

	mf_store_le16(half, len);
	mf_store_le16(half + 2, in->checksum);
	half[4] = status;
	half[5] = errors;
	mf_store_le16(half + 6, in->special);
	__atomic_thread_fence(__ATOMIC_RELEASE); // the buffer before the status
	if (mf_guest_write(e->nic.host.memory, ring.base + index * E1000_DESC_LEN + 8, half,
			   sizeof(half)))
		e->nic.counts[MF_NIC_BAD_RING]++;
}

/* One buffer's part of the frame and of the zeros behind it; Return: 0 or MF_E_BAD */
static int write_part(struct e1000 *e, uint64_t gpa, const struct incoming *in, size_t off,
		      size_t len)
{
	static const uint8_t zeros[FCS_LEN];
	size_t data = off < in->len ? in->len - off : 0;
	uint8_t *p = mf_guest_at(e->nic.host.memory, gpa, len, true);

	if (data > len)
		data = len;
	if (p) {
		memcpy(p, in->ptr + off, data);
		if (len > data)
			memset(p + data, 0, len - data);
		return 0;
	}
	if (mf_guest_write(e->nic.host.memory, gpa, in->ptr + off, data))
		return MF_E_BAD;
	return mf_guest_write(e->nic.host.memory, gpa + data, zeros, len - data);
}

static bool write_frame(struct e1000 *e, struct e1000_ring ring, const struct incoming *in,
			const struct slot *slots, unsigned cnt)
{
	size_t total = in->len + in->fcs_len, size = buffer_size(&e->s), off = 0;

	for (unsigned i = 0; i < cnt; i++) {
		size_t len = total - off < size ? total - off : size;
		uint8_t status = RXD_DD;

		if (!slots[i].gpa) {
			write_back(e, ring, slots[i].index, 0, in, status, 0);
			continue;
		}
		if (write_part(e, slots[i].gpa, in, off, len)) {
			e->nic.counts[MF_NIC_BAD_DESCRIPTOR]++;
			mf_nic_notice(&e->nic, NOTICE_RX_BUFFER,
				      "e1000: a receive buffer at 0x%llx is not in memory; frames "
				      "are lost.",
				      (unsigned long long)slots[i].gpa);
			write_back(e, ring, slots[i].index, 0, in, RXD_DD | RXD_EOP | RXD_IXSM,
				   RXD_RXE);
			e->s.regs[R_RDH] = (slots[i].index + 1u) % ring.cnt;
			return false;
		}
		off += len;
		if (off == total)
			status |= in->status | RXD_EOP;
		write_back(e, ring, slots[i].index, (uint16_t)len, in, status,
			   off == total ? in->errors : 0);
	}
	e->s.regs[R_RDH] = (slots[cnt - 1].index + 1u) % ring.cnt;
	return true;
}

static enum mf_nic_received no_buffer(struct e1000 *e)
{
	e->nic.counts[MF_NIC_RX_NO_BUFFER]++;
	e1000_stat_add(&e->s, STAT_RNBC, 1);
	e->want_buffers = true;
	e1000_irq_raise(e, ICR_RXO);
	e1000_irq_update(e);
	return MF_NIC_NO_BUFFER;
}

static enum mf_nic_received refuse(struct e1000 *e, enum mf_nic_count count)
{
	e->nic.counts[count]++;
	return MF_NIC_REFUSED;
}

static enum mf_nic_received into_ring(struct e1000 *e, const struct incoming *in)
{
	struct e1000_ring ring = e1000_ring_of(e, R_RDBAL);
	struct e1000_state *s = &e->s;
	uint32_t size = buffer_size(s), avail, need, threshold;
	struct slot slots[SLOTS_MAX];
	int cnt;

	if (!mf_nic_may_dma(&e->nic))
		return no_buffer(e);
	if (!ring.cnt)
		return no_buffer(e); // a driver that has only begun
	if (s->regs[R_RDH] >= ring.cnt || s->regs[R_RDT] >= ring.cnt) {
		mf_nic_notice(&e->nic, NOTICE_RX_RING,
			      "e1000: the receive ring's head or tail is past its end.");
		return refuse(e, MF_NIC_BAD_RING);
	}
	avail = free_descriptors(s, ring.cnt);
	need = (uint32_t)((in->len + in->fcs_len + size - 1) / size);
	if (need > ring.cnt - 1)
		return refuse(e, MF_NIC_RX_BAD);
	cnt = find_slots(e, ring, avail, need, slots);
	if (cnt < 0) {
		mf_nic_notice(&e->nic, NOTICE_RX_RING, "e1000: the receive ring is not in memory.");
		return refuse(e, MF_NIC_BAD_RING);
	}
	if (cnt == 0)
		return no_buffer(e);
	if (!write_frame(e, ring, in, slots, (unsigned)cnt)) {
		e1000_irq_received(e, in->len);
		return MF_NIC_REFUSED;
	}
	threshold = ring.cnt >> (1 + (s->regs[R_RCTL] >> 8 & 3));
	if (avail > threshold && avail - (uint32_t)cnt <= threshold)
		e1000_irq_raise(e, ICR_RXDMT0);
	e1000_irq_received(e, in->len);
	return MF_NIC_TAKEN;
}

/* Make @in one piece of at least 60 bytes, without the tag where it is stripped. */
static void flatten(struct e1000 *e, struct incoming *in, const struct mf_span *parts, unsigned cnt,
		    size_t len)
{
	size_t off = 0;

	if (cnt == 1 && len >= FRAME_PADDED) {
		in->ptr = parts[0].ptr;
		in->len = len;
		return;
	}
	for (unsigned i = 0; i < cnt; i++) {
		if (parts[i].len)
			memcpy(e->flat + off, parts[i].ptr, parts[i].len);
		off += parts[i].len;
	}
	if (len < FRAME_PADDED) {
		memset(e->flat + len, 0, FRAME_PADDED - len);
		len = FRAME_PADDED;
	}
	in->ptr = e->flat;
	in->len = len;
}

static void strip_tag(struct e1000 *e, struct incoming *in)
{
	if (!(e->s.regs[R_CTRL] & CTRL_VME) || mf_load_be16(in->ptr + 12) != e->s.regs[R_VET])
		return;
	in->special = mf_load_be16(in->ptr + 14);
	in->status |= RXD_VP;
	memmove(e->flat, in->ptr, 12);
	memmove(e->flat + 12, in->ptr + 16, in->len - 16);
	in->ptr = e->flat;
	in->len -= 4;
}

enum mf_nic_received e1000_receive(struct mf_nic *nic, const struct mf_span *parts, unsigned cnt,
				   size_t len, const struct mf_nic_offload *offload,
				   uint64_t now_ns)
{
	struct e1000 *e = e1000_of(nic);
	struct e1000_state *s = &e->s;
	uint32_t rctl = s->regs[R_RCTL];
	struct incoming in = { .valid = offload->csum == MF_NIC_CSUM_VALID };
	enum mf_nic_received rc;
	enum e1000_match match;

	e1000_set_now(e, now_ns);
	if (!(rctl & RCTL_EN) || (!s->link_up && !e->in_loopback) ||
	    ((rctl & RCTL_LBM) == RCTL_LBM && !e->in_loopback))
		return MF_NIC_REFUSED;
	if (offload->csum == MF_NIC_CSUM_PARTIAL || offload->gso)
		return refuse(e, MF_NIC_BAD_OFFLOAD);
	if (len < FRAME_MIN || len > E1000_FRAME_MAX - FCS_LEN)
		return refuse(e, MF_NIC_RX_BAD);
	if (len + FCS_LEN > FRAME_SHORT && !(rctl & RCTL_LPE)) {
		e1000_stat_add(s, STAT_ROC, 1);
		return refuse(e, MF_NIC_RX_BAD);
	}
	flatten(e, &in, parts, cnt, len);
	match = e1000_filter(s, in.ptr, in.len);
	if (match == MATCH_NONE) {
		nic->counts[MF_NIC_RX_FILTERED]++;
		e1000_stat_add(s, STAT_TPR, 1);
		return MF_NIC_NOT_FOR_IT;
	}
	if (match == MATCH_INEXACT)
		in.status |= RXD_PIF;
	len = in.len;
	strip_tag(e, &in);
	in.fcs_len = rctl & RCTL_SECRC ? 0 : FCS_LEN;
	check_sums(s, &in);
	rc = into_ring(e, &in);
	if (rc == MF_NIC_TAKEN) {
		nic->counts[MF_NIC_RX_FRAMES]++;
		nic->counts[MF_NIC_RX_BYTES] += len;
		e1000_stat_received(s, in.ptr, len);
	}
	e1000_irq_update(e);
	return rc;
}

void e1000_rx_tail_written(struct e1000 *e)
{
	uint32_t cnt = e->s.regs[R_RDLEN] / E1000_DESC_LEN;

	if (!e->want_buffers || !(e->s.regs[R_RCTL] & RCTL_EN) || !cnt ||
	    e->s.regs[R_RDT] == e->s.regs[R_RDH])
		return;
	e->want_buffers = false;
	if (e->nic.host.receive_ready)
		e->nic.host.receive_ready(e->nic.host.ctx);
}
