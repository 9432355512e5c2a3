/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_driver.h - a driver for virtio cards, in the same process: what tests and bench/nic do to a card
 *
 * It has the guest's memory, writes rings of both kinds as the standard has them, and can be told to write them wrong: the
 * addresses of everything are in the struct. Queues are worked at in order.
 */
#ifndef MF_TESTS_UNIT_NIC_VIRTIO_DRIVER_H
#define MF_TESTS_UNIT_NIC_VIRTIO_DRIVER_H

#include <stdlib.h>

#include "nic/virtio.h"
#include "nic/virtio_net.h"

#define DRIVER_RAM    (4u << 20)
#define DRIVER_BASE   0x100000u /* guest address of the memory's first byte */
#define DRIVER_QUEUES 5
#define DRIVER_BAR    0xfe000000u
#define DRIVER_FRAME  70000

struct driver_ring {
	uint16_t size, at,
		seen;	      /* next slot to fill, next used one to look at; split: free-running */
	bool wrap, seen_wrap; /* packed */
	uint64_t desc, avail, used;	   /* guest addresses */
	uint16_t slots[MF_VIRTQ_SIZE_MAX]; /* of the chain that begins there: packed */
	uint16_t desc_next;
	uint64_t tables; /* of indirect descriptors, one a slot */
};

struct driver {
	struct mf_nic *nic;
	struct mf_guest_memory mem;
	uint8_t *ram;
	uint32_t taken; /* of the memory */
	bool packed, event_idx;
	struct driver_ring q[DRIVER_QUEUES];
	uint64_t now;

	/* What came out. */
	bool take; /* copy frames to @frame, and add them up */
	uint64_t frames, bytes;
	size_t len;
	uint8_t frame[DRIVER_FRAME];
	struct mf_nic_offload offload;
	unsigned hold_after; /* hold the card after so many frames; 0: never */
	bool line;
	unsigned messages, ready, logs;
	uint64_t message_address;
	uint32_t message_data;
};

struct driver_buf {
	uint64_t gpa;
	uint32_t len;
};

static inline uint8_t *driver_at(struct driver *d, uint64_t gpa)
{
	return d->ram + (gpa - DRIVER_BASE);
}

/* Memory for the driver's own use; guest address. */
static inline uint64_t driver_alloc(struct driver *d, uint32_t len, uint32_t align)
{
	uint32_t at = (d->taken + align - 1) & ~(align - 1);

	if (at + len > DRIVER_RAM)
		abort();
	d->taken = at + len;
	memset(d->ram + at, 0, len);
	return DRIVER_BASE + at;
}

static inline bool driver_frame_out(void *ctx, const struct mf_span *parts, unsigned cnt,
				    size_t len, const struct mf_nic_offload *offload)
{
	struct driver *d = ctx;

	d->frames++;
	d->bytes += len;
	d->len = 0;
	d->offload = *offload;
	for (unsigned i = 0; i < cnt && d->take; i++) {
		if (d->len + parts[i].len <= sizeof(d->frame))
			memcpy(d->frame + d->len, parts[i].ptr, parts[i].len);
		d->len += parts[i].len;
	}
	if (d->hold_after && !--d->hold_after)
		mf_nic_hold(d->nic, true);
	return true;
}

static inline void driver_set_line(void *ctx, bool level)
{
	((struct driver *)ctx)->line = level;
}

static inline void driver_message(void *ctx, uint64_t address, uint32_t data)
{
	struct driver *d = ctx;

	d->messages++;
	d->message_address = address;
	d->message_data = data;
}

static inline void driver_ready(void *ctx)
{
	((struct driver *)ctx)->ready++;
}

static inline void driver_log(void *ctx, const char *text)
{
	(void)text;
	((struct driver *)ctx)->logs++;
}

/* --- registers ------------------------------------------------------------------------------------------------------ */

static inline uint32_t driver_read(struct driver *d, unsigned off, unsigned size)
{
	return (uint32_t)mf_nic_bar_read(d->nic, MF_VIRTIO_BAR_MODERN, off, size, d->now);
}

