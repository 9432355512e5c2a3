/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nic.h - a network card as an emulator sees it: PCI, registers, guest memory, an interrupt, frames in and out, a clock
 *
 * A model's own header has its constructor (mf_e1000_new()); all else goes through the functions here:
 *
 *	struct mf_nic_host host = { .memory = &guest, .frame_out = ..., .set_line = ..., .ctx = ... };
 *
 *	mf_e1000_new(&options, &host, &nic, &err);
 *	mf_nic_config_write(nic, off, value, size, now);	the guest's accesses, as the emulator decodes them
 *	value = mf_nic_bar_read(nic, bar, off, size, now);
 *	rc = mf_nic_receive(nic, &part, 1, len, NULL, now);	a frame from the network to the guest
 *	mf_nic_tick(nic, now);					when mf_nic_deadline(nic) has come
 *
 * Threads: none here. One thread at a time uses a device (and the struct mf_guest_memory below it). The guest's processors
 * may run meanwhile: the memory of the guest is never trusted to stay as it was read.
 * Callbacks come from inside these functions, on the caller's thread. They must not call back into the same device, but for
 * mf_nic_hold(), and must not change the regions of its memory.
 * Memory: all of it is taken in the constructor. Determinism: the same calls with the same times give the same callbacks.
 * Time: @now_ns is the caller's clock, in nanoseconds, and never runs backwards; where it does, it counts as standing still.
 * Guests are hostile: whatever a guest writes is counted (enum mf_nic_count) and survived. Work in one call is bounded; what
 * is left is done at mf_nic_deadline(), which then is the time of the call itself.
 */
#ifndef MF_NIC_NIC_H
#define MF_NIC_NIC_H

#include "core/base/printf.h"
#include "nic/guest_memory.h"
#include "nic/pci.h"

struct mf_nic;

/* ---- offloads: what a frame still wants done, or has had done ---- */

enum mf_nic_csum {
	MF_NIC_CSUM_NONE, /* nothing is known: the frame's checksums stand in it, to be checked by whoever cares */
	MF_NIC_CSUM_PARTIAL, /* the sum from @csum_start to the end is still to be stored at @csum_start + @csum_offset, where the
				pseudo header's sum stands already (not complemented), as virtio's NEEDS_CSUM */
	MF_NIC_CSUM_VALID,   /* the transport checksum is good; only to a device */
};

enum mf_nic_gso { MF_NIC_GSO_NONE, MF_NIC_GSO_TCP4, MF_NIC_GSO_TCP6 };

/*
 * Offsets in bytes from the frame's beginning (its destination address). With @gso the frame holds one header and up to 64 KiB
 * of payload that goes out as TCP segments of @gso_size payload each; @csum is then PARTIAL. The IP total length of such a
 * frame counts all of it (0 where it is longer than 65,535).
 */
struct mf_nic_offload {
	uint8_t csum;	      /* enum mf_nic_csum */
	uint8_t gso;	      /* enum mf_nic_gso */
	uint16_t net_start;   /* the IP header; with @gso */
	uint16_t csum_start;  /* the transport header; with PARTIAL */
	uint16_t csum_offset; /* of the checksum in it */
	uint16_t gso_size;    /* payload bytes a segment */
	uint16_t header_len;  /* all headers up to the payload; with @gso */
};

/* What the taker of a frame can be given unfinished, as bits. */
#define MF_NIC_CAN_CSUM 1u /* MF_NIC_CSUM_PARTIAL */
#define MF_NIC_CAN_TSO4 2u /* MF_NIC_GSO_TCP4; with CAN_CSUM only */
#define MF_NIC_CAN_TSO6 4u

/* ---- the host's side ---- */

#define MF_NIC_PARTS_MAX 272 /* of one frame that comes out */

struct mf_nic_host {
	void *ctx;			/* first argument of each callback */
	struct mf_guest_memory *memory; /* the host's; outlives the device */
	unsigned
		frame_out_can; /* MF_NIC_CAN_... of frame_out(): all else comes finished (offload.h) */

	/*
	 * A frame of the guest, @len bytes without preamble and FCS in @cnt parts (some may point into guest memory: they are
	 * good only during the call, and the guest may change them meanwhile). @offload is never NULL.
	 * Return: false: it could not be taken, and is lost (counted). To lose none, mf_nic_hold() before.
	 */
	bool (*frame_out)(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
			  const struct mf_nic_offload *offload);
	/* The interrupt line has changed to @level (asserted: true). COMMAND's INTx disable is applied already. */
	void (*set_line)(void *ctx, bool level);
	/* A message signalled interrupt: the emulator stores @data to @address; may be NULL for devices without. */
	void (*send_message)(void *ctx, uint64_t address, uint32_t data);
	/* After MF_NIC_NO_BUFFER: there may be room again. May be NULL. */
	void (*receive_ready)(void *ctx);
	/* One sentence about what is odd, at most once for each kind of thing; may be NULL. */
	void (*log)(void *ctx, const char *text);
};

