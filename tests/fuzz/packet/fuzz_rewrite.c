/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_rewrite.c - any packet, rewritten to any flow and back, is the same packet, and its checksums stay as good as they
 * were
 *
 * Input: kind of checksum 1, new addresses 32, new ports 4, inner addresses 32, inner ports 4; then the packet.
 */
#include "core/packet/rewrite.h"
#include "fuzz_view.h"

#define HEAD 73u

/* Both zeros of ones' complement are one number; a rewrite leaves the usual one. */
static void normalize(uint8_t *pkt, const struct mf_view *v)
{
	int field = mf_csum_field(v->flow.proto);
	uint8_t *p = pkt + v->transport_off + field;

	if (v->net == MF_NET_IP4 && mf_load_be16(pkt + v->net_off + 10) == 0xffff)
		mf_store_be16(pkt + v->net_off + 10, 0);
	// (An ICMP segment of zeros keeps its 0xffff: only that is right.)
	if (field < 0 || (v->flags & MF_VIEW_F_FRAG_LATER) ||
	    v->end - v->transport_off < (uint32_t)field + 2)
		return;
	if (mf_load_be16(p) == 0xffff && v->flow.proto != MF_PROTO_UDP)
		mf_store_be16(p, 0);
}

static struct mf_flow other_flow(const struct mf_flow *like, const uint8_t *data)
{
	struct mf_flow f = *like;
	size_t len = f.family == 4 ? 4 : 16;

	memcpy(f.src, data, len);
	memcpy(f.dst, data + 16, len);
	f.src_port = mf_load_be16(data + 32);
	f.dst_port = mf_load_be16(data + 34);
	if (f.proto == MF_PROTO_ICMP || f.proto == MF_PROTO_ICMPV6)
		f.dst_port = f.src_port;
	return f;
}

static void same(uint8_t *pkt, const uint8_t *was, size_t size, const struct mf_view *v,
		 const struct mf_view *inner)
{
	uint8_t *copy = malloc(size);

	if (!copy)
		return;
	memcpy(copy, was, size);
	normalize(copy, v);
	normalize(pkt, v);
	if (inner) {
		normalize(copy, inner);
		normalize(pkt, inner);
	}
	MF_MUST(memcmp(pkt, copy, size) == 0);
	free(copy);
}

/*
 * An ICMP segment of zeros with a checksum of 0: wrong, as only 0xffff is right there, but the same number. Whether it was
 * wrong is lost with the first other byte.
 */
static bool is_ambiguous(const struct mf_view *v)
{
	for (uint32_t i = v->transport_off; i < v->end; i++)
		if (v->ptr[i])
			return false;
	return v->flow.proto == MF_PROTO_ICMP;
}

static void there_and_back(struct mf_view *v, uint8_t *pkt, const uint8_t *data, const uint8_t *was,
			   size_t size, enum mf_csum_kind kind)
{
	enum mf_csum_state ip4 = mf_csum_verify_ip4(v), l4 = mf_csum_verify(v);
	struct mf_flow home = v->flow, to = other_flow(&v->flow, data + 1);
	struct mf_view again;

	if (mf_rewrite_flow(v, pkt, &to, kind)) {
		MF_MUST(memcmp(pkt, was, size) == 0);
		return;
	}
	mf_view_init(&again, mf_span_of(pkt, size), MF_VIEW_IP, MF_VIEW_F_OFFLOAD, NULL);
	MF_MUST(mf_view_parse(&again, MF_VIEW_TRANSPORT) == 0);
	MF_MUST(mf_flow_eq(&again.flow, &v->flow) && memcmp(again.flow.src, to.src, 32) == 0);
	MF_MUST(mf_csum_verify_ip4(&again) == ip4);
	if (kind == MF_CSUM_FULL)
		MF_MUST(mf_csum_verify(v) == l4);
	MF_MUST(mf_rewrite_flow(v, pkt, &home, kind) == 0);
	// A partial sum of 0 is none that a device would give; it comes back as the other zero.
	if (kind != MF_CSUM_PARTIAL)
		same(pkt, was, size, v, NULL);
}

static void error_there_and_back(struct mf_view *v, uint8_t *pkt, const uint8_t *data,
				 const uint8_t *was, size_t size)
{
	enum mf_csum_state ip4 = mf_csum_verify_ip4(v), l4 = mf_csum_verify(v), in4;
	struct mf_flow home = v->flow, to = other_flow(&v->flow, data + 1), in_home, in_to;
	struct mf_view inner;

	if (mf_view_quote(v, &inner))
		return;
	in4 = mf_csum_verify_ip4(&inner);
	in_home = inner.flow;
	in_to = other_flow(&inner.flow, data + 37);
	if (mf_rewrite_icmp_error(v, &inner, pkt, to.src, to.dst, &in_to)) {
		MF_MUST(memcmp(pkt, was, size) == 0);
		return;
	}
	MF_MUST(mf_csum_verify_ip4(v) == ip4 && mf_csum_verify(v) == l4 &&
		mf_csum_verify_ip4(&inner) == in4);
	MF_MUST(mf_rewrite_icmp_error(v, &inner, pkt, home.src, home.dst, &in_home) == 0);
	same(pkt, was, size, v, &inner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *was = data + HEAD;
	struct mf_view v;
	uint8_t *pkt;

	if (size <= HEAD)
		return 0;
	size -= HEAD;
	pkt = malloc(size);
	if (!pkt)
		return 0;
	memcpy(pkt, was, size);
	mf_view_init(&v, mf_span_of(pkt, size), MF_VIEW_IP, data[0] % 3 ? MF_VIEW_F_OFFLOAD : 0,
		     NULL);
	if (mf_view_parse(&v, MF_VIEW_TRANSPORT) == 0 && v.net != MF_NET_ARP && !is_ambiguous(&v)) {
		there_and_back(&v, pkt, data, was, size, (enum mf_csum_kind)(data[0] % 3));
		memcpy(pkt, was, size);
		error_there_and_back(&v, pkt, data, was, size);
	}
	free(pkt);
	return 0;
}
