/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addresses.h - what the addresses that ask have open, and how fast they ask: a bounded table, and token buckets
 *
 * An address is an IPv4 address, or the /64 of an IPv6 one: that is what one customer has, and can change at will. The one that was quiet
 * for longest is forgotten when there are too many, but not while something of it is open.
 */
#ifndef MF_PROXIES_GATEWAY_ADDRESSES_H
#define MF_PROXIES_GATEWAY_ADDRESSES_H

#include "core/base/addr.h"

/* So many tokens come a second; a thing costs one. Zeroed: full. */
struct mf_bucket {
	uint64_t at_ms; /* 0: never asked */
	uint64_t milli; /* thousandths of tokens, at @at_ms */
};

/** mf_bucket_take() - @per_minute: tokens; @burst: the most that it holds; Return: whether there was one */
bool mf_bucket_take(struct mf_bucket *b, uint32_t per_minute, uint32_t burst, uint64_t now_ms);

struct mf_gw_addresses;

struct mf_gw_address {
	struct mf_addr addr; /* the key */
	struct mf_gw_address *hash_next, *prev, *next;
	uint32_t sockets; /* open now */
	struct mf_bucket requests, questions;
};

/** mf_gw_addresses_new() - Return: NULL without memory */
struct mf_gw_addresses *mf_gw_addresses_new(uint32_t max);
void mf_gw_addresses_free(struct mf_gw_addresses *all);

/** mf_gw_address_get() - The entry of an address, valid until the next call unless it has something open; NULL: no room, no memory */
struct mf_gw_address *mf_gw_address_get(struct mf_gw_addresses *all, const struct mf_addr *addr);
/** mf_gw_address_open() - One more that is open, or one less */
void mf_gw_address_open(struct mf_gw_addresses *all, struct mf_gw_address *a, bool open);

#endif
