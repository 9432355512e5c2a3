/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000_tx.c - the guest's transmit ring: descriptors become packets (8254x manual 3.3; segments and checksums: e1000_offload.c)
 *
 * Within one kick a packet is a list of pieces of guest memory, read only when its last descriptor has come; descriptors
 * are marked done after that. Where the ring ends in the middle of a packet, what there is of it is copied (spill): from then on the
 * guest may do with its buffers as it likes, and a snapshot needs no guest addresses.
 */
#include "nic/e1000_tx.h"

#define DTYP_CONTEXT 0
#define DTYP_DATA    1

/* What one kick has to do at its end. */
struct kick {
	struct e1000_ring ring;
	struct {
		uint16_t index;
		uint8_t status;
	} done[E1000_TX_BUDGET]; /* descriptors to be marked */
	unsigned done_cnt;
	bool told_now, told_later; /* with RS, without IDE and with it */
	size_t bytes;		   /* of packets that have ended */
};

static void mark_done(struct e1000 *e, struct kick *k)
{
	for (unsigned i = 0; i < k->done_cnt; i++)
		if (mf_guest_write(e->nic.host.memory,
				   k->ring.base + k->done[i].index * E1000_DESC_LEN + 12,
				   &k->done[i].status, 1))
			e->nic.counts[MF_NIC_BAD_RING]++;
	k->done_cnt = 0;
}

static void forget_packet(struct e1000 *e)
{
	memset(&e->s.packet, 0, sizeof(e->s.packet));
	e->piece_cnt = 0;
}

static void drop_packet(struct e1000 *e, enum mf_nic_count count, unsigned notice, const char *why)
{
	if (!e->s.packet.bad) {
		e->nic.counts[count]++;
		mf_nic_notice(&e->nic, notice, "e1000: a packet of the guest is dropped: %s.", why);
	}
	e->s.packet.bad = true;
}

static size_t packet_len(const struct e1000 *e)
{
	size_t len = e->s.packet.len;

	for (unsigned i = 0; i < e->piece_cnt; i++)
		len += e->pieces[i].len;
	return len;
}

/* The packet's bytes as parts; Return: how many, or MF_E_BAD: some are not in memory, or there are too many */
static int map_packet(struct e1000 *e)
{
	unsigned cnt = 0;

	if (e->s.packet.len)
		e->parts[cnt++] = mf_span_of(e->s.spill, e->s.packet.len);
	for (unsigned i = 0; i < e->piece_cnt; i++) {
		int n = mf_guest_map(e->nic.host.memory, e->pieces[i].gpa, e->pieces[i].len,
				     e->parts + cnt, E1000_PIECES_MAX + 1 - cnt);

		if (n < 0)
			return MF_E_BAD;
		cnt += (unsigned)n;
	}
	return (int)cnt;
}

/* The last descriptor of a packet has come: @last. */
static void finish_packet(struct e1000 *e, const struct e1000_last *last)
{
	struct e1000_outgoing out = { .parts = e->parts, .len = packet_len(e) };
	int cnt;

	if (e->s.packet.bad || !out.len)
		return;
	cnt = map_packet(e);
	if (cnt < 0) {
		drop_packet(e, MF_NIC_BAD_DESCRIPTOR, NOTICE_TX_DESCRIPTOR,
			    "part of it is not in memory");
		return;
	}
	out.cnt = (unsigned)cnt;
	e1000_send(e, &out, last);
}

/* Copy what there is of a packet: the ring ends here. */
static void spill(struct e1000 *e)
{
	struct e1000_packet *p = &e->s.packet;

	for (unsigned i = 0; i < e->piece_cnt && !p->bad; i++) {
		const struct e1000_piece *piece = &e->pieces[i];

		if (mf_guest_read(e->nic.host.memory, piece->gpa, e->s.spill + p->len, piece->len))
			drop_packet(e, MF_NIC_BAD_DESCRIPTOR, NOTICE_TX_DESCRIPTOR,
				    "part of it is not in memory");
		else
			p->len += piece->len;
	}
	e->piece_cnt = 0;
}

static void add_piece(struct e1000 *e, uint64_t gpa, uint32_t len)
{
	if (e->s.packet.bad || !len)
		return;
	if (packet_len(e) + len > E1000_TX_BYTES_MAX) {
		drop_packet(e, MF_NIC_TX_BAD, NOTICE_TX_LONG, "it is longer than any can be");
		return;
	}
	if (e->piece_cnt == E1000_PIECES_MAX)
		spill(e);
	e->pieces[e->piece_cnt].gpa = gpa;
	e->pieces[e->piece_cnt++].len = len;
}

static void read_context(struct e1000 *e, const uint8_t *d)
{
	struct e1000_context c = { .ipcss = d[0],
				   .ipcso = d[1],
				   .ipcse = mf_load_le16(d + 2),
				   .tucss = d[4],
				   .tucso = d[5],
				   .tucse = mf_load_le16(d + 6),
				   .tucmd = d[11],
				   .hdrlen = d[13],
				   .mss = mf_load_le16(d + 14) };

	*(c.tucmd & TXD_TSE ? &e->s.tso_context : &e->s.context) = c;
}

