/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000_offload.c - what a packet's descriptors want done on its way to the wire: checksums, segments, a VLAN tag (8254x manual 3.3.5-3.5, 9.2)
 *
 * The headers are copied first, so that what is checked of them stays as it was. What a host may finish itself is handed
 * on unfinished (offload.h); what the card's generality allows beyond that is computed here.
 */
#include "core/packet/checksum.h"
#include "nic/e1000_tx.h"

#define FRAME_MIN 14u
#define FCS_LEN	  4u
#define TAG_LEN	  4u
#define ADDRESSES 12u
#define LBM_PHY	  0x4000u /* of the PHY's control register */

/* Move bytes into e->head until it holds @want of them, or all. */
static void pull(struct e1000 *e, struct e1000_outgoing *out, size_t want)
{
	while (out->head_len < want && out->cnt) {
		struct mf_span *p = out->parts;
		size_t n = want - out->head_len;

		if (n > p->len)
			n = p->len;
		memcpy(e->head + out->head_len, p->ptr, n);
		out->head_len += n;
		out->len -= n;
		*p = mf_span_sub(*p, n, SIZE_MAX);
		if (!p->len) {
			out->parts++;
			out->cnt--;
		}
	}
}

static void bad_offload(struct e1000 *e)
{
	e->nic.counts[MF_NIC_BAD_OFFLOAD]++;
	mf_nic_notice(&e->nic, NOTICE_CONTEXT,
		      "e1000: a packet's checksum or segmentation context does not fit it.");
}

/* The sum of [begin, end] (0: to the packet's end) to @at, all in it as it is; begin and at are in the head. */
static bool insert_checksum(struct e1000 *e, const struct e1000_outgoing *out, size_t begin,
			    size_t end, size_t at)
{
	size_t total = out->head_len + out->len, n;
	uint64_t sum;
	bool odd;
	uint16_t value;

	end = end && end + 1 < total ? end + 1 : total;
	if (begin >= end || begin > out->head_len || at + 2 > out->head_len)
		return false;
	n = (end < out->head_len ? end : out->head_len) - begin;
	sum = mf_csum_add(0, e->head + begin, n);
	odd = n & 1;
	for (unsigned i = 0; i < out->cnt && begin + n < end; i++) {
		size_t len = out->parts[i].len;

		if (len > end - begin - n)
			len = end - begin - n;
		sum = mf_nic_sum(sum, out->parts[i].ptr, len, odd);
		odd ^= len & 1;
		n += len;
	}
	value = (uint16_t)~mf_csum_fold(sum);
	mf_store_be16(e->head + at, value);
	return true;
}

/* A checksum that a host may finish, if it is of the kind that hosts know; computed here otherwise. */
static bool leave_checksum(struct e1000 *e, const struct e1000_outgoing *out, size_t begin,
			   size_t end, size_t at, struct mf_nic_offload *o)
{
	size_t total = out->head_len + out->len;

	if (begin < FRAME_MIN || at < begin || at + 2 > out->head_len || (end && end + 1 < total) ||
	    begin >= total)
		return insert_checksum(e, out, begin, end, at);
	o->csum = MF_NIC_CSUM_PARTIAL;
	o->csum_start = (uint16_t)begin;
	o->csum_offset = (uint16_t)(at - begin);
	return true;
}

static bool prepare_legacy(struct e1000 *e, struct e1000_outgoing *out,
			   const struct e1000_last *last, struct mf_nic_offload *o)
{
	if (!(last->cmd & TXD_IC) || !last->cso)
		return true;
	pull(e, out, last->css > last->cso + 2u ? last->css : last->cso + 2u);
	return leave_checksum(e, out, last->css, 0, last->cso, o);
}

static bool prepare_data(struct e1000 *e, struct e1000_outgoing *out, struct mf_nic_offload *o)
{
	const struct e1000_context *c = &e->s.context;
	uint8_t popts = e->s.packet.popts;
	size_t need = 0;

	if (!(popts & (POPTS_IXSM | POPTS_TXSM)))
		return true;
	if (popts & POPTS_IXSM)
		need = c->ipcso + 2u > c->ipcss ? c->ipcso + 2u : c->ipcss;
	if (popts & POPTS_TXSM && need < c->tucso + 2u)
		need = c->tucso + 2u;
	if (popts & POPTS_TXSM && need < c->tucss)
		need = c->tucss;
	pull(e, out, need);
	if (popts & POPTS_IXSM && !insert_checksum(e, out, c->ipcss, c->ipcse, c->ipcso))
		return false;
	return !(popts & POPTS_TXSM) || leave_checksum(e, out, c->tucss, c->tucse, c->tucso, o);
}

/*
 * A packet to be cut: its headers are made those of the whole, as offload.h wants them. The driver has left the
 * lengths 0, in the IP header and in the pseudo header's sum (manual 3.5.4).
 */
