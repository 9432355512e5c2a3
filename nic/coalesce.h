/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coalesce.h - TCP packets that follow one another become one large packet again, as network cards do it on reception (pure)
 *
 *	mf_coalesce_add(&c, pkt, len, done, ctx);   // for each packet of a turn
 *	mf_coalesce_flush(&c, done, ctx);           // at its end: nothing waits for another turn
 *
 * One packet after another of the same connection is joined while only the sequence number and IPv4's identification go on and
 * everything else in the headers is the same; what is not such a packet goes through as it is, and what was begun goes before it.
 * Order is kept, also among connections. Whether checksums are right is not looked at: who takes the packets looks, or does not,
 * as for any other.
 *
 * Cost: a copy of each payload. A struct is reused and needs no clean-up.
 */
#ifndef MF_NIC_COALESCE_H
#define MF_NIC_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_COALESCE_MAX 65535u /* bytes of a packet, IP header included */

struct mf_coalesced {
	uint8_t *ptr; /* the IP packet; may be written to until the callback returns */
	size_t len;
	uint16_t
		segment; /* payload bytes of the packets that it was, the last one may have had fewer; 0: it is one packet, as it came */
	uint16_t csum_start; /* of the TCP header; where @segment is not 0 */
};

typedef void (*mf_coalesce_fn)(void *ctx, const struct mf_coalesced *pkt);

struct mf_coalesce {
	size_t len, head; /* of what was begun; 0: nothing */
	uint16_t segment, cnt;
	uint32_t next_seq;
	uint8_t buf[MF_COALESCE_MAX];
};

/** mf_coalesce_init() - Nothing begun */
static inline void mf_coalesce_init(struct mf_coalesce *c)
{
	c->len = 0;
	c->cnt = 0;
}

/** mf_coalesce_add() - @pkt: an IP packet, all of it; @done may be called up to twice */
void mf_coalesce_add(struct mf_coalesce *c, uint8_t *pkt, size_t len, mf_coalesce_fn done,
		     void *ctx);

/** mf_coalesce_flush() - Let go what was begun, if anything */
void mf_coalesce_flush(struct mf_coalesce *c, mf_coalesce_fn done, void *ctx);

#endif
