/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.c - see rewrite.h */
#include "core/packet/rewrite.h"

#include <moonfence/moonfence.h>

#define PROTO_DCCP    33
#define PROTO_UDPLITE 136

static bool has_l4_ports(const struct mf_view *v)
{
	return (v->flags & MF_VIEW_F_HAS_PORTS) &&
	       (v->flow.proto == MF_PROTO_TCP || v->flow.proto == MF_PROTO_UDP);
}

static bool is_echo(const struct mf_view *v)
{
	return (v->flags & MF_VIEW_F_HAS_PORTS) &&
	       (v->flow.proto == MF_PROTO_ICMP || v->flow.proto == MF_PROTO_ICMPV6);
}

static int check(const struct mf_view *v, const struct mf_flow *to)
{
	if (v->layer < MF_VIEW_TRANSPORT || v->net == MF_NET_ARP || to->family != v->flow.family ||
	    to->proto != v->flow.proto || (is_echo(v) && to->src_port != to->dst_port))
		return MF_E_INVAL;
	if (v->flags & (MF_VIEW_F_SOURCE_ROUTED | MF_VIEW_F_AUTH))
		return MF_E_UNSUPPORTED;
	// Their checksums cover the addresses, and nobody here knows them.
	if (to->proto == PROTO_DCCP || to->proto == PROTO_UDPLITE)
		return MF_E_UNSUPPORTED;
	return 0;
}

/* The difference that new addresses make to a sum that covers them; 0 if they are the same. */
static uint64_t diff_addresses(const struct mf_flow *from, const uint8_t *src, const uint8_t *dst)
{
	size_t len = from->family == 4 ? 4 : 16;

	return mf_csum_diff(mf_csum_diff(0, from->src, src, len), from->dst, dst, len);
}

static void store_addresses(const struct mf_view *v, uint8_t *pkt, const uint8_t *src,
			    const uint8_t *dst)
{
	uint8_t *p = pkt + v->net_off;

	if (v->flow.family == 4) {
		memcpy(p + 12, src, 4);
		memcpy(p + 16, dst, 4);
	} else {
		memcpy(p + 8, src, 16);
		memcpy(p + 24, dst, 16);
	}
}

/* IPv4's own checksum; Return: what its change adds to a sum over the whole header, for quotes */
static uint64_t update_ip4(const struct mf_view *v, uint8_t *pkt, uint64_t addresses)
{
	uint8_t *p = pkt + v->net_off + 10;
	uint16_t old, now;

	if (v->net != MF_NET_IP4)
		return 0;
	old = mf_load_be16(p);
	now = mf_csum_update(old, addresses);
	mf_store_be16(p, now);
	return mf_csum_diff16(0, old, now);
}

static uint16_t update_transport(uint8_t proto, uint16_t old, uint64_t addresses, uint64_t ports,
				 enum mf_csum_kind kind)
{
	// ICMP (v4) covers no addresses; no device finishes checksums of ICMP or ICMPv6.
	if (proto == MF_PROTO_ICMP)
		return mf_csum_update(old, ports);
	if (proto == MF_PROTO_ICMPV6)
		return mf_csum_update(old, addresses + ports);
	if (kind == MF_CSUM_PARTIAL)
		return mf_csum_update_partial(old, addresses);
	if (kind == MF_CSUM_ABSENT)
		return old;
	if (proto == MF_PROTO_UDP)
		return mf_csum_update_udp(old, addresses + ports);
	return mf_csum_update(old, addresses + ports);
}

/* Ports of TCP and UDP, the identifier of an echo; Return: their difference */
static uint64_t rewrite_ports(const struct mf_view *v, uint8_t *pkt, const struct mf_flow *to)
{
	uint8_t *p = pkt + v->transport_off;
	uint64_t diff = 0;

	if (has_l4_ports(v)) {
		diff = mf_csum_diff16(diff, v->flow.src_port, to->src_port);
		diff = mf_csum_diff16(diff, v->flow.dst_port, to->dst_port);
		mf_store_be16(p, to->src_port);
		mf_store_be16(p + 2, to->dst_port);
	} else if (is_echo(v)) {
		diff = mf_csum_diff16(diff, v->flow.src_port, to->src_port);
		mf_store_be16(p + 4, to->src_port);
	}
	return diff;
}

/*
 * The one segment whose right checksum is 0xffff: an ICMP echo reply in which everything else is 0 (there is no pseudo
 * header). Incremental arithmetic cannot tell it from 0, so it is looked at; that is one packet of 65,536 at most.
 */
static bool is_all_zero(const struct mf_view *v, const uint8_t *pkt)
{
	for (uint32_t i = v->transport_off; i < v->end; i++)
		if (pkt[i])
			return false;
	return true;
}

