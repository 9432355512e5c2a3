/* SPDX-License-Identifier: Apache-2.0 */
/* pcap_link.c - see pcap_link.h; link types: www.tcpdump.org/linktypes.html */
#include "capture/pcap_link.h"

#include "core/base/bytes.h"
#include "core/packet/checksum.h"

enum {
	TYPE_IP4 = 0x0800,
	TYPE_IP6 = 0x86dd,
	ETHER_LEN = 14,
	SLL_LEN = 16,
	SLL2_LEN = 20,
	NULL_LEN = 4,
	SLL_OUTGOING = 4,
	AF_IP4 = 2,
};

bool mf_pcap_link_known(uint16_t link)
{
	switch (link) {
	case MF_LINK_NULL:
	case MF_LINK_LOOP:
	case MF_LINK_ETHERNET:
	case MF_LINK_RAW_BSD:
	case MF_LINK_RAW_OPENBSD:
	case MF_LINK_RAW:
	case MF_LINK_IP4:
	case MF_LINK_IP6:
	case MF_LINK_SLL:
	case MF_LINK_SLL2:
		return true;
	default:
		return false;
	}
}

static bool is_tag(uint16_t type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

/* Behind the tags that follow @type at @off. Return: offset, MF_E_* */
static int skip_tags(const struct mf_pcap_record *rec, uint16_t type, uint32_t off)
{
	for (unsigned i = 0; is_tag(type); i++) {
		if (i == MF_VIEW_VLANS_MAX || rec->len < off + 4)
			return MF_E_BAD;
		type = mf_load_be16(rec->ptr + off + 2);
		off += 4;
	}
	return type == TYPE_IP4 || type == TYPE_IP6 ? (int)off : MF_E_NOT_MINE;
}

/* The address family stands in the byte order of the machine that captured; IPv6 has another number on each system. */
static int skip_null(const struct mf_pcap_record *rec)
{
	uint32_t family;

	if (rec->len < NULL_LEN)
		return MF_E_BAD;
	family = mf_load_be32(rec->ptr);
	if (family > 0xffff)
		family = __builtin_bswap32(family);
	switch (family) {
	case AF_IP4:
	case 10: /* Linux */
	case 23: /* Windows */
	case 24: /* NetBSD, OpenBSD */
	case 28: /* FreeBSD */
	case 30: /* Darwin */
		return NULL_LEN;
	default:
		return MF_E_NOT_MINE;
	}
}

/* Where the IP packet begins. Return: offset, MF_E_* */
static int skip_link(const struct mf_pcap_record *rec, uint8_t *direction)
{
	const uint8_t *p = rec->ptr;

	switch (rec->link) {
	case MF_LINK_ETHERNET:
		if (rec->len < ETHER_LEN)
			return MF_E_BAD;
		return skip_tags(rec, mf_load_be16(p + 12), ETHER_LEN);
	case MF_LINK_RAW_BSD:
	case MF_LINK_RAW_OPENBSD:
	case MF_LINK_RAW:
	case MF_LINK_IP4:
	case MF_LINK_IP6:
		return 0;
	case MF_LINK_NULL:
	case MF_LINK_LOOP:
		return skip_null(rec);
	case MF_LINK_SLL:
		if (rec->len < SLL_LEN)
			return MF_E_BAD;
		*direction = mf_load_be16(p) == SLL_OUTGOING ? MF_PCAP_OUTBOUND : MF_PCAP_INBOUND;
		return skip_tags(rec, mf_load_be16(p + 14), SLL_LEN);
	case MF_LINK_SLL2:
		if (rec->len < SLL2_LEN)
			return MF_E_BAD;
		*direction = p[10] == SLL_OUTGOING ? MF_PCAP_OUTBOUND : MF_PCAP_INBOUND;
		return skip_tags(rec, mf_load_be16(p), SLL2_LEN);
	default:
		return MF_E_UNSUPPORTED;
	}
}

static bool is_ip4(const uint8_t *ip)
{
	return ip[0] >> 4 == 4;
}

static void store_ip_length(uint8_t *ip, uint16_t length)
{
	uint8_t *field = ip + (is_ip4(ip) ? 2 : 4);
	uint64_t diff = mf_csum_diff16(0, mf_load_be16(field), length);

	mf_store_be16(field, length);
	if (is_ip4(ip))
		mf_store_be16(ip + 10, mf_csum_update(mf_load_be16(ip + 10), diff));
}

/* What the IP header says its packet's length is, fixed header of IPv6 included; 0: nothing. */
static uint32_t announced(const uint8_t *ip)
{
	uint32_t len = mf_load_be16(ip + (is_ip4(ip) ? 2 : 4));

	return is_ip4(ip) || len == 0 ? len : len + 40;
}

static void mend_ip(struct mf_pcap_ip *ip, uint32_t wire_len)
{
	bool v4 = is_ip4(ip->ptr);
	uint32_t says = announced(ip->ptr), there = ip->len;

	/* Of a length of 0 nothing is known but what the wire carried; an IPv6 packet may really have no payload. */
	if (says == 0 && !v4 && ip->ptr[6] != MF_PROTO_TCP)
		return;
	if (says && says <= there)
		return;
	if (there > 65535u + (v4 ? 0 : 40))
		there = ip->len = 65535u + (v4 ? 0 : 40);
	if (says > there)
		ip->missing = says - there;
	else if (wire_len > there)
		ip->missing = wire_len - there;
	ip->ip_mended = true;
	ip->ip_length = mf_load_be16(ip->ptr + (v4 ? 2 : 4));
	store_ip_length(ip->ptr, (uint16_t)(v4 ? there : there - 40));
}

static int parse(struct mf_pcap_ip *ip, struct mf_view_stats *stats)
{
	mf_view_init(&ip->view, mf_span_of(ip->ptr, ip->len), MF_VIEW_IP, 0, stats);
	return mf_view_parse(&ip->view, MF_VIEW_TRANSPORT);
}

/* A datagram that was cut: its own length is wrong as well. Return: whether there is something to read anew */
static bool mend_udp(struct mf_pcap_ip *ip)
{
	const struct mf_view *v = &ip->view;

	if (!ip->missing || v->reason != MF_VIEW_UDP_LENGTH || v->end < v->transport_off + 8)
		return false;
	ip->udp_mended = true;
	ip->udp_at = v->transport_off;
	ip->udp_length = mf_load_be16(ip->ptr + ip->udp_at + 4);
	mf_store_be16(ip->ptr + ip->udp_at + 4, (uint16_t)(v->end - v->transport_off));
	return true;
}

/* An IP version that is not the one that the link announces cannot be looked at further. */
static bool is_readable(const struct mf_pcap_record *rec, const struct mf_pcap_ip *ip)
{
	uint8_t version = ip->len ? ip->ptr[0] >> 4 : 0;

	if ((version == 4 && rec->link == MF_LINK_IP6) ||
	    (version == 6 && rec->link == MF_LINK_IP4))
		return false;
	return (version == 4 && ip->len >= 20) || (version == 6 && ip->len >= 40);
}

int mf_pcap_find_ip(const struct mf_pcap_record *rec, struct mf_view_stats *stats,
		    struct mf_pcap_ip *ret)
{
	int off, r;

	memset(ret, 0, sizeof(*ret));
	ret->direction = rec->direction;
	off = skip_link(rec, &ret->direction);
	if (off < 0)
		return off;
	ret->link_len = (uint32_t)off;
	ret->ptr = rec->ptr + off;
	ret->len = rec->len - (uint32_t)off;
	if (!is_readable(rec, ret))
		return MF_E_BAD;
	mend_ip(ret, rec->wire_len - (uint32_t)off);
	r = parse(ret, stats);
	if (r < 0 && mend_udp(ret))
		r = parse(ret, stats);
	if (ret->view.layer >= MF_VIEW_NET && ret->view.end)
		ret->len = ret->view.end;
	return r == MF_E_AGAIN ? MF_E_BAD : r;
}

void mf_pcap_unmend(const struct mf_pcap_ip *ip, uint8_t *pkt)
{
	if (ip->ip_mended)
		store_ip_length(pkt, ip->ip_length);
	if (ip->udp_mended)
		mf_store_be16(pkt + ip->udp_at + 4, ip->udp_length);
}
