/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net_ctrl.c - the control queue (virtio 1.2, 5.1.6.5)
 *
 *	to read: class u8, command u8, what the command takes; to write: ack u8
 */
#include "core/base/err.h"
#include "nic/virtio_net_int.h"

#define BUDGET	64 /* commands a kick */
#define ACK_OK	0
#define ACK_ERR 1

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_MQ = 4, CLASS_COAL = 6 };
enum { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST };
enum { MAC_TABLE_SET, MAC_ADDR_SET };
enum { VLAN_ADD, VLAN_DEL };
enum { MQ_PAIRS_SET };
enum { COAL_TX_SET, COAL_RX_SET };

void net_ctrl_reset(struct virtio_net *d)
{
	d->n.promisc = true; // until the driver says what it wants
	d->n.pairs = 1;
}

/* Exactly @len bytes behind class and command. */
static bool arguments(const struct mf_virtq_chain *c, void *buf, size_t len)
{
	return c->read_len == 2 + len && mf_virtq_read(c, 2, buf, len) == len;
}

static bool set_mode(struct virtio_net *d, uint8_t command, const struct mf_virtq_chain *c)
{
	bool *const modes[] = {
		[RX_PROMISC] = &d->n.promisc, [RX_ALLMULTI] = &d->n.allmulti,
		[RX_ALLUNI] = &d->n.alluni,   [RX_NOMULTI] = &d->n.nomulti,
		[RX_NOUNI] = &d->n.nouni,     [RX_NOBCAST] = &d->n.nobcast,
	};
	uint8_t on;

	if (command >= MF_ARRAY_SIZE(modes) || !arguments(c, &on, 1) ||
	    !net_has(d, command <= RX_ALLMULTI ? F_CTRL_RX : F_CTRL_RX_EXTRA))
		return false;
	*modes[command] = on != 0;
	return true;
}

/* entries u32, addresses: from byte *@off on, which moves behind them */
static bool read_table(const struct mf_virtq_chain *c, size_t *off, struct net_table *t)
{
	uint8_t b[4];
	uint64_t cnt;

	if (mf_virtq_read(c, *off, b, sizeof(b)) != sizeof(b))
		return false;
	*off += sizeof(b);
	cnt = mf_load_le32(b);
	if (cnt * 6 > c->read_len - *off)
		return false;
	t->overflow = cnt > TABLE_MAX;
	t->cnt = t->overflow ? 0 : (uint8_t)cnt;
	if (t->cnt)
		mf_virtq_read(c, *off, t->mac, cnt * 6);
	*off += cnt * 6;
	return true;
}

static bool set_mac(struct virtio_net *d, uint8_t command, const struct mf_virtq_chain *c)
{
	struct net_table uni = { 0 }, multi = { 0 };
	uint8_t mac[6];
	size_t off = 2;

	if (command == MAC_ADDR_SET) {
		if (!net_has(d, F_CTRL_MAC_ADDR) || !arguments(c, mac, sizeof(mac)))
			return false;
		memcpy(d->n.mac, mac, sizeof(mac));
		return true;
	}
	if (command != MAC_TABLE_SET || !net_has(d, F_CTRL_RX) || !read_table(c, &off, &uni) ||
	    !read_table(c, &off, &multi) || off != c->read_len)
		return false;
	d->n.uni = uni;
	d->n.multi = multi;
	return true;
}

static bool set_vlan(struct virtio_net *d, uint8_t command, const struct mf_virtq_chain *c)
{
	uint8_t b[2];
	uint16_t vid;

	if (!net_has(d, F_CTRL_VLAN) || !arguments(c, b, sizeof(b)))
		return false;
	vid = mf_load_le16(b);
	if (vid >= 4096 || command > VLAN_DEL)
		return false;
	if (command == VLAN_ADD)
		d->n.vlans[vid / 64] |= UINT64_C(1) << vid % 64;
	else
		d->n.vlans[vid / 64] &= ~(UINT64_C(1) << vid % 64);
	return true;
}

static bool set_pairs(struct virtio_net *d, uint8_t command, const struct mf_virtq_chain *c)
{
	uint8_t b[2];
	uint16_t pairs;

	if (command != MQ_PAIRS_SET || !net_has(d, F_MQ) || !arguments(c, b, sizeof(b)))
		return false;
	pairs = mf_load_le16(b);
	if (!pairs || pairs > d->pairs_max)
		return false;
	d->n.pairs = pairs;
	// Pairs that were not looked at so far: whoever asks for the deadline hears that there may be work.
	for (unsigned i = 0; i < pairs; i++)
		d->v.s.queues[2 * i + 1].kicked = true;
	return true;
}

static bool set_coal(struct virtio_net *d, uint8_t command, const struct mf_virtq_chain *c)
{
	struct net_coal *coal = command == COAL_TX_SET ? &d->n.tx_coal : &d->n.rx_coal;
	uint8_t b[8];

	if (command > COAL_RX_SET || !net_has(d, F_NOTF_COAL) || !arguments(c, b, sizeof(b)))
		return false;
	coal->packets = mf_load_le32(b);
	coal->usecs = mf_load_le32(b + 4);
	return true;
}

static bool carry_out(struct virtio_net *d, const struct mf_virtq_chain *c)
{
	uint8_t b[2];

	if (mf_virtq_read(c, 0, b, sizeof(b)) != sizeof(b))
		return false;
	switch (b[0]) {
	case CLASS_RX:
		return set_mode(d, b[1], c);
	case CLASS_MAC:
		return set_mac(d, b[1], c);
	case CLASS_VLAN:
		return set_vlan(d, b[1], c);
	case CLASS_MQ:
		return set_pairs(d, b[1], c);
	case CLASS_COAL:
		return set_coal(d, b[1], c);
	default:
		return false;
	}
}

void net_serve_ctrl(struct virtio_net *d, unsigned queue)
{
	struct mf_virtio *v = &d->v;
	struct mf_virtio_queue *q = &v->s.queues[queue];
	uint32_t used = 0;

	if (!mf_virtio_begin(v, queue))
		return;
	q->kicked = true; // unless all is found done
	for (unsigned i = 0; i < BUDGET; i++) {
		int rc = mf_virtio_pop(v, queue, &d->chain);
		uint8_t ack;

		if (rc == MF_E_BAD || (rc == 0 && !mf_virtio_ask_kick(v, queue, true))) {
			q->kicked = false;
			break;
		}
		if (rc == 1 && !d->chain.write_len) { // nowhere to answer
			v->nic.counts[MF_NIC_BAD_DESCRIPTOR]++;
			mf_virtq_push(&q->ring, mf_virtq_used_of(&d->chain, 0));
		} else if (rc == 1) {
			ack = carry_out(d, &d->chain) ? ACK_OK : ACK_ERR;
			mf_virtq_write(&d->chain, 0, &ack, 1);
			mf_virtq_push(&q->ring, mf_virtq_used_of(&d->chain, 1));
		}
		used += rc != 0;
	}
	mf_virtq_publish(&q->ring);
	net_tell(d, queue, used, NULL);
}
