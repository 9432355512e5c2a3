/* SPDX-License-Identifier: Apache-2.0 */
/* view_transport.c - TCP, UDP, ICMP, ICMPv6 and the packets that ICMP errors quote; see view.h */
#include "core/base/err.h"
#include "core/packet/view_internal.h"

#define TCP_MIN	 20u
#define UDP_LEN	 8u
#define ICMP_LEN 8u

/* A transport header past the end: a lie, or a first fragment that is too small to be judged. */
static int too_short(struct mf_view *v)
{
	return mf_view_fail(v, MF_E_BAD,
			    v->flags & MF_VIEW_F_FRAG ? MF_VIEW_FRAG_TINY
						      : MF_VIEW_TRANSPORT_SHORT);
}

static void take_ports(struct mf_view *v)
{
	v->flow.src_port = mf_load_be16(v->ptr + v->transport_off);
	v->flow.dst_port = mf_load_be16(v->ptr + v->transport_off + 2);
	v->flags |= MF_VIEW_F_HAS_PORTS;
}

/* RFC 9293 3.1 */
static bool tcp_options_fine(const uint8_t *p, uint32_t len)
{
	uint32_t i = 0;

	while (i < len && p[i] != 0) {
		if (p[i] == 1) {
			i++;
			continue;
		}
		if (len - i < 2 || p[i + 1] < 2 || p[i + 1] > len - i)
			return false;
		i += p[i + 1];
	}
	return true;
}

static int parse_tcp(struct mf_view *v, uint32_t there)
{
	const uint8_t *p = v->ptr + v->transport_off;
	uint32_t head;

	if (there < TCP_MIN)
		return too_short(v);
	head = (p[12] >> 4) * 4u;
	if (head < TCP_MIN)
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_TCP_OFFSET);
	if (head > there)
		return v->flags & MF_VIEW_F_FRAG ? too_short(v)
						 : mf_view_fail(v, MF_E_BAD, MF_VIEW_TCP_OFFSET);
	if (head > TCP_MIN && !tcp_options_fine(p + TCP_MIN, head - TCP_MIN))
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_TCP_OPTION);
	take_ports(v);
	v->tcp_flags = p[13];
	v->payload_off = v->transport_off + head;
	return 0;
}

static int parse_udp(struct mf_view *v, uint32_t there)
{
	const uint8_t *p = v->ptr + v->transport_off;
	uint32_t len;

	if (there < UDP_LEN)
		return too_short(v);
	len = mf_load_be16(p + 4);
	if (len < UDP_LEN || (len > there && !(v->flags & MF_VIEW_F_FRAG)))
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_UDP_LENGTH);
	if (mf_load_be16(p + 6) == 0 && !(v->flags & MF_VIEW_F_OFFLOAD)) {
		if (v->flow.family == 6)
			return mf_view_fail(v, MF_E_BAD, MF_VIEW_UDP6_ZERO);
		v->flags |= MF_VIEW_F_NO_CHECKSUM;
	}
	take_ports(v);
	v->payload_off = v->transport_off + UDP_LEN;
	if (len < there)
		v->payload_end = v->transport_off + len;
	return 0;
}

/* Errors by RFC 792 and RFC 4443; of ICMPv6 also the ones that nobody knows yet (types under 128). */
static bool is_icmp_error(const struct mf_view *v)
{
	if (v->flow.proto == MF_PROTO_ICMPV6)
		return v->icmp_type < 128;
	return v->icmp_type == 3 || v->icmp_type == 4 || v->icmp_type == 5 || v->icmp_type == 11 ||
	       v->icmp_type == 12;
}

static bool is_icmp_echo(const struct mf_view *v)
{
	if (v->flow.proto == MF_PROTO_ICMPV6)
		return v->icmp_type == 128 || v->icmp_type == 129;
	return v->icmp_type == 0 || v->icmp_type == 8;
}

static int parse_icmp(struct mf_view *v, uint32_t there)
{
	const uint8_t *p = v->ptr + v->transport_off;

	if ((v->flow.proto == MF_PROTO_ICMPV6) != (v->flow.family == 6))
		return mf_view_fail(v, MF_E_BAD, MF_VIEW_ICMP_FAMILY);
	if (there < ICMP_LEN)
		return too_short(v);
	v->icmp_type = p[0];
	v->icmp_code = p[1];
	v->payload_off = v->transport_off + ICMP_LEN;
	if (is_icmp_error(v)) {
		v->flags |= MF_VIEW_F_ICMP_ERROR;
	} else if (is_icmp_echo(v)) {
		v->flow.src_port = v->flow.dst_port = mf_load_be16(p + 4);
		v->flags |= MF_VIEW_F_HAS_PORTS;
	}
	return 0;
}

