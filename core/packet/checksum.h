/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checksum.h - the internet checksum: full (RFC 1071) and incremental (RFC 1624), in place
 *
 * Sums. A running sum is 64 bits wide and counts 16-bit words as they lie in memory; RFC 1071 section 2 (B) shows that
 * the byte order does not matter until the end. mf_csum_fold() ends it: the result is a number in host order, to be
 * stored with mf_store_be16(). Pieces that are summed one after the other must begin at even offsets.
 *
 * Zero and all ones. Both are zero in ones' complement. A header with its checksum filled in by these functions never
 * holds 0xffff except UDP, where a computed 0 is sent as 0xffff because 0 means "none" (RFC 768); over IPv6 UDP 0 is
 * illegal (RFC 8200 8.1). (An ICMP segment of zeros alone is the other exception, its checksum is 0xffff.) Incremental updates keep to the same rules, keep "none" none, and keep a wrong checksum wrong:
 * damage from elsewhere is never hidden.
 *
 * Offload. A packet from a virtual device may carry the pseudo header's sum alone (not complemented), to be finished by
 * whoever sends it (virtio_net_hdr NEEDS_CSUM, CHECKSUM_PARTIAL). enum mf_csum_kind tells the functions what they see.
 */
#ifndef MF_PACKET_CHECKSUM_H
#define MF_PACKET_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/packet/flow.h"

struct mf_view;

/* What the transport checksum field of a packet holds. */
enum mf_csum_kind {
	MF_CSUM_FULL,	 /* a checksum over everything */
	MF_CSUM_PARTIAL, /* the folded sum of the pseudo header, not complemented */
	MF_CSUM_ABSENT,	 /* nothing of worth: somebody computes all of it later */
};

/* What mf_csum_verify() found. */
enum mf_csum_state {
	MF_CSUM_GOOD,
	MF_CSUM_BAD,
	MF_CSUM_NONE,	 /* UDP over IPv4 without a checksum, or a protocol that has none here */
	MF_CSUM_UNKNOWN, /* cannot be told from this packet alone: fragments, source routes, quotes */
};

/** mf_csum_add() - Add @len bytes to a running sum; an odd last byte counts as if a zero followed */
uint64_t mf_csum_add(uint64_t sum, const void *ptr, size_t len);

/* Ones' complement sum of two running sums: no carry is lost. */
static inline uint64_t mf_csum_join(uint64_t a, uint64_t b)
{
	uint64_t s = a + b;

	return s + (s < a);
}

static inline uint64_t mf_csum_add_be16(uint64_t sum, uint16_t v)
{
	return mf_csum_join(sum, __builtin_bswap16(v));
}

static inline uint64_t mf_csum_add_be32(uint64_t sum, uint32_t v)
{
	return mf_csum_join(sum, __builtin_bswap32(v));
}

/** mf_csum_fold() - End a running sum; Return: the 16-bit sum in host order, not complemented; 0 only if all was 0 */
static inline uint16_t mf_csum_fold(uint64_t sum)
{
	uint32_t s;

	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	s = (uint32_t)sum;
	s = (s >> 16) + (s & 0xffff);
	s = (s >> 16) + (s & 0xffff);
	return __builtin_bswap16((uint16_t)s);
}

/** mf_csum_pseudo() - Sum of the pseudo header (RFC 9293 3.1, 768, 8200 8.1)
 * @flow: addresses and protocol
 * @len:  bytes of transport header and payload */
uint64_t mf_csum_pseudo(const struct mf_flow *flow, uint32_t len);

/** mf_csum_ip4_header() - The checksum that belongs into an IPv4 header of @len bytes (its own field counts as 0) */
uint16_t mf_csum_ip4_header(const uint8_t *header, size_t len);

/**
 * mf_csum_transport() - The checksum that belongs into a transport header
 * @flow:    addresses and protocol: TCP, UDP, ICMP or ICMPv6
 * @segment: header and payload; the checksum field counts as 0
 * Return: the value to store; for UDP never 0; 0 as well for a protocol without a checksum known here
 */
