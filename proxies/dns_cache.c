/* SPDX-License-Identifier: Apache-2.0 */
/* dns_cache.c - see dns_cache.h */
#include "proxies/dns_cache.h"

#include <event2/util.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/hash.h"

enum {
	BYTES_MAX = 4 << 20,
	TTL_MAX_S = 3600,
	BUCKETS_MIN = 64,
	ENTRY_SHARE = 16, /* one response takes no more than this part of all */
};

struct entry {
	struct entry *chain;	     /* of its bucket */
	struct entry *newer, *older; /* by use */
	uint64_t hash, kept_ms, expires_ms;
	size_t bytes;
	uint16_t key_len, msg_len;
	uint8_t data[]; /* key, then message */
};

struct key {
	uint16_t len;
	uint8_t bytes[MF_DNS_NAME_MAX + 5];
};

struct mf_dns_cache {
	pthread_mutex_t lock;
	size_t bytes_max, bucket_cnt;
	uint32_t stale_s;
	uint64_t seed;
	struct entry **buckets;
	struct entry *newest, *oldest;
	struct mf_dns_cache_stats stats;
};

int mf_dns_cache_new(const struct mf_dns_cache_options *o, struct mf_dns_cache **ret,
		     struct mf_err *err)
{
	struct mf_dns_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the DNS cache");
	c->bytes_max = o && o->bytes_max ? o->bytes_max : BYTES_MAX;
	c->stale_s = o ? o->stale_s : 0;
	/* about one to a bucket, if responses have the usual few hundred bytes */
	for (c->bucket_cnt = BUCKETS_MIN; c->bucket_cnt < c->bytes_max / 512;)
		c->bucket_cnt *= 2;
	evutil_secure_rng_get_bytes(&c->seed, sizeof(c->seed));
	c->buckets = calloc(c->bucket_cnt, sizeof(*c->buckets));
	if (!c->buckets || pthread_mutex_init(&c->lock, NULL) != 0) {
		free(c->buckets);
		free(c);
		return mf_err_set(err, MF_E_NOMEM, "no memory for the DNS cache");
	}
	*ret = c;
	return 0;
}

/* All that an answer depends on: name without letter case, type, class, and the flags that change what servers send. */
static struct key make_key(const struct mf_dns_query *q)
{
	struct key k = { .len = (uint16_t)(q->name.len + 5) };

