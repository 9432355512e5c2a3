/* SPDX-License-Identifier: Apache-2.0 */
/* nd6.c - see nd6.h */
#include "nic/nd6.h"

#include <moonfence/moonfence.h>
#include <string.h>

#include "core/base/bytes.h"

enum {
	OPT_SOURCE_MAC = 1,
	OPT_TARGET_MAC = 2,
	OPT_PREFIX = 3,
	OPT_MTU = 5,
	OPT_RDNSS = 25,
	OPT_DNSSL = 31
};

enum { FLAG_OTHER = 0x40, FLAG_AUTONOMOUS = 0x40 };

static size_t put_mac(uint8_t *buf, uint8_t option, const uint8_t mac[6])
{
	buf[0] = option;
	buf[1] = 1;
	memcpy(buf + 2, mac, 6);
	return 8;
}

/*
 * Not on-link: a guest sends everything to its router, so that nobody ever looks for a neighbour and each guest may have a
 * prefix of its own.
 */
static size_t put_prefix(uint8_t *buf, const struct mf_nd6_router *r)
{
	memset(buf, 0, 32);
	buf[0] = OPT_PREFIX;
	buf[1] = 4;
	buf[2] = 64;
	buf[3] = FLAG_AUTONOMOUS;
	mf_store_be32(buf + 4, r->prefix_s);
	mf_store_be32(buf + 8, r->prefix_s);
	memcpy(buf + 16, r->prefix, 8);
	return 32;
}

static size_t put_search(uint8_t *buf, const struct mf_nd6_router *r)
{
	size_t len = 8 + ((r->search_len + 7) & ~(size_t)7);

	memset(buf, 0, len);
	buf[0] = OPT_DNSSL;
	buf[1] = (uint8_t)(len / 8);
	mf_store_be32(buf + 4, r->prefix_s);
	memcpy(buf + 8, r->search, r->search_len);
	return len;
}

size_t mf_nd6_router_advert(const struct mf_nd6_router *r, uint8_t *buf)
{
	size_t at = 16;

	memset(buf, 0, at);
	buf[0] = MF_ND6_ROUTER_ADVERT;
	buf[4] = 64; /* hop limit */
	buf[5] = FLAG_OTHER;
	mf_store_be16(buf + 6, r->lifetime_s);
	at += put_mac(buf + at, OPT_SOURCE_MAC, r->mac);
	memset(buf + at, 0, 8);
	buf[at] = OPT_MTU;
	buf[at + 1] = 1;
	mf_store_be32(buf + at + 4, r->mtu);
	at += 8;
	at += put_prefix(buf + at, r);
	memset(buf + at, 0, 8);
	buf[at] = OPT_RDNSS;
	buf[at + 1] = 3;
	mf_store_be32(buf + at + 4, r->prefix_s);
	memcpy(buf + at + 8, r->dns, 16);
	at += 24;
	if (r->search_len && r->search_len <= 255)
		at += put_search(buf + at, r);
	return at;
}

size_t mf_nd6_neighbour_advert(const uint8_t target[16], const uint8_t mac[6], int solicited,
			       uint8_t *buf)
{
	memset(buf, 0, 8);
	buf[0] = MF_ND6_NEIGHBOUR_ADVERT;
	buf[4] = solicited ? 0xe0 : 0xa0; /* router, solicited, override */
	memcpy(buf + 8, target, 16);
	return 24 + put_mac(buf + 24, OPT_TARGET_MAC, mac);
}

int mf_nd6_read_solicit(const uint8_t *msg, size_t len, const uint8_t **ret_target)
{
	if (len < 24 || msg[0] != MF_ND6_NEIGHBOUR_SOLICIT || msg[1] != 0 || msg[8] == 0xff)
		return MF_E_SYNTAX;
	for (size_t at = 24; at < len; at += 8u * msg[at + 1])
		if (len - at < 8 || !msg[at + 1])
			return MF_E_SYNTAX;
	*ret_target = msg + 8;
	return 0;
}
