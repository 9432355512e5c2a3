/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reassemble.h - whole IP packets from fragments (RFC 791 3.2, RFC 8200 4.5), for readers that need a datagram's payload
 *
 * Fragments may come in any order. Exact repeats are ignored; fragments that overlap otherwise make their datagram
 * worthless, for both families (RFC 5722: no end agrees with another about which bytes count), and so does one that
 * reaches past the last.
 *
 * Bounds: datagrams_max datagrams at once, bytes_max bytes in them, timeout_ns for each. When one of the first two is
 * reached the oldest datagram goes, and is counted. A look-up costs one pass over the datagrams with the same hash.
 */
#ifndef MF_PACKET_REASSEMBLE_H
#define MF_PACKET_REASSEMBLE_H

#include "core/packet/view.h"

/* Zero means the default. */
struct mf_reassembler_options {
	uint32_t datagrams_max; /* 256 */
	uint32_t bytes_max;	/* 4 MiB */
	uint64_t timeout_ns;	/* 30 s */
};

struct mf_reassembler_stats {
	uint64_t fragments, whole; /* taken in; packets that became whole */
	uint64_t timeouts, evicted, overlaps, malformed;
	uint32_t datagrams, bytes; /* now */
};

struct mf_reassembler;

/** mf_reassembler_new() - @options: may be NULL; Return: NULL without memory */
struct mf_reassembler *mf_reassembler_new(const struct mf_reassembler_options *options);
void mf_reassembler_free(struct mf_reassembler *r);

/**
 * mf_reassembler_add() - One fragment
 * @v:   read to MF_VIEW_NET at least, with MF_VIEW_F_FRAG
 * @ret: where the packet is whole: without link header, its checksum and length right, valid until the next call
 * Return: 1 with *ret; 0: kept, or a repeat; MF_E_BAD: it and its datagram are worthless; MF_E_NOMEM
 */
int mf_reassembler_add(struct mf_reassembler *r, const struct mf_view *v, uint64_t now_ns,
		       struct mf_span *ret);

/** mf_reassembler_expire() - Let go what has waited too long, as each fragment does; for who hears of none. NULL is fine */
void mf_reassembler_expire(struct mf_reassembler *r, uint64_t now_ns);

void mf_reassembler_get_stats(const struct mf_reassembler *r, struct mf_reassembler_stats *ret);

#endif
