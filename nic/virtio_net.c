/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_net.c - the virtio network card: features, configuration, when its queues are worked at */
#include "nic/virtio_net.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "nic/virtio_net_int.h"

#define DEVICE_TYPE	1
#define TRANSITIONAL_ID 0x1000
#define CLASS_ETHERNET	0x020000
#define QUEUE_SIZE	256
#define MTU_MIN		68 /* IPv4's (5.1.4.1) */

/* What cannot be without something else (5.1.3.1, 6.3). */
static const struct {
	uint8_t feature, needs;
} needs[] = {
	{ F_GUEST_TSO4, F_GUEST_CSUM },
	{ F_GUEST_TSO6, F_GUEST_CSUM },
	{ F_HOST_TSO4, F_CSUM },
	{ F_HOST_TSO6, F_CSUM },
	{ F_CTRL_RX, F_CTRL_VQ },
	{ F_CTRL_RX_EXTRA, F_CTRL_VQ },
	{ F_CTRL_VLAN, F_CTRL_VQ },
	{ F_MQ, F_CTRL_VQ },
	{ F_CTRL_MAC_ADDR, F_CTRL_VQ },
	{ F_NOTF_COAL, F_CTRL_VQ },
	{ MF_VIRTIO_F_RING_PACKED, MF_VIRTIO_F_VERSION_1 },
};

static uint64_t impossible(const struct mf_virtio *v, uint64_t features)
{
	uint64_t bad = 0;

	(void)v;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(needs); i++)
		if (features >> needs[i].feature & 1 && !(features >> needs[i].needs & 1))
			bad |= MF_VIRTIO_BIT(needs[i].feature);
	return bad;
}

enum net_role net_role(const struct virtio_net *d, unsigned queue)
{
	unsigned pairs = net_has(d, F_MQ) ? d->pairs_max : 1;

	if (queue == 2 * pairs)
		return net_has(d, F_CTRL_VQ) ? ROLE_CTRL : ROLE_NONE;
	if (queue > 2 * pairs)
		return ROLE_NONE;
	return queue & 1 ? ROLE_TX : ROLE_RX;
}

static struct virtio_net *of(struct mf_virtio *v)
{
	return (struct virtio_net *)v;
}

static void reset(struct mf_virtio *v)
{
	struct virtio_net *d = of(v);
	bool link = d->n.link;

	memset(&d->n, 0, sizeof(d->n));
	d->n.link = link;
	memcpy(d->n.mac, d->mac, sizeof(d->mac));
	net_ctrl_reset(d);
}

static void start(struct mf_virtio *v, uint64_t now_ns)
{
	(void)v;
	(void)now_ns; // queues that were enabled are kicked by the transport
}

static void kick(struct mf_virtio *v, unsigned queue, uint64_t now_ns)
{
	struct virtio_net *d = of(v);
	struct mf_virtio_queue *q = &v->s.queues[queue];

	(void)now_ns;
	switch (net_role(d, queue)) {
	case ROLE_TX:
		if (queue / 2 < d->n.pairs)
			net_serve_tx(d, queue);
		else
			q->kicked = false; // looked at again when the pair is taken into use
		break;
	case ROLE_CTRL:
		net_serve_ctrl(d, queue);
		break;
	case ROLE_RX:
		q->kicked = false;
		if (d->n.starved) {
			d->n.starved = false;
			if (v->nic.host.receive_ready)
				v->nic.host.receive_ready(v->nic.host.ctx);
		}
		break;
	case ROLE_NONE:
		q->kicked = false;
		break;
	}
}

static uint8_t config_read(const struct mf_virtio *v, unsigned off)
{
	const struct virtio_net *d = (const struct virtio_net *)v;
	uint8_t c[12] = { 0 };

	memcpy(c, d->n.mac, 6);
	c[6] = d->n.link;
	mf_store_le16(c + 8, d->pairs_max);
	mf_store_le16(c + 10, d->mtu);
	return off < sizeof(c) ? c[off] : 0;
}

static void config_write(struct mf_virtio *v, unsigned off, uint8_t value)
{
	if (off < 6)
		of(v)->n.mac[off] = value;
}