/* ---- what has been counted ---- */

enum mf_nic_count {
	MF_NIC_TX_FRAMES, /* handed to frame_out(), segments counted as they leave */
	MF_NIC_TX_BYTES,
	MF_NIC_TX_LOST, /* frame_out() would not take them */
	MF_NIC_TX_BAD, /* frames of lengths that no wire has, or with more pieces than MF_NIC_PARTS_MAX */
	MF_NIC_RX_FRAMES, /* into guest memory */
	MF_NIC_RX_BYTES,
	MF_NIC_RX_NO_BUFFER, /* answers MF_NIC_NO_BUFFER */
	MF_NIC_RX_FILTERED,  /* not for this card */
	MF_NIC_RX_BAD, /* frames of lengths that no wire has, or that fit into none of the guest's buffers */
	MF_NIC_BAD_RING,       /* ring outside memory, lengths or indexes that cannot be */
	MF_NIC_BAD_DESCRIPTOR, /* descriptors that point outside memory, loop, or cannot be */
	MF_NIC_BAD_OFFLOAD,    /* offloads that do not fit the frame */
	MF_NIC_BAD_ACCESS,     /* to no register, of a wrong size or alignment, or not decoded */
	MF_NIC_NO_BUS_MASTER, /* work that was there, but COMMAND forbids the device to touch memory */
	MF_NIC_COUNT_NUM
};

/** mf_nic_count_name() - "tx_frames" ... as in metrics; static storage */
const char *mf_nic_count_name(enum mf_nic_count count);

/* ---- the device's side ---- */

enum mf_nic_received {
	MF_NIC_TAKEN,	   /* in the guest's memory, or in the device */
	MF_NIC_NO_BUFFER,  /* the guest has given none: keep it until receive_ready(), or drop it */
	MF_NIC_NOT_FOR_IT, /* a filter has dropped it */
	MF_NIC_REFUSED,	   /* no such frame can be received, or the device is off: drop it */
};

/*
 * What a model fills in; functions that are not said to be optional must be there. Callers use the inline functions below.
 * A model embeds struct mf_nic as its first member and calls mf_nic_init() in its constructor.
 */
struct mf_nic_ops {
	const char *name; /* "e1000" */
	void (*free)(struct mf_nic *nic);
	/* As after power-on (the bus reset): registers, rings, configuration space; links and MAC address stay. */
	void (*reset)(struct mf_nic *nic);
	/* NULL: mf_pci_read() and mf_pci_write(). */
	uint32_t (*config_read)(struct mf_nic *nic, unsigned off, unsigned size, uint64_t now_ns);
	void (*config_write)(struct mf_nic *nic, unsigned off, uint32_t value, unsigned size,
			     uint64_t now_ns);
	/* After any write to the configuration space (BUS_MASTER, INTX_DISABLE may have changed); optional. */
	void (*config_changed)(struct mf_nic *nic, uint64_t now_ns);
	/* @size 1, 2, 4 or 8, @off a multiple of it, inside the BAR, which is decoded: checked by mf_nic_bar_...(). */
	uint64_t (*bar_read)(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size,
			     uint64_t now_ns);
	void (*bar_write)(struct mf_nic *nic, unsigned bar, uint64_t off, uint64_t value,
			  unsigned size, uint64_t now_ns);
	enum mf_nic_received (*receive)(struct mf_nic *nic, const struct mf_span *parts,
					unsigned cnt, size_t len,
					const struct mf_nic_offload *offload, uint64_t now_ns);
	/* MF_NIC_CAN_... that receive() takes now (the guest's driver has agreed to); NULL: none. */
	unsigned (*receive_can)(const struct mf_nic *nic);
	void (*tick)(struct mf_nic *nic, uint64_t now_ns);
	uint64_t (*deadline)(const struct mf_nic *nic);
	/* The cable is plugged or pulled. */
	void (*set_link)(struct mf_nic *nic, bool up, uint64_t now_ns);
	/* @ptr NULL: the length that it would have. */
	size_t (*save)(const struct mf_nic *nic, void *ptr, size_t cap);
	int (*restore)(struct mf_nic *nic, const void *ptr, size_t len, struct mf_err *err);
};

struct mf_nic {
	const struct mf_nic_ops *ops;
	struct mf_nic_host host;
	struct mf_pci pci;
	uint64_t counts[MF_NIC_COUNT_NUM];
	uint64_t noticed; /* kinds of things that log() was told, a bit each */
	bool held;	  /* mf_nic_hold() */
	bool line;	  /* what set_line() was told last */
};

