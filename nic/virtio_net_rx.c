/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_net_rx.c - frames to the guest: filters, which pair, buffers merged or not (virtio 1.2, 5.1.6.3 to 5.1.6.5) */
#include "core/base/err.h"
#include "nic/offload.h"
#include "nic/virtio_net_int.h"

#define ETH_VLAN   0x8100
#define PEEK_LEN   64 /* bytes of a frame that filters and steering look at */
#define PASSES_MAX 64 /* broken chains that one frame passes over */

unsigned net_receive_can(const struct mf_nic *nic)
{
	const struct virtio_net *d = net_of_const(nic);
	unsigned can = 0;

	if (!(d->v.s.status & MF_VIRTIO_S_DRIVER_OK) || !net_has(d, F_GUEST_CSUM))
		return 0;
	can = MF_NIC_CAN_CSUM;
	if (net_has(d, F_GUEST_TSO4))
		can |= MF_NIC_CAN_TSO4;
	if (net_has(d, F_GUEST_TSO6))
		can |= MF_NIC_CAN_TSO6;
	return can;
}

/* --- filters -------------------------------------------------------------------------------------------------------- */

static bool listed(const struct net_table *t, const uint8_t *mac)
{
	if (t->overflow)
		return true;
	for (unsigned i = 0; i < t->cnt; i++)
		if (!memcmp(t->mac[i], mac, 6))
			return true;
	return false;
}

static bool wanted(const struct virtio_net *d, const uint8_t *p, size_t len)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct net_state *n = &d->n;

	if (n->promisc)
		return true;
	if (net_has(d, F_CTRL_VLAN) && mf_load_be16(p + 12) == ETH_VLAN) {
		unsigned vid = len >= ETH_LEN + 2 ? mf_load_be16(p + ETH_LEN) & 0xfff : 0;

		if (!(n->vlans[vid / 64] >> vid % 64 & 1))
			return false;
	}
	if (!(p[0] & 1))
		return !n->nouni && (n->alluni || !memcmp(p, n->mac, 6) || listed(&n->uni, p));
	if (!memcmp(p, broadcast, 6))
		return !n->nobcast;
	return !n->nomulti && (n->allmulti || listed(&n->multi, p));
}

/* --- buffers -------------------------------------------------------------------------------------------------------- */

/* A frame that is being copied out of its parts. */
struct source {
	const struct mf_span *parts;
	unsigned cnt;
	size_t off; /* in the first of them */
};

/* Copy up to @max bytes of a frame into a chain from byte @off of it; Return: bytes copied */
static size_t fill(const struct mf_virtq_chain *c, size_t off, struct source *s, size_t max)
{
	size_t done = 0;

	for (unsigned i = 0; i < c->write_cnt && done < max; i++) {
		const struct mf_virtq_piece *p = &c->piece[c->read_cnt + i];
		size_t at = off;

		if (at >= p->len) {
			off -= p->len;
			continue;
		}
		off = 0;
		while (at < p->len && done < max && s->cnt) {
			size_t n = s->parts->len - s->off;

			if (n > p->len - at)
				n = p->len - at;
			if (n > max - done)
				n = max - done;
			memcpy(p->ptr + at, s->parts->ptr + s->off, n);
			at += n;
			done += n;
			s->off += n;
			if (s->off == s->parts->len) {
				s->parts++;
				s->cnt--;
				s->off = 0;
			}
		}
	}
	return done;
}

static void write_header(const struct virtio_net *d, const struct mf_nic_offload *o,
			 uint8_t h[HDR_LEN])
{
	memset(h, 0, HDR_LEN);
	mf_store_le16(h + 10, 1);
	if (o->csum == MF_NIC_CSUM_VALID && net_has(d, F_GUEST_CSUM))
		h[0] = HDR_DATA_VALID;
	if (o->csum != MF_NIC_CSUM_PARTIAL)
		return;
	h[0] = HDR_NEEDS_CSUM;
	mf_store_le16(h + 6, o->csum_start);
	mf_store_le16(h + 8, o->csum_offset);
	if (o->gso == MF_NIC_GSO_NONE)
		return;
	h[1] = o->gso == MF_NIC_GSO_TCP4 ? HDR_GSO_TCPV4 : HDR_GSO_TCPV6;
	mf_store_le16(h + 2, o->header_len);
	mf_store_le16(h + 4, o->gso_size);
}

/* Where the byte @off of what may be written stands. */
static uint8_t *byte_at(const struct mf_virtq_chain *c, size_t off)
{
	for (unsigned i = 0; i < c->write_cnt; i++) {
		const struct mf_virtq_piece *p = &c->piece[c->read_cnt + i];

		if (off < p->len)
			return p->ptr + off;
		off -= p->len;
	}
	return NULL;
}

/* The buffers of one frame while it is put into them. */
struct delivery {
	struct mf_virtq_used used[MERGE_MAX];
	unsigned cnt;
	unsigned passes;	     /* chains given back for their errors */
	struct mf_virtq_cursor keep; /* before the first; only good while there are no @passes */
	uint8_t *merged[2];	     /* num_buffers in the first */
};

/* Nothing was received: the buffers are the driver's next ones again, or given back empty where it is too late for that. */
static void undo(struct mf_virtq *q, struct delivery *dl)
{
	if (!dl->passes) {
		mf_virtq_rewind(q, dl->keep);
		return;
	}
	for (unsigned i = 0; i < dl->cnt; i++) {
		dl->used[i].len = 0;
		mf_virtq_push(q, dl->used[i]);
	}
	dl->passes += dl->cnt;
}