static inline void driver_write(struct driver *d, unsigned off, unsigned size, uint32_t value)
{
	mf_nic_bar_write(d->nic, MF_VIRTIO_BAR_MODERN, off, value, size, d->now);
}

static inline uint32_t driver_old_read(struct driver *d, unsigned off, unsigned size)
{
	return (uint32_t)mf_nic_bar_read(d->nic, MF_VIRTIO_BAR_LEGACY, off, size, d->now);
}

static inline void driver_old_write(struct driver *d, unsigned off, unsigned size, uint32_t value)
{
	mf_nic_bar_write(d->nic, MF_VIRTIO_BAR_LEGACY, off, value, size, d->now);
}

static inline uint64_t driver_offered(struct driver *d)
{
	uint64_t f;

	driver_write(d, 0, 4, 0);
	f = driver_read(d, 4, 4);
	driver_write(d, 0, 4, 1);
	return f | (uint64_t)driver_read(d, 4, 4) << 32;
}

/* Return: did the card agree? */
static inline bool driver_negotiate(struct driver *d, uint64_t features)
{
	driver_write(d, 20, 1, 0);
	driver_write(d, 20, 1, 1);
	driver_write(d, 20, 1, 3);
	driver_write(d, 8, 4, 0);
	driver_write(d, 12, 4, (uint32_t)features);
	driver_write(d, 8, 4, 1);
	driver_write(d, 12, 4, (uint32_t)(features >> 32));
	driver_write(d, 20, 1, 11);
	d->packed = features >> MF_VIRTIO_F_RING_PACKED & 1;
	d->event_idx = features >> MF_VIRTIO_F_EVENT_IDX & 1;
	return driver_read(d, 20, 1) & MF_VIRTIO_S_FEATURES_OK;
}

static inline void driver_ok(struct driver *d)
{
	driver_write(d, 20, 1, 15);
}

/* Memory for a ring; what stood in an old one is forgotten. */
static inline void driver_make_ring(struct driver *d, unsigned queue, uint16_t size)
{
	struct driver_ring *r = &d->q[queue];

	memset(r, 0, sizeof(*r));
	r->size = size;
	r->wrap = r->seen_wrap = true;
	r->desc = driver_alloc(d, 16u * size, 4096);
	r->avail = driver_alloc(d, 6 + 2u * size, 16);
	r->used = driver_alloc(d, 6 + 8u * size, 4096);
	r->tables = driver_alloc(d, 16u * 16 * size, 16);
}

static inline void driver_set_ring(struct driver *d, unsigned queue)
{
	const struct driver_ring *r = &d->q[queue];

	driver_write(d, 22, 2, queue);
	driver_write(d, 24, 2, r->size);
	driver_write(d, 32, 4, (uint32_t)r->desc);
	driver_write(d, 36, 4, (uint32_t)(r->desc >> 32));
	driver_write(d, 40, 4, (uint32_t)r->avail);
	driver_write(d, 44, 4, (uint32_t)(r->avail >> 32));
	driver_write(d, 48, 4, (uint32_t)r->used);
	driver_write(d, 52, 4, (uint32_t)(r->used >> 32));
	driver_write(d, 26, 2, queue + 1);
	driver_write(d, 28, 2, 1);
}

static inline void driver_add_ring(struct driver *d, unsigned queue, uint16_t size)
{
	driver_make_ring(d, queue, size);
	driver_set_ring(d, queue);
}

static inline void driver_kick(struct driver *d, unsigned queue)
{
	driver_write(d, MF_VIRTIO_AT_NOTIFY + MF_VIRTIO_NOTIFY_MULTIPLIER * queue, 2, queue);
}

/* --- rings ---------------------------------------------------------------------------------------------------------- */

static inline void driver_desc(uint8_t *p, uint64_t gpa, uint32_t len, uint16_t a, uint16_t b)
{
	mf_store_le64(p, gpa);
	mf_store_le32(p + 8, len);
	mf_store_le16(p + 12, a);
	mf_store_le16(p + 14, b);
}

