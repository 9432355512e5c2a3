/* SPDX-License-Identifier: Apache-2.0 */
/* virtqueue.c - what is the same in both layouts of virtqueues: set-up, buffers of a chain, copies from and to them */
#include "nic/virtqueue.h"

#include "nic/virtqueue_int.h"

#define NONE_FIRST 0x10000 /* first_flags: all is published */

static const char *const error_names[] = {
	[MF_VIRTQ_OUTSIDE] = "ring_outside",   [MF_VIRTQ_INDEX] = "avail_index",
	[MF_VIRTQ_HEAD] = "chain_head",	       [MF_VIRTQ_NEXT] = "chain_next",
	[MF_VIRTQ_LOOP] = "chain_loop",	       [MF_VIRTQ_INDIRECT] = "indirect",
	[MF_VIRTQ_TABLE] = "indirect_outside", [MF_VIRTQ_ORDER] = "chain_order",
	[MF_VIRTQ_BUFFER] = "buffer_outside",  [MF_VIRTQ_LONG] = "chain_long",
};
_Static_assert(MF_ARRAY_SIZE(error_names) == MF_VIRTQ_ERROR_NUM, "each error has a name");

const char *mf_virtq_error_name(enum mf_virtq_error error)
{
	return (unsigned)error < MF_VIRTQ_ERROR_NUM ? error_names[error] : NULL;
}

void mf_virtq_reset(struct mf_virtq *q)
{
	struct mf_virtq fresh = { .first_flags = NONE_FIRST,
				  .used_wrap = true,
				  .at.avail_wrap = true };

	memcpy(fresh.errors, q->errors, sizeof(fresh.errors));
	*q = fresh;
}

int mf_virtq_break(struct mf_virtq *q, enum mf_virtq_error error)
{
	q->errors[error]++;
	q->broken = true;
	q->broken_by = (uint8_t)error;
	return MF_E_BAD;
}

static uint8_t *part_at(struct mf_guest_memory *mem, uint64_t gpa, uint64_t len, bool write,
			unsigned align)
{
	uint8_t *p = gpa % align ? NULL : mf_guest_at(mem, gpa, len, write);

	// Aligned for the guest and not for us: an emulator that keeps its guest's memory at odd places.
	return (uintptr_t)p % (align < 8 ? align : 8) ? NULL : p;
}

int mf_virtq_begin(struct mf_virtq *q, struct mf_guest_memory *mem)
{
	uint64_t size = q->size;

	if (!q->enabled || q->broken)
		return MF_E_CLOSED;
	q->mem = mem;
	if (q->packed) {
		q->desc_ptr = part_at(mem, q->desc, MF_VIRTQ_DESC_LEN * size, true, 16);
		q->driver_ptr = part_at(mem, q->driver, 4, false, 4);
		q->device_ptr = part_at(mem, q->device, 4, true, 4);
	} else {
		q->desc_ptr = part_at(mem, q->desc, MF_VIRTQ_DESC_LEN * size, false, 16);
		q->driver_ptr = part_at(mem, q->driver, 6 + 2 * size, false, 2);
		q->device_ptr = part_at(mem, q->device, 6 + 8 * size, true, 4);
	}
	if (!q->desc_ptr || !q->driver_ptr || !q->device_ptr)
		return mf_virtq_break(q, MF_VIRTQ_OUTSIDE);
	return 0;
}

