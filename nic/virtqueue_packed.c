/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtqueue_packed.c - packed rings (virtio 1.2, 2.8)
 *
 *	descriptor: address u64, length u32, id u16, flags u16
 *	driver's and device's event area: offset (15 bits) and wrap counter u16, flags u16
 *
 * A descriptor is available where its bit AVAIL equals the driver's wrap counter and USED does not; the device writes a
 * used descriptor over the next slot with both equal to its own counter. What was pushed becomes visible with the flags of
 * the first slot, written last: a driver looks no further than the first slot that is not used.
 */
#include "nic/virtqueue_int.h"

#define DESC_AVAIL    0x0080
#define DESC_USED     0x8000

#define EVENT_WRAP    0x8000
#define EVENT_ENABLE  0
#define EVENT_DISABLE 1
#define EVENT_DESC    2 /* at the slot that the offset names */

static bool is_available(uint16_t flags, bool wrap)
{
	return !(flags & DESC_AVAIL) == !wrap && !(flags & DESC_USED) == wrap;
}

static enum mf_virtq_error add_table(struct mf_virtq *q, struct mf_virtq_chain *c, uint64_t addr,
				     uint32_t len, uint16_t flags)
{
	const uint8_t *table;
	uint32_t cnt;
	enum mf_virtq_error e = mf_virtq_table(q, addr, len, flags, &table, &cnt);

	for (uint32_t i = 0; e == MF_VIRTQ_FINE && i < cnt; i++) {
		const uint8_t *d = table + (size_t)MF_VIRTQ_DESC_LEN * i;
		uint64_t rest = mf_virtq_load64(d + 8);
		uint16_t inner = (uint16_t)(rest >> 48);

		// All others of its flags are reserved: a device ignores them (2.8.8).
		e = mf_virtq_add(q, c, mf_virtq_load64(d), (uint32_t)rest,
				 inner & MF_VIRTQ_DESC_WRITE);
	}
	return e;
}

int mf_virtq_packed_pop(struct mf_virtq *q, struct mf_virtq_chain *c)
{
	enum mf_virtq_error e = MF_VIRTQ_FINE;
	uint16_t at = q->at.avail, flags, slots = 0;
	bool wrap = q->at.avail_wrap;

	flags = mf_virtq_load16(q->desc_ptr + (size_t)MF_VIRTQ_DESC_LEN * at + 14);
	if (!is_available(flags, wrap))
		return 0;
	for (;;) {
		const uint8_t *d = q->desc_ptr + (size_t)MF_VIRTQ_DESC_LEN * at;
		uint64_t addr = mf_virtq_load64(d), rest = mf_virtq_load64(d + 8);

		if (slots++) // the first one's flags are those that made it available
			flags = (uint16_t)(rest >> 48);
		if (++at == q->size) {
			at = 0;
			wrap = !wrap;
		}
		// After an error the walk goes on to where the chain ends, to know its id and its slots.
		if (e == MF_VIRTQ_FINE)
			e = flags & MF_VIRTQ_DESC_INDIRECT
				    ? add_table(q, c, addr, (uint32_t)rest, flags)
				    : mf_virtq_add(q, c, addr, (uint32_t)rest,
						   flags & MF_VIRTQ_DESC_WRITE);
		c->id = (uint16_t)(rest >> 32);
		if (!(flags & MF_VIRTQ_DESC_NEXT))
			break;
		if (slots == q->size)
			return mf_virtq_break(q, MF_VIRTQ_LOOP);
	}
	c->slots = slots;
	q->at.avail = at;
	q->at.avail_wrap = wrap;
	if (e == MF_VIRTQ_FINE)
		return 1;
	q->errors[e]++;
	mf_virtq_push(q, mf_virtq_used_of(c, 0));
	return MF_E_AGAIN;
}

void mf_virtq_packed_push(struct mf_virtq *q, struct mf_virtq_used u)
{
	uint8_t *d = q->desc_ptr + (size_t)MF_VIRTQ_DESC_LEN * q->used;
	uint16_t flags = (uint16_t)((q->used_wrap ? DESC_AVAIL | DESC_USED : 0) |
				    (u.len ? MF_VIRTQ_DESC_WRITE : 0));

	mf_store_le32(d + 8, u.len);
	mf_store_le16(d + 12, u.id);
	if (q->first_flags > UINT16_MAX) {
		q->first_flags = flags;
		q->first_slot = q->used;
	} else {
		mf_virtq_store16(d + 14, flags);
	}
	q->used = (uint16_t)(q->used + u.slots); // neither is over 1,024
	if (q->used >= q->size) {
		q->used = (uint16_t)(q->used - q->size);
		q->used_wrap = !q->used_wrap;
	}
}

bool mf_virtq_packed_wants_interrupt(struct mf_virtq *q, uint32_t news)
{
	uint16_t flags = mf_virtq_load16(q->driver_ptr + 2), event, at;

	if (!q->event_idx || flags != EVENT_DESC)
		return flags != EVENT_DISABLE;
	event = mf_virtq_load16(q->driver_ptr);
	at = event & (uint16_t)~EVENT_WRAP;
	if (!(event & EVENT_WRAP) == q->used_wrap)
		at = (uint16_t)(at - q->size);
	return news >= q->size || (uint16_t)(q->used - at - 1) < (uint16_t)news;
}

bool mf_virtq_packed_ask_kick(struct mf_virtq *q, bool want)
{
	uint16_t flags;

	if (!want) {
		mf_virtq_store16(q->device_ptr + 2, EVENT_DISABLE);
		return false;
	}
	if (q->event_idx)
		mf_virtq_store16(q->device_ptr,
				 (uint16_t)(q->at.avail | (q->at.avail_wrap ? EVENT_WRAP : 0)));
	mf_virtq_store16(q->device_ptr + 2, q->event_idx ? EVENT_DESC : EVENT_ENABLE);
	mf_virtq_fence(); // the wish is seen before the descriptor is looked at
	flags = mf_virtq_load16(q->desc_ptr + (size_t)MF_VIRTQ_DESC_LEN * q->at.avail + 14);
	return is_available(flags, q->at.avail_wrap);
}
