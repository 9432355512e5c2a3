/* SPDX-License-Identifier: Apache-2.0 */
/* addresses.c - see addresses.h */
#include "proxies/gateway/addresses.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "proxies/timeouts.h"

enum { BUCKETS = 4096 };

struct mf_gw_address {
	struct mf_addr addr; /* the key */
	struct mf_gw_address *hash_next, *prev, *next;
	uint32_t sockets; /* open now */
	uint32_t refs;	  /* those, and others that keep it: it is not in the ring */
	struct mf_gw_meter meter;
	struct mf_bucket rates[MF_GW_RATE_NUM];
};

struct mf_gw_addresses {
	pthread_mutex_t lock; /* of all that follows */
	struct mf_gw_address *buckets[BUCKETS];
	struct mf_gw_address ring; /* without anything open: the longest quiet first */
	uint32_t cnt, max;
	uint64_t seed;
};

bool mf_bucket_take(struct mf_bucket *b, uint32_t per_minute, uint32_t burst, uint64_t now_ms)
{
	uint64_t full = burst * UINT64_C(1000), passed = now_ms - b->at_ms;

	if (passed > 3600000)
		passed = 3600000;
	if (b->at_ms == 0) {
		b->milli = full;
		b->at_ms = now_ms;
	} else if (passed * per_minute / 60 > 0) {
		b->milli += passed * per_minute / 60;
		b->at_ms = now_ms - passed * per_minute % 60 / per_minute; /* the rest counts */
	}
	if (b->milli > full)
		b->milli = full;
	if (b->milli < 1000)
		return false;
	b->milli -= 1000;
	return true;
}

struct mf_gw_addresses *mf_gw_addresses_new(uint32_t max)
{
	struct mf_gw_addresses *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	all->max = max;
	all->seed = mf_hash_seed();
	all->ring.prev = all->ring.next = &all->ring;
	return all;
}

static void unlink_quiet(struct mf_gw_address *a)
{
	a->prev->next = a->next;
	a->next->prev = a->prev;
}

static void link_quiet(struct mf_gw_addresses *all, struct mf_gw_address *a)
{
	a->prev = all->ring.prev;
	a->next = &all->ring;
	a->prev->next = a;
	all->ring.prev = a;
}

static uint64_t hash_of(const struct mf_gw_addresses *all, const struct mf_addr *key)
{
	return mf_hash_bytes(key, sizeof(*key), all->seed) % BUCKETS;
}

static void forget(struct mf_gw_addresses *all, struct mf_gw_address *a)
{
	struct mf_gw_address **at = &all->buckets[hash_of(all, &a->addr)];

	while (*at != a)
		at = &(*at)->hash_next;
	*at = a->hash_next;
	all->cnt--;
	free(a);
}

void mf_gw_addresses_free(struct mf_gw_addresses *all)
{
	for (size_t i = 0; all && i < BUCKETS; i++)
		while (all->buckets[i])
			forget(all, all->buckets[i]);
	if (all)
		pthread_mutex_destroy(&all->lock);
	free(all);
}

/* What one customer has. */
static struct mf_addr key_of(const struct mf_addr *addr)
{
	struct mf_addr key = *addr;

	if (key.family == 6)
		memset(key.bytes + 8, 0, 8);
	return key;
}

static struct mf_gw_address *get(struct mf_gw_addresses *all, const struct mf_addr *addr)
{
	struct mf_addr key = key_of(addr);
	struct mf_gw_address **head = &all->buckets[hash_of(all, &key)], *a = *head;

	while (a && !mf_addr_eq(&a->addr, &key))
		a = a->hash_next;
	if (a) {
		if (a->refs == 0) {
			unlink_quiet(a);
			link_quiet(all, a);
		}
		return a;
	}
	if (all->cnt >= all->max) {
		if (all->ring.next == &all->ring)
			return NULL;
		a = all->ring.next;
		unlink_quiet(a);
		forget(all, a);
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->addr = key;
	a->hash_next = *head;
	*head = a;
	all->cnt++;
	link_quiet(all, a);
	return a;
}

static void keep(struct mf_gw_address *a)
{
	if (a->refs++ == 0)
		unlink_quiet(a);
}

static void let_go(struct mf_gw_addresses *all, struct mf_gw_address *a)
{
	if (--a->refs == 0)
		link_quiet(all, a);
}

bool mf_gw_address_take(struct mf_gw_addresses *all, const struct mf_addr *addr,
			enum mf_gw_rate rate, uint32_t per_minute, uint32_t burst)
{
	struct mf_gw_address *a;
	bool had;

	pthread_mutex_lock(&all->lock);
	a = get(all, addr);
	/* the time under the lock: that of another thread is never later */
	had = a && mf_bucket_take(&a->rates[rate], per_minute, burst, mf_now_ms());
	pthread_mutex_unlock(&all->lock);
	return had;
}

struct mf_gw_address *mf_gw_address_open(struct mf_gw_addresses *all, const struct mf_addr *addr,
					 uint32_t max)
{
	struct mf_gw_address *a;

	pthread_mutex_lock(&all->lock);
	a = get(all, addr);
	if (a && max && a->sockets >= max)
		a = NULL;
	if (a) {
		a->sockets++;
		keep(a);
	}
	pthread_mutex_unlock(&all->lock);
	return a;
}

void mf_gw_address_close(struct mf_gw_addresses *all, struct mf_gw_address *a)
{
	pthread_mutex_lock(&all->lock);
	a->sockets--;
	let_go(all, a);
	pthread_mutex_unlock(&all->lock);
}

struct mf_gw_address *mf_gw_address_ref(struct mf_gw_addresses *all, const struct mf_addr *addr)
{
	struct mf_gw_address *a;

	pthread_mutex_lock(&all->lock);
	a = get(all, addr);
	if (a)
		keep(a);
	pthread_mutex_unlock(&all->lock);
	return a;
}

void mf_gw_address_unref(struct mf_gw_addresses *all, struct mf_gw_address *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&all->lock);
	let_go(all, a);
	pthread_mutex_unlock(&all->lock);
}

struct mf_gw_meter *mf_gw_address_meter(struct mf_gw_address *a)
{
	return &a->meter;
}
