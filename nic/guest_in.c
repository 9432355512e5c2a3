/* SPDX-License-Identifier: Apache-2.0 */
/* guest_in.c - what a guest sends: whose is it, is it the guest's own, is it for us or for the stack; see guest_net.h */
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/packet/build.h"
#include "core/packet/flow.h"
#include "nic/dhcp6.h"
#include "nic/guest_internal.h"
#include "nic/nd6.h"

#define BURST_MIN    (128u << 10)
#define VLAN_ID_MASK 0x0fffu

/* ---- addresses --------------------------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static bool is_group_mac(const uint8_t mac[6])
{
	return mac[0] & 1;
}

static bool is_router4(const struct mf_guest_net *net, const uint8_t a[4])
{
	return memcmp(a, net->router4, 4) == 0 || memcmp(a, net->dns4, 4) == 0;
}

static bool is_router6(const struct mf_guest_net *net, const uint8_t a[16])
{
	return memcmp(a, net->router6, 16) == 0 || memcmp(a, net->dns6, 16) == 0 ||
	       memcmp(a, net->link6, 16) == 0;
}

static bool is_link_local(const uint8_t a[16])
{
	return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}

/* ---- IPv4 -------------------------------------------------------------------------------------------------------- */

static bool is_broadcast4(const struct mf_guest_net *net, const uint8_t a[4])
{
	return mf_load_be32(a) == 0xffffffffu ||
	       (memcmp(a, net->options.net4, 3) == 0 && a[3] == 255);
}

/* Other guests' addresses, and those of nobody: there is no way from one guest to another. */
static void refuse(struct mf_guest *g, const uint8_t *pkt, size_t len)
{
	uint8_t answer[MF_BUILD_ANSWER_MAX];
	struct mf_view v;
	size_t answer_len;

	mf_guest_dropped(g, MF_GUEST_DROP_NOT_OURS);
	if (mf_view_read_ip(&v, mf_span_of(pkt, len), 0, NULL) < 0 ||
	    mf_build_unreachable(&v, MF_ICMP_HOST_PROHIBITED, answer, sizeof(answer), &answer_len) <
		    0)
		return;
	mf_guest_emit(g, g->mac, MF_ETHER_IP4, answer, answer_len);
}

static void take_ip4(struct mf_guest *g, bool to_us, uint8_t *pkt, size_t len)
{
	const struct mf_guest_net *net = g->net;
	const uint8_t *src = pkt + 12, *dst = pkt + 16;
	size_t head, total;
	bool whole;

	head = len >= 20 ? (pkt[0] & 15u) * 4u : 0;
	total = len >= 20 ? mf_load_be16(pkt + 2) : 0;
	if (head < 20 || pkt[0] >> 4 != 4 || total < head || total > len) {
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		return;
	}
	whole = (mf_load_be16(pkt + 6) & 0x3fff) == 0;
	if (whole && pkt[9] == MF_PROTO_UDP && total >= head + 8 &&
	    mf_load_be16(pkt + head) == MF_DHCP4_CLIENT &&
	    mf_load_be16(pkt + head + 2) == MF_DHCP4_SERVER &&
	    (is_broadcast4(net, dst) || is_router4(net, dst)) &&
	    (is_zero(src, 4) || memcmp(src, g->address4, 4) == 0)) {
		size_t udp = mf_load_be16(pkt + head + 4);

		if (udp < 8 || udp > total - head)
			mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		else
			mf_guest_serve_dhcp4(g, pkt + head + 8, udp - 8);
		return;
	}
	if (memcmp(src, g->address4, 4) != 0) {
		/* group reports and the like before there is an address are no forgery */
		mf_guest_dropped(g,
				 is_zero(src, 4) ? MF_GUEST_DROP_GROUP : MF_GUEST_DROP_SPOOFED_IP);
		return;
	}
	if (!to_us || dst[0] >= 224 || dst[0] == 0 || dst[0] == 127 || is_broadcast4(net, dst)) {
		mf_guest_dropped(g, MF_GUEST_DROP_GROUP);
		return;
	}
	if (!is_router4(net, dst) && memcmp(dst, net->options.net4, 3) == 0) {
		refuse(g, pkt, total);
		return;
	}
	if (pkt[9] == MF_PROTO_ICMP && mf_guest_take_icmp(g, pkt, total))
		return;
	g->stats.packets_in++;
	net->ops.packet(net->ops.ctx, g, pkt, total);
}

/* ---- IPv6 -------------------------------------------------------------------------------------------------------- */

/* Return: true when it was for us, or for nobody */
static bool serve_ip6(struct mf_guest *g, uint8_t *pkt, size_t total)
{
	const uint8_t *dst = pkt + 24;
	size_t len = total - 40;
	uint8_t proto = pkt[6];

	if (proto == MF_PROTO_ICMPV6 && len >= 8) {
		if (mf_guest_serve_nd(g, pkt, pkt + 40, len))
			return true;
		/* link-local ones, too */
		if (is_router6(g->net, dst))
			return mf_guest_take_icmp(g, pkt, total);
	}
	if (proto == MF_PROTO_UDP && len >= 8 && mf_load_be16(pkt + 42) == MF_DHCP6_SERVER &&
	    (dst[0] == 0xff || is_link_local(dst))) {
		size_t udp = mf_load_be16(pkt + 44);

		if (udp < 8 || udp > len)
			mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		else
			mf_guest_serve_dhcp6(g, pkt + 8, pkt + 48, udp - 8);
		return true;
	}
	return false;
}

