/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_view.h - what must be true of every view, whatever the bytes were */
#ifndef MF_FUZZ_PACKET_VIEW_H
#define MF_FUZZ_PACKET_VIEW_H

#include <stdlib.h>

#include "core/base/err.h"
#include "core/packet/checksum.h"
#include "core/packet/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void check_offsets(const struct mf_view *v)
{
	if (v->layer >= MF_VIEW_LINK)
		MF_MUST(v->net_off <= v->len);
	if (v->layer >= MF_VIEW_NET) {
		MF_MUST(v->net_off < v->transport_off && v->transport_off <= v->end &&
			v->end <= v->len);
		MF_MUST(v->flow.zero == 0);
	}
	if (v->layer >= MF_VIEW_TRANSPORT) {
		MF_MUST(v->transport_off <= v->payload_off && v->payload_off <= v->payload_end);
		MF_MUST(v->payload_end <= v->end);
		MF_MUST(mf_view_payload(v).len == v->payload_end - v->payload_off);
	}
}

/* The short way reads whatever it reads as the long one does. */
static inline void check_short_way(const uint8_t *data, size_t size, uint16_t flags)
{
	struct mf_view quick, v;

	mf_view_init(&v, mf_span_of(data, size), MF_VIEW_IP, flags, NULL);
	MF_MUST(mf_view_parse(&v, MF_VIEW_TRANSPORT) ==
		mf_view_read_ip(&quick, mf_span_of(data, size), flags, NULL));
	MF_MUST(memcmp(&quick, &v, sizeof(v)) == 0);
}

/* Read one packet in all ways and compare. Return: the code of the transport layer */
static inline int check_packet(const uint8_t *data, size_t size, enum mf_view_link link)
{
	struct mf_view_stats stats = { 0 };
	struct mf_view v, step, inner;
	char text[2 * MF_VIEW_TEXT_MAX];
	struct mf_span opt;
	int r, r2 = 0;

	mf_view_init(&v, mf_span_of(data, size), link, 0, &stats);
	r = mf_view_parse(&v, MF_VIEW_TRANSPORT);
	check_offsets(&v);
	MF_MUST((r == 0) == (v.reason == MF_VIEW_FINE));
	MF_MUST(stats.parsed + stats.reasons[v.reason] == 1);
	MF_MUST(mf_view_format(&v, text, sizeof(text)) == text && strlen(text) < sizeof(text));

	mf_view_init(&step, mf_span_of(data, size), link, 0, NULL);
	for (int layer = MF_VIEW_LINK; layer <= MF_VIEW_TRANSPORT && !r2; layer++)
		r2 = mf_view_parse(&step, (enum mf_view_layer)layer);
	if (link == MF_VIEW_IP) {
		check_short_way(data, size, 0);
		check_short_way(data, size, MF_VIEW_F_OFFLOAD);
	}
	MF_MUST(r == r2 && step.reason == v.reason && mf_flow_eq(&step.flow, &v.flow));
	if (r)
		return r;
	mf_csum_verify_ip4(&v);
	mf_csum_verify(&v);
	for (unsigned kind = 2; kind < 256; kind++)
		if (mf_view_tcp_option(&v, (uint8_t)kind, &opt))
			MF_MUST(opt.ptr >= data && opt.ptr + opt.len <= data + v.payload_off);
	if (mf_view_quote(&v, &inner) == 0) {
		check_offsets(&inner);
		MF_MUST(inner.end <= v.payload_end && inner.flow.family == v.flow.family);
	}
	return 0;
}

#endif
