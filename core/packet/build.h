/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - small packets in the caller's buffer: refusals that make programs fail at once, and whole datagrams
 *
 * All of these write complete packets with all checksums. An answer to a view that has an Ethernet header gets one too,
 * with the addresses swapped and the same tags. Answers go from the refused packet's destination to its source, so that
 * to the program they come from the peer that it spoke to.
 */
#ifndef MF_PACKET_BUILD_H
#define MF_PACKET_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/span.h"
#include "core/packet/view.h"

/* No built answer is longer: link header with all tags, and an ICMPv6 error (1,280 bytes, RFC 4443 2.4 (c)). */
#define MF_BUILD_ANSWER_MAX (14 + 4 * MF_VIEW_VLANS_MAX + 1280)

/* Codes of ICMP destination unreachable (type 3; RFC 792, RFC 1812 5.2.7.1) */
enum {
	MF_ICMP_NET = 0,
	MF_ICMP_HOST = 1,
	MF_ICMP_PROTOCOL = 2,
	MF_ICMP_PORT = 3,
	MF_ICMP_NET_PROHIBITED = 9,
	MF_ICMP_HOST_PROHIBITED = 10,
	MF_ICMP_ADMIN_PROHIBITED = 13,
};

/* Codes of ICMPv6 destination unreachable (type 1; RFC 4443 3.1) */
enum {
	MF_ICMPV6_NO_ROUTE = 0,
	MF_ICMPV6_ADMIN_PROHIBITED = 1,
	MF_ICMPV6_ADDRESS = 3,
	MF_ICMPV6_PORT = 4,
	MF_ICMPV6_POLICY = 5, /* source address failed ingress or egress policy */
	MF_ICMPV6_REJECT = 6, /* reject route to destination */
};

/**
 * mf_build_tcp_reset() - The reset that refuses a TCP segment, as a host without that connection sends it
 * @v: read to MF_VIEW_TRANSPORT
 * With an acknowledgement in the segment the reset takes its sequence number from there; without, it acknowledges
 * all that the segment occupies (RFC 9293 3.10.7.1).
 * Return: 0; MF_E_NOT_MINE if nothing may be answered: no TCP, a reset, a later fragment, a source-routed packet, group
 *         or unspecified addresses; MF_E_FULL if @room is too small
 */
int mf_build_tcp_reset(const struct mf_view *v, uint8_t *buf, size_t room, size_t *ret_len);

/**
 * mf_build_unreachable() - ICMP or ICMPv6 destination unreachable that quotes the packet
 * @v:    read to MF_VIEW_TRANSPORT
 * @code: MF_ICMP_... or MF_ICMPV6_..., by the packet's family
 * Quotes as much as fits into 576 bytes (RFC 1812 4.3.2.3), over IPv6 1,280.
 * Return: 0; MF_E_NOT_MINE for packets that no error may answer (RFC 1122 3.2.2, RFC 4443 2.4 (e)): ICMP errors and
 *         redirects, later fragments, group or unspecified addresses, link-layer groups; MF_E_FULL if @room is too small
 */
int mf_build_unreachable(const struct mf_view *v, uint8_t code, uint8_t *buf, size_t room,
			 size_t *ret_len);

/** mf_build_too_big() - ICMP fragmentation needed (RFC 1191) or ICMPv6 packet too big; @mtu in bytes. Return: as above */
int mf_build_too_big(const struct mf_view *v, uint32_t mtu, uint8_t *buf, size_t room,
		     size_t *ret_len);

/* An ICMP or ICMPv6 error that somebody on the way makes. */
struct mf_icmp_error {
	uint8_t type, code;
	uint32_t param; /* what stands behind the checksum: the MTU, a pointer, or 0 */
	const uint8_t *
		from; /* its source: 4 or 16 bytes, by the packet's family; NULL: the packet's destination */
};

/** mf_build_icmp_error() - Any error that quotes the packet @v. Return: as mf_build_unreachable() */
int mf_build_icmp_error(const struct mf_view *v, const struct mf_icmp_error *error, uint8_t *buf,
			size_t room, size_t *ret_len);

/**
 * mf_build_echo() - A whole echo request or reply without a link header
 * @flow: protocol ICMP or ICMPv6, by its family; its source port is the identifier
 * Return: 0; MF_E_INVAL; MF_E_LIMIT for a payload over 65,507 bytes (IPv6: 65,527); MF_E_FULL
 */
int mf_build_echo(const struct mf_flow *flow, bool reply, uint16_t sequence, struct mf_span payload,
		  uint8_t *buf, size_t room, size_t *ret_len);

/**
 * mf_build_udp() - A whole UDP datagram without a link header
 * Where a datagram was received through a socket this brings back its packet, e.g. to quote it in an error.
 * @flow: protocol UDP
 * Return: 0; MF_E_INVAL for another protocol; MF_E_LIMIT for a payload over 65,507 bytes (IPv6: 65,527); MF_E_FULL
 */
int mf_build_udp(const struct mf_flow *flow, struct mf_span payload, uint8_t *buf, size_t room,
		 size_t *ret_len);

/* What mf_build_tcp() puts into a TCP header. */
struct mf_tcp_fields {
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags; /* MF_TCP_... */
};

/** mf_build_tcp() - A whole TCP segment without a link header and without options. Return: as mf_build_udp() */
int mf_build_tcp(const struct mf_flow *flow, const struct mf_tcp_fields *tcp,
		 struct mf_span payload, uint8_t *buf, size_t room, size_t *ret_len);

#endif
