/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_snapshot.c - a virtio network card as bytes, and back: every field that comes back is judged (snapshot.h) */
#include "core/base/err.h"
#include "nic/virtio_net_int.h"

#define VERSION 1

enum { SECTION_PCI = 1, SECTION_TRANSPORT, SECTION_MSIX, SECTION_QUEUE, SECTION_NET };

static void save_queue(const struct mf_virtio_queue *q, struct mf_snap_writer *w)
{
	const struct mf_virtq *r = &q->ring;

	mf_snap_section(w, SECTION_QUEUE);
	mf_snap_put_u64(w, r->desc);
	mf_snap_put_u64(w, r->driver);
	mf_snap_put_u64(w, r->device);
	mf_snap_put_u64(w, q->pfn);
	mf_snap_put_u16(w, r->size);
	mf_snap_put_u16(w, q->vector);
	mf_snap_put_u16(w, r->at.avail);
	mf_snap_put_u16(w, r->used);
	mf_snap_put_u32(w, r->news);
	mf_snap_put_u8(w, r->enabled);
	mf_snap_put_u8(w, r->broken);
	mf_snap_put_u8(w, r->at.avail_wrap);
	mf_snap_put_u8(w, r->used_wrap);
	mf_snap_put_u8(w, q->kicked);
	mf_snap_put_u8(w, q->kick_wanted);
	mf_snap_put_u8(w, q->interrupt);
}

static bool get_bool(struct mf_snap_reader *r)
{
	uint8_t b = mf_snap_get_u8(r);

	if (b > 1)
		mf_snap_refuse(r, "a truth value is neither 0 nor 1");
	return b == 1;
}

static uint16_t get_vector(const struct mf_virtio *v, struct mf_snap_reader *r)
{
	uint16_t vector = mf_snap_get_u16(r);

	if (mf_virtio_vector_of(v, vector) != vector)
		mf_snap_refuse(r, "a vector that the device does not have");
	return vector;
}

/* @s: features and the rest of the transport have been read */
static void restore_queue(const struct mf_virtio *v, unsigned i, struct mf_snap_reader *r,
			  struct mf_virtio_state *s)
{
	struct mf_virtio_queue *q = &s->queues[i];
	struct mf_virtq *g = &q->ring;
	bool packed = s->features >> MF_VIRTIO_F_RING_PACKED & 1;

	mf_snap_enter(r, SECTION_QUEUE);
	mf_virtq_reset(g);
	g->desc = mf_snap_get_u64(r);
	g->driver = mf_snap_get_u64(r);
	g->device = mf_snap_get_u64(r);
	q->pfn = mf_snap_get_u64(r);
	g->size = mf_snap_get_u16(r);
	q->vector = get_vector(v, r);
	g->at.avail = g->at.seen = mf_snap_get_u16(r);
	g->used = mf_snap_get_u16(r);
	g->news = mf_snap_get_u32(r);
	g->enabled = get_bool(r);
	g->broken = get_bool(r);
	g->at.avail_wrap = get_bool(r);
	g->used_wrap = get_bool(r);
	q->kicked = get_bool(r);
	q->kick_wanted = get_bool(r);
	q->interrupt = get_bool(r);
	if (!g->enabled)
		return;
	g->packed = packed;
	g->event_idx = s->features >> MF_VIRTIO_F_EVENT_IDX & 1;
	g->indirect = s->features >> MF_VIRTIO_F_INDIRECT_DESC & 1;
	if (!g->size || g->size > v->queue_size)
		mf_snap_refuse(r, "a queue of a size that cannot be");
	else if (packed ? g->at.avail >= g->size || g->used >= g->size : g->size & (g->size - 1))
		mf_snap_refuse(r, "a queue that stands outside of itself");
}

void mf_virtio_save(const struct mf_virtio *v, struct mf_snap_writer *w)
{
	const struct mf_virtio_state *s = &v->s;

	mf_snap_section(w, SECTION_PCI);
	mf_snap_put(w, v->nic.pci.config, MF_PCI_CONFIG_SIZE);
	mf_snap_section(w, SECTION_TRANSPORT);
	mf_snap_put_u64(w, v->offered);
	mf_snap_put_u16(w, v->queue_cnt);
	mf_snap_put_u16(w, v->queue_size);
	mf_snap_put_u8(w, v->transitional);
	mf_snap_put_u64(w, s->features);
	mf_snap_put_u8(w, s->mode);
	mf_snap_put_u8(w, s->status);
	mf_snap_put_u8(w, s->isr);
	mf_snap_put_u8(w, s->generation);
	mf_snap_put_u32(w, s->device_feature_select);
	mf_snap_put_u32(w, s->driver_feature_select);
	mf_snap_put_u16(w, s->queue_select);
	mf_snap_put_u16(w, s->config_vector);
	mf_snap_section(w, SECTION_MSIX);
	mf_snap_put(w, s->table, 16u * v->vector_cnt);
	mf_snap_put_u32(w, s->pending);
	for (unsigned i = 0; i < v->queue_cnt; i++)
		save_queue(&s->queues[i], w);
}

