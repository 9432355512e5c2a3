/* SPDX-License-Identifier: Apache-2.0 */
/* reverse.h - names of addresses: in-addr.arpa (RFC 1035 3.5), ip6.arpa (RFC 3596 2.5) */
#ifndef MF_PROXIES_GATEWAY_REVERSE_H
#define MF_PROXIES_GATEWAY_REVERSE_H

#include "core/base/addr.h"

/**
 * mf_gw_reverse_read() - The address, or the first of the network, that a name stands for: "1.2.0.192.in-addr.arpa", "10.in-addr.arpa"
 * @name: without a final dot, in any letter case
 * Return: bytes of the address that are told, 1 to 4 or 16 (of ip6.arpa whole bytes); 0: no such name
 */
unsigned mf_gw_reverse_read(const char *name, struct mf_addr *ret);

#endif
