/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - see view.h: link and network layers; view_transport.c reads what they carry */
#include "core/packet/view.h"

#include "core/base/err.h"
#include "core/packet/view_internal.h"

#define ETHER_LEN     14u
#define IP4_MIN	      20u
#define IP6_LEN	      40u
#define EXT_MIN	      8u
#define FRAG_LIMIT    65535u
#define TYPE_IP4      0x0800u
#define TYPE_ARP      0x0806u
#define TYPE_IP6      0x86ddu
#define TYPE_VLAN     0x8100u
#define TYPE_QINQ     0x88a8u
#define TYPE_QINQ_OLD 0x9100u
#define OPT_HOME_ADDR \
	0xc9u /* RFC 6275 6.3: the flow's source stands in the option, not in the header */
#define OPT_JUMBO 0xc2u /* RFC 2675 */

static inline void init(struct mf_view *v, struct mf_span pkt, enum mf_view_link link,
			uint16_t flags, struct mf_view_stats *stats)
{
	mf_bytes_zero(v, sizeof(*v));
	v->ptr = pkt.ptr;
	v->stats = stats;
	// Offsets are 32 bits wide; no packet is longer than an IP packet and its link headers.
	v->len = pkt.len > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)pkt.len;
	v->flags = flags & MF_VIEW_F_OFFLOAD;
	v->link = (uint8_t)link;
}

void mf_view_init(struct mf_view *v, struct mf_span pkt, enum mf_view_link link, uint16_t flags,
		  struct mf_view_stats *stats)
{
	init(v, pkt, link, flags, stats);
}

void mf_view_grow(struct mf_view *v, struct mf_span pkt)
{
	v->ptr = pkt.ptr;
	if (pkt.len > v->len)
		v->len = pkt.len > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)pkt.len;
	if (v->code == MF_E_AGAIN) {
		v->code = 0;
		v->reason = MF_VIEW_FINE;
	}
}

int mf_view_fail(struct mf_view *v, int code, enum mf_view_reason reason)
{
	v->code = (int16_t)code;
	v->reason = (uint8_t)reason;
	if (v->stats)
		v->stats->reasons[reason]++;
	return code;
}

static bool is_tag(uint16_t type)
{
	return type == TYPE_VLAN || type == TYPE_QINQ || type == TYPE_QINQ_OLD;
}

static int parse_ethernet(struct mf_view *v)
{
	uint32_t off = ETHER_LEN;
	uint16_t type;

	if (v->len < ETHER_LEN)
		return mf_view_fail(v, MF_E_AGAIN, MF_VIEW_LINK_SHORT);
	type = mf_load_be16(v->ptr + 12);
	v->vlan_cnt = 0;
	while (is_tag(type)) {
		if (v->vlan_cnt == MF_VIEW_VLANS_MAX)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_VLAN_DEEP);
		if (v->len < off + 4)
			return mf_view_fail(v, MF_E_AGAIN, MF_VIEW_LINK_SHORT);
		v->vlans[v->vlan_cnt++] = mf_load_be16(v->ptr + off);
		type = mf_load_be16(v->ptr + off + 2);
		off += 4;
	}
	v->ether_type = type;
	v->net_off = off;
	return 0;
}

static int parse_link(struct mf_view *v)
{
	if (v->link == MF_VIEW_ETHERNET)
		return parse_ethernet(v);
	if (v->len < 1)
		return mf_view_fail(v, MF_E_AGAIN, MF_VIEW_IP_EMPTY);
	switch (v->ptr[0] >> 4) {
	case 4:
		v->ether_type = TYPE_IP4;
		return 0;
	case 6:
		v->ether_type = TYPE_IP6;
		return 0;
	default:
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_IP_VERSION);
	}
}

static int parse_arp(struct mf_view *v)
{
	const uint8_t *p = v->ptr + v->net_off;

	if (v->len - v->net_off < 28)
		return mf_view_fail(v, MF_E_AGAIN, MF_VIEW_ARP_SHORT);
	// Hardware Ethernet, protocol IPv4, lengths 6 and 4.
	if (mf_load_be64(p) >> 16 != UINT64_C(0x000108000604))
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_ARP_HEADER);
	v->net = MF_NET_ARP;
	v->end = v->net_off + 28;
	v->transport_off = v->payload_off = v->payload_end = v->end;
	if (v->len > v->end)
		v->flags |= MF_VIEW_F_PADDED;
	memcpy(v->flow.src, p + 14, 4);
	memcpy(v->flow.dst, p + 24, 4);
	v->flow.family = 4;
	return 0;
}

