/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite.h - give a packet other addresses and ports, in place, and keep its checksums exact
 *
 * Lengths, sequence numbers, options and TTL never change (policy rule W10 of the Windows part: rewriting is invisible
 * to everything but the addresses). Checksums are updated incrementally (checksum.h), so the cost does not depend on the
 * packet's length, and a checksum that was wrong before is wrong after.
 *
 * What is rewritten where:
 *	whole packets and first fragments	addresses, ports (TCP, UDP), identifier (ICMP echo), all checksums
 *	later fragments				addresses and the IPv4 header checksum: ports stand in the first one
 *	ICMP errors				mf_rewrite_icmp_error(): the error itself and the packet that it quotes
 *
 * Not rewritten, MF_E_UNSUPPORTED: source-routed packets (the header does not name the flow's ends) and packets that an
 * authentication header signs, and DCCP and UDP-Lite (checksums over addresses that are not known here).
 */
#ifndef MF_PACKET_REWRITE_H
#define MF_PACKET_REWRITE_H

#include <stdint.h>

#include "core/packet/checksum.h"
#include "core/packet/view.h"

/**
 * mf_rewrite_flow() - Make a packet one of flow @to
 * @v:    read to MF_VIEW_TRANSPORT; its flow becomes @to
 * @pkt:  the bytes that @v reads, writable
 * @to:   same family and protocol as the packet; later fragments take only its addresses
 * @kind: what the transport checksum field holds
 * Return: 0; MF_E_INVAL for another family or protocol, or a view that was not read; MF_E_UNSUPPORTED (see above).
 *         Nothing is changed then.
 */
int mf_rewrite_flow(struct mf_view *v, uint8_t *pkt, const struct mf_flow *to,
		    enum mf_csum_kind kind);

/**
 * mf_rewrite_icmp_error() - Translate an ICMP or ICMPv6 error together with the packet that it quotes
 * @v:     the error, read to MF_VIEW_TRANSPORT
 * @inner: from mf_view_quote(@v)
 * @src, @dst: new addresses of the error itself, in its family; 16 bytes, IPv4 in the first 4
 * @quoted: what the quoted packet's flow becomes (direction as in the quote)
 * Updates the error's addresses and checksums, the quote's addresses, ports, IPv4 header checksum, and its transport
 * checksum as far as the quote holds it.
 * Return: as mf_rewrite_flow()
 */
int mf_rewrite_icmp_error(struct mf_view *v, struct mf_view *inner, uint8_t *pkt,
			  const uint8_t src[16], const uint8_t dst[16],
			  const struct mf_flow *quoted);

#endif
