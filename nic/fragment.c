/* SPDX-License-Identifier: Apache-2.0 */
/* fragment.c - see fragment.h */
#include "nic/fragment.h"

#include <moonfence/moonfence.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/packet/checksum.h"
#include "core/packet/flow.h"

#define IP4_LEN	     20u
#define IP6_LEN	     40u
#define FRAGMENT_LEN 8u
#define MORE	     0x2000u
#define MTU_MIN	     68u
#define PACKET_MAX   65535u
#define UNIT	     7u /* offsets count in eight bytes */

static int cut4(const uint8_t *pkt, size_t len, size_t mtu, uint16_t ident,
		int (*out)(void *, const uint8_t *, size_t), void *ctx)
{
	size_t head = (pkt[0] & 15u) * 4u, most, n;
	uint8_t piece[PACKET_MAX];
	int r = 0;

	if (head < IP4_LEN || head > len || mtu < head + FRAGMENT_LEN)
		return MF_E_BAD;
	most = (mtu - head) & ~(size_t)UNIT;
	memcpy(piece, pkt, head);
	mf_store_be16(piece + 4, ident);
	for (size_t at = head; at < len && r == 0; at += n) {
		n = len - at < most ? len - at : most;
		memcpy(piece + head, pkt + at, n);
		mf_store_be16(piece + 2, (uint16_t)(head + n));
		mf_store_be16(piece + 6, (uint16_t)((at - head) / 8 | (at + n < len ? MORE : 0u)));
		mf_store_be16(piece + 10, mf_csum_ip4_header(piece, head));
		r = out(ctx, piece, head + n);
	}
	return r;
}

static int cut6(const uint8_t *pkt, size_t len, size_t mtu, uint32_t ident,
		int (*out)(void *, const uint8_t *, size_t), void *ctx)
{
	size_t head = IP6_LEN + FRAGMENT_LEN, most, n;
	uint8_t piece[PACKET_MAX], *fragment = piece + IP6_LEN;
	int r = 0;

	if (len < IP6_LEN || mtu < head + FRAGMENT_LEN)
		return MF_E_BAD;
	most = (mtu - head) & ~(size_t)UNIT;
	memcpy(piece, pkt, IP6_LEN);
	piece[6] = MF_PROTO_FRAGMENT;
	fragment[0] = pkt[6];
	fragment[1] = 0;
	mf_store_be32(fragment + 4, ident);
	for (size_t at = IP6_LEN; at < len && r == 0; at += n) {
		n = len - at < most ? len - at : most;
		mf_store_be16(piece + 4, (uint16_t)(FRAGMENT_LEN + n));
		mf_store_be16(fragment + 2, (uint16_t)((at - IP6_LEN) | (at + n < len)));
		memcpy(piece + head, pkt + at, n);
		r = out(ctx, piece, head + n);
	}
	return r;
}

int mf_fragment(const uint8_t *pkt, size_t len, size_t mtu, uint32_t ident,
		int (*out)(void *ctx, const uint8_t *pkt, size_t len), void *ctx)
{
	if (len < IP4_LEN || len > PACKET_MAX + IP6_LEN || mtu < MTU_MIN || mtu > PACKET_MAX)
		return MF_E_BAD;
	if (len <= mtu)
		return out(ctx, pkt, len);
	return pkt[0] >> 4 == 4 ? cut4(pkt, len, mtu, (uint16_t)ident, out, ctx)
				: cut6(pkt, len, mtu, ident, out, ctx);
}