/** mf_nic_init() - For constructors: copies @host; @nic must be zeroed, and its @pci is filled by the model afterwards */
void mf_nic_init(struct mf_nic *nic, const struct mf_nic_ops *ops, const struct mf_nic_host *host);

/** mf_nic_free() - End a device; the line is lowered first; NULL is fine */
void mf_nic_free(struct mf_nic *nic);

/** mf_nic_set_line() - For models: the line as their causes want it; INTx disable is applied here, and only changes go out */
void mf_nic_set_line(struct mf_nic *nic, bool asserted);

/**
 * mf_nic_notice() - For models: tell log() once
 * @kind: 0 to 63, the model's own numbering: a second call with the same one says nothing
 */
void mf_nic_notice(struct mf_nic *nic, unsigned kind, const char *fmt, ...) MF_PRINTF(3, 4);

/* For models: may the device touch guest memory? Counts where not. */
static inline bool mf_nic_may_dma(struct mf_nic *nic)
{
	if (mf_pci_command(&nic->pci) & MF_PCI_COMMAND_BUS_MASTER)
		return true;
	nic->counts[MF_NIC_NO_BUS_MASTER]++;
	return false;
}

/* ---- what an emulator calls ---- */

/** mf_nic_config_read() - Read @size (1, 2, 4) bytes of the configuration space; Return: them, all ones outside */
uint32_t mf_nic_config_read(struct mf_nic *nic, unsigned off, unsigned size, uint64_t now_ns);
void mf_nic_config_write(struct mf_nic *nic, unsigned off, uint32_t value, unsigned size,
			 uint64_t now_ns);

/**
 * mf_nic_bar_read() - Read @size (1, 2, 4 or 8) bytes at @off of a BAR
 * Outside of the BAR, misaligned, of another size, or while COMMAND does not decode that space: all ones, and counted.
 */
uint64_t mf_nic_bar_read(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size,
			 uint64_t now_ns);
/** mf_nic_bar_write() - Write; where reading would give all ones, nothing happens (counted) */
void mf_nic_bar_write(struct mf_nic *nic, unsigned bar, uint64_t off, uint64_t value, unsigned size,
		      uint64_t now_ns);

static inline void mf_nic_reset(struct mf_nic *nic)
{
	nic->ops->reset(nic);
}

/**
 * mf_nic_receive() - A frame to the guest
 * @parts:   @len bytes in all, without FCS
 * @offload: what is known of it or unfinished in it; NULL: nothing. Only what mf_nic_receive_can() says
 * Return: enum mf_nic_received. Nothing of @parts is kept
 */
static inline enum mf_nic_received mf_nic_receive(struct mf_nic *nic, const struct mf_span *parts,
						  unsigned cnt, size_t len,
						  const struct mf_nic_offload *offload,
						  uint64_t now_ns)
{
	static const struct mf_nic_offload nothing;

	return nic->ops->receive(nic, parts, cnt, len, offload ? offload : &nothing, now_ns);
}

static inline unsigned mf_nic_receive_can(const struct mf_nic *nic)
{
	return nic->ops->receive_can ? nic->ops->receive_can(nic) : 0;
}

/** mf_nic_tick() - Do what is due: timers, work that was left. Any time is fine */
static inline void mf_nic_tick(struct mf_nic *nic, uint64_t now_ns)
{
	nic->ops->tick(nic, now_ns);
}

/** mf_nic_deadline() - When mf_nic_tick() is wanted next; UINT64_MAX: not at all; in the past: at once. Ask after every call */
static inline uint64_t mf_nic_deadline(const struct mf_nic *nic)
{
	return nic->ops->deadline(nic);
}

/** mf_nic_hold() - While held the device begins no frame of the guest; after the release it goes on with the next mf_nic_tick() */
static inline void mf_nic_hold(struct mf_nic *nic, bool held)
{
	nic->held = held;
}

static inline void mf_nic_set_link(struct mf_nic *nic, bool up, uint64_t now_ns)
{
	nic->ops->set_link(nic, up, now_ns);
}

/** mf_nic_save() - Write a snapshot (snapshot.h); Return: its length; 0: more than @cap. @ptr NULL: the length it would have */
static inline size_t mf_nic_save(const struct mf_nic *nic, void *ptr, size_t cap)
{
	return nic->ops->save(nic, ptr, cap);
}

/**
 * mf_nic_restore() - Become the device of a snapshot; guest memory must be that of the snapshot before the device is used again
 * Times in it are relative, so the clock may be another. Return: 0; MF_E_BAD, MF_E_UNSUPPORTED: refused, with a sentence; the
 * device is then as it was before. set_line() is told where the line differs.
 */
static inline int mf_nic_restore(struct mf_nic *nic, const void *ptr, size_t len,
				 struct mf_err *err)
{
	return nic->ops->restore(nic, ptr, len, err);
}

#endif
