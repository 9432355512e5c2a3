/* SPDX-License-Identifier: Apache-2.0 */
/* guest_stack_udp_linux.c - packets to guests that no connection sends: datagrams, errors, fragments; see guest_stack.h */
#include <string.h>

#include "core/base/bytes.h"
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "nic/guest_stack_int.h"

#define HEAD_MAX (40u + 8u)

void mf_stack_refuse(struct mf_guest_stack *s, const struct mf_view *v)
{
	uint8_t answer[MF_BUILD_ANSWER_MAX];
	uint8_t code = v->flow.family == 4 ? MF_ICMP_ADMIN_PROHIBITED : MF_ICMPV6_ADMIN_PROHIBITED;
	size_t len;

	if (mf_build_unreachable(v, code, answer, sizeof(answer), &len) == 0)
		s->ops.packet(s->ops.ctx, answer, len);
}

static int send_fragments4(struct mf_guest_stack *s, uint8_t *pkt, size_t len)
{
	size_t head = (pkt[0] & 15u) * 4u, at = head, most;
	uint16_t ident = (uint16_t)++s->ident;
	uint8_t out[MF_STACK_PACKET_MAX];

	most = (s->options.mtu - head) & ~(size_t)7;
	while (at < len) {
		size_t n = len - at < most ? len - at : most;

		memcpy(out, pkt, head);
		memcpy(out + head, pkt + at, n);
		mf_store_be16(out + 2, (uint16_t)(head + n));
		mf_store_be16(out + 4, ident);
		mf_store_be16(out + 6, (uint16_t)((at - head) / 8 | (at + n < len ? 0x2000u : 0u)));
		mf_store_be16(out + 10, mf_csum_ip4_header(out, head));
		s->ops.packet(s->ops.ctx, out, head + n);
		at += n;
	}
	return 0;
}

/* RFC 8200 section 4.5 */
static int send_fragments6(struct mf_guest_stack *s, const uint8_t *pkt, size_t len)
{
	size_t at = 40, most = (s->options.mtu - HEAD_MAX) & ~(size_t)7;
	uint32_t ident = ++s->ident;
	uint8_t out[MF_STACK_PACKET_MAX];

	while (at < len) {
		size_t n = len - at < most ? len - at : most;

		memcpy(out, pkt, 40);
		mf_store_be16(out + 4, (uint16_t)(8 + n));
		out[6] = MF_PROTO_FRAGMENT;
		out[40] = pkt[6];
		out[41] = 0;
		mf_store_be16(out + 42, (uint16_t)((at - 40) | (at + n < len)));
		mf_store_be32(out + 44, ident);
		memcpy(out + 48, pkt + at, n);
		s->ops.packet(s->ops.ctx, out, 48 + n);
		at += n;
	}
	return 0;
}

int mf_guest_stack_send_ip(struct mf_guest_stack *s, uint8_t *pkt, size_t len)
{
	if (len < 20 || (pkt[0] >> 4 == 6 && len < 40))
		return MF_E_INVAL;
	if (len > s->options.mtu)
		return pkt[0] >> 4 == 4 ? send_fragments4(s, pkt, len)
					: send_fragments6(s, pkt, len);
	s->ops.packet(s->ops.ctx, pkt, len);
	return 0;
}

int mf_guest_stack_send_udp(struct mf_guest_stack *s, const struct mf_flow *flow,
			    struct mf_span payload)
{
	uint8_t pkt[MF_STACK_PACKET_MAX + 64];
	size_t len;
	int r = mf_build_udp(flow, payload, pkt, sizeof(pkt), &len);

	if (r < 0)
		return r;
	s->stats.datagrams_out++;
	return mf_guest_stack_send_ip(s, pkt, len);
}