/* RFC 791 3.1. The loose and strict source routes name a destination behind the one in the header. */
static int parse_ip4_options(struct mf_view *v, const uint8_t *p, uint32_t len)
{
	uint32_t i = 0;

	v->flags |= MF_VIEW_F_OPTIONS;
	while (i < len && p[i] != 0) {
		if (p[i] == 1) {
			i++;
			continue;
		}
		if (len - i < 2 || p[i + 1] < 2 || p[i + 1] > len - i)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_IP4_OPTION);
		if (p[i] == 131 || p[i] == 137)
			v->flags |= MF_VIEW_F_SOURCE_ROUTED;
		i += p[i + 1];
	}
	return 0;
}

/* Everything about a fragment that can be wrong before its transport header is looked at. */
static int check_fragment(struct mf_view *v, uint32_t payload_len)
{
	v->flags |= MF_VIEW_F_FRAG;
	if (v->frag_off)
		v->flags |= MF_VIEW_F_FRAG_LATER;
	if (v->flags & MF_VIEW_F_QUOTED)
		return 0;
	if ((v->flags & MF_VIEW_F_FRAG_MORE) && (payload_len % 8 || !payload_len))
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_FRAG_LENGTH);
	if (v->frag_off + payload_len > FRAG_LIMIT)
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_FRAG_RANGE);
	// RFC 1858 3.2: a fragment at offset 8 would replace the flags of a TCP header.
	if (v->flow.proto == MF_PROTO_TCP && v->frag_off == 8)
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_FRAG_TINY);
	return 0;
}

static int parse_ip4_fragment(struct mf_view *v, const uint8_t *p, uint32_t payload_len)
{
	uint16_t frag = mf_load_be16(p + 6);

	if (frag & 0x4000)
		v->flags |= MF_VIEW_F_DONT_FRAG;
	if (!(frag & 0x3fff))
		return 0;
	v->frag_id = mf_load_be16(p + 4);
	v->frag_start = v->transport_off;
	v->frag_off = (uint16_t)((frag & 0x1fff) * 8);
	if (frag & 0x2000)
		v->flags |= MF_VIEW_F_FRAG_MORE;
	return check_fragment(v, payload_len);
}

/* Where the IP packet ends; a quoted packet ends where the quote does. */
static int set_end(struct mf_view *v, uint32_t total, enum mf_view_reason truncated)
{
	uint32_t there = v->len - v->net_off;

	if (total > there && !(v->flags & MF_VIEW_F_QUOTED))
		return mf_view_fail(v, MF_E_AGAIN, truncated);
	if (total < there)
		v->flags |= MF_VIEW_F_PADDED;
	v->end = v->net_off + (total < there ? total : there);
	return 0;
}

static int parse_ip4(struct mf_view *v)
{
	const uint8_t *p = v->ptr + v->net_off;
	uint32_t there = v->len - v->net_off, head, total;
	int r;

	if (there < IP4_MIN)
		return mf_view_fail(v, MF_E_AGAIN, MF_VIEW_IP4_SHORT);
	if (p[0] >> 4 != 4)
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_IP_VERSION);
	head = (p[0] & 15u) * 4;
	total = mf_load_be16(p + 2);
	if (head < IP4_MIN)
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_IP4_IHL);
	if (total < head)
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_IP4_TOTAL);
	if (head > there)
		return mf_view_fail(v, MF_E_AGAIN, MF_VIEW_IP4_SHORT);
	r = set_end(v, total, MF_VIEW_IP4_TRUNCATED);
	if (r)
		return r;
	v->net = MF_NET_IP4;
	v->transport_off = v->payload_off = v->net_off + head;
	v->payload_end = v->end;
	v->flow.family = 4;
	v->flow.proto = p[9];
	memcpy(v->flow.src, p + 12, 4);
	memcpy(v->flow.dst, p + 16, 4);
	r = parse_ip4_fragment(v, p, total - head);
	if (!r && head > IP4_MIN)
		r = parse_ip4_options(v, p + IP4_MIN, head - IP4_MIN);
	return r;
}

/* The options of a hop-by-hop or destination options header (RFC 8200 4.2). */
static int parse_ip6_options(struct mf_view *v, const uint8_t *p, uint32_t len)
{
	uint32_t i = 2;

	while (i < len) {
		if (p[i] == 0) {
			i++;
			continue;
		}
		if (len - i < 2 || (uint32_t)p[i + 1] + 2 > len - i)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_EXT_OPTION);
		if (p[i] == OPT_JUMBO)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_IP6_JUMBO);
		if (p[i] == OPT_HOME_ADDR)
			v->flags |= MF_VIEW_F_SOURCE_ROUTED;
		i += p[i + 1] + 2u;
	}
	return 0;
}

