/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fragment.h - an IP packet in pieces that a link takes (RFC 791 3.2, RFC 8200 4.5)
 *
 * Packets of our own making only: IPv4 options are repeated in each piece, and IPv6 extension headers that there might be
 * count as payload. Cost: one pass over the packet, nothing is allocated.
 */
#ifndef MF_NIC_FRAGMENT_H
#define MF_NIC_FRAGMENT_H

#include <stddef.h>
#include <stdint.h>

/**
 * mf_fragment() - Hand the pieces of @pkt to @out, or @pkt itself where it fits
 * @mtu: at least 68; @ident: of the datagram, told apart from others between the same ends
 * @out: Return: 0 to go on, else nothing more comes
 * Return: what @out returned last; MF_E_BAD: no IP header, or lengths that do not hold
 */
int mf_fragment(const uint8_t *pkt, size_t len, size_t mtu, uint32_t ident,
		int (*out)(void *ctx, const uint8_t *pkt, size_t len), void *ctx);

#endif
