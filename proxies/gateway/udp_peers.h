/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_peers.h - a bounded set of endpoints, the one that was used longest ago first
 *
 * What the relay remembers of other ends: whom a guest port may hear, where a session may send to. Finding and touching are O(1); an
 * entry is about 90 bytes. The hash is seeded, so nobody picks collisions.
 */
#ifndef MF_PROXIES_GATEWAY_UDP_PEERS_H
#define MF_PROXIES_GATEWAY_UDP_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/addr.h"

/* A token bucket of @rate a second that holds one second's worth, full at first. */
struct mf_rate {
	uint64_t left; /* thousandths */
	uint64_t at_ms;
	bool begun;
};

struct mf_udp_peer {
	struct mf_udp_peer *hash_next, *older, *newer;
	struct mf_endpoint at;
	/* the owner's: */
	uint64_t used_ms, judged_ms;
	struct mf_rate rate;
};

/* Zeroed at first. */
struct mf_udp_peers {
	struct mf_udp_peer **buckets;
	struct mf_udp_peer *oldest, *newest;
	uint64_t seed;
	uint32_t bucket_cnt, cnt;
};

/** mf_udp_peers_find() - Return: NULL: it is not there; else it is the newest now */
struct mf_udp_peer *mf_udp_peers_find(struct mf_udp_peers *p, const struct mf_endpoint *at);

/**
 * mf_udp_peers_add() - One that is not there yet, zeroed, the newest
 * @max: with as many the oldest goes, and *@evicted says so (it may be NULL). Return: NULL without memory
 */
struct mf_udp_peer *mf_udp_peers_add(struct mf_udp_peers *p, const struct mf_endpoint *at,
				     uint32_t max, bool *evicted);

/** mf_udp_peers_remove() - Return: whether it was there */
bool mf_udp_peers_remove(struct mf_udp_peers *p, const struct mf_endpoint *at);

void mf_udp_peers_free(struct mf_udp_peers *p);

/** mf_rate_take() - @cost out of a bucket of @rate a second, 0: no bound; Return: false: there is not as much in it */
bool mf_rate_take(struct mf_rate *r, uint64_t rate, uint64_t cost, uint64_t now_ms);

#endif
