/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_guests_alias_linux.c - the addresses that the stack knows guests by
 *
 * All guests have the same addresses, and the stack, the proxies and policies tell them apart by theirs. So what a guest sends gets another
 * source on the way there, 100.64.0.0/10 or fd6d:6f67::/48, with the number of its wire in it, and what is for it its own address on the
 * way back. Of IPv6 that is the prefix alone (RFC 6296 has the same idea, and keeps checksums by bending the address; here they are
 * updated): a guest has as many addresses as it likes.
 */
#include <string.h>

#include "cli/gateway_guests_int.h"
#include "core/base/bytes.h"
#include "core/packet/rewrite.h"

#define ALIAS_NET4 0x64400000u /* 100.64.0.0 */
#define PREFIX_LEN 8u
#define IP4_LEN	   20u
#define IP6_LEN	   40u

static const uint8_t alias_net6[6] = { 0xfd, 0x6d, 0x6f, 0x67 };

_Static_assert(MF_GUESTS_WIRES_MAX <= UINT16_MAX, "a wire's number has a place in both");

uint32_t mf_guests_take_number(struct mf_gateway_guests *all)
{
	for (uint32_t i = 0; i + 1 < all->room; i++) {
		all->last = all->last + 1 < all->room ? all->last + 1 : 1;
		if (!all->wires[all->last])
			return all->last;
	}
	return 0;
}

static void write_prefix6(const struct mf_gateway_wire *w, uint8_t prefix[PREFIX_LEN])
{
	memcpy(prefix, alias_net6, sizeof(alias_net6));
	mf_store_be16(prefix + 6, (uint16_t)w->number);
}

struct mf_addr mf_guests_alias(const struct mf_gateway_wire *w, uint8_t family)
{
	struct mf_addr a = { .family = family };

	if (family == 4)
		mf_store_be32(a.bytes, ALIAS_NET4 + w->number);
	else
		write_prefix6(w, a.bytes);
	return a;
}

struct mf_gateway_wire *mf_guests_find(const struct mf_gateway_guests *all,
				       const struct mf_addr *alias)
{
	uint32_t number = 0;

	if (alias->family == 4)
		number = mf_load_be32(alias->bytes) - ALIAS_NET4;
	else if (alias->family == 6 && memcmp(alias->bytes, alias_net6, sizeof(alias_net6)) == 0)
		number = mf_load_be16(alias->bytes + 6);
	return number < all->room ? all->wires[number] : NULL;
}

struct mf_gateway_wire *mf_guests_find_for(const struct mf_gateway_guests *all, const uint8_t *pkt,
					   size_t len)
{
	struct mf_addr to = { 0 };

	if (len >= IP4_LEN && pkt[0] >> 4 == 4) {
		to.family = 4;
		memcpy(to.bytes, pkt + 16, 4);
	} else if (len >= IP6_LEN && pkt[0] >> 4 == 6) {
		to.family = 6;
		memcpy(to.bytes, pkt + 24, 16);
	}
	return mf_guests_find(all, &to);
}

/* Of an address of the guest's: 4 bytes of IPv4, or 8 of IPv6. */
static void make_alias(const struct mf_gateway_wire *w, uint8_t family, uint8_t *addr)
{
	struct mf_addr alias = mf_guests_alias(w, family);

	memcpy(addr, alias.bytes, family == 4 ? 4 : PREFIX_LEN);
}

static void make_own(const struct mf_gateway_wire *w, uint8_t family, uint8_t *addr)
{
	if (family == 4)
		memcpy(addr, mf_guest_address4(w->guest), 4);
	else
		memcpy(addr, mf_guest_prefix6(w->guest), PREFIX_LEN);
}

bool mf_guests_to_alias(const struct mf_gateway_wire *w, uint8_t *pkt, size_t len)
{
	struct mf_view v;
	struct mf_flow to;

	if (mf_view_read_ip(&v, mf_span_of(pkt, len), MF_VIEW_F_OFFLOAD, NULL) < 0)
		return false;
	to = v.flow;
	make_alias(w, to.family, to.src);
	return mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL) == 0;
}

bool mf_guests_from_alias(const struct mf_gateway_wire *w, uint8_t *pkt, size_t len)
{
	struct mf_view v, inner;
	struct mf_flow to;

	if (mf_view_read_ip(&v, mf_span_of(pkt, len), MF_VIEW_F_OFFLOAD, NULL) < 0)
		return false;
	to = v.flow;
	make_own(w, to.family, to.dst);
	if ((to.proto == MF_PROTO_ICMP || to.proto == MF_PROTO_ICMPV6) &&
	    mf_view_quote(&v, &inner) == 0) {
		struct mf_flow quoted = inner.flow;

		make_own(w, to.family, quoted.src);
		return mf_rewrite_icmp_error(&v, &inner, pkt, to.src, to.dst, &quoted) == 0;
	}
	return mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL) == 0;
}