uint16_t mf_csum_transport(const struct mf_flow *flow, const uint8_t *segment, size_t len);

/* Where the checksum field stands in the transport header of @proto; -1 for a protocol not known here. */
static inline int mf_csum_field(uint8_t proto)
{
	return proto == MF_PROTO_TCP				    ? 16
	       : proto == MF_PROTO_UDP				    ? 6
	       : proto == MF_PROTO_ICMP || proto == MF_PROTO_ICMPV6 ? 2
								    : -1;
}

/*
 * A difference between old and new bytes, to be applied to any number of checksums that cover them:
 * the terms ~m + m' of RFC 1624 equation 3, summed.
 */
static inline uint64_t mf_csum_diff16(uint64_t diff, uint16_t old, uint16_t now)
{
	return diff + (uint16_t)~__builtin_bswap16(old) + __builtin_bswap16(now);
}

/** mf_csum_diff() - The same for @len bytes (even) */
static inline uint64_t mf_csum_diff(uint64_t diff, const uint8_t *old, const uint8_t *now,
				    size_t len)
{
	for (; len >= 4; len -= 4, old += 4, now += 4) {
		uint32_t a, b;

		memcpy(&a, old, 4);
		memcpy(&b, now, 4);
		diff += (uint64_t)(uint32_t)~a + b;
	}
	if (len) {
		uint16_t a, b;

		memcpy(&a, old, 2);
		memcpy(&b, now, 2);
		diff += (uint64_t)(uint16_t)~a + b;
	}
	return diff;
}

/** mf_csum_update() - Apply a difference to a checksum: HC' = ~(~HC + ~m + m') (RFC 1624 equation 3)
 * Return: the new value; 0xffff becomes 0 (the same number), no result is 0xffff */
static inline uint16_t mf_csum_update(uint16_t check, uint64_t diff)
{
	return diff ? (uint16_t)~mf_csum_fold(mf_csum_add_be16(diff, (uint16_t)~check)) : check;
}

/** mf_csum_update_udp() - The same with UDP's rules: 0 stays 0 ("none"), a computed 0 becomes 0xffff */
static inline uint16_t mf_csum_update_udp(uint16_t check, uint64_t diff)
{
	uint16_t c;

	if (!check)
		return 0;
	c = mf_csum_update(check, diff);
	return c ? c : 0xffff;
}

/** mf_csum_update_partial() - The same for MF_CSUM_PARTIAL: only differences of the pseudo header count */
static inline uint16_t mf_csum_update_partial(uint16_t check, uint64_t diff)
{
	return diff ? mf_csum_fold(mf_csum_add_be16(diff, check)) : check;
}

/** mf_csum_verify_ip4() - Is the IPv4 header's checksum right? NONE for other packets. @v read to MF_VIEW_NET */
enum mf_csum_state mf_csum_verify_ip4(const struct mf_view *v);

/** mf_csum_verify() - Is the transport checksum right? @v read to MF_VIEW_TRANSPORT; cost: one pass over the payload */
enum mf_csum_state mf_csum_verify(const struct mf_view *v);

/**
 * mf_csum_fill() - Compute all checksums of a packet in place
 * @v:    read to MF_VIEW_TRANSPORT
 * @pkt:  the bytes that @v reads, writable
 * @kind: MF_CSUM_FULL; MF_CSUM_PARTIAL stores the pseudo header's sum in TCP and UDP
 * UDP over IPv4 without a checksum gets one. Return: 0; MF_E_UNSUPPORTED where the packet does not hold all that is
 * summed (fragments, quotes) or says not enough (source routes): the IPv4 header's checksum is then filled in alone
 */
int mf_csum_fill(const struct mf_view *v, uint8_t *pkt, enum mf_csum_kind kind);

#endif
