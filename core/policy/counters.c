/* SPDX-License-Identifier: Apache-2.0 */
/* counters.c - see counters.h */
#include "core/policy/counters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/hash.h"

#define SLICES	    16
#define SWEEP	    64 /* entries looked at for one whose window has passed */
#define ENTRIES_MAX 65536

struct counter {
	struct counter *next;
	uint64_t hash, window_ns;
	uint64_t slice;		  /* number of the newest slice: now / slice length */
	uint64_t sum[SLICES + 1]; /* one more: the newest is never whole */
	uint32_t place;		  /* in cs->all */
	uint16_t id_len;
	uint8_t id[];
};

struct mf_counters {
	pthread_mutex_t lock;
	struct counter **buckets;
	struct counter **all; /* for the sweep */
	uint32_t mask, cnt, max, hand;
	uint64_t seed;
};

struct mf_counters *mf_counters_new(uint32_t entries_max)
{
	struct mf_counters *cs = calloc(1, sizeof(*cs));
	uint32_t buckets = 64;

	if (!cs)
		return NULL;
	cs->max = entries_max ? entries_max : ENTRIES_MAX;
	while (buckets < cs->max && buckets < (1u << 30))
		buckets *= 2;
	cs->mask = buckets - 1;
	cs->seed = mf_hash_seed();
	cs->buckets = calloc(buckets, sizeof(*cs->buckets));
	cs->all = calloc(cs->max, sizeof(*cs->all));
	if (!cs->buckets || !cs->all || pthread_mutex_init(&cs->lock, NULL) != 0) {
		free(cs->buckets);
		free(cs->all);
		free(cs);
		return NULL;
	}
	return cs;
}

void mf_counters_free(struct mf_counters *cs)
{
	uint32_t i;

	if (!cs)
		return;
	for (i = 0; i < cs->cnt; i++)
		free(cs->all[i]);
	pthread_mutex_destroy(&cs->lock);
	free(cs->buckets);
	free(cs->all);
	free(cs);
}

static uint64_t slice_of(const struct counter *c, uint64_t now_ns)
{
	uint64_t len = c->window_ns / SLICES;

	return c->window_ns ? now_ns / (len ? len : 1) : 0;
}

/* Forget what is older than the window. Time that goes backwards counts as no time. */
static void advance(struct counter *c, uint64_t now_ns)
{
	uint64_t slice = slice_of(c, now_ns), i;

	if (slice <= c->slice)
		return;
	if (slice - c->slice > SLICES) {
		memset(c->sum, 0, sizeof(c->sum));
	} else {
		for (i = c->slice + 1; i <= slice; i++)
			c->sum[i % (SLICES + 1)] = 0;
	}
	c->slice = slice;
}

static uint64_t total(const struct counter *c)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i <= SLICES; i++)
		sum = c->sum[i] > UINT64_MAX - sum ? UINT64_MAX : sum + c->sum[i];
	return sum;
}

static void take_out(struct mf_counters *cs, struct counter *c)
{
	struct counter **at = &cs->buckets[c->hash & cs->mask];

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	cs->all[c->place] = cs->all[--cs->cnt];
	cs->all[c->place]->place = c->place;
	free(c);
}

static bool make_room(struct mf_counters *cs, uint64_t now_ns)
{
	struct counter *c;
	unsigned i;

	for (i = 0; i < SWEEP && i < cs->cnt; i++) {
		cs->hand = cs->hand + 1 < cs->cnt ? cs->hand + 1 : 0;
		c = cs->all[cs->hand];
		advance(c, now_ns);
		if (c->window_ns && total(c) == 0) {
			take_out(cs, c);
			return true;
		}
	}
	return false;
}

static struct counter *find(const struct mf_counters *cs, uint64_t hash, const void *id,
			    size_t id_len, uint64_t window_ns)
{
	struct counter *c;

	for (c = cs->buckets[hash & cs->mask]; c; c = c->next)
		if (c->hash == hash && c->window_ns == window_ns && c->id_len == id_len &&
		    memcmp(c->id, id, id_len) == 0)
			return c;
	return NULL;
}

static int make(struct mf_counters *cs, uint64_t hash, const void *id, size_t id_len,
		uint64_t window_ns, uint64_t now_ns, struct counter **ret)
{
	struct counter *c;

	if (cs->cnt >= cs->max && !make_room(cs, now_ns))
		return MF_E_FULL;
	c = calloc(1, sizeof(*c) + id_len);
	if (!c)
		return MF_E_NOMEM;
	c->hash = hash;
	c->window_ns = window_ns;
	c->id_len = (uint16_t)id_len;
	memcpy(c->id, id, id_len);
	c->slice = slice_of(c, now_ns);
	c->next = cs->buckets[hash & cs->mask];
	cs->buckets[hash & cs->mask] = c;
	c->place = cs->cnt;
	cs->all[cs->cnt++] = c;
	*ret = c;
	return 0;
}

int mf_counters_add(struct mf_counters *cs, const void *id, size_t id_len, uint64_t window_ns,
		    uint64_t amount, uint64_t now_ns, uint64_t *ret_sum)
{
	uint64_t hash = mf_hash_bytes(id, id_len, cs->seed ^ window_ns), *sum;
	struct counter *c;
	int r = 0;

	*ret_sum = 0;
	if (id_len > MF_COUNTER_KEY_MAX || window_ns > MF_COUNTER_WINDOW_MAX)
		return MF_E_LIMIT;
	pthread_mutex_lock(&cs->lock);
	c = find(cs, hash, id, id_len, window_ns);
	if (!c && amount)
		r = make(cs, hash, id, id_len, window_ns, now_ns, &c);
	if (c) {
		advance(c, now_ns);
		sum = &c->sum[c->slice % (SLICES + 1)];
		*sum = amount > UINT64_MAX - *sum ? UINT64_MAX : *sum + amount;
		*ret_sum = total(c);
	}
	pthread_mutex_unlock(&cs->lock);
	return r;
}

uint32_t mf_counters_count(struct mf_counters *cs)
{
	uint32_t cnt;

	pthread_mutex_lock(&cs->lock);
	cnt = cs->cnt;
	pthread_mutex_unlock(&cs->lock);
	return cnt;
}
