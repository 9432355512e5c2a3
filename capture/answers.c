/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers.c - refusals that a program understands at once: a TCP reset, a DNS answer that says REFUSED, an ICMP error
 *
 * All go back the way that the refused packet came: from its destination to its source, inbound, on its interface.
 */
#include "capture/pipeline_internal.h"

#define DNS_HEADER    12u
#define DNS_NAME_MAX  255u
#define DNS_PORT      53
#define RCODE_REFUSED 5

/* The end of the one question that stands behind a DNS header; 0 if it is not one that can be answered. */
static size_t question_end(struct mf_span q)
{
	size_t i = DNS_HEADER;

	// A standard query (opcode 0) of one question, not a response.
	if (q.len < DNS_HEADER || (q.ptr[2] & 0xf8) || mf_load_be16(q.ptr + 4) != 1)
		return 0;
	while (i < q.len && q.ptr[i]) {
		// Nothing stands before the question that a pointer could point to.
		if (q.ptr[i] > 63 || i - DNS_HEADER + q.ptr[i] + 2 > DNS_NAME_MAX)
			return 0;
		i += 1u + q.ptr[i];
	}
	return i + 5 <= q.len ? i + 5 : 0;
}

/* RFC 1035 4.1.1: the question comes back, with QR, RA and the code; what stands behind it (EDNS) does not. */
static int build_dns_refusal(const struct mf_view *v, uint8_t *buf, size_t room, size_t *ret_len)
{
	uint8_t msg[DNS_HEADER + DNS_NAME_MAX + 5];
	struct mf_span q = mf_view_payload(v);
	struct mf_flow back = mf_flow_reverse(&v->flow);
	size_t len;

	if (v->flow.proto != MF_PROTO_UDP || v->flow.dst_port != DNS_PORT ||
	    (v->flags & MF_VIEW_F_FRAG))
		return MF_E_NOT_MINE;
	len = question_end(q);
	if (!len || len > sizeof(msg))
		return MF_E_NOT_MINE;
	memcpy(msg, q.ptr, len);
	msg[2] = 0x80 | (q.ptr[2] & 0x01);
	msg[3] = 0x80 | (q.ptr[3] & 0x10) | RCODE_REFUSED;
	memset(msg + 6, 0, 6);
	return mf_build_udp(&back, mf_span_of(msg, len), buf, room, ret_len);
}

static int build(struct mf_pipeline *p, const struct mf_view *v, enum mf_answer_kind kind,
		 uint8_t *buf, size_t room, size_t *ret_len)
{
	int r = MF_E_NOT_MINE;

	if (kind == MF_ANSWER_DENIED && v->flow.proto == MF_PROTO_TCP) {
		r = mf_build_tcp_reset(v, buf, room, ret_len);
		p->stats.answered_reset += r == 0;
		return r;
	}
	if (kind == MF_ANSWER_DENIED && build_dns_refusal(v, buf, room, ret_len) == 0) {
		p->stats.answered_dns++;
		return 0;
	}
	r = mf_build_unreachable(
		v, v->flow.family == 4 ? MF_ICMP_ADMIN_PROHIBITED : MF_ICMPV6_ADMIN_PROHIBITED, buf,
		room, ret_len);
	p->stats.answered_icmp += r == 0;
	return r;
}

int mf_answer_packet(struct mf_pipeline *p, const struct mf_packet *pkt, const struct mf_view *v,
		     enum mf_answer_kind kind)
{
	struct mf_answer *a;
	size_t len;
	int r;

	// As inbound packets these would be martians.
	if (mf_redirect_has_loopback(&v->flow))
		return MF_E_NOT_MINE;
	if (p->out_cnt == MF_BACKEND_BATCH_MAX)
		mf_pipeline_flush(p);
	if (p->out_cnt == MF_BACKEND_BATCH_MAX)
		return MF_E_FULL;
	a = &p->answers[p->answer_cnt];
	r = build(p, v, kind, a->bytes, sizeof(a->bytes), &len);
	if (r)
		return r;
	p->answer_cnt++;
	a->packet = (struct mf_packet){ .ptr = a->bytes,
					.len = (uint32_t)len,
					.interface = pkt->interface,
					.sub_interface = pkt->sub_interface,
					.csum = MF_CSUM_FULL,
					.flags = MF_PACKET_BUILT };
	mf_pipeline_queue(p, &a->packet);
	return 0;
}
