/* SPDX-License-Identifier: Apache-2.0 */
/* view_text.c - views and reasons as text; see view.h */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/packet/view.h"

static const char *const reasons[] = {
	[MF_VIEW_FINE] = "fine",
	[MF_VIEW_LINK_SHORT] = "link_short",
	[MF_VIEW_VLAN_DEEP] = "vlan_deep",
	[MF_VIEW_ETHERTYPE] = "ethertype",
	[MF_VIEW_ARP_SHORT] = "arp_short",
	[MF_VIEW_ARP_HEADER] = "arp_header",
	[MF_VIEW_IP_EMPTY] = "ip_empty",
	[MF_VIEW_IP_VERSION] = "ip_version",
	[MF_VIEW_IP4_SHORT] = "ip4_short",
	[MF_VIEW_IP4_IHL] = "ip4_ihl",
	[MF_VIEW_IP4_TOTAL] = "ip4_total",
	[MF_VIEW_IP4_TRUNCATED] = "ip4_truncated",
	[MF_VIEW_IP4_OPTION] = "ip4_option",
	[MF_VIEW_IP6_SHORT] = "ip6_short",
	[MF_VIEW_IP6_TRUNCATED] = "ip6_truncated",
	[MF_VIEW_IP6_JUMBO] = "ip6_jumbo",
	[MF_VIEW_EXT_PAST_END] = "ext_past_end",
	[MF_VIEW_EXT_MANY] = "ext_many",
	[MF_VIEW_EXT_ORDER] = "ext_order",
	[MF_VIEW_EXT_OPTION] = "ext_option",
	[MF_VIEW_EXT_RH0] = "ext_rh0",
	[MF_VIEW_FRAG_LENGTH] = "frag_length",
	[MF_VIEW_FRAG_RANGE] = "frag_range",
	[MF_VIEW_FRAG_TINY] = "frag_tiny",
	[MF_VIEW_TRANSPORT_SHORT] = "transport_short",
	[MF_VIEW_TCP_OFFSET] = "tcp_offset",
	[MF_VIEW_TCP_OPTION] = "tcp_option",
	[MF_VIEW_UDP_LENGTH] = "udp_length",
	[MF_VIEW_UDP6_ZERO] = "udp6_zero",
	[MF_VIEW_ICMP_FAMILY] = "icmp_family",
	[MF_VIEW_QUOTE] = "quote",
};
_Static_assert(MF_ARRAY_SIZE(reasons) == MF_VIEW_REASON_NUM, "one name per reason");

const char *mf_view_reason_name(enum mf_view_reason reason)
{
	return (unsigned)reason < MF_VIEW_REASON_NUM ? reasons[reason] : "?";
}

struct text {
	char *buf;
	size_t size, len;
};

MF_PRINTF(2, 3) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->len + 1 >= t->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < t->size - t->len ? (size_t)n : t->size - t->len - 1;
}

static void add_mac(struct text *t, const uint8_t *p)
{
	add(t, "%02x:%02x:%02x:%02x:%02x:%02x", p[0], p[1], p[2], p[3], p[4], p[5]);
}

static void add_link(struct text *t, const struct mf_view *v)
{
	if (v->link != MF_VIEW_ETHERNET)
		return;
	add(t, "eth ");
	add_mac(t, v->ptr + 6);
	add(t, " > ");
	add_mac(t, v->ptr);
	for (unsigned i = 0; i < v->vlan_cnt; i++)
		add(t, " vlan %u", v->vlans[i] & 0xfffu);
	add(t, " type 0x%04x", v->ether_type);
}

/* The address as on the wire: a mapped one in an IPv6 packet is shown as such. */
static void add_end(struct text *t, const struct mf_view *v, const uint8_t *bytes, uint16_t port)
{
	struct mf_addr a = { .family = v->flow.family };
	char buf[MF_ADDR_TEXT_MAX];
	bool ports = v->flags & MF_VIEW_F_HAS_PORTS && v->flow.proto != MF_PROTO_ICMP &&
		     v->flow.proto != MF_PROTO_ICMPV6;

	memcpy(a.bytes, bytes, 16);
	mf_addr_format(&a, buf, sizeof(buf));
	if (ports)
		add(t, a.family == 6 ? "[%s]:%u" : "%s:%u", buf, port);
	else
		add(t, "%s", buf);
}

