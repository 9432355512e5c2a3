/* SPDX-License-Identifier: Apache-2.0 */
/* udp_peers.c - see udp_peers.h */
#include "proxies/gateway/udp_peers.h"

#include <stdlib.h>

#include "core/base/hash.h"

enum { BUCKETS_MIN = 16 };

static struct mf_udp_peer **place(const struct mf_udp_peers *p, const struct mf_endpoint *at)
{
	struct mf_udp_peer **e =
		&p->buckets[mf_hash_bytes(at, sizeof(*at), p->seed) & (p->bucket_cnt - 1)];

	while (*e && memcmp(&(*e)->at, at, sizeof(*at)) != 0)
		e = &(*e)->hash_next;
	return e;
}

static void unlink_age(struct mf_udp_peers *p, struct mf_udp_peer *e)
{
	*(e->older ? &e->older->newer : &p->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &p->newest) = e->older;
}

static void link_newest(struct mf_udp_peers *p, struct mf_udp_peer *e)
{
	e->older = p->newest;
	e->newer = NULL;
	*(p->newest ? &p->newest->newer : &p->oldest) = e;
	p->newest = e;
}

/* Twice the buckets; a set that cannot grow has longer chains. */
static bool grow(struct mf_udp_peers *p)
{
	uint32_t cnt = p->bucket_cnt ? 2 * p->bucket_cnt : BUCKETS_MIN;
	struct mf_udp_peer **buckets = calloc(cnt, sizeof(*buckets));

	if (!buckets)
		return p->bucket_cnt > 0;
	if (!p->bucket_cnt)
		p->seed = mf_hash_seed();
	free(p->buckets);
	p->buckets = buckets;
	p->bucket_cnt = cnt;
	for (struct mf_udp_peer *e = p->oldest; e; e = e->newer) {
		struct mf_udp_peer **to =
			&buckets[mf_hash_bytes(&e->at, sizeof(e->at), p->seed) & (cnt - 1)];

		e->hash_next = *to;
		*to = e;
	}
	return true;
}

struct mf_udp_peer *mf_udp_peers_find(struct mf_udp_peers *p, const struct mf_endpoint *at)
{
	struct mf_udp_peer *e = p->bucket_cnt ? *place(p, at) : NULL;

	if (e && e != p->newest) {
		unlink_age(p, e);
		link_newest(p, e);
	}
	return e;
}

bool mf_udp_peers_remove(struct mf_udp_peers *p, const struct mf_endpoint *at)
{
	struct mf_udp_peer **from = p->bucket_cnt ? place(p, at) : NULL, *e = from ? *from : NULL;

	if (!e)
		return false;
	*from = e->hash_next;
	unlink_age(p, e);
	p->cnt--;
	free(e);
	return true;
}

struct mf_udp_peer *mf_udp_peers_add(struct mf_udp_peers *p, const struct mf_endpoint *at,
				     uint32_t max, bool *evicted)
{
	struct mf_udp_peer *e = calloc(1, sizeof(*e)), **to;

	if (!e || (p->cnt >= p->bucket_cnt && !grow(p))) {
		free(e);
		return NULL;
	}
	if (p->cnt && p->cnt >= max) {
		mf_udp_peers_remove(p, &p->oldest->at);
		if (evicted)
			*evicted = true;
	}
	e->at = *at;
	to = place(p, at);
	e->hash_next = *to;
	*to = e;
	link_newest(p, e);
	p->cnt++;
	return e;
}

void mf_udp_peers_free(struct mf_udp_peers *p)
{
	while (p->oldest) {
		struct mf_udp_peer *e = p->oldest;

		p->oldest = e->newer;
		free(e);
	}
	free(p->buckets);
	*p = (struct mf_udp_peers){ 0 };
}

bool mf_rate_take(struct mf_rate *r, uint64_t rate, uint64_t cost, uint64_t now_ms)
{
	uint64_t full = rate * 1000, gone;

	if (rate == 0)
		return true;
	if (!r->begun) {
		r->begun = true;
		r->left = full;
		r->at_ms = now_ms;
	}
	gone = now_ms - r->at_ms;
	r->at_ms = now_ms;
	r->left = gone >= 1000 || r->left + gone * rate > full ? full : r->left + gone * rate;
	if (r->left < cost * 1000)
		return false;
	r->left -= cost * 1000;
	return true;
}