/* A quote promises 8 bytes of transport header and often has no more. */
static int parse_quoted(struct mf_view *v, uint32_t there)
{
	const uint8_t *p = v->ptr + v->transport_off;

	if (there < 8)
		return 0;
	switch (v->flow.proto) {
	case MF_PROTO_TCP:
		take_ports(v);
		v->tcp_flags = there >= 14 ? p[13] : 0;
		if (there >= TCP_MIN && (p[12] >> 4) * 4u >= TCP_MIN && (p[12] >> 4) * 4u <= there)
			v->payload_off = v->transport_off + (p[12] >> 4) * 4u;
		else
			v->payload_off = v->end;
		break;
	case MF_PROTO_UDP:
		take_ports(v);
		v->payload_off = v->transport_off + UDP_LEN;
		if (mf_load_be16(p + 6) == 0)
			v->flags |= MF_VIEW_F_NO_CHECKSUM;
		break;
	case MF_PROTO_ICMP:
	case MF_PROTO_ICMPV6:
		return parse_icmp(v, there);
	default:
		break;
	}
	return 0;
}

int mf_view_parse_transport(struct mf_view *v)
{
	uint32_t there = v->end - v->transport_off;

	if (v->net == MF_NET_ARP || (v->flags & MF_VIEW_F_FRAG_LATER))
		return 0;
	if (v->flags & MF_VIEW_F_QUOTED)
		return parse_quoted(v, there);
	switch (v->flow.proto) {
	case MF_PROTO_TCP:
		return parse_tcp(v, there);
	case MF_PROTO_UDP:
		return parse_udp(v, there);
	case MF_PROTO_ICMP:
	case MF_PROTO_ICMPV6:
		return parse_icmp(v, there);
	default:
		return 0;
	}
}

/* RFC 4884: some errors say how long the quote is, so that extensions may stand behind it. */
static uint32_t quote_len(const struct mf_view *v)
{
	const uint8_t *p = v->ptr + v->transport_off;
	uint32_t there = v->payload_end - v->payload_off, len = 0;

	if (v->flow.family == 6 && (v->icmp_type == 1 || v->icmp_type == 3))
		len = p[4] * 8u;
	else if (v->flow.family == 4 &&
		 (v->icmp_type == 3 || v->icmp_type == 11 || v->icmp_type == 12))
		len = p[5] * 4u;
	return len && len < there ? len : there;
}

int mf_view_quote(const struct mf_view *v, struct mf_view *ret_inner)
{
	struct mf_view in;

	if (v->layer < MF_VIEW_TRANSPORT || !(v->flags & MF_VIEW_F_ICMP_ERROR))
		return MF_E_NOT_MINE;
	mf_view_init(&in, mf_span_of(v->ptr, v->payload_off + quote_len(v)), MF_VIEW_IP,
		     MF_VIEW_F_OFFLOAD, NULL);
	in.flags |= MF_VIEW_F_QUOTED;
	// The quote's link layer is the error's own; its family follows from the error's.
	in.net_off = v->payload_off;
	in.ether_type = v->flow.family == 4 ? 0x0800 : 0x86dd;
	in.layer = MF_VIEW_LINK;
	if (mf_view_parse(&in, MF_VIEW_TRANSPORT)) {
		if (v->stats)
			v->stats->reasons[MF_VIEW_QUOTE]++;
		return MF_E_BAD;
	}
	*ret_inner = in;
	return 0;
}

bool mf_view_tcp_option(const struct mf_view *v, uint8_t kind, struct mf_span *ret)
{
	uint32_t i = v->transport_off + TCP_MIN;

	if (v->layer < MF_VIEW_TRANSPORT || v->flow.proto != MF_PROTO_TCP ||
	    (v->flags & (MF_VIEW_F_FRAG_LATER | MF_VIEW_F_QUOTED)))
		return false;
	// mf_view_parse() has checked every length up to the end of the header.
	while (i < v->payload_off && v->ptr[i] != 0) {
		if (v->ptr[i] == 1) {
			i++;
			continue;
		}
		if (v->ptr[i] == kind) {
			*ret = mf_span_of(v->ptr + i + 2, v->ptr[i + 1] - 2u);
			return true;
		}
		i += v->ptr[i + 1];
	}
	return false;
}