static int parse_ip6_fragment(struct mf_view *v, const uint8_t *p, uint32_t off)
{
	uint16_t frag = mf_load_be16(p + 2);

	v->frag_id = mf_load_be32(p + 4);
	v->frag_start = off + EXT_MIN;
	v->frag_off = frag & 0xfff8;
	// RFC 6946: offset 0 and no more fragments is a whole packet.
	if (!(frag & 0xfff9))
		return 0;
	if (frag & 1)
		v->flags |= MF_VIEW_F_FRAG_MORE;
	v->flow.proto = p[0];
	return check_fragment(v, v->end - off - EXT_MIN);
}

/* RFC 7112: the first fragment must hold the whole chain. */
static int past_end(struct mf_view *v)
{
	return mf_view_fail(v, MF_E_BAD,
			    v->flags & MF_VIEW_F_FRAG ? MF_VIEW_FRAG_TINY : MF_VIEW_EXT_PAST_END);
}

/* One extension header at @off of which EXT_MIN bytes are there; Return: its length, or a failure */
static int parse_ip6_ext(struct mf_view *v, uint8_t type, uint32_t off, bool *seen_fragment)
{
	const uint8_t *p = v->ptr + off;
	uint32_t len = type == MF_PROTO_FRAGMENT ? EXT_MIN
		       : type == MF_PROTO_AH	 ? (p[1] + 2u) * 4
						 : (p[1] + 1u) * 8;
	int r = 0;

	if (len > v->end - off)
		return past_end(v);
	if (type == MF_PROTO_FRAGMENT) {
		if (*seen_fragment)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_EXT_ORDER);
		*seen_fragment = true;
		r = parse_ip6_fragment(v, p, off);
	} else if (type == MF_PROTO_HOPOPT || type == MF_PROTO_DSTOPTS) {
		r = parse_ip6_options(v, p, len);
	} else if (type == MF_PROTO_ROUTING && p[3]) {
		if (p[2] == 0)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_EXT_RH0);
		v->flags |= MF_VIEW_F_SOURCE_ROUTED;
	} else if (type == MF_PROTO_AH) {
		v->flags |= MF_VIEW_F_AUTH;
	}
	return r ? r : (int)len;
}

static bool is_ext(uint8_t type)
{
	switch (type) {
	case MF_PROTO_HOPOPT:
	case MF_PROTO_ROUTING:
	case MF_PROTO_FRAGMENT:
	case MF_PROTO_AH:
	case MF_PROTO_DSTOPTS:
	case MF_PROTO_MOBILITY:
	case MF_PROTO_HIP:
	case MF_PROTO_SHIM6:
		return true;
	default:
		return false;
	}
}

static int parse_ip6_chain(struct mf_view *v, uint8_t type)
{
	uint32_t off = v->net_off + IP6_LEN;
	bool seen_fragment = false;
	unsigned cnt = 0;

	v->flow.proto = type;
	while (is_ext(type) && !(v->flags & MF_VIEW_F_FRAG_LATER)) {
		int len;

		v->flags |= MF_VIEW_F_OPTIONS;
		if (cnt++ == MF_VIEW_EXTS_MAX)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_EXT_MANY);
		if (type == MF_PROTO_HOPOPT && cnt > 1)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_EXT_ORDER);
		if (v->end - off < EXT_MIN)
			return past_end(v);
		len = parse_ip6_ext(v, type, off, &seen_fragment);
		if (len < 0)
			return len;
		type = v->flow.proto = v->ptr[off];
		off += (uint32_t)len;
	}
	v->transport_off = v->payload_off = off;
	v->payload_end = v->end;
	return 0;
}

static int parse_ip6(struct mf_view *v)
{
	const uint8_t *p = v->ptr + v->net_off;
	int r;

	if (v->len - v->net_off < IP6_LEN)
		return mf_view_fail(v, MF_E_AGAIN, MF_VIEW_IP6_SHORT);
	if (p[0] >> 4 != 6)
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_IP_VERSION);
	r = set_end(v, IP6_LEN + mf_load_be16(p + 4), MF_VIEW_IP6_TRUNCATED);
	if (r)
		return r;
	v->net = MF_NET_IP6;
	v->flow.family = 6;
	memcpy(v->flow.src, p + 8, 16);
	memcpy(v->flow.dst, p + 24, 16);
	return parse_ip6_chain(v, p[6]);
}

static int parse_net(struct mf_view *v)
{
	switch (v->ether_type) {
	case TYPE_IP4:
		return parse_ip4(v);
	case TYPE_IP6:
		return parse_ip6(v);
	case TYPE_ARP:
		return parse_arp(v);
	default:
		return mf_view_fail(v, MF_E_NOT_MINE, MF_VIEW_ETHERTYPE);
	}
}