	for (unsigned i = 0; i < q->name.len; i++) {
		uint8_t c = q->name.wire[i];

		k.bytes[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
	}
	mf_store_be16(k.bytes + q->name.len, q->type);
	mf_store_be16(k.bytes + q->name.len + 2, q->class);
	k.bytes[q->name.len + 4] =
		(uint8_t)(q->dnssec_ok | q->checking_disabled << 1 | q->authentic_data << 2);
	return k;
}

static void unlink_use(struct mf_dns_cache *c, struct entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct mf_dns_cache *c, struct entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static struct entry **bucket_of(struct mf_dns_cache *c, uint64_t hash)
{
	return &c->buckets[hash & (c->bucket_cnt - 1)];
}

static void drop(struct mf_dns_cache *c, struct entry *e)
{
	struct entry **at = bucket_of(c, e->hash);

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	unlink_use(c, e);
	c->stats.entries--;
	c->stats.bytes -= e->bytes;
	free(e);
}

static struct entry *find(struct mf_dns_cache *c, const struct key *k, uint64_t hash)
{
	struct entry *e = *bucket_of(c, hash);

	while (e &&
	       (e->hash != hash || e->key_len != k->len || memcmp(e->data, k->bytes, k->len) != 0))
		e = e->chain;
	return e;
}

static struct entry *make_entry(const struct key *k, struct mf_span msg)
{
	struct entry *e = malloc(sizeof(*e) + k->len + msg.len);

	if (!e)
		return NULL;
	*e = (struct entry){ .bytes = sizeof(*e) + k->len + msg.len,
			     .key_len = k->len,
			     .msg_len = (uint16_t)msg.len };
	memcpy(e->data, k->bytes, k->len);
	memcpy(e->data + k->len, msg.ptr, msg.len);
	mf_store_be16(e->data + k->len, 0); /* the id was of one question */
	return e;
}

void mf_dns_cache_keep(struct mf_dns_cache *c, const struct mf_dns_query *q, struct mf_span msg,
		       uint64_t now_ms)
{
	struct key k = make_key(q);
	uint64_t hash = mf_hash_bytes(k.bytes, k.len, c->seed);
	int ttl = mf_dns_lifetime(msg, q->type, TTL_MAX_S);
	struct entry *e, *old;

	if (ttl <= 0 || msg.len > MF_DNS_MESSAGE_MAX ||
	    sizeof(*e) + k.len + msg.len > c->bytes_max / ENTRY_SHARE)
		return;
	e = make_entry(&k, msg);
	if (!e)
		return;
	e->hash = hash;
	e->kept_ms = now_ms;
	e->expires_ms = now_ms + (uint64_t)ttl * 1000;
	pthread_mutex_lock(&c->lock);
	old = find(c, &k, hash);
	if (old)
		drop(c, old);
	while (c->oldest && c->stats.bytes + e->bytes > c->bytes_max) {
		c->stats.evicted++;
		drop(c, c->oldest);
	}
	e->chain = *bucket_of(c, hash);
	*bucket_of(c, hash) = e;
	link_newest(c, e);
	c->stats.entries++;
	c->stats.bytes += e->bytes;
	c->stats.kept++;
	pthread_mutex_unlock(&c->lock);
}

/* Under the lock. Return: length, MF_E_NOENT */
static int take_out(struct mf_dns_cache *c, struct entry *e, uint64_t now_ms, bool stale,
		    uint8_t *out)
{
	bool expired = e->expires_ms <= now_ms;
	uint64_t age_s = (now_ms - e->kept_ms) / 1000;

	if (expired && e->expires_ms + c->stale_s * UINT64_C(1000) <= now_ms) {
		drop(c, e);
		return MF_E_NOENT;
	}
	if (expired && !stale)
		return MF_E_NOENT;
	memcpy(out, e->data + e->key_len, e->msg_len);
	if (mf_dns_set_age(out, e->msg_len, age_s > UINT32_MAX ? UINT32_MAX : (uint32_t)age_s,
			   expired ? MF_DNS_STALE_TTL_S : 0) < 0) {
		drop(c, e); /* its additional section is malformed */
		return MF_E_NOENT;
	}
	unlink_use(c, e);
	link_newest(c, e);
	if (expired)
		c->stats.stale_hits++;
	return e->msg_len;
}

int mf_dns_cache_find(struct mf_dns_cache *c, const struct mf_dns_query *q, uint64_t now_ms,
		      bool stale, uint8_t *out)
{
	struct key k = make_key(q);
	uint64_t hash = mf_hash_bytes(k.bytes, k.len, c->seed);
	struct entry *e;
	int r = MF_E_NOENT;

	pthread_mutex_lock(&c->lock);
	e = find(c, &k, hash);
	if (e)
		r = take_out(c, e, now_ms, stale, out);
	if (r > 0)
		c->stats.hits++;
	else
		c->stats.misses++;
	pthread_mutex_unlock(&c->lock);
	return r;
}

void mf_dns_cache_get_stats(struct mf_dns_cache *c, struct mf_dns_cache_stats *ret)
{
	pthread_mutex_lock(&c->lock);
	*ret = c->stats;
	pthread_mutex_unlock(&c->lock);
}

void mf_dns_cache_free(struct mf_dns_cache *c)
{
	if (!c)
		return;
	while (c->newest)
		drop(c, c->newest);
	pthread_mutex_destroy(&c->lock);
	free(c->buckets);
	free(c);
}
