/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addresses.h - what the addresses that ask have open, and how fast they ask: a bounded table, and token buckets
 *
 * An address is an IPv4 address, or the /64 of an IPv6 one: that is what one customer has, and can change at will. The one that was quiet
 * for longest is forgotten when there are too many, but not while something of it is open.
 *
 * Threads: any; one lock.
 */
#ifndef MF_PROXIES_GATEWAY_ADDRESSES_H
#define MF_PROXIES_GATEWAY_ADDRESSES_H

#include "core/base/addr.h"
#include "proxies/gateway/meter.h"

/* So many tokens come a second; a thing costs one. Zeroed: full. */
struct mf_bucket {
	uint64_t at_ms; /* 0: never asked */
	uint64_t milli; /* thousandths of tokens, at @at_ms */
};

/** mf_bucket_take() - @per_minute: tokens; @burst: the most that it holds; Return: whether there was one */
bool mf_bucket_take(struct mf_bucket *b, uint32_t per_minute, uint32_t burst, uint64_t now_ms);

struct mf_gw_addresses;

enum mf_gw_rate {
	MF_GW_RATE_REQUESTS,
	MF_GW_RATE_QUESTIONS,
	MF_GW_RATE_FLOWS,
	MF_GW_RATE_REFUSALS, /* that are told as events */
	MF_GW_RATE_NUM
};

struct mf_gw_address;

/** mf_gw_addresses_new() - Return: NULL without memory */
struct mf_gw_addresses *mf_gw_addresses_new(uint32_t max);
void mf_gw_addresses_free(struct mf_gw_addresses *all);

/** mf_gw_address_take() - A token of an address; Return: false: there was none, or no room or memory for one more address */
bool mf_gw_address_take(struct mf_gw_addresses *all, const struct mf_addr *addr,
			enum mf_gw_rate rate, uint32_t per_minute, uint32_t burst);

/**
 * mf_gw_address_open() - One more that is open, of at most @max (0: no bound)
 * Return: its entry, valid until mf_gw_address_close(); NULL: too many, or no room or memory for one more address
 */
struct mf_gw_address *mf_gw_address_open(struct mf_gw_addresses *all, const struct mf_addr *addr,
					 uint32_t max);
void mf_gw_address_close(struct mf_gw_addresses *all, struct mf_gw_address *a);
/** mf_gw_address_ref() - Its entry without anything open, valid until mf_gw_address_unref(). Return: NULL: as above */
struct mf_gw_address *mf_gw_address_ref(struct mf_gw_addresses *all, const struct mf_addr *addr);
void mf_gw_address_unref(struct mf_gw_addresses *all, struct mf_gw_address *a); /* NULL is fine */
/** mf_gw_address_meter() - Of an entry that is open or referred to; any thread */
struct mf_gw_meter *mf_gw_address_meter(struct mf_gw_address *a);

#endif
