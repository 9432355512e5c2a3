/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h - a bounds-checked reading of one packet, in place: no copy, no allocation
 *
 *	struct mf_view v;
 *
 *	mf_view_init(&v, mf_span_of(pkt, len), MF_VIEW_ETHERNET, 0, &stats);
 *	if (mf_view_parse(&v, MF_VIEW_TRANSPORT) == 0 && v.flow.proto == MF_PROTO_TCP)
 *		... v.flow, v.tcp_flags, mf_view_payload(&v) ...
 *
 * How it works. A view remembers how far it has read: link, net, transport. Asking for a deeper layer goes on from
 * there, asking again costs one compare. All offsets count from the first byte of the packet. What is wrong with a
 * packet is one of enum mf_view_reason, kept in the view and counted in the owner's struct mf_view_stats.
 *
 * Return codes of mf_view_parse():
 *	0              everything up to the layer asked for is there and well-formed
 *	MF_E_AGAIN     bytes are missing that the headers announce. The view may be given more (mf_view_grow()) and asked
 *	               again; a caller whose source delivers whole packets drops the packet, it is damaged
 *	MF_E_BAD       malformed: final
 *	MF_E_NOT_MINE  a protocol that views do not read (LLDP, PPPoE, MPLS ...): final, and nothing wrong with it
 *
 * Limits: MF_VIEW_VLANS_MAX tags, MF_VIEW_EXTS_MAX IPv6 extension headers. The work for a packet is linear in the bytes
 * of its headers. IPv6 jumbograms are malformed here: no link of ours carries them.
 */
#ifndef MF_PACKET_VIEW_H
#define MF_PACKET_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include <moonfence/moonfence.h>

#include "core/base/bytes.h"
#include "core/base/span.h"
#include "core/packet/flow.h"

#define MF_VIEW_VLANS_MAX 4 /* customer and service tag, and room for provider stacking */
#define MF_VIEW_EXTS_MAX \
	8 /* Linux' own default bound for options is 8 as well; real chains have at most 3 */

/* What the first byte of the packet belongs to. */
enum mf_view_link { MF_VIEW_ETHERNET, MF_VIEW_IP, MF_VIEW_LINK_NUM };

/* How far a view has read. */
enum mf_view_layer { MF_VIEW_NOTHING, MF_VIEW_LINK, MF_VIEW_NET, MF_VIEW_TRANSPORT };

/* What stands in the network layer. */
enum mf_view_net { MF_NET_NONE, MF_NET_ARP, MF_NET_IP4, MF_NET_IP6 };

/* Why a packet was not read to the end. */
enum mf_view_reason {
	MF_VIEW_FINE,
	MF_VIEW_LINK_SHORT, /* fewer bytes than an Ethernet header and its tags */
	MF_VIEW_VLAN_DEEP,  /* more than MF_VIEW_VLANS_MAX tags */
	MF_VIEW_ETHERTYPE,  /* neither ARP nor IP */
	MF_VIEW_ARP_SHORT,
	MF_VIEW_ARP_HEADER,    /* not IPv4 over Ethernet (RFC 826) */
	MF_VIEW_IP_EMPTY,      /* no byte where an IP header should start */
	MF_VIEW_IP_VERSION,    /* version neither 4 nor 6, or not the one that the EtherType says */
	MF_VIEW_IP4_SHORT,     /* fewer bytes than the fixed header */
	MF_VIEW_IP4_IHL,       /* header length under 20 */
	MF_VIEW_IP4_TOTAL,     /* total length smaller than the header */
	MF_VIEW_IP4_TRUNCATED, /* fewer bytes than the total length */
	MF_VIEW_IP4_OPTION,    /* option with a length under 2 or past the header */
	MF_VIEW_IP6_SHORT,
	MF_VIEW_IP6_TRUNCATED, /* fewer bytes than the payload length */
	MF_VIEW_IP6_JUMBO,
	MF_VIEW_EXT_PAST_END, /* extension header past the end of the packet */
	MF_VIEW_EXT_MANY,     /* more than MF_VIEW_EXTS_MAX extension headers */
	MF_VIEW_EXT_ORDER,    /* hop-by-hop options not first, or a second fragment header */
	MF_VIEW_EXT_OPTION,   /* option past its header */
	MF_VIEW_EXT_RH0,      /* type 0 routing header with segments left (RFC 5095) */
	MF_VIEW_FRAG_LENGTH, /* a fragment that is not the last one, and not a multiple of 8 bytes long */
	MF_VIEW_FRAG_RANGE, /* a fragment that reaches past 65,535 bytes */
	MF_VIEW_FRAG_TINY, /* first fragment without all headers, or one that could overwrite them (RFC 1858, 7112) */
	MF_VIEW_TRANSPORT_SHORT, /* transport header past the end of the packet */
	MF_VIEW_TCP_OFFSET,	 /* data offset under 20 or past the end */
	MF_VIEW_TCP_OPTION,	 /* option with a length under 2 or past the header */
	MF_VIEW_UDP_LENGTH,	 /* UDP length under 8 or past the end */
	MF_VIEW_UDP6_ZERO,	 /* UDP checksum 0 over IPv6 (RFC 8200 8.1) */
	MF_VIEW_ICMP_FAMILY,	 /* ICMP over IPv6, or ICMPv6 over IPv4 */
	MF_VIEW_QUOTE,		 /* an ICMP error whose quoted packet cannot be read */
	MF_VIEW_REASON_NUM
};