static void restore_transport(const struct mf_virtio *v, struct mf_snap_reader *r,
			      struct mf_virtio_state *s)
{
	uint64_t any;
	bool old;

	mf_snap_enter(r, SECTION_TRANSPORT);
	if (mf_snap_get_u64(r) != v->offered || mf_snap_get_u16(r) != v->queue_cnt ||
	    mf_snap_get_u16(r) != v->queue_size || get_bool(r) != v->transitional) {
		mf_snap_refuse(r, "it is of a card with other features or queues");
		return;
	}
	s->features = mf_snap_get_u64(r);
	s->mode = mf_snap_get_u8(r);
	s->status = mf_snap_get_u8(r);
	s->isr = mf_snap_get_u8(r);
	s->generation = mf_snap_get_u8(r);
	s->device_feature_select = mf_snap_get_u32(r);
	s->driver_feature_select = mf_snap_get_u32(r);
	s->queue_select = mf_snap_get_u16(r);
	s->config_vector = get_vector(v, r);
	old = s->mode == MF_VIRTIO_LEGACY;
	any = old ? MF_VIRTIO_BIT(MF_VIRTIO_F_ANY_LAYOUT) : 0;
	if (s->mode >= MF_VIRTIO_MODE_NUM || (old && !v->transitional) || s->isr > 3)
		mf_snap_refuse(r, "a transport that cannot be");
	// Before FEATURES_OK a modern driver may have written anything.
	if ((old || s->status & MF_VIRTIO_S_FEATURES_OK) &&
	    (s->features & ~(v->offered | any) || v->ops->impossible(v, s->features)))
		mf_snap_refuse(r, "features that cannot be");
	if ((s->mode == MF_VIRTIO_UNDECIDED && s->status & ~MF_VIRTIO_S_NEEDS_RESET) ||
	    (s->mode == MF_VIRTIO_MODERN && s->status & MF_VIRTIO_S_DRIVER_OK &&
	     !(s->status & MF_VIRTIO_S_FEATURES_OK)) ||
	    (old && s->features >> 32))
		mf_snap_refuse(r, "a status that cannot be");
}

void mf_virtio_restore(const struct mf_virtio *v, struct mf_snap_reader *r,
		       struct mf_virtio_state *s, uint8_t ret_config[MF_PCI_CONFIG_SIZE])
{
	memset(s, 0, sizeof(*s));
	mf_snap_enter(r, SECTION_PCI);
	mf_snap_get(r, ret_config, MF_PCI_CONFIG_SIZE);
	restore_transport(v, r, s);
	mf_snap_enter(r, SECTION_MSIX);
	mf_snap_get(r, s->table, 16u * v->vector_cnt);
	s->pending = mf_snap_get_u32(r);
	if (s->pending >> v->vector_cnt)
		mf_snap_refuse(r, "an interrupt that the device does not have");
	for (unsigned i = 0; i < v->vector_cnt; i++)
		if (s->table[16 * i + 12] > 1 || s->table[16 * i + 13] || s->table[16 * i + 14] ||
		    s->table[16 * i + 15])
			mf_snap_refuse(r, "a vector's control has bits that there are not");
	for (unsigned i = 0; i < MF_VIRTIO_QUEUES_MAX; i++) {
		mf_virtq_reset(&s->queues[i].ring);
		s->queues[i].vector = MF_VIRTIO_NO_VECTOR;
	}
	for (unsigned i = 0; i < v->queue_cnt; i++)
		restore_queue(v, i, r, s);
}

void mf_virtio_take(struct mf_virtio *v, const struct mf_virtio_state *s,
		    const uint8_t config[MF_PCI_CONFIG_SIZE])
{
	uint64_t errors[MF_VIRTIO_QUEUES_MAX][MF_VIRTQ_ERROR_NUM]; // counters are this process' own

	for (unsigned i = 0; i < MF_VIRTIO_QUEUES_MAX; i++)
		memcpy(errors[i], v->s.queues[i].ring.errors, sizeof(errors[i]));
	v->s = *s;
	for (unsigned i = 0; i < MF_VIRTIO_QUEUES_MAX; i++)
		memcpy(v->s.queues[i].ring.errors, errors[i], sizeof(errors[i]));
	mf_pci_restore(&v->nic.pci, config);
}

/* --- the card ------------------------------------------------------------------------------------------------------- */

static void save_table(const struct net_table *t, struct mf_snap_writer *w)
{
	mf_snap_put_u8(w, t->cnt);
	mf_snap_put_u8(w, t->overflow);
	mf_snap_put(w, t->mac, 6u * t->cnt);
}

