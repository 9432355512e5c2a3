/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtqueue.h - the device's side of a virtqueue (virtio 1.2, 2.6 to 2.8): split and packed rings over guest memory
 *
 *	if (mf_virtq_begin(&q, mem) == 0) {
 *		while (budget-- && mf_virtq_pop(&q, &chain) == 1) {
 *			... the bytes of chain.piece[] ...
 *			mf_virtq_push(&q, &chain, written);
 *		}
 *		mf_virtq_publish(&q);
 *		if (mf_virtq_wants_interrupt(&q))
 *			...
 *	}
 *
 * Nothing that the driver writes is believed. Each index and each descriptor is read once, into memory of ours; every
 * address goes through the translator of guest memory; walks end after as many steps as a chain may have. What a buffer
 * holds may change at any moment, also under our hands: it may be anything (the ring itself, too), and no decision is
 * taken from it twice.
 *
 * What is wrong is counted (enum mf_virtq_error). An error of one chain leaves the chain in the driver's hands again,
 * with nothing written, and the queue goes on. An error of the ring itself (MF_VIRTQ_OUTSIDE, MF_VIRTQ_INDEX,
 * MF_VIRTQ_HEAD) breaks the queue, since nobody knows what comes next in it: it does nothing until it is set up anew, and
 * the device says DEVICE_NEEDS_RESET (2.1.2).
 *
 * Pointers into guest memory live from mf_virtq_begin() to the end of the call that made it, no longer: the map of guest
 * memory may be another one afterwards. Cost of a chain: its descriptors, no allocation. Little-endian hosts (bytes.h),
 * and little-endian guests where a legacy driver's "native" order counts.
 */
#ifndef MF_NIC_VIRTQUEUE_H
#define MF_NIC_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nic/guest_memory.h"

#define MF_VIRTQ_SIZE_MAX   1024 /* slots of a ring */
#define MF_VIRTQ_PIECES_MAX 1024 /* buffers of a chain, those of an indirect table included */

enum mf_virtq_error {
	MF_VIRTQ_OUTSIDE, /* a part of the ring is not in memory, or not aligned: broken */
	MF_VIRTQ_INDEX,	  /* more made available than the ring has slots: broken */
	MF_VIRTQ_HEAD, /* a chain that begins outside of the ring, or an id that cannot be: broken */
	MF_VIRTQ_NEXT, /* a chain that goes on outside of its table */
	MF_VIRTQ_LOOP, /* a chain longer than it may be */
	MF_VIRTQ_INDIRECT, /* an indirect table: not negotiated, empty, ragged, too long, inside another, not last */
	MF_VIRTQ_TABLE,	 /* an indirect table that is not in memory */
	MF_VIRTQ_ORDER,	 /* a buffer to read behind one to write */
	MF_VIRTQ_BUFFER, /* a buffer that is not in memory */
	MF_VIRTQ_LONG,	 /* buffers of 4 GiB together */
	MF_VIRTQ_ERROR_NUM
};

/** mf_virtq_error_name() - For logs and metrics: "ring_outside" ...; NULL for no error of this list */
const char *mf_virtq_error_name(enum mf_virtq_error error);

struct mf_virtq_piece {
	uint8_t *ptr; /* NULL only where @len is 0 */
	uint32_t len;
};

/* One request of the driver: what to read, then what may be written. */
struct mf_virtq_chain {
	uint16_t id;		      /* split: the head; packed: the buffer's id */
	uint16_t slots;		      /* of the ring */
	uint16_t read_cnt, write_cnt; /* pieces: those to read stand first */
	uint32_t read_len, write_len; /* bytes of either kind */
	struct mf_virtq_piece piece[MF_VIRTQ_PIECES_MAX];
};

/* What of a chain is needed to give it back. */
struct mf_virtq_used {
	uint16_t id, slots;
	uint32_t len;
};