static void begin_packet(struct e1000 *e, enum e1000_packet_kind kind, const uint8_t *d)
{
	struct e1000_packet *p = &e->s.packet;

	if (p->kind == PACKET_NONE) {
		p->kind = (uint8_t)kind;
		p->dcmd = d[11];
		p->popts = kind == PACKET_DATA ? d[13] : 0;
	} else if (p->kind != kind) {
		drop_packet(e, MF_NIC_BAD_DESCRIPTOR, NOTICE_TX_KIND,
			    "its descriptors are of different kinds");
	}
}

static void take_descriptor(struct e1000 *e, struct kick *k, const uint8_t *d, uint16_t index)
{
	struct e1000_last last = { .cmd = d[11], .special = mf_load_le16(d + 14) };
	uint8_t cmd = d[11], type = d[10] >> 4;
	bool ends = cmd & TXD_EOP;

	if (!(cmd & TXD_DEXT)) {
		begin_packet(e, PACKET_LEGACY, d);
		add_piece(e, mf_load_le64(d), mf_load_le16(d + 8));
		last.cso = d[10];
		last.css = d[13];
	} else if (type == DTYP_DATA) {
		begin_packet(e, PACKET_DATA, d);
		add_piece(e, mf_load_le64(d), mf_load_le32(d + 8) & 0xfffff);
	} else {
		if (type == DTYP_CONTEXT)
			read_context(e, d);
		else
			e->nic.counts[MF_NIC_BAD_DESCRIPTOR]++;
		ends = false;
	}
	if (cmd & (TXD_RS | TXD_RPS)) {
		k->done[k->done_cnt].index = index;
		k->done[k->done_cnt++].status = d[12] | TXD_DD;
		if (cmd & TXD_IDE)
			k->told_later = true;
		else
			k->told_now = true;
	}
	if (ends) {
		k->bytes += packet_len(e);
		finish_packet(e, &last);
		forget_packet(e);
		mark_done(e, k);
	}
}

/* May the ring be read? */
static bool is_ready(struct e1000 *e, const struct e1000_ring *ring)
{
	struct e1000_state *s = &e->s;

	if (!(s->regs[R_TCTL] & TCTL_EN) || s->regs[R_TDH] == s->regs[R_TDT] ||
	    !mf_nic_may_dma(&e->nic))
		return false;
	if (s->regs[R_TDH] < ring->cnt && s->regs[R_TDT] < ring->cnt)
		return true;
	e->nic.counts[MF_NIC_BAD_RING]++;
	mf_nic_notice(&e->nic, NOTICE_TX_RING,
		      "e1000: the transmit ring's head or tail is past its end.");
	return false;
}

static void tell(struct e1000 *e, const struct kick *k, uint32_t before)
{
	struct e1000_state *s = &e->s;
	uint32_t low = (s->regs[R_TXDCTL] >> 25) * 8, left;

	e1000_irq_sent(e, k->told_now, k->told_later);
	left = s->regs[R_TDT] >= s->regs[R_TDH] ? s->regs[R_TDT] - s->regs[R_TDH]
						: k->ring.cnt - s->regs[R_TDH] + s->regs[R_TDT];
	if (!left)
		e1000_irq_raise(e, ICR_TXQE);
	if (low && before > low && left <= low)
		e1000_irq_raise(e, ICR_TXDLOW);
}

void e1000_tx_kick(struct e1000 *e)
{
	struct e1000_state *s = &e->s;
	struct kick k;
	uint32_t budget = E1000_TX_BUDGET, head = s->regs[R_TDH], tail = s->regs[R_TDT], before;

	s->tx_more = false;
	k.ring = e1000_ring_of(e, R_TDBAL);
	if (!is_ready(e, &k.ring))
		return;
	k.done_cnt = 0;
	k.told_now = k.told_later = false;
	k.bytes = 0;
	before = tail >= head ? tail - head : k.ring.cnt - head + tail;
	e->piece_cnt = 0;
	while (head != tail) {
		uint8_t d[E1000_DESC_LEN];

		if (!budget-- || k.bytes > E1000_TX_BYTES_BUDGET ||
		    (e->nic.held && s->packet.kind == PACKET_NONE)) {
			s->tx_more = true;
			break;
		}
		if (mf_guest_read(e->nic.host.memory, k.ring.base + head * E1000_DESC_LEN, d,
				  sizeof(d))) {
			e->nic.counts[MF_NIC_BAD_RING]++;
			mf_nic_notice(&e->nic, NOTICE_TX_RING,
				      "e1000: the transmit ring is not in memory.");
			break;
		}
		take_descriptor(e, &k, d, (uint16_t)head);
		head = head + 1 == k.ring.cnt ? 0 : head + 1;
	}
	spill(e);
	s->regs[R_TDH] = head;
	mark_done(e, &k);
	tell(e, &k, before);
}