static void add_net(struct text *t, const struct mf_view *v)
{
	if (v->net == MF_NET_ARP) {
		const uint8_t *p = v->ptr + v->net_off;

		add(t, "arp op %u ", mf_load_be16(p + 6));
		add_mac(t, p + 8);
		add(t, " ");
	} else {
		add(t, "ip%u ", v->flow.family);
	}
	add_end(t, v, v->flow.src, v->flow.src_port);
	add(t, " > ");
	add_end(t, v, v->flow.dst, v->flow.dst_port);
	if (v->flags & MF_VIEW_F_FRAG)
		add(t, " frag id %" PRIu32 " off %u%s", v->frag_id, v->frag_off,
		    v->flags & MF_VIEW_F_FRAG_MORE ? " more" : "");
	if (v->flags & MF_VIEW_F_DONT_FRAG)
		add(t, " df");
	if (v->flags & MF_VIEW_F_OPTIONS)
		add(t, " options");
	if (v->flags & MF_VIEW_F_SOURCE_ROUTED)
		add(t, " source-routed");
	if (v->flags & MF_VIEW_F_AUTH)
		add(t, " auth");
}

static void add_tcp(struct text *t, const struct mf_view *v)
{
	static const char letters[8] = { 'F', 'S', 'R', 'P', 'A', 'U', 'E', 'C' };
	char flags[9];
	size_t n = 0;

	for (unsigned i = 0; i < 8; i++)
		if (v->tcp_flags & 1u << i)
			flags[n++] = letters[i];
	flags[n] = '\0';
	add(t, " tcp %s", n ? flags : "-");
	if (v->end - v->transport_off >= 12)
		add(t, " seq %" PRIu32 " ack %" PRIu32, mf_view_tcp_seq(v), mf_view_tcp_ack(v));
}

static void add_transport(struct text *t, const struct mf_view *v)
{
	if (v->net == MF_NET_ARP)
		return;
	if (v->flags & MF_VIEW_F_FRAG_LATER)
		add(t, " proto %u", v->flow.proto);
	else if (v->flow.proto == MF_PROTO_TCP && v->flags & MF_VIEW_F_HAS_PORTS)
		add_tcp(t, v);
	else if (v->flow.proto == MF_PROTO_UDP && v->flags & MF_VIEW_F_HAS_PORTS)
		add(t, " udp%s", v->flags & MF_VIEW_F_NO_CHECKSUM ? " unchecked" : "");
	else if ((v->flow.proto == MF_PROTO_ICMP || v->flow.proto == MF_PROTO_ICMPV6) &&
		 v->payload_off > v->transport_off)
		add(t, " icmp type %u code %u", v->icmp_type, v->icmp_code);
	else
		add(t, " proto %u", v->flow.proto);
	if (v->flow.proto == MF_PROTO_ICMP || v->flow.proto == MF_PROTO_ICMPV6)
		if (v->flags & MF_VIEW_F_HAS_PORTS)
			add(t, " id %u", v->flow.src_port);
	add(t, " payload %zu", mf_view_payload(v).len);
}

const char *mf_view_format(const struct mf_view *v, char *buf, size_t size)
{
	struct text t = { buf, size, 0 };
	struct mf_view in;

	if (size)
		buf[0] = '\0';
	if (v->layer >= MF_VIEW_LINK)
		add_link(&t, v);
	if (v->layer >= MF_VIEW_NET) {
		add(&t, "%s", t.len ? " " : "");
		add_net(&t, v);
	}
	if (v->layer >= MF_VIEW_TRANSPORT)
		add_transport(&t, v);
	if (v->layer >= MF_VIEW_NET && v->flags & MF_VIEW_F_PADDED &&
	    !(v->flags & MF_VIEW_F_QUOTED))
		add(&t, " padding %" PRIu32, v->len - v->end);
	if (v->code)
		add(&t, "%s%s: %s", t.len ? " " : "", mf_strerror(v->code), reasons[v->reason]);
	if (!(v->flags & MF_VIEW_F_QUOTED) && mf_view_quote(v, &in) == 0) {
		add(&t, " quoting ");
		// A quote never quotes again, so this goes one level deep.
		mf_view_format(&in, buf + t.len, size - t.len);
	}
	return buf;
}