static int next_chain(struct virtio_net *d, unsigned queue, struct delivery *dl)
{
	for (;;) {
		int rc = mf_virtio_pop(&d->v, queue, &d->chain);

		if (rc == 0 && mf_virtio_ask_kick(&d->v, queue, true))
			rc = mf_virtio_pop(&d->v, queue, &d->chain);
		if (rc != MF_E_AGAIN)
			return rc;
		if (++dl->passes >= PASSES_MAX)
			return 0;
	}
}

static enum mf_nic_received put(struct virtio_net *d, unsigned queue, struct delivery *dl,
				const struct mf_span *parts, unsigned cnt, size_t len,
				const struct mf_nic_offload *o)
{
	struct mf_virtq *q = &d->v.s.queues[queue].ring;
	const struct mf_virtq_chain *c = &d->chain;
	bool merge = net_has(d, F_MRG_RXBUF);
	size_t header = net_header_len(d), done = 0, n;
	struct source s = { parts, cnt, 0 };
	uint8_t h[HDR_LEN];

	do {
		size_t off = dl->cnt ? 0 : header;
		int rc = next_chain(d, queue, dl);

		if (rc < 0)
			return MF_NIC_REFUSED;
		if (rc == 0) {
			bool all = dl->cnt == q->size; // more than the driver can ever give

			undo(q, dl);
			return all ? MF_NIC_REFUSED : MF_NIC_NO_BUFFER;
		}
		if (dl->cnt == MERGE_MAX || c->write_len < off ||
		    (!merge && c->write_len < off + len)) {
			// This one is the driver's again, too: it stands behind the others.
			if (dl->passes)
				mf_virtq_push(q, mf_virtq_used_of(c, 0));
			undo(q, dl);
			return MF_NIC_REFUSED;
		}
		if (!dl->cnt) {
			write_header(d, o, h);
			mf_virtq_write(c, 0, h, header);
			dl->merged[0] = byte_at(c, 10);
			dl->merged[1] = byte_at(c, 11);
		}
		n = fill(c, off, &s, len - done);
		dl->used[dl->cnt++] = mf_virtq_used_of(c, (uint32_t)(off + n));
		done += n;
	} while (done < len);
	if (dl->cnt > 1) {
		*dl->merged[0] = (uint8_t)dl->cnt;
		*dl->merged[1] = (uint8_t)(dl->cnt >> 8);
	}
	for (unsigned i = 0; i < dl->cnt; i++)
		mf_virtq_push(q, dl->used[i]);
	return MF_NIC_TAKEN;
}

static enum mf_nic_received deliver(struct virtio_net *d, unsigned queue,
				    const struct mf_span *parts, unsigned cnt, size_t len,
				    const struct mf_nic_offload *o)
{
	struct mf_virtq *q = &d->v.s.queues[queue].ring;
	uint64_t *counts = d->v.nic.counts;
	struct delivery dl;
	enum mf_nic_received r;

	if (!mf_virtio_begin(&d->v, queue))
		return MF_NIC_REFUSED;
	dl.cnt = dl.passes = 0;
	dl.keep = mf_virtq_keep(q);
	r = put(d, queue, &dl, parts, cnt, len, o);
	if (r == MF_NIC_TAKEN) {
		counts[MF_NIC_RX_FRAMES]++;
		counts[MF_NIC_RX_BYTES] += len;
		mf_virtio_ask_kick(&d->v, queue, false);
	} else if (r == MF_NIC_NO_BUFFER) {
		counts[MF_NIC_RX_NO_BUFFER]++;
		d->n.starved = true;
	} else {
		counts[MF_NIC_RX_BAD]++;
	}
	mf_virtq_publish(q);
	net_tell(d, queue, dl.passes + (r == MF_NIC_TAKEN ? dl.cnt : 0), &d->n.rx_coal);
	return r;
}

enum mf_nic_received net_receive(struct mf_nic *nic, const struct mf_span *parts, unsigned cnt,
				 size_t len, const struct mf_nic_offload *o, uint64_t now_ns)
{
	struct virtio_net *d = net_of(nic);
	uint8_t peek[PEEK_LEN];
	const uint8_t *p = peek;
	unsigned queue = 0;
	size_t have = 0;

	mf_virtio_now(&d->v, now_ns);
	if (!d->n.link || !mf_virtio_running(&d->v))
		return MF_NIC_REFUSED;
	if (len < ETH_LEN || len > MF_VIRTIO_NET_FRAME_MAX) {
		nic->counts[MF_NIC_RX_BAD]++;
		return MF_NIC_REFUSED;
	}
	if ((o->csum == MF_NIC_CSUM_PARTIAL && !(net_receive_can(nic) & MF_NIC_CAN_CSUM)) ||
	    (o->gso == MF_NIC_GSO_TCP4 && !(net_receive_can(nic) & MF_NIC_CAN_TSO4)) ||
	    (o->gso == MF_NIC_GSO_TCP6 && !(net_receive_can(nic) & MF_NIC_CAN_TSO6))) {
		nic->counts[MF_NIC_BAD_OFFLOAD]++;
		return MF_NIC_REFUSED;
	}
	if (parts[0].len >= ETH_LEN + 2) {
		p = parts[0].ptr;
		have = parts[0].len;
	} else {
		for (unsigned i = 0; i < cnt && have < PEEK_LEN; i++) {
			size_t n = parts[i].len < PEEK_LEN - have ? parts[i].len : PEEK_LEN - have;

			memcpy(peek + have, parts[i].ptr, n);
			have += n;
		}
	}
	if (!wanted(d, p, have)) {
		nic->counts[MF_NIC_RX_FILTERED]++;
		return MF_NIC_NOT_FOR_IT;
	}
	if (d->n.pairs > 1)
		queue = 2u * d->n.steer[net_bucket(p, have)];
	if (queue / 2 >= d->n.pairs)
		queue = 0;
	return deliver(d, queue, parts, cnt, len, o);
}