static const struct mf_virtio_ops virtio_ops = {
	.impossible = impossible,
	.reset = reset,
	.start = start,
	.kick = kick,
	.config_read = config_read,
	.config_write = config_write,
};

/* --- interrupts ----------------------------------------------------------------------------------------------------- */

void net_tell(struct virtio_net *d, unsigned queue, uint32_t cnt, const struct net_coal *coal)
{
	if (!cnt)
		return;
	if (!d->n.wait[queue].cnt)
		d->n.wait[queue].since_ns = d->v.now_ns;
	d->n.wait[queue].cnt += cnt;
	// Without a time nothing would ever tell of the last ones: a number of packets alone delays nothing.
	if (coal && coal->usecs && (!coal->packets || d->n.wait[queue].cnt < coal->packets)) {
		d->v.s.queues[queue].interrupt = true;
		return;
	}
	d->n.wait[queue].cnt = 0;
	mf_virtio_interrupt_queue(&d->v, queue);
}

/* When a queue's interrupt is due. A card that was restored may be younger than what waits in it: only differences count. */
static uint64_t due_at(const struct virtio_net *d, unsigned queue)
{
	const struct net_coal *coal = queue & 1 ? &d->n.tx_coal : &d->n.rx_coal;
	uint64_t age = d->v.now_ns - d->n.wait[queue].since_ns;
	uint64_t delay = coal->usecs * MF_NS_PER_US;

	return d->v.now_ns + (age < delay ? delay - age : 0);
}

/* --- what an emulator calls ----------------------------------------------------------------------------------------- */

static void tick(struct mf_nic *nic, uint64_t now_ns)
{
	struct virtio_net *d = net_of(nic);
	struct mf_virtio *v = &d->v;

	now_ns = mf_virtio_now(v, now_ns);
	for (unsigned i = 0; i < v->queue_cnt; i++) {
		struct mf_virtio_queue *q = &v->s.queues[i];

		if (q->kicked && q->ring.enabled && !q->ring.broken && mf_virtio_running(v))
			kick(v, i, now_ns);
		if (q->interrupt && due_at(d, i) <= now_ns && mf_virtio_running(v) &&
		    mf_virtio_begin(v, i)) {
			d->n.wait[i].cnt = 0;
			mf_virtio_interrupt_queue(v, i);
		}
	}
}

static uint64_t deadline(const struct mf_nic *nic)
{
	const struct virtio_net *d = net_of_const(nic);
	const struct mf_virtio *v = &d->v;
	uint64_t at = UINT64_MAX;

	if (!(v->s.status & MF_VIRTIO_S_DRIVER_OK) ||
	    !(mf_pci_command(&nic->pci) & MF_PCI_COMMAND_BUS_MASTER))
		return at;
	for (unsigned i = 0; i < v->queue_cnt; i++) {
		const struct mf_virtio_queue *q = &v->s.queues[i];

		if (!q->ring.enabled || q->ring.broken)
			continue;
		if (q->kicked && !(nic->held && net_role(d, i) == ROLE_TX))
			return v->now_ns;
		if (q->interrupt && due_at(d, i) < at)
			at = due_at(d, i);
	}
	return at;
}

static void set_link(struct mf_nic *nic, bool up, uint64_t now_ns)
{
	struct virtio_net *d = net_of(nic);

	mf_virtio_now(&d->v, now_ns);
	if (d->n.link == up)
		return;
	d->n.link = up;
	d->v.s.generation++;
	if (net_has(d, F_STATUS) && d->v.s.status & MF_VIRTIO_S_DRIVER_OK)
		mf_virtio_announce_config(&d->v);
}

static void net_free(struct mf_nic *nic)
{
	free(net_of(nic));
}

static const struct mf_nic_ops nic_ops = {
	.name = "virtio-net",
	.free = net_free,
	.reset = mf_virtio_bus_reset,
	.config_read = mf_virtio_config_read,
	.config_write = mf_virtio_config_write,
	.config_changed = mf_virtio_config_changed,
	.bar_read = mf_virtio_bar_read,
	.bar_write = mf_virtio_bar_write,
	.receive = net_receive,
	.receive_can = net_receive_can,
	.tick = tick,
	.deadline = deadline,
	.set_link = set_link,
	.save = net_save,
	.restore = net_restore,
};