/* Everything of one packet. Return: what the changes behind the IP addresses and the IPv4 checksum amount to */
static uint64_t rewrite(struct mf_view *v, uint8_t *pkt, const struct mf_flow *to,
			uint64_t addresses, enum mf_csum_kind kind)
{
	int field = mf_csum_field(v->flow.proto);
	uint64_t ports = rewrite_ports(v, pkt, to);
	uint64_t all = ports;

	// A quote may end before the checksum; a later fragment has none.
	if (field >= 0 && !(v->flags & MF_VIEW_F_FRAG_LATER) &&
	    v->end - v->transport_off >= (uint32_t)field + 2) {
		uint8_t *p = pkt + v->transport_off + field;
		uint16_t old = mf_load_be16(p);
		uint16_t now = update_transport(v->flow.proto, old, addresses, ports, kind);

		mf_store_be16(p, now);
		if (!now && v->flow.proto == MF_PROTO_ICMP && is_all_zero(v, pkt))
			mf_store_be16(p, now = 0xffff);
		all = mf_csum_diff16(all, old, now);
	}
	store_addresses(v, pkt, to->src, to->dst);
	memcpy(v->flow.src, to->src, 32);
	if (v->flags & MF_VIEW_F_HAS_PORTS) {
		v->flow.src_port = to->src_port;
		v->flow.dst_port = to->dst_port;
	}
	return all;
}

_Static_assert(offsetof(struct mf_flow, dst) == offsetof(struct mf_flow, src) + 16,
	       "both addresses are copied in one go");

/* A frequent packet: whole TCP or UDP with a checksum, IP without options. */
static bool is_plain(const struct mf_view *v, const struct mf_flow *to, enum mf_csum_kind kind)
{
	return kind == MF_CSUM_FULL && v->layer == MF_VIEW_TRANSPORT &&
	       (v->flags & (uint16_t) ~(MF_VIEW_F_DONT_FRAG | MF_VIEW_F_PADDED |
					MF_VIEW_F_OFFLOAD)) == MF_VIEW_F_HAS_PORTS &&
	       (v->flow.proto == MF_PROTO_TCP || v->flow.proto == MF_PROTO_UDP) &&
	       to->proto == v->flow.proto && to->family == v->flow.family;
}

/* The same as below for these, without the questions. */
static void rewrite_plain(struct mf_view *v, uint8_t *pkt, const struct mf_flow *to)
{
	uint8_t *ip = pkt + v->net_off, *p = pkt + v->transport_off, *check;
	uint64_t diff;

	if (v->net == MF_NET_IP4) {
		diff = mf_csum_diff(0, v->flow.src, to->src, 4);
		diff = mf_csum_diff(diff, v->flow.dst, to->dst, 4);
		mf_store_be16(ip + 10, mf_csum_update(mf_load_be16(ip + 10), diff));
		memcpy(ip + 12, to->src, 4);
		memcpy(ip + 16, to->dst, 4);
	} else {
		diff = mf_csum_diff(0, v->flow.src, to->src, 32);
		memcpy(ip + 8, to->src, 32);
	}
	diff = mf_csum_diff16(diff, v->flow.src_port, to->src_port);
	diff = mf_csum_diff16(diff, v->flow.dst_port, to->dst_port);
	mf_store_be16(p, to->src_port);
	mf_store_be16(p + 2, to->dst_port);
	if (v->flow.proto == MF_PROTO_TCP) {
		check = p + 16;
		mf_store_be16(check, mf_csum_update(mf_load_be16(check), diff));
	} else {
		check = p + 6;
		mf_store_be16(check, mf_csum_update_udp(mf_load_be16(check), diff));
	}
	v->flow = *to;
}

int mf_rewrite_flow(struct mf_view *v, uint8_t *pkt, const struct mf_flow *to,
		    enum mf_csum_kind kind)
{
	uint64_t addresses;
	int r;

	if (__builtin_expect(is_plain(v, to, kind), 1)) {
		rewrite_plain(v, pkt, to);
		return 0;
	}
	r = check(v, to);
	if (r)
		return r;
	addresses = diff_addresses(&v->flow, to->src, to->dst);
	update_ip4(v, pkt, addresses);
	rewrite(v, pkt, to, addresses, kind);
	return 0;
}

int mf_rewrite_icmp_error(struct mf_view *v, struct mf_view *inner, uint8_t *pkt,
			  const uint8_t src[16], const uint8_t dst[16],
			  const struct mf_flow *quoted)
{
	struct mf_flow outer = v->flow;
	uint64_t addresses, in_addresses, in;
	uint8_t *p = pkt + v->transport_off + 2;
	int r;

	memcpy(outer.src, src, 16);
	memcpy(outer.dst, dst, 16);
	r = check(v, &outer);
	if (!r)
		r = check(inner, quoted);
	if (r)
		return r;
	if (!(v->flags & MF_VIEW_F_ICMP_ERROR) || !(inner->flags & MF_VIEW_F_QUOTED))
		return MF_E_INVAL;
	in_addresses = diff_addresses(&inner->flow, quoted->src, quoted->dst);
	in = update_ip4(inner, pkt, in_addresses) + in_addresses;
	in += rewrite(inner, pkt, quoted, in_addresses, MF_CSUM_FULL);

	addresses = diff_addresses(&v->flow, src, dst);
	update_ip4(v, pkt, addresses);
	mf_store_be16(p, mf_csum_update(mf_load_be16(p),
					in + (v->flow.proto == MF_PROTO_ICMPV6 ? addresses : 0)));
	store_addresses(v, pkt, src, dst);
	memcpy(v->flow.src, src, 16);
	memcpy(v->flow.dst, dst, 16);
	return 0;
}
