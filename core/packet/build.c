/* SPDX-License-Identifier: Apache-2.0 */
/* build.c - see build.h */
#include "core/packet/build.h"

#include <moonfence/moonfence.h>

#include "core/packet/checksum.h"

#define IP4_LEN	   20u
#define IP6_LEN	   40u
#define TCP_LEN	   20u
#define UDP_LEN	   8u
#define ICMP_LEN   8u
#define TTL	   64
#define ERROR4_MAX 576u	 /* RFC 1812 4.3.2.3 */
#define ERROR6_MAX 1280u /* RFC 4443 2.4 (c) */

static size_t ip_len(uint8_t family)
{
	return family == 4 ? IP4_LEN : IP6_LEN;
}

/* An IP header of flow @f for @body bytes behind it. */
static void put_ip(uint8_t *p, const struct mf_flow *f, size_t body)
{
	if (f->family == 4) {
		memset(p, 0, IP4_LEN);
		p[0] = 0x45;
		mf_store_be16(p + 2, (uint16_t)(IP4_LEN + body));
		// Never fragmented on the way, so the identification may stay 0 (RFC 6864 4.1).
		mf_store_be16(p + 6, 0x4000);
		p[8] = TTL;
		p[9] = f->proto;
		memcpy(p + 12, f->src, 4);
		memcpy(p + 16, f->dst, 4);
		mf_store_be16(p + 10, mf_csum_ip4_header(p, IP4_LEN));
	} else {
		mf_store_be32(p, 0x60000000);
		mf_store_be16(p + 4, (uint16_t)body);
		p[6] = f->proto;
		p[7] = TTL;
		memcpy(p + 8, f->src, 32);
	}
}

/* The checksum of a segment whose field is still 0. */
static void put_checksum(uint8_t *segment, const struct mf_flow *f, size_t len)
{
	mf_store_be16(segment + mf_csum_field(f->proto), mf_csum_transport(f, segment, len));
}

/* Room for IP, a transport header and a payload within what a length field can say. */
static int check_lengths(const struct mf_flow *f, size_t head, size_t payload, size_t room)
{
	size_t most = f->family == 4 ? 65535 - IP4_LEN - head : 65535 - head;

	if (payload > most)
		return MF_E_LIMIT;
	return ip_len(f->family) + head + payload > room ? MF_E_FULL : 0;
}

int mf_build_udp(const struct mf_flow *flow, struct mf_span payload, uint8_t *buf, size_t room,
		 size_t *ret_len)
{
	uint8_t *p = buf + ip_len(flow->family);
	size_t len = UDP_LEN + payload.len;
	int r;

	if (flow->proto != MF_PROTO_UDP || (flow->family != 4 && flow->family != 6))
		return MF_E_INVAL;
	r = check_lengths(flow, UDP_LEN, payload.len, room);
	if (r)
		return r;
	if (payload.len)
		memmove(p + UDP_LEN, payload.ptr, payload.len);
	put_ip(buf, flow, len);
	mf_store_be16(p, flow->src_port);
	mf_store_be16(p + 2, flow->dst_port);
	mf_store_be16(p + 4, (uint16_t)len);
	mf_store_be16(p + 6, 0);
	put_checksum(p, flow, len);
	*ret_len = ip_len(flow->family) + len;
	return 0;
}

int mf_build_echo(const struct mf_flow *flow, bool reply, uint16_t sequence, struct mf_span payload,
		  uint8_t *buf, size_t room, size_t *ret_len)
{
	uint8_t *p = buf + ip_len(flow->family);
	size_t len = ICMP_LEN + payload.len;
	int r;

	if ((flow->family != 4 || flow->proto != MF_PROTO_ICMP) &&
	    (flow->family != 6 || flow->proto != MF_PROTO_ICMPV6))
		return MF_E_INVAL;
	r = check_lengths(flow, ICMP_LEN, payload.len, room);
	if (r)
		return r;
	if (payload.len)
		memmove(p + ICMP_LEN, payload.ptr, payload.len);
	put_ip(buf, flow, len);
	if (flow->family == 4)
		p[0] = reply ? 0 : 8;
	else
		p[0] = reply ? 129 : 128;
	p[1] = 0;
	mf_store_be16(p + 2, 0);
	mf_store_be16(p + 4, flow->src_port);
	mf_store_be16(p + 6, sequence);
	put_checksum(p, flow, len);
	*ret_len = ip_len(flow->family) + len;
	return 0;
}

int mf_build_tcp(const struct mf_flow *flow, const struct mf_tcp_fields *tcp,
		 struct mf_span payload, uint8_t *buf, size_t room, size_t *ret_len)
{
	uint8_t *p = buf + ip_len(flow->family);
	size_t len = TCP_LEN + payload.len;
	int r;

	if (flow->proto != MF_PROTO_TCP || (flow->family != 4 && flow->family != 6))
		return MF_E_INVAL;
	r = check_lengths(flow, TCP_LEN, payload.len, room);
	if (r)
		return r;
	if (payload.len)
		memmove(p + TCP_LEN, payload.ptr, payload.len);
	put_ip(buf, flow, len);
	memset(p, 0, TCP_LEN);
	mf_store_be16(p, flow->src_port);
	mf_store_be16(p + 2, flow->dst_port);
	mf_store_be32(p + 4, tcp->seq);
	mf_store_be32(p + 8, tcp->ack);
	p[12] = TCP_LEN / 4 << 4;
	p[13] = tcp->flags;
	mf_store_be16(p + 14, tcp->window);
	put_checksum(p, flow, len);
	*ret_len = ip_len(flow->family) + len;
	return 0;
}