static uint64_t features_of(const struct mf_virtio_net_options *opt)
{
	static const uint8_t always[] = {
		F_CSUM,
		F_GUEST_CSUM,
		F_MAC,
		F_GUEST_TSO4,
		F_GUEST_TSO6,
		F_HOST_TSO4,
		F_HOST_TSO6,
		F_MRG_RXBUF,
		F_STATUS,
		F_CTRL_VQ,
		F_CTRL_RX,
		F_CTRL_VLAN,
		F_CTRL_RX_EXTRA,
		F_CTRL_MAC_ADDR,
		MF_VIRTIO_F_INDIRECT_DESC,
		MF_VIRTIO_F_EVENT_IDX,
	};
	uint64_t f = MF_VIRTIO_BIT(MF_VIRTIO_F_VERSION_1);

	for (unsigned i = 0; i < MF_ARRAY_SIZE(always); i++)
		f |= MF_VIRTIO_BIT(always[i]);
	if (opt->mtu)
		f |= MF_VIRTIO_BIT(F_MTU);
	if (opt->pairs > 1)
		f |= MF_VIRTIO_BIT(F_MQ);
	if (opt->coalesce)
		f |= MF_VIRTIO_BIT(F_NOTF_COAL);
	if (opt->packed)
		f |= MF_VIRTIO_BIT(MF_VIRTIO_F_RING_PACKED);
	return f & ~opt->without;
}

int mf_virtio_net_new(const struct mf_virtio_net_options *opt, const struct mf_nic_host *host,
		      struct mf_nic **ret_nic, struct mf_err *err)
{
	uint16_t size = opt->queue_size ? opt->queue_size : QUEUE_SIZE;
	uint16_t pairs = opt->pairs ? opt->pairs : 1;
	struct mf_virtio_setup setup = {
		.device_type = DEVICE_TYPE,
		.transitional_id = TRANSITIONAL_ID,
		.class_code = CLASS_ETHERNET,
		.transitional = !opt->modern_only,
		.offered = features_of(opt),
		.queue_size = size,
	};
	struct virtio_net *d;
	int rc;

	if (pairs > MF_VIRTIO_NET_PAIRS_MAX)
		return mf_err_set(err, MF_E_INVAL,
				  "A virtio card has at most %u pairs of queues, not %u.",
				  MF_VIRTIO_NET_PAIRS_MAX, pairs);
	if (size & (size - 1) || size > MF_VIRTQ_SIZE_MAX)
		return mf_err_set(
			err, MF_E_INVAL,
			"The size of a virtio card's queues is a power of two up to %u, not %u.",
			MF_VIRTQ_SIZE_MAX, size);
	if (opt->mtu && opt->mtu < MTU_MIN)
		return mf_err_set(err, MF_E_INVAL, "A virtio card's MTU is at least %u, not %u.",
				  MTU_MIN, opt->mtu);
	if (opt->mac[0] & 1)
		return mf_err_set(err, MF_E_INVAL, "A virtio card's MAC address is no group's.");
	if (impossible(NULL, setup.offered))
		return mf_err_set(
			err, MF_E_INVAL,
			"A virtio card cannot offer features without those that they need.");
	setup.queue_cnt = (uint16_t)(2 * pairs + !!(setup.offered & MF_VIRTIO_BIT(F_CTRL_VQ)));
	d = calloc(1, sizeof(*d));
	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "There is no memory for a virtio card.");
	mf_nic_init(&d->v.nic, &nic_ops, host);
	memcpy(d->mac, opt->mac, sizeof(d->mac));
	d->mtu = opt->mtu;
	d->pairs_max = pairs;
	d->n.link = true;
	rc = mf_virtio_init(&d->v, &virtio_ops, &setup);
	if (rc) {
		free(d);
		return mf_err_set(err, rc, "The virtio card's PCI function cannot be made.");
	}
	*ret_nic = &d->v.nic;
	return 0;
}

uint64_t mf_virtio_net_ring_errors(const struct mf_nic *nic, enum mf_virtq_error error)
{
	const struct mf_virtio *v = mf_virtio_of_const(nic);
	uint64_t sum = 0;

	for (unsigned i = 0; i < v->queue_cnt; i++)
		sum += v->s.queues[i].ring.errors[error];
	return sum;
}