/* Where the device is in a ring. */
struct mf_virtq_cursor {
	uint16_t avail;	 /* split: free-running; packed: the slot */
	bool avail_wrap; /* packed: the driver's wrap counter there */
	uint16_t seen;	 /* split: avail index read last */
};

struct mf_virtq {
	/* What the driver has set up; of these only @size, @packed, @event_idx and @indirect are looked at later. */
	uint64_t desc, driver,
		device; /* guest addresses: descriptors, avail ring, used ring (or the two event areas) */
	uint16_t size; /* slots; split: a power of two */
	bool packed, event_idx, indirect;
	bool enabled;

	bool broken;
	uint8_t broken_by; /* enum mf_virtq_error */
	struct mf_virtq_cursor at;
	uint16_t used;	      /* next to be used: as at.avail */
	bool used_wrap;	      /* packed */
	uint32_t news;	      /* slots used since wants_interrupt() was asked last */
	uint32_t first_flags; /* packed: of the first slot not published; above 0xffff: none */
	uint16_t first_slot;

	/* Between begin and the end of the work. */
	struct mf_guest_memory *mem;
	uint8_t *desc_ptr, *driver_ptr, *device_ptr;

	uint64_t errors[MF_VIRTQ_ERROR_NUM]; /* live through mf_virtq_reset() */
};

/** mf_virtq_reset() - An empty queue that is not enabled; its addresses are forgotten */
void mf_virtq_reset(struct mf_virtq *q);

/**
 * mf_virtq_begin() - Look the ring up in memory
 * Return: 0; MF_E_CLOSED if the queue is not enabled or broken; MF_E_BAD if it has been broken just now
 */
int mf_virtq_begin(struct mf_virtq *q, struct mf_guest_memory *mem);

/**
 * mf_virtq_pop() - The next chain
 * Return: 1; 0 if there is none now; MF_E_AGAIN if there was one with errors, which has been pushed with length 0; MF_E_BAD if
 * the queue is broken
 */
int mf_virtq_pop(struct mf_virtq *q, struct mf_virtq_chain *c);

/** mf_virtq_keep(), mf_virtq_rewind() - Chains popped since keep() were not taken after all: none may have been pushed since,
 * and each pop() must have returned 1 or 0 */
static inline struct mf_virtq_cursor mf_virtq_keep(const struct mf_virtq *q)
{
	return q->at;
}

static inline void mf_virtq_rewind(struct mf_virtq *q, struct mf_virtq_cursor at)
{
	uint16_t seen = q->at.seen;

	q->at = at;
	q->at.seen = seen;
}

/** mf_virtq_push() - Give a chain back, in any order; @u.len: bytes written from its first writable one on */
void mf_virtq_push(struct mf_virtq *q, struct mf_virtq_used u);

static inline struct mf_virtq_used mf_virtq_used_of(const struct mf_virtq_chain *c, uint32_t len)
{
	return (struct mf_virtq_used){ c->id, c->slots, len };
}

/** mf_virtq_publish() - Let the driver see what was pushed: all of it at once */
void mf_virtq_publish(struct mf_virtq *q);

/** mf_virtq_wants_interrupt() - Does the driver want to hear of what was published since it was asked last? (2.7.7, 2.8.10) */
bool mf_virtq_wants_interrupt(struct mf_virtq *q);

/**
 * mf_virtq_ask_kick() - Ask the driver to notify us of the next chain, or no longer (a hint)
 * Return: true if there are chains now: made available before the driver could see the wish
 */
bool mf_virtq_ask_kick(struct mf_virtq *q, bool want);

/** mf_virtq_read() - Copy up to @len bytes out of what is to be read, from byte @off of it; Return: bytes copied */
size_t mf_virtq_read(const struct mf_virtq_chain *c, size_t off, void *buf, size_t len);

/** mf_virtq_write() - Copy up to @len bytes into what may be written, at byte @off of it; Return: bytes copied */
size_t mf_virtq_write(const struct mf_virtq_chain *c, size_t off, const void *buf, size_t len);

#endif