static bool prepare_segments(struct e1000 *e, struct e1000_outgoing *out, struct mf_nic_offload *o)
{
	const struct e1000_context *c = &e->s.tso_context;
	bool four = c->tucmd & TUCMD_IP;
	uint8_t *ip = e->head + c->ipcss, *sum = e->head + c->tucss + 16;
	size_t total, net_len;
	uint64_t partial;

	if (!(c->tucmd & TUCMD_TCP) || !c->mss || c->ipcss < FRAME_MIN ||
	    c->tucss < c->ipcss + (four ? 20u : 40u) || c->tucso != c->tucss + 16u ||
	    c->hdrlen < c->tucss + 20u)
		return false;
	pull(e, out, c->hdrlen);
	total = out->head_len + out->len;
	if (out->head_len < c->hdrlen || total <= c->hdrlen || ip[0] >> 4 != (four ? 4 : 6) ||
	    (four && ((ip[0] & 15) * 4u < 20 || c->ipcss + (ip[0] & 15) * 4u > c->tucss)))
		return false;
	net_len = total - c->ipcss;
	if (four) {
		mf_store_be16(ip + 2, (uint16_t)(net_len > UINT16_MAX ? 0 : net_len));
		mf_store_be16(ip + 10, mf_csum_ip4_header(ip, (ip[0] & 15) * 4u));
	} else {
		net_len -= 40;
		mf_store_be16(ip + 4, (uint16_t)(net_len > UINT16_MAX ? 0 : net_len));
	}
	partial = mf_csum_add_be16(0, mf_load_be16(sum));
	partial = mf_csum_add_be32(partial, (uint32_t)(total - c->tucss));
	mf_store_be16(sum, mf_csum_fold(partial));
	*o = (struct mf_nic_offload){ .csum = MF_NIC_CSUM_PARTIAL,
				      .gso = four ? MF_NIC_GSO_TCP4 : MF_NIC_GSO_TCP6,
				      .net_start = c->ipcss,
				      .csum_start = c->tucss,
				      .csum_offset = 16,
				      .gso_size = c->mss,
				      .header_len = c->hdrlen };
	return true;
}

static void insert_tag(struct e1000 *e, struct e1000_outgoing *out, uint16_t tci,
		       struct mf_nic_offload *o)
{
	pull(e, out, FRAME_MIN);
	memmove(e->head + ADDRESSES + TAG_LEN, e->head + ADDRESSES, out->head_len - ADDRESSES);
	mf_store_be16(e->head + ADDRESSES, (uint16_t)e->s.regs[R_VET]);
	mf_store_be16(e->head + ADDRESSES + 2, tci);
	out->head_len += TAG_LEN;
	if (o->csum == MF_NIC_CSUM_PARTIAL)
		o->csum_start += TAG_LEN;
	if (o->gso) {
		o->net_start += TAG_LEN;
		o->header_len += TAG_LEN;
	}
}

/* In loopback the wire is our own receiver. */
static bool loop_back(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
		      const struct mf_nic_offload *offload)
{
	struct e1000 *e = ctx;

	e1000_receive(&e->nic, parts, cnt, len, offload, e->now);
	return true;
}

static int emit(struct e1000 *e, const struct e1000_outgoing *out, const struct mf_nic_offload *o)
{
	bool loop = (e->s.regs[R_RCTL] & RCTL_LBM) == RCTL_LBM || e->s.phy[0] & LBM_PHY;
	struct mf_nic_host host = e->nic.host;
	int n;

	if (loop) {
		e->nic.host.ctx = e;
		e->nic.host.frame_out = loop_back;
		e->nic.host.frame_out_can = 0;
	} else if (!e->s.link_up) {
		return 0;
	}
	e->in_loopback = loop;
	n = mf_nic_emit(&e->nic, e->head, out->head_len, out->parts, out->cnt, out->len, o);
	e->in_loopback = false;
	e->nic.host = host;
	return n;
}

/* Statistics of @frames that came of a packet. */
static void count_sent(struct e1000 *e, const struct e1000_outgoing *out,
		       const struct mf_nic_offload *o)
{
	const uint8_t *dst = out->head_len ? e->head : out->parts[0].ptr;
	size_t total = out->head_len + out->len, payload, full;

	if (!o->gso) {
		e1000_stat_sent(&e->s, dst, total, 1);
		return;
	}
	payload = total - o->header_len;
	full = (payload - 1) / o->gso_size;
	if (full)
		e1000_stat_sent(&e->s, dst, (size_t)o->header_len + o->gso_size, (unsigned)full);
	e1000_stat_sent(&e->s, dst, o->header_len + payload - full * o->gso_size, 1);
	e1000_stat_add(&e->s, STAT_TSCTC, 1);
}

/* What stands in the last four bytes without IFCS is the driver's own FCS. */
static void drop_fcs(struct e1000_outgoing *out)
{
	size_t n = FCS_LEN;

	out->len -= n;
	while (n) {
		struct mf_span *p = &out->parts[out->cnt - 1];
		size_t here = p->len < n ? p->len : n;

		p->len -= here;
		n -= here;
		if (!p->len)
			out->cnt--;
	}
}

void e1000_send(struct e1000 *e, struct e1000_outgoing *out, const struct e1000_last *last)
{
	const struct e1000_packet *p = &e->s.packet;
	bool cut = p->kind == PACKET_DATA && p->dcmd & TXD_TSE;
	struct mf_nic_offload o = { 0 };
	bool fits;

	if (!(last->cmd & TXD_IFCS) && !cut && out->len >= FRAME_MIN + FCS_LEN)
		drop_fcs(out);
	if (out->len < FRAME_MIN || (!cut && out->len > E1000_FRAME_MAX - FCS_LEN)) {
		e->nic.counts[MF_NIC_TX_BAD]++;
		return;
	}
	if (out->parts[0].len < ADDRESSES)
		pull(e, out, FRAME_MIN);
	fits = cut			  ? prepare_segments(e, out, &o)
	       : p->kind == PACKET_LEGACY ? prepare_legacy(e, out, last, &o)
					  : prepare_data(e, out, &o);
	if (!fits) {
		bad_offload(e);
		if (cut)
			return;
		o = (struct mf_nic_offload){
			0
		}; // as it is: its checksum is wrong, as the driver's context was
	}
	if (last->cmd & TXD_VLE && e->s.regs[R_CTRL] & CTRL_VME)
		insert_tag(e, out, last->special, &o);
	if (emit(e, out, &o) > 0)
		count_sent(e, out, &o);
}