static void take_ip6(struct mf_guest *g, bool to_us, uint8_t *pkt, size_t len)
{
	const struct mf_guest_net *net = g->net;
	const uint8_t *src = pkt + 8, *dst = pkt + 24;
	size_t total = len >= 40 ? 40u + mf_load_be16(pkt + 4) : 0;
	bool own;

	if (net->options.no6) {
		mf_guest_dropped(g, MF_GUEST_DROP_TYPE);
		return;
	}
	if (!total || pkt[0] >> 4 != 6 || total > len) {
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		return;
	}
	own = memcmp(src, g->prefix6, 8) == 0;
	if (!own && !is_link_local(src) && !is_zero(src, 16)) {
		mf_guest_dropped(g, MF_GUEST_DROP_SPOOFED_IP);
		return;
	}
	/* from ND to DHCPv6, what is local is ours or nobody's */
	if (serve_ip6(g, pkt, total))
		return;
	if (!own || !to_us || dst[0] == 0xff || is_link_local(dst) || is_zero(dst, 15)) {
		mf_guest_dropped(g, MF_GUEST_DROP_GROUP);
		return;
	}
	if (memcmp(dst, net->options.net6, 6) == 0 && !is_router6(net, dst)) {
		mf_guest_dropped(g, MF_GUEST_DROP_NOT_OURS);
		return;
	}
	/* what stands behind extension headers is looked for there */
	if (pkt[6] != MF_PROTO_TCP && pkt[6] != MF_PROTO_UDP && mf_guest_take_icmp(g, pkt, total))
		return;
	g->stats.packets_in++;
	net->ops.packet(net->ops.ctx, g, pkt, total);
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* A bucket of bytes. Return: false when it is empty */
static bool may_send(struct mf_guest *g, size_t len)
{
	uint64_t rate = g->net->options.rate, burst, now, gained;

	if (!rate)
		return true;
	burst = rate / 8 > BURST_MIN ? rate / 8 : BURST_MIN;
	now = g->net->ops.now(g->net->ops.ctx);
	if (!g->tokens_ns || now - g->tokens_ns >= MF_NS_PER_S) {
		g->tokens = burst;
		g->tokens_ns = now;
	} else {
		gained = (uint64_t)((unsigned __int128)(now - g->tokens_ns) * rate / MF_NS_PER_S);
		if (gained) {
			g->tokens = g->tokens + gained < burst ? g->tokens + gained : burst;
			g->tokens_ns = now;
		}
	}
	if (g->tokens < len)
		return false;
	g->tokens -= len;
	return true;
}

void mf_guest_on_frame(void *ctx, uint8_t *frame, size_t len)
{
	struct mf_guest *g = ctx;
	struct mf_guest_net *net = g->net;
	const uint8_t *dst = frame, *src = frame + 6;
	uint8_t *body;
	size_t body_len;
	uint16_t type;
	bool to_us;

	if (net->ops.observe)
		net->ops.observe(net->ops.ctx, g, true, frame, MF_GUEST_HEAD, frame + MF_GUEST_HEAD,
				 len - MF_GUEST_HEAD);
	if (!may_send(g, len)) {
		mf_guest_dropped(g, MF_GUEST_DROP_RATE);
		return;
	}
	if (is_group_mac(src) || is_zero(src, 6)) {
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		return;
	}
	/* another station: another machine's, or a forged one */
	if (g->slot && !net->options.any_mac && memcmp(src, g->mac, 6) != 0)
		(void)mf_frame_source_look(g->source);
	if (!g->slot && !mf_guest_settle(g, src)) {
		mf_guest_dropped(g, MF_GUEST_DROP_QUEUE);
		return;
	}
	if (memcmp(src, g->mac, 6) != 0) {
		if (!net->options.any_mac) {
			mf_guest_dropped(g, MF_GUEST_DROP_SPOOFED_MAC);
			return;
		}
		mf_guest_rename(g, src);
	}
	to_us = memcmp(dst, net->mac, 6) == 0 || (net->options.any_mac && !is_group_mac(dst));
	if (!to_us && !is_group_mac(dst)) {
		mf_guest_dropped(g, MF_GUEST_DROP_NOT_OURS);
		return;
	}
	type = mf_load_be16(frame + 12);
	body = frame + MF_GUEST_HEAD;
	body_len = len - MF_GUEST_HEAD;
	/* 802.1Q 6.9: VLAN 0 means that only the priority counts; some drivers always send it */
	if (type == MF_ETHER_VLAN && body_len >= MF_VLAN_TAG &&
	    !(mf_load_be16(body) & VLAN_ID_MASK)) {
		type = mf_load_be16(body + 2);
		body += MF_VLAN_TAG;
		body_len -= MF_VLAN_TAG;
	}
	switch (type) {
	case MF_ETHER_ARP:
		mf_guest_serve_arp(g, body, body_len);
		break;
	case MF_ETHER_IP4:
		take_ip4(g, to_us, body, body_len);
		break;
	case MF_ETHER_IP6:
		take_ip6(g, to_us, body, body_len);
		break;
	case MF_ETHER_VLAN:
	case MF_ETHER_SERVICE_VLAN:
		mf_guest_dropped(g, MF_GUEST_DROP_VLAN);
		break;
	default:
		mf_guest_dropped(g, MF_GUEST_DROP_TYPE);
	}
}