/* How many of @len bytes at @addr lie in one region: 0 to @len. */
static uint32_t in_region(struct mf_guest_memory *mem, uint64_t addr, uint32_t len, bool write)
{
	uint32_t low = 0, high = len; // @low of them do

	while (low < high) {
		uint32_t mid = high - (high - low) / 2;

		if (mf_guest_at(mem, addr, mid, write))
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

/* A buffer, in more than one piece where it crosses from one region of memory to the next. */
static enum mf_virtq_error add_pieces(struct mf_virtq *q, struct mf_virtq_chain *c, uint64_t addr,
				      uint32_t len, bool write)
{
	while (len) {
		unsigned at = c->read_cnt + c->write_cnt;
		uint8_t *ptr = mf_guest_at(q->mem, addr, len, write);
		uint32_t n = ptr ? len : in_region(q->mem, addr, len, write);

		if (!n)
			return MF_VIRTQ_BUFFER;
		if (at == MF_VIRTQ_PIECES_MAX)
			return MF_VIRTQ_LOOP;
		if (!ptr)
			ptr = mf_guest_at(q->mem, addr, n, write);
		c->piece[at] = (struct mf_virtq_piece){ ptr, n };
		if (write)
			c->write_cnt++;
		else
			c->read_cnt++;
		addr += n;
		len -= n;
	}
	return MF_VIRTQ_FINE;
}

enum mf_virtq_error mf_virtq_add(struct mf_virtq *q, struct mf_virtq_chain *c, uint64_t addr,
				 uint32_t len, bool write)
{
	if (!write && c->write_cnt)
		return MF_VIRTQ_ORDER;
	if ((uint64_t)c->read_len + c->write_len + len > UINT32_MAX)
		return MF_VIRTQ_LONG;
	if (write)
		c->write_len += len;
	else
		c->read_len += len;
	return add_pieces(q, c, addr, len, write);
}

enum mf_virtq_error mf_virtq_table(struct mf_virtq *q, uint64_t addr, uint32_t len, uint16_t flags,
				   const uint8_t **ret_table, uint32_t *ret_cnt)
{
	if (!q->indirect || flags & MF_VIRTQ_DESC_NEXT || !len || len % MF_VIRTQ_DESC_LEN ||
	    len / MF_VIRTQ_DESC_LEN > MF_VIRTQ_PIECES_MAX)
		return MF_VIRTQ_INDIRECT;
	*ret_table = mf_guest_at(q->mem, addr, len, false);
	*ret_cnt = len / MF_VIRTQ_DESC_LEN;
	return *ret_table ? MF_VIRTQ_FINE : MF_VIRTQ_TABLE;
}

int mf_virtq_pop(struct mf_virtq *q, struct mf_virtq_chain *c)
{
	c->read_cnt = c->write_cnt = 0;
	c->read_len = c->write_len = 0;
	if (q->broken)
		return MF_E_BAD;
	return q->packed ? mf_virtq_packed_pop(q, c) : mf_virtq_split_pop(q, c);
}

void mf_virtq_push(struct mf_virtq *q, struct mf_virtq_used u)
{
	uint8_t *e;

	q->news += q->packed ? u.slots : 1;
	if (q->packed) {
		mf_virtq_packed_push(q, u);
		return;
	}
	e = q->device_ptr + 4 + 8 * (size_t)(q->used++ & (q->size - 1));
	mf_store_le32(e, u.id);
	mf_store_le32(e + 4, u.len);
}

void mf_virtq_publish(struct mf_virtq *q)
{
	if (!q->packed) {
		mf_virtq_store16(q->device_ptr + 2, q->used);
	} else if (q->first_flags != NONE_FIRST) {
		mf_virtq_store16(q->desc_ptr + MF_VIRTQ_DESC_LEN * (size_t)q->first_slot + 14,
				 (uint16_t)q->first_flags);
		q->first_flags = NONE_FIRST;
	}
}

bool mf_virtq_wants_interrupt(struct mf_virtq *q)
{
	uint32_t news = q->news;

	if (!news)
		return false;
	q->news = 0;
	mf_virtq_fence(); // what was published is seen before the driver's wish is read
	return q->packed ? mf_virtq_packed_wants_interrupt(q, news)
			 : mf_virtq_split_wants_interrupt(q, news);
}

bool mf_virtq_ask_kick(struct mf_virtq *q, bool want)
{
	if (q->broken)
		return false;
	return q->packed ? mf_virtq_packed_ask_kick(q, want) : mf_virtq_split_ask_kick(q, want);
}

size_t mf_virtq_read(const struct mf_virtq_chain *c, size_t off, void *buf, size_t len)
{
	uint8_t *to = buf;
	size_t done = 0;

	for (unsigned i = 0; i < c->read_cnt && done < len; i++) {
		const struct mf_virtq_piece *p = &c->piece[i];
		size_t n;

		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		n = p->len - off < len - done ? p->len - off : len - done;
		memcpy(to + done, p->ptr + off, n);
		done += n;
		off = 0;
	}
	return done;
}

size_t mf_virtq_write(const struct mf_virtq_chain *c, size_t off, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	size_t done = 0;

	for (unsigned i = 0; i < c->write_cnt && done < len; i++) {
		const struct mf_virtq_piece *p = &c->piece[c->read_cnt + i];
		size_t n;

		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		n = p->len - off < len - done ? p->len - off : len - done;
		memcpy(p->ptr + off, from + done, n);
		done += n;
		off = 0;
	}
	return done;
}
