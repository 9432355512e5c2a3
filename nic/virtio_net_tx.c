/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_net_tx.c - frames of the guest: headers judged, offloads translated (virtio 1.2, 5.1.6.2) */
#include "core/base/hash.h"
#include "nic/offload.h"
#include "nic/virtio_net_int.h"

#define ETH_VLAN  0x8100
#define ETH_QINQ  0x88a8
#define ETH_IP4	  0x0800
#define ETH_IP6	  0x86dd
#define STEER_LEN 64 /* bytes of a frame that tell its flow */

/* Where the network header begins behind at most two tags, and what it is. */
static size_t net_start(const uint8_t *p, size_t len, uint16_t *type)
{
	size_t at = ETH_LEN;

	*type = mf_load_be16(p + 12);
	for (unsigned tags = 0; tags < 2 && (*type == ETH_VLAN || *type == ETH_QINQ); tags++) {
		if (at + 4 > len)
			break;
		*type = mf_load_be16(p + at + 2);
		at += 4;
	}
	return at;
}

unsigned net_bucket(const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0;
	uint16_t type;
	size_t at = net_start(p, len, &type), ports = 0;
	uint8_t proto = 0;

	if (type == ETH_IP4 && at + 20 <= len) {
		a = mf_load_be32(p + at + 12);
		b = mf_load_be32(p + at + 16);
		proto = p[at + 9];
		if (!(mf_load_be16(p + at + 6) & 0x3fff)) // no fragment
			ports = at + (p[at] & 15) * 4u;
	} else if (type == ETH_IP6 && at + 40 <= len) {
		a = mf_load_be64(p + at + 8) ^ mf_load_be64(p + at + 16);
		b = mf_load_be64(p + at + 24) ^ mf_load_be64(p + at + 32);
		proto = p[at + 6];
		ports = at + 40;
	} else {
		a = mf_load_be32(p + 2);
		b = mf_load_be32(p + 8);
	}
	if (ports && (proto == 6 || proto == 17) && ports + 4 <= len) {
		a = a * 65537 + mf_load_be16(p + ports);
		b = b * 65537 + mf_load_be16(p + ports + 2);
	}
	return (unsigned)(mf_hash_u64(a + b, proto) % STEER_CNT); // either way round
}

/* What the driver's header asks for; Return: false: it must not. */
static bool read_header(const struct virtio_net *d, const uint8_t *h, struct mf_nic_offload *o)
{
	uint8_t gso = h[1] & (uint8_t)~HDR_GSO_ECN;

	memset(o, 0, sizeof(*o));
	if (h[0] & HDR_NEEDS_CSUM) {
		if (!net_has(d, F_CSUM))
			return false;
		o->csum = MF_NIC_CSUM_PARTIAL;
		o->csum_start = mf_load_le16(h + 6);
		o->csum_offset = mf_load_le16(h + 8);
	}
	if (gso == HDR_GSO_NONE)
		return true;
	if (gso == HDR_GSO_TCPV4 && net_has(d, F_HOST_TSO4))
		o->gso = MF_NIC_GSO_TCP4;
	else if (gso == HDR_GSO_TCPV6 && net_has(d, F_HOST_TSO6))
		o->gso = MF_NIC_GSO_TCP6;
	else
		return false;
	o->gso_size = mf_load_le16(h + 4);
	return o->csum == MF_NIC_CSUM_PARTIAL && o->gso_size;
}

/* The driver's hdr_len is a hint that is not to be relied on (5.1.6.2.2): headers are looked up in the frame. */
static bool find_headers(const uint8_t *head, size_t len, struct mf_nic_offload *o)
{
	uint16_t type;
	size_t at = net_start(head, len, &type), end;

	if (type != (o->gso == MF_NIC_GSO_TCP4 ? ETH_IP4 : ETH_IP6) || o->csum_start + 20u > len)
		return false;
	end = o->csum_start + (head[o->csum_start + 12] >> 4) * 4u;
	if (end > len)
		return false;
	o->net_start = (uint16_t)at;
	o->header_len = (uint16_t)end;
	return true;
}

/* The parts of a chain from byte @off on; Return: how many, or MF_NIC_PARTS_MAX if there are too many */
static unsigned parts_from(struct virtio_net *d, const struct mf_virtq_chain *c, size_t off)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < c->read_cnt; i++) {
		const struct mf_virtq_piece *p = &c->piece[i];

		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		if (cnt == MF_NIC_PARTS_MAX - 1) // one is the head's
			return MF_NIC_PARTS_MAX;
		d->parts[cnt++] = mf_span_of(p->ptr + off, p->len - off);
		off = 0;
	}
	return cnt;
}

static void send_chain(struct virtio_net *d, const struct mf_virtq_chain *c, unsigned queue)
{
	struct mf_nic *nic = &d->v.nic;
	size_t header = net_header_len(d), len = c->read_len - header, head_len = 0;
	uint8_t h[HDR_LEN];
	struct mf_nic_offload o;
	unsigned cnt;

	if (c->read_len < header + ETH_LEN || len > MF_VIRTIO_NET_FRAME_MAX) {
		nic->counts[MF_NIC_TX_BAD]++;
		return;
	}
	if (!d->n.link) {
		nic->counts[MF_NIC_TX_LOST]++;
		return;
	}
	mf_virtq_read(c, 0, h, header);
	if (!read_header(d, h, &o)) {
		nic->counts[MF_NIC_BAD_OFFLOAD]++;
		return;
	}
	if (d->n.pairs > 1) {
		size_t n = mf_virtq_read(c, header, d->head, STEER_LEN);

		d->n.steer[net_bucket(d->head, n)] = (uint8_t)(queue / 2);
	}
	if (o.csum != MF_NIC_CSUM_NONE) {
		head_len = mf_virtq_read(c, header, d->head, sizeof(d->head));
		if (o.gso != MF_NIC_GSO_NONE && !find_headers(d->head, head_len, &o)) {
			nic->counts[MF_NIC_BAD_OFFLOAD]++;
			return;
		}
	}
	cnt = parts_from(d, c, header + head_len);
	if (cnt == MF_NIC_PARTS_MAX) {
		nic->counts[MF_NIC_TX_BAD]++;
		return;
	}
	mf_nic_emit(nic, d->head, head_len, d->parts, cnt, len - head_len, &o);
}

void net_serve_tx(struct virtio_net *d, unsigned queue)
{
	struct mf_virtio *v = &d->v;
	struct mf_virtio_queue *q = &v->s.queues[queue];
	uint32_t used = 0;
	uint64_t bytes = 0;

	if (v->nic.held || !mf_virtio_begin(v, queue))
		return;
	q->kicked = true; // unless all is found done
	for (unsigned i = 0;
	     i < MF_VIRTIO_NET_BUDGET && bytes < MF_VIRTIO_NET_BUDGET_BYTES && !v->nic.held; i++) {
		int rc = mf_virtio_pop(v, queue, &d->chain);

		if (rc == MF_E_BAD || (rc == 0 && !mf_virtio_ask_kick(v, queue, true))) {
			q->kicked = false;
			break;
		}
		if (rc == 1) {
			send_chain(d, &d->chain, queue);
			mf_virtq_push(&q->ring, mf_virtq_used_of(&d->chain, 0));
			bytes += d->chain.read_len;
		}
		used += rc != 0;
	}
	mf_virtq_publish(&q->ring);
	net_tell(d, queue, used, &d->n.tx_coal);
}