/* struct mf_view flags */
#define MF_VIEW_F_FRAG	     0x0001 /* a fragment (not an RFC 6946 atomic one) */
#define MF_VIEW_F_FRAG_LATER 0x0002 /* not the first: no transport header here, ports are 0 */
#define MF_VIEW_F_FRAG_MORE  0x0004 /* more fragments follow */
#define MF_VIEW_F_DONT_FRAG  0x0008
#define MF_VIEW_F_OPTIONS    0x0010 /* IPv4 options or IPv6 extension headers */
#define MF_VIEW_F_SOURCE_ROUTED \
	0x0020 /* the address in the header is not an end of the flow: pipelines refuse these */
#define MF_VIEW_F_AUTH	      0x0040 /* AH: addresses are signed, rewriting would break the packet */
#define MF_VIEW_F_PADDED      0x0080 /* link padding behind the IP packet */
#define MF_VIEW_F_NO_CHECKSUM 0x0100 /* UDP over IPv4 without a checksum */
#define MF_VIEW_F_ICMP_ERROR  0x0200 /* carries a quoted packet: mf_view_quote() */
#define MF_VIEW_F_QUOTED      0x0400 /* this view is of a quoted packet and may end early */
#define MF_VIEW_F_HAS_PORTS   0x0800 /* flow.src_port and dst_port came from this packet */
/* Given to mf_view_init(): checksum fields are not filled in yet (offload), so their values are not judged. */
#define MF_VIEW_F_OFFLOAD 0x1000

/* TCP flags, as in struct mf_view tcp_flags */
#define MF_TCP_FIN 0x01
#define MF_TCP_SYN 0x02
#define MF_TCP_RST 0x04
#define MF_TCP_PSH 0x08
#define MF_TCP_ACK 0x10
#define MF_TCP_URG 0x20
#define MF_TCP_ECE 0x40
#define MF_TCP_CWR 0x80

/* Belongs to one thread. */
struct mf_view_stats {
	uint64_t parsed;		      /* views read to the layer asked for, once each */
	uint64_t reasons[MF_VIEW_REASON_NUM]; /* failures by reason; [MF_VIEW_FINE] stays 0 */
};

struct mf_view {
	const uint8_t *ptr;
	struct mf_view_stats *stats; /* may be NULL */
	uint32_t len;		     /* bytes that are there */
	uint32_t end;		     /* offset behind the IP packet (MF_VIEW_NET and deeper) */
	uint32_t net_off;	     /* IP or ARP header (MF_VIEW_LINK and deeper) */
	uint32_t
		transport_off; /* behind IPv4 options and IPv6 extension headers (MF_VIEW_NET and deeper) */
	uint32_t payload_off; /* behind the transport header (MF_VIEW_TRANSPORT) */
	uint32_t payload_end; /* differs from @end where UDP is shorter than IP says */
	uint32_t frag_id;     /* host order; with MF_VIEW_F_FRAG */
	uint32_t frag_start;  /* where the piece of the datagram begins; with MF_VIEW_F_FRAG */
	uint16_t frag_off;    /* bytes */
	uint16_t flags;	      /* MF_VIEW_F_... */
	uint16_t ether_type;  /* behind all tags; MF_VIEW_IP: what it would be */
	uint16_t vlans[MF_VIEW_VLANS_MAX]; /* tag control information, outermost first */
	uint8_t vlan_cnt;
	uint8_t link;	   /* enum mf_view_link */
	uint8_t layer;	   /* enum mf_view_layer: read so far */
	uint8_t net;	   /* enum mf_view_net */
	uint8_t reason;	   /* enum mf_view_reason; MF_VIEW_FINE while nothing failed */
	uint8_t tcp_flags; /* MF_TCP_...; 0 for other protocols */
	uint8_t icmp_type; /* ICMP and ICMPv6 */
	uint8_t icmp_code;
	int16_t code;	     /* what the failed step returned, 0 while nothing failed */
	struct mf_flow flow; /* addresses from MF_VIEW_NET, ports from MF_VIEW_TRANSPORT */
};

