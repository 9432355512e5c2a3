/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_queue.c - working at a virtio device's queues: when, what errors do, who is told */
#include "nic/virtio.h"

/* Kinds of mf_nic_notice(). */
#define NOTICE_BROKEN 0

bool mf_virtio_running(struct mf_virtio *v)
{
	return v->s.status & MF_VIRTIO_S_DRIVER_OK && mf_nic_may_dma(&v->nic);
}

void mf_virtio_needs_reset(struct mf_virtio *v)
{
	if (v->s.status & MF_VIRTIO_S_NEEDS_RESET)
		return;
	v->s.status |= MF_VIRTIO_S_NEEDS_RESET;
	if (v->s.status & MF_VIRTIO_S_DRIVER_OK)
		mf_virtio_announce_config(v);
}

static void broke(struct mf_virtio *v, unsigned queue)
{
	const char *why = mf_virtq_error_name(v->s.queues[queue].ring.broken_by);

	v->nic.counts[MF_NIC_BAD_RING]++;
	mf_nic_notice(
		&v->nic, NOTICE_BROKEN,
		"%s: the driver's queue %u cannot be worked at (%s); the device needs a reset.",
		v->nic.ops->name, queue, why);
	mf_virtio_needs_reset(v);
}

bool mf_virtio_begin(struct mf_virtio *v, unsigned queue)
{
	int rc = mf_virtq_begin(&v->s.queues[queue].ring, v->nic.host.memory);

	if (rc == MF_E_BAD)
		broke(v, queue);
	return rc == 0;
}

int mf_virtio_pop(struct mf_virtio *v, unsigned queue, struct mf_virtq_chain *c)
{
	int rc = mf_virtq_pop(&v->s.queues[queue].ring, c);

	if (rc == MF_E_AGAIN)
		v->nic.counts[MF_NIC_BAD_DESCRIPTOR]++;
	else if (rc < 0)
		broke(v, queue);
	return rc;
}

bool mf_virtio_ask_kick(struct mf_virtio *v, unsigned queue, bool want)
{
	struct mf_virtio_queue *q = &v->s.queues[queue];

	// A wish for an event at a place of the ring is good for one kick only.
	if (!want && !q->kick_wanted)
		return false;
	q->kick_wanted = want;
	return mf_virtq_ask_kick(&q->ring, want);
}

void mf_virtio_interrupt_queue(struct mf_virtio *v, unsigned queue)
{
	struct mf_virtio_queue *q = &v->s.queues[queue];

	q->interrupt = false;
	if (mf_virtq_wants_interrupt(&q->ring))
		mf_virtio_raise(v, q->vector, 1);
}

void mf_virtio_announce_config(struct mf_virtio *v)
{
	v->s.generation++;
	mf_virtio_raise(v, v->s.config_vector, 2);
}

void mf_virtio_notify(struct mf_virtio *v, unsigned queue, uint64_t now_ns)
{
	struct mf_virtio_queue *q;

	if (queue >= v->queue_cnt) {
		v->nic.counts[MF_NIC_BAD_ACCESS]++;
		return;
	}
	q = &v->s.queues[queue];
	if (!q->ring.enabled || q->ring.broken)
		return;
	q->kicked = true;
	if (mf_virtio_running(v))
		v->ops->kick(v, queue, now_ns);
}