static inline void driver_add_split(struct driver *d, struct driver_ring *r,
				    const struct driver_buf *bufs, unsigned reads, unsigned writes,
				    bool indirect)
{
	uint16_t head = r->desc_next;
	uint64_t table = r->tables + 256u * head;
	unsigned cnt = reads + writes;

	for (unsigned i = 0; i < cnt; i++) {
		uint16_t at = (uint16_t)((head + i) % r->size),
			 next = (uint16_t)((at + 1) % r->size);
		uint16_t flags = (uint16_t)((i + 1 < cnt) | (i >= reads ? 2 : 0));

		if (indirect)
			driver_desc(driver_at(d, table + 16 * i), bufs[i].gpa, bufs[i].len, flags,
				    (uint16_t)(i + 1));
		else
			driver_desc(driver_at(d, r->desc + 16u * at), bufs[i].gpa, bufs[i].len,
				    flags, next);
	}
	if (indirect)
		driver_desc(driver_at(d, r->desc + 16u * head), table, 16 * cnt, 4, 0);
	r->desc_next = (uint16_t)((head + (indirect ? 1 : cnt)) % r->size);
	mf_store_le16(driver_at(d, r->avail + 4 + 2u * (r->at % r->size)), head);
	r->at++;
	__atomic_store_n((uint16_t *)(void *)driver_at(d, r->avail + 2), r->at, __ATOMIC_RELEASE);
}

static inline void driver_add_packed(struct driver *d, struct driver_ring *r,
				     const struct driver_buf *bufs, unsigned reads, unsigned writes,
				     bool indirect)
{
	uint16_t first = r->at, first_flags = 0;
	unsigned cnt = reads + writes, slots = indirect ? 1 : cnt;
	uint64_t table = r->tables + 256u * first;

	for (unsigned i = 0; i < cnt && indirect; i++)
		driver_desc(driver_at(d, table + 16 * i), bufs[i].gpa, bufs[i].len, 0,
			    i >= reads ? 2 : 0);
	for (unsigned i = 0; i < slots; i++) {
		uint8_t *p = driver_at(d, r->desc + 16u * r->at);
		uint16_t flags = (uint16_t)(r->wrap ? 0x0080 : 0x8000);

		if (indirect)
			flags |= 4;
		else
			flags = (uint16_t)(flags | (i + 1 < cnt) | (i >= reads ? 2 : 0));
		mf_store_le64(p, indirect ? table : bufs[i].gpa);
		mf_store_le32(p + 8, indirect ? 16 * cnt : bufs[i].len);
		mf_store_le16(p + 12, first);
		if (i)
			mf_store_le16(p + 14, flags);
		else
			first_flags = flags;
		if (++r->at == r->size) {
			r->at = 0;
			r->wrap = !r->wrap;
		}
	}
	r->slots[first] = (uint16_t)slots;
	__atomic_store_n((uint16_t *)(void *)driver_at(d, r->desc + 16u * first + 14), first_flags,
			 __ATOMIC_RELEASE);
}

/* Give the card a chain: first @reads buffers to read, then @writes to write. */
static inline void driver_add(struct driver *d, unsigned queue, const struct driver_buf *bufs,
			      unsigned reads, unsigned writes, bool indirect)
{
	if (d->packed)
		driver_add_packed(d, &d->q[queue], bufs, reads, writes, indirect);
	else
		driver_add_split(d, &d->q[queue], bufs, reads, writes, indirect);
}

/* The next used chain; Return: is there one? */
static inline bool driver_used(struct driver *d, unsigned queue, uint16_t *id, uint32_t *len)
{
	struct driver_ring *r = &d->q[queue];

	*id = 0;
	*len = 0;
	if (d->packed) {
		const uint8_t *p = driver_at(d, r->desc + 16u * r->seen);
		uint16_t flags =
			__atomic_load_n((const uint16_t *)(const void *)(p + 14), __ATOMIC_ACQUIRE);

		if (!(flags & 0x8000) == r->seen_wrap || !(flags & 0x0080) == r->seen_wrap)
			return false;
		*len = mf_load_le32(p + 8);
		*id = mf_load_le16(p + 12);
		r->seen = (uint16_t)(r->seen + r->slots[*id % r->size]);
		if (r->seen >= r->size) {
			r->seen = (uint16_t)(r->seen - r->size);
			r->seen_wrap = !r->seen_wrap;
		}
		return true;
	}
	if (r->seen == __atomic_load_n((const uint16_t *)(const void *)driver_at(d, r->used + 2),
				       __ATOMIC_ACQUIRE))
		return false;
	*id = (uint16_t)mf_load_le32(driver_at(d, r->used + 4 + 8u * (r->seen % r->size)));
	*len = mf_load_le32(driver_at(d, r->used + 8 + 8u * (r->seen % r->size)));
	r->seen++;
	return true;
}

