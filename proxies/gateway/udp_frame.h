/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_frame.h - datagrams of a guest in messages: its port, the other end, the payload
 *
 *	1: guest port:u16 | IPv4:4 | port:u16 | payload
 *	2: 0xA2 0x02 | family:u8 4, 6 | type:u8 0 | guest port:u16 | address:4, 16 | port:u16 | payload		all big-endian
 *
 * What begins with 0xA2 0x02 is version 2 and nothing else, so version 1 has no guest port 41474.
 */
#ifndef MF_PROXIES_GATEWAY_UDP_FRAME_H
#define MF_PROXIES_GATEWAY_UDP_FRAME_H

#include <stdint.h>

#include "core/base/addr.h"
#include "core/base/span.h"

#define MF_UDP_FRAME_HEAD_MAX 24
#define MF_UDP_PAYLOAD_MAX    1200 /* unless told otherwise */

struct mf_udp_frame {
	unsigned version; /* 1, 2 */
	uint16_t guest_port;
	struct mf_endpoint remote; /* an IPv4-mapped address is its IPv4 address */
	struct mf_span payload;
};

/** mf_udp_frame_read() - Return: 0; MF_E_BAD; MF_E_LIMIT: a payload above @payload_max */
int mf_udp_frame_read(struct mf_span msg, size_t payload_max, struct mf_udp_frame *ret);

/** mf_udp_frame_head() - What stands before the payload; version 1 wants IPv4. Return: its length */
size_t mf_udp_frame_head(const struct mf_udp_frame *f, uint8_t out[MF_UDP_FRAME_HEAD_MAX]);

#endif
