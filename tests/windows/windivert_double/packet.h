/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h - the double's own reading of packets: headers, lengths, checksums
 *
 * On purpose nothing of core/packet is used, nor the product's declarations of the ABI: a mistake there must not be
 * mirrored here. Offsets are those of the published documentation.
 */
#ifndef WDD_PACKET_H
#define WDD_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WDD_ADDRESS_SIZE 80u
#define WDD_PACKET_MAX	 65575u
#define WDD_BATCH_MAX	 255u

enum { WDD_NETWORK, WDD_FORWARD, WDD_FLOW, WDD_SOCKET, WDD_REFLECT };
enum {
	WDD_PACKET,
	WDD_ESTABLISHED,
	WDD_DELETED,
	WDD_BIND,
	WDD_CONNECT,
	WDD_LISTEN,
	WDD_ACCEPT,
	WDD_CLOSE,
};

/* The bit field at offset 8 of an address. */
#define WDD_SNIFFED  0x00010000u
#define WDD_OUTBOUND 0x00020000u
#define WDD_LOOPBACK 0x00040000u
#define WDD_IMPOSTOR 0x00080000u
#define WDD_IS_IPV6  0x00100000u
#define WDD_IP_OK    0x00200000u
#define WDD_TCP_OK   0x00400000u
#define WDD_UDP_OK   0x00800000u

/* An address of either family as 16 bytes in network order, IPv4 mapped. */
struct wdd_ip {
	uint8_t b[16];
};

struct wdd_pkt {
	const uint8_t *p;
	uint32_t len; /* as its own header says */
	uint8_t version, proto, hops;
	struct wdd_ip src, dst;
	bool fragment;	     /* of a datagram in several pieces */
	bool later_fragment; /* not the first: no transport header */
	bool has_transport;  /* its header is there whole */
	uint32_t l4_off, payload_off;
};

/** wdd_pkt_parse() - Read the packet at the start of @p; Return: 0, or 87 (no packet) or 122 (cut short) as the driver */
int wdd_pkt_parse(const uint8_t *p, size_t len, struct wdd_pkt *ret);

/** wdd_pkt_bad_sums() - Which checksums are wrong: bits WDD_IP_OK, WDD_TCP_OK, WDD_UDP_OK; 1 for ICMP's */
uint32_t wdd_pkt_bad_sums(const struct wdd_pkt *k);

/** wdd_pkt_fill_sums() - Compute the checksums whose bits are set in @which; @p is what @k reads */
void wdd_pkt_fill_sums(const struct wdd_pkt *k, uint8_t *p, uint32_t which);

bool wdd_ip_is_loopback(const struct wdd_ip *ip); /* 127/8, ::1 */

static inline uint32_t wdd_load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void wdd_store32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline uint16_t wdd_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t wdd_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#endif
