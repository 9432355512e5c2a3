/* SPDX-License-Identifier: Apache-2.0 */
/* guest_services.c - what the router of a guest's network answers itself; see guest_net.h */
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "nic/dhcp6.h"
#include "nic/guest_internal.h"
#include "nic/nd6.h"

#define ADVERT_EVERY_NS (200 * MF_NS_PER_S)
#define ROUTER_LIFETIME 1800u
#define PREFIX_LIFETIME 86400u
#define ARP_LEN		28u

static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };

/* ---- ARP --------------------------------------------------------------------------------------------------------- */

void mf_guest_serve_arp(struct mf_guest *g, const uint8_t *p, size_t len)
{
	static const uint8_t head[6] = { 0, 1, 8, 0, 6, 4 };
	static const uint8_t nobody[4];
	const uint8_t *sender = p + 14, *target = p + 24;
	uint8_t answer[ARP_LEN];

	if (len < ARP_LEN || memcmp(p, head, sizeof(head)) != 0) {
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		return;
	}
	/* Whoever speaks of addresses that are not its own wants to be somebody else. */
	if ((memcmp(p + 8, g->mac, 6) != 0 && !g->net->options.any_mac) ||
	    (memcmp(sender, nobody, 4) != 0 && memcmp(sender, g->address4, 4) != 0)) {
		mf_guest_dropped(g, MF_GUEST_DROP_SPOOFED_IP);
		return;
	}
	if (mf_load_be16(p + 6) != 1 ||
	    (memcmp(target, g->net->router4, 4) != 0 && memcmp(target, g->net->dns4, 4) != 0))
		return;
	memcpy(answer, head, sizeof(head));
	mf_store_be16(answer + 6, 2);
	memcpy(answer + 8, g->net->mac, 6);
	memcpy(answer + 14, target, 4);
	memcpy(answer + 18, g->mac, 6);
	memcpy(answer + 24, sender, 4);
	g->stats.arp++;
	mf_guest_emit(g, g->mac, MF_ETHER_ARP, answer, sizeof(answer));
}

/* ---- UDP services ------------------------------------------------------------------------------------------------ */

static void emit_udp(struct mf_guest *g, const uint8_t mac[6], const struct mf_flow *flow,
		     const uint8_t *payload, size_t len)
{
	uint8_t pkt[48 + MF_DHCP6_ANSWER_MAX];
	size_t pkt_len;

	if (mf_build_udp(flow, mf_span_of(payload, len), pkt, sizeof(pkt), &pkt_len) == 0)
		mf_guest_emit(g, mac, flow->family == 4 ? MF_ETHER_IP4 : MF_ETHER_IP6, pkt,
			      pkt_len);
}

void mf_guest_serve_dhcp4(struct mf_guest *g, const uint8_t *msg, size_t len)
{
	const struct mf_guest_net *net = g->net;
	const struct mf_guest_net_options *o = &net->options;
	struct mf_dhcp4_lease lease = { .netmask = { 255, 255, 255, 0 },
					.dns_cnt = 1,
					.ntp_cnt = o->ntp_cnt,
					.mtu = o->mtu,
					.lease_s = o->lease_s,
					.domain = o->domain,
					.boot_file = o->boot_file,
					.search = net->search,
					.search_len = net->search_len };
	uint8_t buf[MF_DHCP4_ANSWER_MAX];
	struct mf_dhcp4_answer answer;
	struct mf_flow flow = { .src_port = MF_DHCP4_SERVER,
				.dst_port = MF_DHCP4_CLIENT,
				.proto = MF_PROTO_UDP,
				.family = 4 };
	int r;

	memcpy(lease.address, g->address4, 4);
	memcpy(lease.router, net->router4, 4);
	memcpy(lease.mac, g->mac, 6);
	if (o->any_mac && len >= 34) /* who asks by another name is answered by that */
		memcpy(lease.mac, msg + 28, 6);
	memcpy(lease.dns[0], net->dns4, 4);
	memcpy(lease.ntp, o->ntp, sizeof(lease.ntp));
	memcpy(lease.boot_server, o->boot_server, 4);
	r = mf_dhcp4_answer(&lease, msg, len, buf, &answer);
	if (r == MF_E_SYNTAX)
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
	if (r < 0)
		return;
	memcpy(flow.src, net->router4, 4);
	memcpy(flow.dst, answer.to, 4);
	g->stats.dhcp4++;
	emit_udp(g, answer.to[0] == 255 ? everybody : g->mac, &flow, buf, answer.len);
	if (answer.type == 5 && net->ops.event)
		net->ops.event(net->ops.ctx, g, true);
}

