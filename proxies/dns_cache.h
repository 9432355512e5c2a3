/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_cache.h - what resolvers said, for as long as they said
 *
 * A cache lies below the policies: every question is judged, and every answer that comes out of it is read, judged and tied
 * to its addresses as one from a resolver. It belongs to one session, or to several that share it (then a session can tell
 * by the time that an answer takes whether another has asked for a name).
 *
 * A response is kept as it came, for the smallest TTL of its answers, an hour at most; a negative one for what its SOA says
 * (RFC 2308). Its TTLs are counted down when it is taken out. Expired ones stay for @stale_s (RFC 8767) if that is not 0.
 * Memory is bounded: the least recently used goes.
 *
 * Threads: any. Cost: one hash, one copy of the message, under one lock.
 */
#ifndef MF_PROXIES_DNS_CACHE_H
#define MF_PROXIES_DNS_CACHE_H

#include "core/base/err.h"
#include "core/wire/dns_wire.h"

#define MF_DNS_STALE_TTL_S \
	30 /* of answers that are given although they have expired (RFC 8767 4) */

struct mf_dns_cache;

struct mf_dns_cache_options {
	size_t bytes_max; /* 0: 4 MiB, of messages and what is kept with them */
	uint32_t stale_s;
};

struct mf_dns_cache_stats {
	uint64_t hits, misses, stale_hits, kept, evicted;
	size_t entries, bytes;
};

/** mf_dns_cache_new() - Return: 0, MF_E_NOMEM */
int mf_dns_cache_new(const struct mf_dns_cache_options *o, struct mf_dns_cache **ret,
		     struct mf_err *err);
void mf_dns_cache_free(struct mf_dns_cache *c);

/** mf_dns_cache_keep() - Keep @msg, a response to @q that mf_dns_begin_walk() was content with, if it may be kept */
void mf_dns_cache_keep(struct mf_dns_cache *c, const struct mf_dns_query *q, struct mf_span msg,
		       uint64_t now_ms);

/**
 * mf_dns_cache_find() - The response to @q, its id 0 and its TTLs as they are now
 * @stale: also one that has expired, with TTLs of MF_DNS_STALE_TTL_S
 * Return: bytes in @out, of MF_DNS_MESSAGE_MAX; MF_E_NOENT
 */
int mf_dns_cache_find(struct mf_dns_cache *c, const struct mf_dns_query *q, uint64_t now_ms,
		      bool stale, uint8_t *out);

void mf_dns_cache_get_stats(struct mf_dns_cache *c, struct mf_dns_cache_stats *ret);

#endif