/**
 * mf_view_init() - Begin to read a packet
 * @pkt:   borrowed as long as the view is used
 * @link:  what the first byte belongs to
 * @flags: 0 or MF_VIEW_F_OFFLOAD
 * @stats: counters to add to, or NULL
 */
void mf_view_init(struct mf_view *v, struct mf_span pkt, enum mf_view_link link, uint16_t flags,
		  struct mf_view_stats *stats);

/** mf_view_parse() - Read on up to @layer; Return: 0, MF_E_AGAIN, MF_E_BAD, MF_E_NOT_MINE (see above) */
int mf_view_parse(struct mf_view *v, enum mf_view_layer layer);

/**
 * mf_view_read_ip() - mf_view_init() of an IP packet and mf_view_parse() to MF_VIEW_TRANSPORT in one
 * What nearly all packets are (TCP or UDP, whole, without IP options) is read in one go, with the same result.
 * Return: as mf_view_parse()
 */
int mf_view_read_ip(struct mf_view *v, struct mf_span pkt, uint16_t flags,
		    struct mf_view_stats *stats);

/** mf_view_grow() - More bytes of the same packet have come; @pkt may have moved but must begin with the same bytes */
void mf_view_grow(struct mf_view *v, struct mf_span pkt);

/**
 * mf_view_quote() - A view of the packet that an ICMP or ICMPv6 error quotes, read as far as the quote goes
 * @v:         read to MF_VIEW_TRANSPORT
 * @ret_inner: its offsets count from the same first byte as those of @v; MF_VIEW_F_QUOTED is set, and so is
 *             MF_VIEW_F_HAS_PORTS if the quote reaches that far. Its end is the end of the quote (RFC 4884 included).
 * Return: 0; MF_E_NOT_MINE if @v is no ICMP error; MF_E_BAD (counted as MF_VIEW_QUOTE in the stats of @v)
 */
int mf_view_quote(const struct mf_view *v, struct mf_view *ret_inner);

/** mf_view_tcp_option() - Find one TCP option by its kind in a view read to MF_VIEW_TRANSPORT
 * @ret: its value, without kind and length
 * Return: false if it is not there */
bool mf_view_tcp_option(const struct mf_view *v, uint8_t kind, struct mf_span *ret);

/** mf_view_format() - One line of text about what was read so far, for logs and tests; Return: @buf */
const char *mf_view_format(const struct mf_view *v, char *buf, size_t size);
#define MF_VIEW_TEXT_MAX 384

/** mf_view_reason_name() - As in metrics, e.g. "ip4_option"; never NULL */
const char *mf_view_reason_name(enum mf_view_reason reason);

/* What the transport layer carries; empty before MF_VIEW_TRANSPORT was read and for later fragments' headers. */
static inline struct mf_span mf_view_payload(const struct mf_view *v)
{
	if (v->layer < MF_VIEW_TRANSPORT)
		return mf_span_of(v->ptr, 0);
	return mf_span_of(v->ptr + v->payload_off, v->payload_end - v->payload_off);
}

/* Bytes of a fragment's piece of its datagram: all behind the IPv4 header, or behind the IPv6 fragment header. */
static inline uint32_t mf_view_fragment_len(const struct mf_view *v)
{
	return v->end - v->frag_start;
}

/* TCP only, MF_VIEW_TRANSPORT. */
static inline uint32_t mf_view_tcp_seq(const struct mf_view *v)
{
	return mf_load_be32(v->ptr + v->transport_off + 4);
}

static inline uint32_t mf_view_tcp_ack(const struct mf_view *v)
{
	return mf_load_be32(v->ptr + v->transport_off + 8);
}

#endif