/* An address that can have sent a packet and take an answer: neither a group nor unspecified. */
static bool is_single(uint8_t family, const uint8_t *bytes)
{
	static const uint8_t none[16];

	if (family == 4)
		return bytes[0] != 0 && bytes[0] < 224;
	return bytes[0] != 0xff && memcmp(bytes, none, 16) != 0;
}

/* May anything answer this packet at all? */
static bool may_answer(const struct mf_view *v)
{
	if (v->layer < MF_VIEW_TRANSPORT || v->net == MF_NET_ARP ||
	    (v->flags & (MF_VIEW_F_FRAG_LATER | MF_VIEW_F_SOURCE_ROUTED | MF_VIEW_F_QUOTED)))
		return false;
	// A frame to a group is answered by nobody, whatever the IP header says.
	if (v->link == MF_VIEW_ETHERNET && (v->ptr[0] & 1))
		return false;
	return is_single(v->flow.family, v->flow.src) && is_single(v->flow.family, v->flow.dst);
}

/* The link header of an answer; Return: its length */
static size_t put_link(uint8_t *buf, const struct mf_view *v)
{
	if (v->link != MF_VIEW_ETHERNET)
		return 0;
	memcpy(buf, v->ptr + 6, 6);
	memcpy(buf + 6, v->ptr, 6);
	memcpy(buf + 12, v->ptr + 12, v->net_off - 12);
	return v->net_off;
}

static size_t link_len(const struct mf_view *v)
{
	return v->link == MF_VIEW_ETHERNET ? v->net_off : 0;
}

/* The sequence numbers that a segment occupies: its payload, SYN and FIN. */
static uint32_t segment_size(const struct mf_view *v)
{
	uint32_t n = v->payload_end - v->payload_off;

	return n + !!(v->tcp_flags & MF_TCP_SYN) + !!(v->tcp_flags & MF_TCP_FIN);
}

int mf_build_tcp_reset(const struct mf_view *v, uint8_t *buf, size_t room, size_t *ret_len)
{
	struct mf_tcp_fields tcp = { .flags = MF_TCP_RST };
	size_t link = link_len(v), len;
	struct mf_flow back;
	int r;

	if (!may_answer(v) || v->flow.proto != MF_PROTO_TCP || (v->tcp_flags & MF_TCP_RST))
		return MF_E_NOT_MINE;
	if (room < link)
		return MF_E_FULL;
	if (v->tcp_flags & MF_TCP_ACK) {
		tcp.seq = mf_view_tcp_ack(v);
	} else {
		tcp.flags |= MF_TCP_ACK;
		tcp.ack = mf_view_tcp_seq(v) + segment_size(v);
	}
	back = mf_flow_reverse(&v->flow);
	r = mf_build_tcp(&back, &tcp, mf_span_of(NULL, 0), buf + link, room - link, &len);
	if (r)
		return r;
	put_link(buf, v);
	*ret_len = link + len;
	return 0;
}

/* Redirects are no errors by their number, but answered as little (RFC 4443 2.4 (e.2)). */
static bool is_error_or_redirect(const struct mf_view *v)
{
	return (v->flags & MF_VIEW_F_ICMP_ERROR) ||
	       (v->flow.proto == MF_PROTO_ICMPV6 && v->icmp_type == 137);
}

int mf_build_icmp_error(const struct mf_view *v, const struct mf_icmp_error *error, uint8_t *buf,
			size_t room, size_t *ret_len)
{
	size_t link = link_len(v), head, quote, most;
	struct mf_flow back;
	uint8_t *p;

	if (!may_answer(v) || is_error_or_redirect(v))
		return MF_E_NOT_MINE;
	back = mf_flow_reverse(&v->flow);
	back.proto = back.family == 4 ? MF_PROTO_ICMP : MF_PROTO_ICMPV6;
	if (error->from)
		memcpy(back.src, error->from, back.family == 4 ? 4 : 16);
	head = ip_len(back.family) + ICMP_LEN;
	most = (back.family == 4 ? ERROR4_MAX : ERROR6_MAX) - head;
	quote = v->end - v->net_off < most ? v->end - v->net_off : most;
	if (link + head + quote > room)
		return MF_E_FULL;
	put_link(buf, v);
	put_ip(buf + link, &back, ICMP_LEN + quote);
	p = buf + link + ip_len(back.family);
	p[0] = error->type;
	p[1] = error->code;
	mf_store_be16(p + 2, 0);
	mf_store_be32(p + 4, error->param);
	memcpy(p + ICMP_LEN, v->ptr + v->net_off, quote);
	put_checksum(p, &back, ICMP_LEN + quote);
	*ret_len = link + head + quote;
	return 0;
}

static int build_error(const struct mf_view *v, uint8_t type, uint8_t code, uint32_t param,
		       uint8_t *buf, size_t room, size_t *ret_len)
{
	const struct mf_icmp_error error = { .type = type, .code = code, .param = param };

	return mf_build_icmp_error(v, &error, buf, room, ret_len);
}

int mf_build_unreachable(const struct mf_view *v, uint8_t code, uint8_t *buf, size_t room,
			 size_t *ret_len)
{
	return build_error(v, v->flow.family == 4 ? 3 : 1, code, 0, buf, room, ret_len);
}

int mf_build_too_big(const struct mf_view *v, uint32_t mtu, uint8_t *buf, size_t room,
		     size_t *ret_len)
{
	// Over IPv4 the MTU is 16 bits wide, behind 16 unused ones.
	if (v->flow.family == 4)
		return build_error(v, 3, 4, mtu > 65535 ? 65535 : mtu, buf, room, ret_len);
	return build_error(v, 2, 0, mtu, buf, room, ret_len);
}