static void restore_table(struct mf_snap_reader *r, struct net_table *t)
{
	t->cnt = mf_snap_get_u8(r);
	t->overflow = get_bool(r);
	if (t->cnt > TABLE_MAX) {
		t->cnt = 0;
		mf_snap_refuse(r, "more addresses than a card keeps");
	}
	mf_snap_get(r, t->mac, 6u * t->cnt);
}

size_t net_save(const struct mf_nic *nic, void *ptr, size_t cap)
{
	const struct virtio_net *d = net_of_const(nic);
	const struct net_state *n = &d->n;
	struct mf_snap_writer w;

	mf_snap_begin(&w, ptr, cap, MF_SNAP_VIRTIO_NET, VERSION);
	mf_virtio_save(&d->v, &w);
	mf_snap_section(&w, SECTION_NET);
	mf_snap_put(&w, n->mac, sizeof(n->mac));
	mf_snap_put_u8(&w, n->link);
	mf_snap_put_u8(&w, n->promisc);
	mf_snap_put_u8(&w, n->allmulti);
	mf_snap_put_u8(&w, n->alluni);
	mf_snap_put_u8(&w, n->nomulti);
	mf_snap_put_u8(&w, n->nouni);
	mf_snap_put_u8(&w, n->nobcast);
	mf_snap_put_u8(&w, n->starved);
	save_table(&n->uni, &w);
	save_table(&n->multi, &w);
	for (unsigned i = 0; i < MF_ARRAY_SIZE(n->vlans); i++)
		mf_snap_put_u64(&w, n->vlans[i]);
	mf_snap_put_u16(&w, n->pairs);
	mf_snap_put_u32(&w, n->tx_coal.packets);
	mf_snap_put_u32(&w, n->tx_coal.usecs);
	mf_snap_put_u32(&w, n->rx_coal.packets);
	mf_snap_put_u32(&w, n->rx_coal.usecs);
	for (unsigned i = 0; i < d->v.queue_cnt; i++) {
		mf_snap_put_u32(&w, n->wait[i].cnt);
		mf_snap_put_u64(&w, n->wait[i].cnt ? d->v.now_ns - n->wait[i].since_ns : 0);
	}
	mf_snap_put(&w, n->steer, sizeof(n->steer));
	return mf_snap_end(&w);
}

static void restore_net(const struct virtio_net *d, struct mf_snap_reader *r, struct net_state *n)
{
	memset(n, 0, sizeof(*n));
	mf_snap_enter(r, SECTION_NET);
	mf_snap_get(r, n->mac, sizeof(n->mac));
	n->link = get_bool(r);
	n->promisc = get_bool(r);
	n->allmulti = get_bool(r);
	n->alluni = get_bool(r);
	n->nomulti = get_bool(r);
	n->nouni = get_bool(r);
	n->nobcast = get_bool(r);
	n->starved = get_bool(r);
	restore_table(r, &n->uni);
	restore_table(r, &n->multi);
	for (unsigned i = 0; i < MF_ARRAY_SIZE(n->vlans); i++)
		n->vlans[i] = mf_snap_get_u64(r);
	n->pairs = mf_snap_get_u16(r);
	n->tx_coal.packets = mf_snap_get_u32(r);
	n->tx_coal.usecs = mf_snap_get_u32(r);
	n->rx_coal.packets = mf_snap_get_u32(r);
	n->rx_coal.usecs = mf_snap_get_u32(r);
	for (unsigned i = 0; i < d->v.queue_cnt; i++) {
		n->wait[i].cnt = mf_snap_get_u32(r);
		n->wait[i].since_ns = mf_snap_get_u64(r); // its age
		n->wait[i].since_ns = n->wait[i].cnt ? d->v.now_ns - n->wait[i].since_ns : 0;
	}
	mf_snap_get(r, n->steer, sizeof(n->steer));
	for (unsigned i = 0; i < sizeof(n->steer); i++)
		if (n->steer[i] >= d->pairs_max)
			mf_snap_refuse(r, "a flow of a pair that the card does not have");
	if (!n->pairs || n->pairs > d->pairs_max)
		mf_snap_refuse(r, "pairs that the card does not have");
}

int net_restore(struct mf_nic *nic, const void *ptr, size_t len, struct mf_err *err)
{
	struct virtio_net *d = net_of(nic);
	uint8_t config[MF_PCI_CONFIG_SIZE];
	struct mf_virtio_state s;
	struct mf_snap_reader r;
	struct net_state n;
	int rc;

	mf_snap_open(&r, ptr, len, MF_SNAP_VIRTIO_NET, VERSION);
	mf_virtio_restore(&d->v, &r, &s, config);
	restore_net(d, &r, &n);
	if (s.mode != MF_VIRTIO_UNDECIDED && n.pairs > 1 && !(s.features >> F_MQ & 1))
		mf_snap_refuse(&r, "more pairs than the driver has agreed to");
	rc = mf_snap_close(&r, err);
	if (rc)
		return rc;
	mf_virtio_take(&d->v, &s, config);
	d->n = n;
	mf_virtio_update_line(&d->v);
	return 0;
}
