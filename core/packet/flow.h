/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - the five values that name a flow, packed so that a packet's flow is hashed and compared as five words
 *
 * A flow has a direction: from @src to @dst. A packet of the other direction carries mf_flow_reverse() of it.
 */
#ifndef MF_PACKET_FLOW_H
#define MF_PACKET_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/base/hash.h"

enum {
	MF_PROTO_HOPOPT = 0,
	MF_PROTO_ICMP = 1,
	MF_PROTO_TCP = 6,
	MF_PROTO_UDP = 17,
	MF_PROTO_ROUTING = 43,
	MF_PROTO_FRAGMENT = 44,
	MF_PROTO_ESP = 50,
	MF_PROTO_AH = 51,
	MF_PROTO_ICMPV6 = 58,
	MF_PROTO_NONE = 59,
	MF_PROTO_DSTOPTS = 60,
	MF_PROTO_MOBILITY = 135,
	MF_PROTO_HIP = 139,
	MF_PROTO_SHIM6 = 140,
};

/* 40 bytes without holes: may be compared with memcmp() and hashed as bytes. */
struct mf_flow {
	uint8_t src[16]; /* network order; family 4 uses the first 4, the rest is zero */
	uint8_t dst[16];
	/* Host order. TCP and UDP: ports; ICMP echo: the identifier, in both; else 0. */
	uint16_t src_port;
	uint16_t dst_port;
	uint8_t proto; /* MF_PROTO_...: what stands behind all extension headers */
	uint8_t family; /* 4 or 6, as on the wire: a mapped address in an IPv6 packet stays family 6 here */
	uint16_t zero;
};

_Static_assert(sizeof(struct mf_flow) == 40, "a flow is five 64-bit words");

static inline bool mf_flow_eq(const struct mf_flow *a, const struct mf_flow *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/**
 * mf_flow_fill() - A flow from what stands in a packet, in whole words: what was stored in pieces and is read in words
 * right away (to be hashed, say) makes a processor wait for each of them
 * @addresses: the source's and right behind it the destination's, of @family
 */
static inline void mf_flow_fill(struct mf_flow *f, uint8_t family, const uint8_t *addresses,
				uint8_t proto, uint16_t src_port, uint16_t dst_port)
{
	uint64_t w[5] = { 0 };
	uint32_t a[2];

	if (family == 4) {
		memcpy(a, addresses, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		w[0] = (uint64_t)a[0] << 32;
		w[2] = (uint64_t)a[1] << 32;
#else
		w[0] = a[0];
		w[2] = a[1];
#endif
	} else {
		memcpy(w, addresses, 32);
	}
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	w[4] = (uint64_t)src_port << 48 | (uint64_t)dst_port << 32 | (uint64_t)proto << 24 |
	       (uint64_t)family << 16;
#else
	w[4] = src_port | (uint64_t)dst_port << 16 | (uint64_t)proto << 32 | (uint64_t)family << 40;
#endif
	memcpy(f, w, sizeof(*f));
}

/** mf_flow_reverse() - The flow that answers @f */
static inline struct mf_flow mf_flow_reverse(const struct mf_flow *f)
{
	struct mf_flow r = *f;

	memcpy(r.src, f->dst, 16);
	memcpy(r.dst, f->src, 16);
	r.src_port = f->dst_port;
	r.dst_port = f->src_port;
	return r;
}

static inline uint64_t mf_flow_rotate(uint64_t v, unsigned bits)
{
	return v << bits | v >> (64 - bits);
}

/*
 * A seeded hash for tables. Every factor of a product holds a secret, so that no peer can choose bytes that make a
 * product zero and with it a family of collisions.
 */
static inline uint64_t mf_flow_hash(const struct mf_flow *f, uint64_t seed)
{
	uint64_t w[5], a, b;

	memcpy(w, f, sizeof(w));
	a = mf_hash_mix(w[0] ^ seed, w[2] ^ mf_flow_rotate(seed, 17) ^ 0xe7037ed1a0b428dbu);
	b = mf_hash_mix(w[1] ^ mf_flow_rotate(seed, 31),
			w[3] ^ mf_flow_rotate(seed, 47) ^ 0x8ebc6af09c88c6e3u);
	return mf_hash_mix(a ^ w[4] ^ 0x9e3779b97f4a7c15u, b ^ mf_flow_rotate(seed, 7));
}

/** mf_flow_src() - The sending end; mapped addresses become IPv4, as everywhere above the packets */
static inline struct mf_endpoint mf_flow_src(const struct mf_flow *f)
{
	struct mf_endpoint ep = { .port = f->src_port };

	mf_addr_from_bytes(&ep.addr, f->src, f->family == 4 ? 4 : 16);
	return ep;
}

/** mf_flow_dst() - The receiving end */
static inline struct mf_endpoint mf_flow_dst(const struct mf_flow *f)
{
	struct mf_endpoint ep = { .port = f->dst_port };

	mf_addr_from_bytes(&ep.addr, f->dst, f->family == 4 ? 4 : 16);
	return ep;
}

/** mf_flow_make() - A flow from two ends; Return: false if their families differ or one has none */
static inline bool mf_flow_make(struct mf_flow *ret, uint8_t proto, const struct mf_endpoint *src,
				const struct mf_endpoint *dst)
{
	struct mf_flow f = { .src_port = src->port,
			     .dst_port = dst->port,
			     .proto = proto,
			     .family = src->addr.family };

	if (src->addr.family != dst->addr.family || !f.family)
		return false;
	memcpy(f.src, src->addr.bytes, 16);
	memcpy(f.dst, dst->addr.bytes, 16);
	*ret = f;
	return true;
}

#endif