/* A network layer that has to be read again begins from the flags that the caller gave. */
static void forget_net(struct mf_view *v)
{
	v->flags &= MF_VIEW_F_OFFLOAD | MF_VIEW_F_QUOTED;
	v->frag_off = 0;
	v->frag_id = 0;
	v->frag_start = 0;
	memset(&v->flow, 0, sizeof(v->flow));
}

int mf_view_parse(struct mf_view *v, enum mf_view_layer layer)
{
	int r;

	if (v->layer >= layer)
		return 0;
	if (v->code)
		return v->code;
	if (v->layer < MF_VIEW_LINK) {
		r = parse_link(v);
		if (r)
			return r;
		v->layer = MF_VIEW_LINK;
	}
	if (v->layer < MF_VIEW_NET && layer >= MF_VIEW_NET) {
		forget_net(v);
		r = parse_net(v);
		if (r)
			return r;
		v->layer = MF_VIEW_NET;
	}
	if (v->layer < MF_VIEW_TRANSPORT && layer >= MF_VIEW_TRANSPORT) {
		r = mf_view_parse_transport(v);
		if (r)
			return r;
		v->layer = MF_VIEW_TRANSPORT;
	}
	if (v->stats)
		v->stats->parsed++;
	return 0;
}

/* ---- the frequent packet in one go ---- */

#define TCP_MIN 20u
#define TCP_TIMESTAMPS \
	12u /* bytes of the options that most segments carry: two NOPs, kind 8, length 10 */
#define NOP_NOP_8_10 0x0101080au

/* TCP without options or with time stamps alone. Return: the length of its header, 0 for what needs a closer look */
static inline uint32_t plain_tcp_head(const uint8_t *p, uint32_t there)
{
	if (there >= TCP_MIN && p[12] >> 4 == TCP_MIN / 4)
		return TCP_MIN;
	if (there >= TCP_MIN + TCP_TIMESTAMPS && p[12] >> 4 == (TCP_MIN + TCP_TIMESTAMPS) / 4 &&
	    mf_load_be32(p + TCP_MIN) == NOP_NOP_8_10)
		return TCP_MIN + TCP_TIMESTAMPS;
	return 0;
}

/* UDP whose length is IP's and that has a checksum. */
static inline uint32_t plain_udp_head(const uint8_t *p, uint32_t there)
{
	return there >= 8 && mf_load_be16(p + 4) == there && mf_load_be16(p + 6) ? 8 : 0;
}

/* False: read it the long way. @v is as mf_view_init() leaves it. */
static inline bool read_plain(struct mf_view *v)
{
	const uint8_t *p = v->ptr;
	const uint8_t *addresses;
	uint32_t head, end, l4;
	uint16_t flags = MF_VIEW_F_HAS_PORTS;
	uint8_t proto;

	if (v->len < IP6_LEN)
		return false;
	if (p[0] == (4 << 4 | IP4_MIN / 4)) {
		uint16_t frag = mf_load_be16(p + 6);

		if (frag & 0x3fff)
			return false;
		flags |= frag & 0x4000 ? MF_VIEW_F_DONT_FRAG : 0;
		head = IP4_MIN;
		end = mf_load_be16(p + 2);
		proto = p[9];
		v->ether_type = TYPE_IP4;
		v->net = MF_NET_IP4;
		addresses = p + 12;
	} else if (p[0] >> 4 == 6) {
		head = IP6_LEN;
		end = IP6_LEN + mf_load_be16(p + 4);
		proto = p[6];
		v->ether_type = TYPE_IP6;
		v->net = MF_NET_IP6;
		addresses = p + 8;
	} else {
		return false;
	}
	if (end > v->len || end < head)
		return false;
	l4 = proto == MF_PROTO_TCP   ? plain_tcp_head(p + head, end - head)
	     : proto == MF_PROTO_UDP ? plain_udp_head(p + head, end - head)
				     : 0;
	if (!l4)
		return false;
	v->flags |= flags | (end < v->len ? MF_VIEW_F_PADDED : 0);
	v->end = v->payload_end = end;
	v->transport_off = head;
	v->payload_off = head + l4;
	v->tcp_flags = proto == MF_PROTO_TCP ? p[head + 13] : 0;
	mf_flow_fill(&v->flow, p[0] >> 4, addresses, proto, mf_load_be16(p + head),
		     mf_load_be16(p + head + 2));
	v->layer = MF_VIEW_TRANSPORT;
	return true;
}

int mf_view_read_ip(struct mf_view *v, struct mf_span pkt, uint16_t flags,
		    struct mf_view_stats *stats)
{
	init(v, pkt, MF_VIEW_IP, flags, stats);
	if (__builtin_expect(read_plain(v), 1)) {
		if (stats)
			stats->parsed++;
		return 0;
	}
	init(v, pkt, MF_VIEW_IP, flags, stats);
	return mf_view_parse(v, MF_VIEW_TRANSPORT);
}
