/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtqueue_split.c - split rings (virtio 1.2, 2.7)
 *
 *	descriptor: address u64, length u32, flags u16, next u16
 *	driver's ring: flags u16, index u16, heads u16[size], used_event u16
 *	device's ring: flags u16, index u16, { head u32, length u32 }[size], avail_event u16
 */
#include "nic/virtqueue_int.h"

#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY	   1

static enum mf_virtq_error walk(struct mf_virtq *q, uint32_t head, struct mf_virtq_chain *c)
{
	const uint8_t *table = q->desc_ptr;
	uint32_t at = head, cnt = q->size, steps = 0;
	bool inside = false;

	for (;;) {
		const uint8_t *d = table + (size_t)MF_VIRTQ_DESC_LEN * at;
		uint64_t addr = mf_virtq_load64(d), rest = mf_virtq_load64(d + 8);
		uint32_t len = (uint32_t)rest;
		uint16_t flags = (uint16_t)(rest >> 32);
		enum mf_virtq_error e;

		if (flags & MF_VIRTQ_DESC_INDIRECT) {
			if (inside)
				return MF_VIRTQ_INDIRECT;
			e = mf_virtq_table(q, addr, len, flags, &table, &cnt);
			if (e != MF_VIRTQ_FINE)
				return e;
			inside = true;
			at = steps = 0;
			continue;
		}
		e = mf_virtq_add(q, c, addr, len, flags & MF_VIRTQ_DESC_WRITE);
		if (e != MF_VIRTQ_FINE || !(flags & MF_VIRTQ_DESC_NEXT))
			return e;
		at = (uint16_t)(rest >> 48);
		if (at >= cnt)
			return MF_VIRTQ_NEXT;
		if (++steps >= cnt)
			return MF_VIRTQ_LOOP;
	}
}

int mf_virtq_split_pop(struct mf_virtq *q, struct mf_virtq_chain *c)
{
	enum mf_virtq_error e;
	uint16_t head;

	if (q->at.avail == q->at.seen) {
		uint16_t index = mf_virtq_load16(q->driver_ptr + 2);

		if ((uint16_t)(index - q->at.avail) > q->size)
			return mf_virtq_break(q, MF_VIRTQ_INDEX);
		q->at.seen = index;
		if (index == q->at.avail)
			return 0;
	}
	head = mf_virtq_load16(q->driver_ptr + 4 + 2 * (size_t)(q->at.avail & (q->size - 1)));
	if (head >= q->size)
		return mf_virtq_break(q, MF_VIRTQ_HEAD);
	q->at.avail++;
	c->id = head;
	c->slots = 1;
	e = walk(q, head, c);
	if (e == MF_VIRTQ_FINE)
		return 1;
	q->errors[e]++;
	mf_virtq_push(q, mf_virtq_used_of(c, 0));
	return MF_E_AGAIN;
}

bool mf_virtq_split_wants_interrupt(struct mf_virtq *q, uint32_t news)
{
	uint16_t event;

	if (!q->event_idx)
		return !(mf_virtq_load16(q->driver_ptr) & AVAIL_NO_INTERRUPT);
	event = mf_virtq_load16(q->driver_ptr + 4 + 2 * (size_t)q->size);
	return news > UINT16_MAX || (uint16_t)(q->used - event - 1) < (uint16_t)news;
}

bool mf_virtq_split_ask_kick(struct mf_virtq *q, bool want)
{
	if (!q->event_idx)
		mf_virtq_store16(q->device_ptr, want ? 0 : USED_NO_NOTIFY);
	else if (want)
		mf_virtq_store16(q->device_ptr + 4 + 8 * (size_t)q->size, q->at.avail);
	if (!want)
		return false;
	mf_virtq_fence(); // the wish is seen before the index is read
	return mf_virtq_load16(q->driver_ptr + 2) != q->at.avail;
}
