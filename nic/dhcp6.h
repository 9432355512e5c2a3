/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dhcp6.h - stateless DHCPv6: name servers and search list for those that ask (RFC 8415 18.3.6), pure
 *
 * Addresses come from router advertisements; who asks for one here is not answered, as the advertisements say (M = 0).
 */
#ifndef MF_NIC_DHCP6_H
#define MF_NIC_DHCP6_H

#include <stddef.h>
#include <stdint.h>

#define MF_DHCP6_CLIENT	    546u
#define MF_DHCP6_SERVER	    547u
#define MF_DHCP6_ANSWER_MAX 600u

struct mf_dhcp6_info {
	uint8_t mac[6]; /* of the server, its DUID */
	uint8_t dns[16];
	const uint8_t *search; /* names in wire form; NULL: none */
	size_t search_len;     /* at most 255 */
};

/** mf_dhcp6_answer() - @buf: MF_DHCP6_ANSWER_MAX bytes. Return: length; MF_E_NOT_MINE: nothing to say; MF_E_SYNTAX */
int mf_dhcp6_answer(const struct mf_dhcp6_info *info, const uint8_t *msg, size_t len, uint8_t *buf);

#endif
