/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame_ring.h - frames through two rings in memory that is shared with whoever has the guest (Aero's NET_TX and NET_RX)
 *
 *	0	"AIPC" | version 1 | bytes in all | queues		32 bits each, little-endian
 *	16	kind | offset | capacity | 0				for each queue
 *	offset	head | reserved tail | committed tail | capacity	what the two sides tell each other
 *	+16	capacity bytes of records: length | bytes | padding to 4
 *
 * Cursors count bytes and wrap at 2^32. No record goes over the end: what is left there begins with 0xffffffff. One side
 * appends, one takes. NET_TX (2) carries what the guest sends, NET_RX (3) what it gets.
 *
 * The other side may be hostile. Layout and capacities are read once; our own cursors are never read back; a frame is copied out
 * before it is looked at. A cursor that cannot be, or a record that reaches beyond what was committed, ends the wire:
 * mf_frame_source_run() says MF_E_SYNTAX from then on. A ring without room drops the frame, and counts it.
 *
 * There is no descriptor: the owner runs the source when it was told that there is something (or by time), and tells the other
 * side by ops.kick. One thread for each source; the other side may be any other thread or process.
 */
#ifndef MF_NIC_FRAME_RING_H
#define MF_NIC_FRAME_RING_H

#include "core/base/err.h"
#include "nic/frame_source.h"

#define MF_RING_FRAME_MAX 2048u	       /* unless options say otherwise */
#define MF_RING_CAPACITY  (512u << 10) /* what Aero gives each of the two */

enum mf_ring_kind { MF_RING_NET_TX = 2, MF_RING_NET_RX = 3 };

struct mf_frame_ring_options {
	size_t size;	    /* of this struct */
	uint32_t frame_max; /* longer ones are dropped, in both directions */
	bool guest_side; /* take from NET_RX and append to NET_TX; otherwise the network's side */
	/* What was appended can be seen: called from flush(); may be NULL */
	void (*kick)(void *ctx);
	void *ctx;
};

/**
 * mf_frame_ring_new() - A source on memory that is laid out
 * @mem: aligned to 4 bytes, borrowed until the source is freed; mapped in full
 * @len: its bytes, all that is ever touched
 * Return: 0; MF_E_NOT_MINE: no such header, MF_E_BAD: a layout that cannot be, MF_E_UNSUPPORTED: a capacity that is no power of
 *         two (cursors would not wrap together with it), MF_E_LIMIT: too small for two frames, MF_E_NOENT: no such rings,
 *         MF_E_INVAL, MF_E_NOMEM
 */
int mf_frame_ring_new(const struct mf_frame_ring_options *options, void *mem, size_t len,
		      struct mf_frame_source **ret, struct mf_err *err);

/**
 * mf_frame_ring_format() - Lay memory out with both rings, empty
 * @capacity: bytes of each, a power of two
 * Return: 0, MF_E_INVAL: not that, or @len is too small (mf_frame_ring_room())
 */
int mf_frame_ring_format(void *mem, size_t len, uint32_t capacity);

/** mf_frame_ring_room() - Return: bytes that mf_frame_ring_format() wants */
size_t mf_frame_ring_room(uint32_t capacity);

#endif
