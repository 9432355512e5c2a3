/* SPDX-License-Identifier: Apache-2.0 */
/* nd6.h - the ICMPv6 messages of a router that a guest hears: advertisements of router and neighbour (RFC 4861, RFC 8106), pure */
#ifndef MF_NIC_ND6_H
#define MF_NIC_ND6_H

#include <stddef.h>
#include <stdint.h>

#define MF_ND6_MAX 512u

enum {
	MF_ND6_ECHO_REQUEST = 128,
	MF_ND6_ECHO_REPLY = 129,
	MF_ND6_ROUTER_SOLICIT = 133,
	MF_ND6_ROUTER_ADVERT = 134,
	MF_ND6_NEIGHBOUR_SOLICIT = 135,
	MF_ND6_NEIGHBOUR_ADVERT = 136,
	MF_ND6_REDIRECT = 137,
};

struct mf_nd6_router {
	uint8_t mac[6];
	uint8_t prefix[16]; /* a /64 */
	uint8_t dns[16];
	uint32_t mtu;
	uint16_t lifetime_s;   /* of the router; 0: it goes */
	uint32_t prefix_s;     /* of prefix and name servers */
	const uint8_t *search; /* names in wire form; NULL: none */
	size_t search_len;     /* at most 255 */
};

/** mf_nd6_router_advert() - ICMPv6 message without checksum. @buf: MF_ND6_MAX bytes. Return: length */
size_t mf_nd6_router_advert(const struct mf_nd6_router *r, uint8_t *buf);

/** mf_nd6_neighbour_advert() - "@target is at @mac"; @solicited: somebody asked, from an address. Return: length */
size_t mf_nd6_neighbour_advert(const uint8_t target[16], const uint8_t mac[6], int solicited,
			       uint8_t *buf);

/**
 * mf_nd6_read_solicit() - @msg: a neighbour solicitation, ICMPv6 header first; @ret_target: 16 bytes in it
 * Return: 0, MF_E_SYNTAX
 */
int mf_nd6_read_solicit(const uint8_t *msg, size_t len, const uint8_t **ret_target);

#endif
