/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_echo.c - echo requests of guests: answered for the router, handed on for everybody else; see guest_net.h
 *
 * Large ones come in fragments. They are put together here, and so by both stacks alike; of a guest at most FRAGMENTED_MAX at a
 * time. Fragments of other ICMP messages are nothing that hosts send.
 */
#include <stdlib.h>
#include <string.h>

#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "core/packet/view.h"
#include "nic/fragment.h"
#include "nic/guest_internal.h"
#include "nic/nd6.h"

#define FRAGMENTED_MAX 16u
#define PACKET_MAX     65535u
#define ECHO_REQUEST   8

static int put(void *guest, const uint8_t *pkt, size_t len)
{
	struct mf_guest *g = guest;
	uint64_t before = g->stats.dropped[MF_GUEST_DROP_QUEUE];

	mf_guest_emit(g, g->mac, pkt[0] >> 4 == 4 ? MF_ETHER_IP4 : MF_ETHER_IP6, pkt, len);
	/* the others are worth nothing without it */
	return g->stats.dropped[MF_GUEST_DROP_QUEUE] == before ? 0 : MF_E_AGAIN;
}

static void answer(struct mf_guest *g, const struct mf_view *v)
{
	struct mf_flow back = mf_flow_reverse(&v->flow);
	const uint8_t *icmp = v->ptr + v->transport_off;
	uint8_t pkt[PACKET_MAX + 64];
	size_t len;

	if (mf_build_echo(&back, true, mf_load_be16(icmp + 6), mf_view_payload(v), pkt, sizeof(pkt),
			  &len) < 0)
		return;
	g->stats.echo++;
	(void)mf_fragment(pkt, len, g->net->options.mtu, ++g->net->ident, put, g);
}

static bool is_request(const struct mf_view *v)
{
	return v->layer >= MF_VIEW_TRANSPORT && v->icmp_code == 0 &&
	       v->payload_off >= v->transport_off + 8 &&
	       (v->flow.proto == MF_PROTO_ICMP ? v->icmp_type == ECHO_REQUEST
					       : v->icmp_type == MF_ND6_ECHO_REQUEST);
}

static bool is_router(const struct mf_guest_net *net, const struct mf_flow *f)
{
	if (f->family == 4)
		return memcmp(f->dst, net->router4, 4) == 0 || memcmp(f->dst, net->dns4, 4) == 0;
	return memcmp(f->dst, net->router6, 16) == 0 || memcmp(f->dst, net->dns6, 16) == 0 ||
	       memcmp(f->dst, net->link6, 16) == 0;
}

/* Return: true: the packet is whole, in *@v */
static bool put_together(struct mf_guest *g, struct mf_view *v)
{
	const struct mf_reassembler_options o = { .datagrams_max = FRAGMENTED_MAX,
						  .bytes_max = FRAGMENTED_MAX * (PACKET_MAX + 1) };
	struct mf_guest_net *net = g->net;
	struct mf_span pkt;
	struct mf_reassembler_stats before = { 0 }, after = { 0 };
	int r;

	if (!g->fragments)
		g->fragments = mf_reassembler_new(&o);
	if (g->fragments)
		mf_reassembler_get_stats(g->fragments, &before);
	r = g->fragments ? mf_reassembler_add(g->fragments, v, net->ops.now(net->ops.ctx), &pkt)
			 : MF_E_NOMEM;
	if (g->fragments)
		mf_reassembler_get_stats(g->fragments, &after);
	g->stats.dropped[MF_GUEST_DROP_FRAGMENT] +=
		after.evicted - before.evicted + after.timeouts - before.timeouts;
	if (r == 0)
		return false;
	if (r < 0 || mf_view_read_ip(v, pkt, MF_VIEW_F_OFFLOAD, NULL) < 0) {
		mf_guest_dropped(g, MF_GUEST_DROP_FRAGMENT);
		return false;
	}
	return true;
}

bool mf_guest_take_icmp(struct mf_guest *g, uint8_t *pkt, size_t len)
{
	struct mf_guest_net *net = g->net;
	struct mf_view v;
	bool in_fragments;

	if (mf_view_read_ip(&v, mf_span_of(pkt, len), MF_VIEW_F_OFFLOAD, NULL) < 0 &&
	    v.layer < MF_VIEW_NET)
		return false;
	if (v.flow.proto != MF_PROTO_ICMP && v.flow.proto != MF_PROTO_ICMPV6)
		return false;
	in_fragments = v.flags & MF_VIEW_F_FRAG;
	if (in_fragments && !put_together(g, &v))
		return true;
	if (!is_request(&v) || v.flags & (MF_VIEW_F_SOURCE_ROUTED | MF_VIEW_F_AUTH)) {
		if (in_fragments)
			mf_guest_dropped(g, MF_GUEST_DROP_FRAGMENT);
		return in_fragments;
	}
	if (mf_csum_verify(&v) == MF_CSUM_BAD) {
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		return true;
	}
	if (is_router(net, &v.flow)) {
		answer(g, &v);
	} else if (net->ops.echo) {
		g->stats.packets_in++;
		net->ops.echo(net->ops.ctx, g, &v);
	} else {
		return in_fragments;
	}
	return true;
}

static int put_to(void *guest, const uint8_t *pkt, size_t len)
{
	struct mf_guest *g = guest;

	g->stats.packets_out++;
	return put(g, pkt, len);
}

int mf_guest_net_packet_whole(struct mf_guest_net *net, uint8_t *pkt, size_t len)
{
	uint16_t type;
	struct mf_guest *g = mf_guest_find(net, pkt, len, &type);

	if (!g)
		return MF_E_NOENT;
	return mf_fragment(pkt, len, net->options.mtu, ++net->ident, put_to, g);
}

const uint8_t *mf_guest_net_router(const struct mf_guest_net *net, uint8_t family)
{
	return family == 4 ? net->router4 : net->router6;
}
