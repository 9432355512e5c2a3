/* SPDX-License-Identifier: Apache-2.0 */
/* member.c - see member.h */
#include "proxies/gateway/member.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/names/correlation.h"
#include "proxies/timeouts.h"

enum { BUCKETS = 1024, NAMES_MAX = 1024 };

struct mf_gw_members {
	pthread_mutex_t lock; /* of all that follows */
	struct mf_gw_member *buckets[BUCKETS];
	struct mf_gw_member idle; /* a ring, the longest idle first */
	uint32_t cnt, max, keep_ms;
	uint64_t seed;
};

struct mf_gw_members *mf_gw_members_new(uint32_t max, uint32_t keep_ms)
{
	struct mf_gw_members *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	all->max = max;
	all->keep_ms = keep_ms;
	all->seed = mf_hash_seed();
	all->idle.idle_prev = all->idle.idle_next = &all->idle;
	return all;
}

static void leave_idle(struct mf_gw_member *m)
{
	m->idle_prev->idle_next = m->idle_next;
	m->idle_next->idle_prev = m->idle_prev;
}

static void free_member(struct mf_gw_member *m)
{
	struct mf_gw_member **at = &m->all->buckets[m->hash % BUCKETS];

	while (*at != m)
		at = &(*at)->hash_next;
	*at = m->hash_next;
	m->all->cnt--;
	mf_names_free(m->pub.names);
	free(m);
}

void mf_gw_members_free(struct mf_gw_members *all)
{
	for (size_t i = 0; all && i < BUCKETS; i++)
		while (all->buckets[i])
			free_member(all->buckets[i]);
	if (all)
		pthread_mutex_destroy(&all->lock);
	free(all);
}

/* Those that have been idle for long enough; and one more, where room is wanted. */
static void sweep(struct mf_gw_members *all)
{
	uint64_t now = mf_now_ms();

	while (all->idle.idle_next != &all->idle) {
		struct mf_gw_member *m = all->idle.idle_next;

		if (now - m->idle_since_ms < all->keep_ms && all->cnt < all->max)
			return;
		leave_idle(m);
		free_member(m);
	}
}

static struct mf_gw_member *find(struct mf_gw_members *all, const char *id, uint64_t hash)
{
	struct mf_gw_member *m = all->buckets[hash % BUCKETS];

	while (m && (m->hash != hash || strcmp(m->id, id) != 0))
		m = m->hash_next;
	if (m && atomic_fetch_add(&m->refs, 1) == 0)
		leave_idle(m);
	return m;
}

static struct mf_gw_member *make(struct mf_gw_members *all, const char *id, uint64_t hash)
{
	struct mf_gw_member *m;

	sweep(all);
	if (all->cnt >= all->max || strlen(id) >= sizeof(m->id))
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->all = all;
	m->hash = hash;
	atomic_init(&m->refs, 1);
	snprintf(m->id, sizeof(m->id), "%s", id);
	m->pub.id = m->id;
	m->hash_next = all->buckets[hash % BUCKETS];
	all->buckets[hash % BUCKETS] = m;
	all->cnt++;
	return m;
}

struct mf_gw_member *mf_gw_member_get(struct mf_gw_members *all, const char *id)
{
	uint64_t hash = mf_hash_bytes(id, strlen(id), all->seed);
	struct mf_gw_member *m;

	pthread_mutex_lock(&all->lock);
	m = find(all, id, hash);
	if (!m)
		m = make(all, id, hash);
	pthread_mutex_unlock(&all->lock);
	return m;
}

struct mf_gw_member *mf_gw_member_ref(struct mf_gw_member *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void mf_gw_member_unref(struct mf_gw_member *m)
{
	struct mf_gw_members *all;
	struct mf_gw_member *ring;
	unsigned refs;

	if (!m)
		return;
	refs = atomic_load(&m->refs);
	while (refs > 1)
		if (atomic_compare_exchange_weak(&m->refs, &refs, refs - 1))
			return;
	/* It may be the last: nobody but mf_gw_member_get(), under the lock, makes 1 of 0. */
	all = m->all;
	pthread_mutex_lock(&all->lock);
	if (atomic_fetch_sub(&m->refs, 1) == 1) {
		ring = &all->idle;
		m->idle_since_ms = mf_now_ms();
		m->idle_prev = ring->idle_prev;
		m->idle_next = ring;
		m->idle_prev->idle_next = m;
		ring->idle_prev = m;
	}
	pthread_mutex_unlock(&all->lock);
}

void mf_gw_member_keep_names(struct mf_gw_member *m)
{
	const struct mf_names_options o = { .addr_max = NAMES_MAX };
	struct mf_names *names, *none = NULL;

	if (__atomic_load_n(&m->pub.names, __ATOMIC_ACQUIRE) || mf_names_new(&o, &names, NULL) < 0)
		return;
	/* another thread may have been first */
	if (!__atomic_compare_exchange_n(&m->pub.names, &none, names, false, __ATOMIC_RELEASE,
					 __ATOMIC_RELAXED))
		mf_names_free(names);
}

bool mf_gw_member_take_token(struct mf_gw_member *m, uint64_t rate)
{
	bool there;

	pthread_mutex_lock(&m->all->lock);
	there = mf_rate_take(&m->tokens, rate, 1, mf_now_ms());
	pthread_mutex_unlock(&m->all->lock);
	return there;
}

size_t mf_gw_members_count(struct mf_gw_members *all)
{
	size_t cnt;

	pthread_mutex_lock(&all->lock);
	cnt = all->cnt;
	pthread_mutex_unlock(&all->lock);
	return cnt;
}
