/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - the bytes of one direction of a TCP connection, in order, from segments that come as they like
 *
 *	mf_stream_begin(&s, isn + 1, 65536);
 *	mf_stream_add(&s, seq, payload);
 *	ready = mf_stream_ready(&s);             // from the first byte that was not consumed, without holes
 *	mf_stream_consume(&s, n);
 *
 * Where segments overlap with different bytes the first ones stay, and @disagreed says so: what the receiver took cannot
 * be known. Bytes more than the window beyond the first that was not consumed are not kept (MF_E_FULL).
 */
#ifndef MF_PACKET_STREAM_H
#define MF_PACKET_STREAM_H

#include <stdbool.h>

#include "core/base/span.h"

#define MF_STREAM_RANGES_MAX \
	16 /* runs of bytes with holes between them; more are dropped: MF_E_LIMIT */

struct mf_stream {
	uint8_t *buf;
	uint32_t room;	 /* of @buf */
	uint32_t window; /* most that it may become */
	uint32_t base;	 /* sequence number of buf[0] */
	uint8_t range_cnt;
	bool disagreed;
	struct {
		uint32_t from, to; /* offsets in @buf, sorted, not touching */
	} ranges[MF_STREAM_RANGES_MAX];
};

/** mf_stream_begin() - @seq: of the first byte (behind the SYN); allocates nothing */
void mf_stream_begin(struct mf_stream *s, uint32_t seq, uint32_t window);
void mf_stream_done(struct mf_stream *s);

/** mf_stream_add() - The payload of a segment with sequence number @seq (of its first payload byte)
 * Return: 0; MF_E_FULL (all or part of it lies outside of the window), MF_E_LIMIT (too many holes), MF_E_NOMEM */
int mf_stream_add(struct mf_stream *s, uint32_t seq, struct mf_span payload);

/** mf_stream_ready() - Bytes that can be read now; valid until the next call that is not this one */
struct mf_span mf_stream_ready(const struct mf_stream *s);

/** mf_stream_consume() - @n: at most what is ready */
void mf_stream_consume(struct mf_stream *s, uint32_t n);

/** mf_stream_has_holes() - Bytes are there that cannot be read yet */
bool mf_stream_has_holes(const struct mf_stream *s);

/** mf_stream_next() - The sequence number behind what is ready */
uint32_t mf_stream_next(const struct mf_stream *s);

#endif