void mf_guest_serve_dhcp6(struct mf_guest *g, const uint8_t *from, const uint8_t *msg, size_t len)
{
	struct mf_dhcp6_info info = { .search = g->net->search, .search_len = g->net->search_len };
	struct mf_flow flow = { .src_port = MF_DHCP6_SERVER,
				.dst_port = MF_DHCP6_CLIENT,
				.proto = MF_PROTO_UDP,
				.family = 6 };
	uint8_t buf[MF_DHCP6_ANSWER_MAX];
	int n;

	memcpy(info.mac, g->net->mac, 6);
	memcpy(info.dns, g->net->dns6, 16);
	n = mf_dhcp6_answer(&info, msg, len, buf);
	if (n == MF_E_SYNTAX)
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
	if (n < 0)
		return;
	memcpy(flow.src, g->net->link6, 16);
	memcpy(flow.dst, from, 16);
	g->stats.dhcp6++;
	emit_udp(g, g->mac, &flow, buf, (size_t)n);
}

/* ---- neighbours and routers -------------------------------------------------------------------------------------- */

static void emit_icmp6(struct mf_guest *g, const uint8_t mac[6], const uint8_t dst[16],
		       uint8_t *pkt, size_t len)
{
	struct mf_flow flow = { .proto = MF_PROTO_ICMPV6, .family = 6 };

	memset(pkt, 0, 40);
	pkt[0] = 0x60;
	mf_store_be16(pkt + 4, (uint16_t)len);
	pkt[6] = MF_PROTO_ICMPV6;
	pkt[7] = 255; /* what shows that it never left the wire */
	memcpy(pkt + 8, g->net->link6, 16);
	memcpy(pkt + 24, dst, 16);
	memcpy(flow.src, pkt + 8, 16);
	memcpy(flow.dst, dst, 16);
	mf_store_be16(pkt + 42, mf_csum_transport(&flow, pkt + 40, len));
	g->stats.nd++;
	mf_guest_emit(g, mac, MF_ETHER_IP6, pkt, 40 + len);
}

void mf_guest_advertise(struct mf_guest *g, bool unsolicited)
{
	struct mf_nd6_router r = { .mtu = g->net->options.mtu,
				   .lifetime_s = ROUTER_LIFETIME,
				   .prefix_s = PREFIX_LIFETIME,
				   .search = g->net->search,
				   .search_len = g->net->search_len };
	uint8_t pkt[40 + MF_ND6_MAX];

	memcpy(r.mac, g->net->mac, 6);
	memcpy(r.prefix, g->prefix6, 8);
	memcpy(r.dns, g->net->dns6, 16);
	emit_icmp6(g, all_nodes_mac, all_nodes, pkt, mf_nd6_router_advert(&r, pkt + 40));
	if (unsolicited)
		g->advert_due_ns = g->net->ops.now(g->net->ops.ctx) + ADVERT_EVERY_NS;
}

static bool is_own_address(const struct mf_guest_net *net, const uint8_t a[16])
{
	return memcmp(a, net->link6, 16) == 0 || memcmp(a, net->router6, 16) == 0 ||
	       memcmp(a, net->dns6, 16) == 0;
}

static void answer_solicit(struct mf_guest *g, const uint8_t *from, const uint8_t *msg, size_t len)
{
	static const uint8_t nobody[16];
	uint8_t pkt[40 + MF_ND6_MAX];
	const uint8_t *target;
	bool asked = memcmp(from, nobody, 16) != 0;
	size_t n;

	if (mf_nd6_read_solicit(msg, len, &target) < 0) {
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		return;
	}
	if (!is_own_address(g->net, target))
		return;
	n = mf_nd6_neighbour_advert(target, g->net->mac, asked, pkt + 40);
	emit_icmp6(g, asked ? g->mac : all_nodes_mac, asked ? from : all_nodes, pkt, n);
}

bool mf_guest_serve_nd(struct mf_guest *g, const uint8_t *pkt, const uint8_t *msg, size_t len)
{
	if (msg[0] < MF_ND6_ROUTER_SOLICIT || msg[0] > MF_ND6_REDIRECT)
		return false;
	if (pkt[7] != 255) {
		mf_guest_dropped(g, MF_GUEST_DROP_MALFORMED);
		return true;
	}
	switch (msg[0]) {
	case MF_ND6_ROUTER_SOLICIT:
		mf_guest_advertise(g, false);
		break;
	case MF_ND6_NEIGHBOUR_SOLICIT:
		answer_solicit(g, pkt + 8, msg, len);
		break;
	case MF_ND6_NEIGHBOUR_ADVERT:
		/* We never ask: a guest is at the other end of its wire. About our addresses it is a forgery. */
		if (len >= 24 && is_own_address(g->net, msg + 8))
			mf_guest_dropped(g, MF_GUEST_DROP_SPOOFED_IP);
		break;
	default:
		mf_guest_dropped(g, MF_GUEST_DROP_SPOOFED_IP);
	}
	return true;
}