/* When the driver wants to be told: after @slots more used ones; needs EVENT_IDX. */
static inline void driver_want_event(struct driver *d, unsigned queue, uint16_t slots)
{
	struct driver_ring *r = &d->q[queue];

	if (d->packed) {
		uint16_t at = (uint16_t)(r->seen + slots);
		bool wrap = r->seen_wrap;

		if (at >= r->size) {
			at = (uint16_t)(at - r->size);
			wrap = !wrap;
		}
		mf_store_le16(driver_at(d, r->avail), (uint16_t)(at | (wrap ? 0x8000 : 0)));
		mf_store_le16(driver_at(d, r->avail + 2), 2);
	} else {
		mf_store_le16(driver_at(d, r->avail + 4 + 2u * r->size),
			      (uint16_t)(r->seen + slots));
	}
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

/* Return: 0 or what mf_virtio_net_new() says */
static inline int driver_open(struct driver *d, const struct mf_virtio_net_options *opt, bool msix,
			      unsigned can)
{
	const struct mf_guest_region region = { .gpa = DRIVER_BASE, .size = DRIVER_RAM };
	struct mf_nic_host host = {
		.ctx = d,
		.memory = &d->mem,
		.frame_out_can = can,
		.frame_out = driver_frame_out,
		.set_line = driver_set_line,
		.send_message = msix ? driver_message : NULL,
		.receive_ready = driver_ready,
		.log = driver_log,
	};
	struct mf_guest_region r = region;
	int rc;

	memset(d, 0, sizeof(*d));
	d->take = true;
	d->ram = malloc(DRIVER_RAM);
	if (!d->ram)
		abort();
	memset(d->ram, 0, DRIVER_RAM);
	r.ptr = d->ram;
	rc = mf_guest_memory_set(&d->mem, &r, 1, NULL);
	if (!rc)
		rc = mf_virtio_net_new(opt, &host, &d->nic, NULL);
	if (rc)
		return rc;
	mf_nic_config_write(d->nic, MF_PCI_BAR(0), 0xc000, 4, 0);
	mf_nic_config_write(d->nic, MF_PCI_BAR(1), DRIVER_BAR, 4, 0);
	mf_nic_config_write(d->nic, MF_PCI_COMMAND, 7, 2, 0);
	return 0;
}

static inline void driver_close(struct driver *d)
{
	mf_nic_free(d->nic);
	free(d->ram);
}

/* MSI-X on, each vector at an address of its own: 0xfee00000 + 16 * vector, data 0x4000 + vector. */
static inline void driver_msix(struct driver *d, unsigned vectors)
{
	unsigned at = mf_nic_config_read(d->nic, MF_PCI_CAPABILITIES, 1, 0);

	for (unsigned i = 0; i < vectors; i++) {
		driver_write(d, MF_VIRTIO_AT_TABLE + 16 * i, 4, 0xfee00000 + 16 * i);
		driver_write(d, MF_VIRTIO_AT_TABLE + 16 * i + 8, 4, 0x4000 + i);
		driver_write(d, MF_VIRTIO_AT_TABLE + 16 * i + 12, 4, 0);
	}
	while (at && mf_nic_config_read(d->nic, at, 1, 0) != 0x11)
		at = mf_nic_config_read(d->nic, at + 1, 1, 0);
	mf_nic_config_write(d->nic, at + 2, 0x8000, 2, 0);
}

static inline enum mf_nic_received driver_receive(struct driver *d, const void *frame, size_t len)
{
	struct mf_span part = mf_span_of(frame, len);

	return mf_nic_receive(d->nic, &part, 1, len, NULL, d->now);
}

#endif
