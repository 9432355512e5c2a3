/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.c - see checksum.h */
#include "core/packet/checksum.h"

#include <moonfence/moonfence.h>

#include "core/packet/view.h"

/* 32-bit words into 64-bit sums: four of them, so that no addition waits for another one and none can carry. */
static inline uint64_t add_blocks(const uint8_t *p, size_t blocks)
{
	uint64_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, a[4];

	for (; blocks; blocks--, p += 32) {
		memcpy(a, p, 32);
		s0 += (uint32_t)a[0] + (a[0] >> 32);
		s1 += (uint32_t)a[1] + (a[1] >> 32);
		s2 += (uint32_t)a[2] + (a[2] >> 32);
		s3 += (uint32_t)a[3] + (a[3] >> 32);
	}
	return mf_csum_join(mf_csum_join(s0, s1), mf_csum_join(s2, s3));
}

/* Less than 8 bytes, each piece at an even offset. */
static inline uint64_t add_tail(const uint8_t *p, size_t len)
{
	uint64_t s = 0;
	uint32_t w;
	uint16_t h;

	if (len & 4) {
		memcpy(&w, p, 4);
		s += w;
		p += 4;
	}
	if (len & 2) {
		memcpy(&h, p, 2);
		s += h;
		p += 2;
	}
	if (len & 1)
		s += *p;
	return s;
}

uint64_t mf_csum_add(uint64_t sum, const void *ptr, size_t len)
{
	const uint8_t *p = ptr;
	uint64_t s = sum, w;

	if (len >= 128) {
		s = mf_csum_join(s, add_blocks(p, len / 32));
		p += len / 32 * 32;
		len %= 32;
	}
	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&w, p, 8);
		s = mf_csum_join(s, w);
	}
	return mf_csum_join(s, add_tail(p, len));
}

uint64_t mf_csum_pseudo(const struct mf_flow *flow, uint32_t len)
{
	uint64_t sum;

	if (flow->family == 4)
		sum = add_tail(flow->src, 4) + add_tail(flow->dst, 4);
	else
		sum = mf_csum_add(0, flow->src, 32);
	return mf_csum_add_be32(mf_csum_add_be16(sum, flow->proto), len);
}

_Static_assert(offsetof(struct mf_flow, dst) == offsetof(struct mf_flow, src) + 16,
	       "both addresses are summed in one go");

uint16_t mf_csum_ip4_header(const uint8_t *header, size_t len)
{
	uint64_t sum = mf_csum_add(mf_csum_add(0, header, 10), header + 12, len - 12);

	return (uint16_t)~mf_csum_fold(sum);
}

/* Sum of a segment without its checksum field. */
static uint64_t add_segment(const struct mf_flow *flow, const uint8_t *segment, size_t len,
			    int field)
{
	uint64_t sum = 0;

	if (flow->proto != MF_PROTO_ICMP)
		sum = mf_csum_pseudo(flow, (uint32_t)len);
	sum = mf_csum_add(sum, segment, (size_t)field);
	return mf_csum_add(sum, segment + field + 2, len - (size_t)field - 2);
}

uint16_t mf_csum_transport(const struct mf_flow *flow, const uint8_t *segment, size_t len)
{
	int field = mf_csum_field(flow->proto);
	uint16_t c;

	if (field < 0 || len < (size_t)field + 2)
		return 0;
	c = (uint16_t)~mf_csum_fold(add_segment(flow, segment, len, field));
	return c || flow->proto != MF_PROTO_UDP ? c : 0xffff;
}

enum mf_csum_state mf_csum_verify_ip4(const struct mf_view *v)
{
	const uint8_t *p = v->ptr + v->net_off;

	if (v->layer < MF_VIEW_NET || v->net != MF_NET_IP4)
		return MF_CSUM_NONE;
	return mf_csum_fold(mf_csum_add(0, p, v->transport_off - v->net_off)) == 0xffff
		       ? MF_CSUM_GOOD
		       : MF_CSUM_BAD;
}

/* The bytes that the transport checksum covers: what UDP's own length says, else all of the IP payload. */
static size_t segment_len(const struct mf_view *v)
{
	return (v->flow.proto == MF_PROTO_UDP ? v->payload_end : v->end) - v->transport_off;
}

/* A packet that holds all that its transport checksum covers, and its true addresses. */
static bool is_whole(const struct mf_view *v)
{
	return !(v->flags & (MF_VIEW_F_FRAG | MF_VIEW_F_QUOTED | MF_VIEW_F_SOURCE_ROUTED));
}

enum mf_csum_state mf_csum_verify(const struct mf_view *v)
{
	const uint8_t *p = v->ptr + v->transport_off;
	uint64_t sum = 0;

	if (v->layer < MF_VIEW_TRANSPORT || v->net == MF_NET_ARP ||
	    mf_csum_field(v->flow.proto) < 0 || (v->flags & MF_VIEW_F_NO_CHECKSUM))
		return MF_CSUM_NONE;
	if (!is_whole(v))
		return MF_CSUM_UNKNOWN;
	if (v->flow.proto != MF_PROTO_ICMP)
		sum = mf_csum_pseudo(&v->flow, (uint32_t)segment_len(v));
	// Summed with its checksum, a good segment is all ones (RFC 1071 section 1).
	sum = mf_csum_add(sum, p, segment_len(v));
	return mf_csum_fold(sum) == 0xffff ? MF_CSUM_GOOD : MF_CSUM_BAD;
}

int mf_csum_fill(const struct mf_view *v, uint8_t *pkt, enum mf_csum_kind kind)
{
	uint8_t *p = pkt + v->transport_off;
	int field = mf_csum_field(v->flow.proto);
	uint16_t c;

	if (v->layer < MF_VIEW_TRANSPORT || v->net == MF_NET_ARP)
		return MF_E_UNSUPPORTED;
	if (v->net == MF_NET_IP4)
		mf_store_be16(pkt + v->net_off + 10,
			      mf_csum_ip4_header(pkt + v->net_off, v->transport_off - v->net_off));
	if (!is_whole(v))
		return MF_E_UNSUPPORTED;
	if (field < 0 || kind == MF_CSUM_ABSENT)
		return 0;
	if (kind == MF_CSUM_PARTIAL &&
	    (v->flow.proto == MF_PROTO_TCP || v->flow.proto == MF_PROTO_UDP))
		c = mf_csum_fold(mf_csum_pseudo(&v->flow, (uint32_t)segment_len(v)));
	else
		c = mf_csum_transport(&v->flow, p, segment_len(v));
	mf_store_be16(p + field, c);
	return 0;
}
