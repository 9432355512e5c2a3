/* SPDX-License-Identifier: Apache-2.0 */
/* guest_stack_udp_linux.c - packets to guests that no connection sends: datagrams, errors, fragments; see guest_stack.h */
#include "core/packet/build.h"
#include "nic/fragment.h"
#include "nic/guest_stack_int.h"

void mf_stack_refuse(struct mf_guest_stack *s, const struct mf_view *v)
{
	uint8_t answer[MF_BUILD_ANSWER_MAX];
	uint8_t code = v->flow.family == 4 ? MF_ICMP_ADMIN_PROHIBITED : MF_ICMPV6_ADMIN_PROHIBITED;
	size_t len;

	if (mf_build_unreachable(v, code, answer, sizeof(answer), &len) == 0)
		s->ops.packet(s->ops.ctx, answer, len);
}

static int send_piece(void *stack, const uint8_t *pkt, size_t len)
{
	struct mf_guest_stack *s = stack;

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
	return mf_fragment(pkt, len, s->options.mtu, ++s->ident, send_piece, s);
}
