/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dhcp4.h - what a DHCP server says to one client whose address is settled (RFC 2131, RFC 2132), pure
 *
 * Each guest has a wire of its own, and its address is known before it asks: so there is no pool here and nothing to
 * remember. Who asks for another address than its own hears NAK.
 */
#ifndef MF_NIC_DHCP4_H
#define MF_NIC_DHCP4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_DHCP4_MIN	    300u /* BOOTP clients want no shorter ones (RFC 1542 2.1) */
#define MF_DHCP4_ANSWER_MAX 576u /* what every client takes (RFC 2131 2) */
#define MF_DHCP4_LIST_MAX   4u
#define MF_DHCP4_CLIENT	    68u
#define MF_DHCP4_SERVER	    67u

struct mf_dhcp4_lease {
	uint8_t address[4], netmask[4], router[4];
	uint8_t mac[6]; /* of the client; another chaddr is nobody's */
	uint8_t dns[MF_DHCP4_LIST_MAX][4], ntp[MF_DHCP4_LIST_MAX][4];
	uint8_t dns_cnt, ntp_cnt;
	uint16_t mtu; /* 0: not said */
	uint32_t lease_s;
	const char *domain;	/* option 15; NULL: not said */
	const char *boot_file;	/* BOOTP's file, option 67: up to 255 bytes; NULL: not said */
	uint8_t boot_server[4]; /* siaddr, option 66; zero: we are it, as far as siaddr goes */
	const uint8_t *search;	/* option 119: names in wire form (RFC 3397) */
	size_t search_len;	/* at most 255 */
};

struct mf_dhcp4_answer {
	uint8_t type;  /* of the answer: 2 OFFER, 5 ACK, 6 NAK */
	uint8_t to[4]; /* 255.255.255.255: to everybody on the wire */
	size_t len;
};

/**
 * mf_dhcp4_answer() - @msg: what UDP carried; @buf: MF_DHCP4_ANSWER_MAX bytes
 * Return: 0; MF_E_NOT_MINE: nothing to say (another server was chosen, a release, another client); MF_E_SYNTAX
 */
int mf_dhcp4_answer(const struct mf_dhcp4_lease *lease, const uint8_t *msg, size_t len,
		    uint8_t *buf, struct mf_dhcp4_answer *ret);

#endif
