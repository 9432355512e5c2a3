/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame_source.h - one guest's end of a wire: Ethernet frames in and out, whatever carries them
 *
 *	source->receiver = take_frame, source->ctx = guest;
 *	...                                               // whenever source->fd is readable, or a device was kicked:
 *	n = mf_frame_source_run(source, 64);              // at most so many frames go to the receiver
 *	mf_frame_source_send(source, head, 14, body, len) // queues; nothing blocks
 *	mf_frame_source_flush(source);                    // at the end of a turn; then look at wants_write
 *
 * Frames are whole, without FCS, MF_FRAME_MIN to MF_FRAME_MAX bytes. A source has no thread, no loop and no clock: who owns
 * it waits for its descriptor and bounds each turn. What finds no room is dropped and counted, as on any wire.
 *
 * Implementations: frame_socket.h (QEMU's stream and datagram sockets, those of macOS' hypervisors), frame_tap_linux.h,
 * frame_l2.h (messages of a WebSocket), frame_ring.h (shared memory).
 */
#ifndef MF_NIC_FRAME_SOURCE_H
#define MF_NIC_FRAME_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_FRAME_MIN 14u    /* header alone */
#define MF_FRAME_MAX 69632u /* what QEMU accepts; hypervisors with offloads send 64 KiB */

struct mf_frame_source;

struct mf_frame_ops {
	const char *name;
	/* See the functions below. */
	int (*run)(struct mf_frame_source *s, unsigned max);
	int (*send)(struct mf_frame_source *s, const uint8_t *head, size_t head_len,
		    const uint8_t *body, size_t body_len);
	void (*flush)(struct mf_frame_source *s);
	void (*free)(struct mf_frame_source *s);
};

/* Since the beginning. */
struct mf_frame_stats {
	uint64_t in, in_bytes;	 /* that went to the receiver */
	uint64_t out, out_bytes; /* that were queued */
	uint64_t out_dropped;	 /* that found no room, or nobody to take them */
	uint64_t in_bad;	 /* too short or too long for a frame */
};

/* Implementations put it first into a struct of their own. */
struct mf_frame_source {
	const struct mf_frame_ops *ops;
	int fd; /* readable when run() has something to do; -1: a device model, which is kicked */
	bool wants_write; /* something waits until the descriptor can be written to: flush() then */
	size_t waiting; /* bytes that do, or that flush() was not called for yet; 0 where nothing ever waits here */
	/* Set by the owner. @frame may be written to until it returns, and is gone then. */
	void (*receiver)(void *ctx, uint8_t *frame, size_t len);
	/* Set by the owner, may be NULL: what comes from now on is another machine's, in the place of the one that was here */
	void (*replaced)(void *ctx);
	void *ctx;
	/*
	 * Set by implementations whose peer can be replaced unseen: look whether it was, and tell the owner. Costs a system call; for a
	 * receiver that sees a frame which its machine would not send. NULL: it cannot
	 */
	bool (*look)(struct mf_frame_source *s);
	struct mf_frame_stats stats;
};

/**
 * mf_frame_source_run() - Take what has come, at most @max frames
 * Return: frames taken, 0: nothing there now; MF_E_CLOSED: the peer has gone; MF_E_SYNTAX: what it sends are no frames
 */
static inline int mf_frame_source_run(struct mf_frame_source *s, unsigned max)
{
	return s->ops->run(s, max);
}

/** mf_frame_source_send() - Queue a frame of two pieces. Return: 0; MF_E_AGAIN: no room, dropped; MF_E_LIMIT: too long */
static inline int mf_frame_source_send(struct mf_frame_source *s, const uint8_t *head,
				       size_t head_len, const uint8_t *body, size_t body_len)
{
	return s->ops->send(s, head, head_len, body, body_len);
}

/** mf_frame_source_flush() - Let go what was queued, as far as there is room */
static inline void mf_frame_source_flush(struct mf_frame_source *s)
{
	s->ops->flush(s);
}

/** mf_frame_source_look() - Whether another machine has come in the meantime; then replaced() was called */
static inline bool mf_frame_source_look(struct mf_frame_source *s)
{
	return s->look && s->look(s);
}

/** mf_frame_source_free() - Closes the descriptor; NULL is fine */
static inline void mf_frame_source_free(struct mf_frame_source *s)
{
	if (s)
		s->ops->free(s);
}

#endif
