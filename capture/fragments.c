/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fragments.c - datagrams in pieces: which pieces came, what became of the first, who waits for it
 *
 * How it works. Only a first fragment says which flow a datagram is of; what becomes of it (struct mf_fate) becomes of all
 * the others, which follow with their addresses rewritten alike and are put together by their receiver. Those that come
 * before the first wait in copies.
 *
 * Which pieces came is a bitmap of units of 8 bytes. A piece that was there as a whole is dropped alone (a copy made on
 * the way); one that overlaps in part, or reaches past the end that the last fragment set, ends the whole datagram: RFC
 * 5722 wants that of IPv6, and for IPv4 as well nobody but an attacker sends such (a second first fragment could give
 * the datagram other ports than those that were judged).
 *
 * Limits: fragments_max datagrams (the oldest makes room), fragment_bytes_max bytes that wait, fragment_ns from the first
 * piece on. A datagram that is complete is forgotten.
 */
#include <stdlib.h>

#include "capture/pipeline_internal.h"

#define UNITS 8192u /* 65,536 bytes in units of 8 */
#define NONE  UINT32_MAX

struct key {
	uint8_t src[16], dst[16];
	uint32_t id;
	uint8_t proto, family;
	uint16_t zero;
};
_Static_assert(sizeof(struct key) == 40, "compared as bytes");

struct datagram {
	struct key key;
	struct mf_fate fate;
	uint64_t since_ns;
	struct mf_held *first, *last; /* waiting */
	uint32_t bytes;		      /* of those */
	uint32_t waiting;
	uint32_t chain;	       /* next in the bucket, index + 1 */
	uint32_t next, prev;   /* by age */
	uint32_t units, total; /* that came; of all, 0 until the last fragment said so */
	uint64_t map[UNITS / 64];
};

struct mf_fragments {
	struct datagram *datagrams;
	uint32_t *buckets; /* index + 1 */
	uint32_t mask, max, used, free_head, cnt;
	uint32_t head, tail; /* oldest, newest */
	uint64_t seed, time_ns;
	uint32_t bytes, bytes_max;
	unsigned evicted;
};

int mf_fragments_new(const struct mf_pipeline_options *o, struct mf_fragments **ret)
{
	struct mf_fragments *f = calloc(1, sizeof(*f));
	uint32_t buckets = 16;

	*ret = f;
	if (!f)
		return MF_E_NOMEM;
	while (buckets < o->fragments_max * 2)
		buckets *= 2;
	f->mask = buckets - 1;
	f->max = o->fragments_max;
	f->bytes_max = o->fragment_bytes_max;
	f->time_ns = o->fragment_ns;
	f->seed = mf_hash_seed();
	f->head = f->tail = NONE;
	f->buckets = calloc(buckets, sizeof(*f->buckets));
	f->datagrams = calloc(f->max, sizeof(*f->datagrams));
	return f->buckets && f->datagrams ? 0 : MF_E_NOMEM;
}

void mf_fragments_free(struct mf_fragments *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; f->datagrams && i < f->used; i++)
		mf_held_free(f->datagrams[i].first);
	free(f->datagrams);
	free(f->buckets);
	free(f);
}

static struct key key_of(const struct mf_view *v)
{
	// IPv6 names datagrams without the protocol (RFC 8200 4.5): it stands in each fragment and may differ.
	struct key k = { .id = v->frag_id,
			 .proto = v->flow.family == 4 ? v->flow.proto : 0,
			 .family = v->flow.family };

	memcpy(k.src, v->flow.src, 32);
	return k;
}

static uint32_t *bucket_of(const struct mf_fragments *f, const struct key *k)
{
	return &f->buckets[(uint32_t)mf_hash_bytes(k, sizeof(*k), f->seed) & f->mask];
}

static struct datagram *find(const struct mf_fragments *f, const struct key *k)
{
	for (uint32_t i = *bucket_of(f, k); i; i = f->datagrams[i - 1].chain)
		if (memcmp(&f->datagrams[i - 1].key, k, sizeof(*k)) == 0)
			return &f->datagrams[i - 1];
	return NULL;
}

/* Takes a datagram out. Return: the fragments that waited in it */
static struct mf_held *forget(struct mf_fragments *f, struct datagram *d)
{
	uint32_t i = (uint32_t)(d - f->datagrams), *at = bucket_of(f, &d->key);
	struct mf_held *list = d->first;

	while (*at != i + 1)
		at = &f->datagrams[*at - 1].chain;
	*at = d->chain;
	if (d->prev == NONE)
		f->head = d->next;
	else
		f->datagrams[d->prev].next = d->next;
	if (d->next == NONE)
		f->tail = d->prev;
	else
		f->datagrams[d->next].prev = d->prev;
	f->bytes -= d->bytes;
	d->first = NULL;
	d->chain = f->free_head;
	f->free_head = i + 1;
	f->cnt--;
	return list;
}

static struct datagram *add(struct mf_fragments *f, const struct key *k, uint64_t now_ns)
{
	struct datagram *d;
	uint32_t i, *at;

	if (!f->free_head && f->used == f->max) {
		f->evicted += f->datagrams[f->head].waiting;
		mf_held_free(forget(f, &f->datagrams[f->head]));
	}
	if (f->free_head) {
		i = f->free_head - 1;
		f->free_head = f->datagrams[i].chain;
	} else {
		i = f->used++;
	}
	d = &f->datagrams[i];
	at = bucket_of(f, k);
	*d = (struct datagram){
		.key = *k, .since_ns = now_ns, .chain = *at, .next = NONE, .prev = f->tail
	};
	*at = i + 1;
	if (f->tail == NONE)
		f->head = i;
	else
		f->datagrams[f->tail].next = i;
	f->tail = i;
	f->cnt++;
	return d;
}

/* The bits of units [@from, @to) in word @w of the map. */
static uint64_t bits_of(uint32_t w, uint32_t from, uint32_t to)
{
	uint64_t bits = ~UINT64_C(0);

	if (from > w * 64)
		bits &= ~UINT64_C(0) << (from - w * 64);
	if (to < w * 64 + 64)
		bits &= ~(~UINT64_C(0) << (to - w * 64));
	return bits;
}

/* What of units [@from, @to) came already? Return: how many */
static uint32_t count_units(const struct datagram *d, uint32_t from, uint32_t to)
{
	uint32_t n = 0;

	for (uint32_t w = from / 64; w * 64 < to; w++)
		n += (uint32_t)__builtin_popcountll(d->map[w] & bits_of(w, from, to));
	return n;
}

static void set_units(struct datagram *d, uint32_t from, uint32_t to)
{
	for (uint32_t w = from / 64; w * 64 < to; w++)
		d->map[w] |= bits_of(w, from, to);
	d->units += to - from;
}

/* Refused as a whole: what waits will not be sent, what comes is dropped until the time is over. */
static int poison(struct mf_fragments *f, struct datagram *d)
{
	d->fate = (struct mf_fate){ .kind = MF_FATE_DROP, .reason = MF_DROP_FRAGMENT };
	f->evicted += d->waiting;
	f->bytes -= d->bytes;
	mf_held_free(d->first);
	d->first = d->last = NULL;
	d->bytes = d->waiting = 0;
	return MF_E_BAD;
}

/* What was refused stays until its time is over, so that its pieces find it. */
static bool is_complete(const struct datagram *d)
{
	return d->units == d->total && d->fate.kind != MF_FATE_WAIT && d->fate.kind != MF_FATE_DROP;
}

int mf_fragments_check(struct mf_fragments *f, const struct mf_view *v, uint64_t now_ns,
		       struct mf_fate *ret_fate)
{
	struct key k = key_of(v);
	struct datagram *d = find(f, &k);
	uint32_t from, to, len, there;

	if (d && now_ns - d->since_ns >= f->time_ns) {
		f->evicted += d->waiting;
		mf_held_free(forget(f, d));
		d = NULL;
	}
	if (!d)
		d = add(f, &k, now_ns);
	len = mf_view_fragment_len(v);
	from = v->frag_off / 8;
	to = (v->frag_off + len + 7) / 8;
	if (to > UNITS || to == from)
		return poison(f, d);
	there = count_units(d, from, to);
	if (there == to - from && d->fate.reason != MF_DROP_FRAGMENT)
		return MF_E_EXIST;
	if (there || (d->total && to > d->total))
		return poison(f, d);
	if (!(v->flags & MF_VIEW_F_FRAG_MORE)) {
		if (d->total && d->total != to)
			return poison(f, d);
		d->total = to;
		// Something came that reaches past this end?
		if (count_units(d, to, UNITS))
			return poison(f, d);
	}
	set_units(d, from, to);
	*ret_fate = d->fate;
	if (is_complete(d))
		mf_held_free(forget(f, d));
	return 0;
}

int mf_fragments_put(struct mf_fragments *f, const struct mf_view *v,
		     const struct mf_packet *packet)
{
	struct key k = key_of(v);
	struct datagram *d = find(f, &k);
	struct mf_held *h;

	if (!d || packet->len > f->bytes_max - f->bytes)
		return MF_E_FULL;
	h = mf_held_new(packet);
	if (!h)
		return MF_E_NOMEM;
	if (d->last)
		d->last->next = h;
	else
		d->first = h;
	d->last = h;
	d->waiting++;
	d->bytes += packet->len;
	f->bytes += packet->len;
	return 0;
}

struct mf_held *mf_fragments_decide(struct mf_fragments *f, const struct mf_view *v,
				    const struct mf_fate *fate)
{
	struct key k = key_of(v);
	struct datagram *d = find(f, &k);
	struct mf_held *list;

	if (!d || d->fate.kind != MF_FATE_WAIT)
		return NULL;
	d->fate = *fate;
	list = d->first;
	f->bytes -= d->bytes;
	d->first = d->last = NULL;
	d->bytes = d->waiting = 0;
	if (is_complete(d))
		forget(f, d);
	return list;
}

unsigned mf_fragments_expire(struct mf_fragments *f, uint64_t now_ns, bool all)
{
	unsigned n = 0;

	while (f->head != NONE) {
		struct datagram *d = &f->datagrams[f->head];

		if (!all && now_ns - d->since_ns < f->time_ns)
			break;
		n += d->waiting;
		mf_held_free(forget(f, d));
	}
	return n + mf_fragments_evicted(f);
}

unsigned mf_fragments_evicted(struct mf_fragments *f)
{
	unsigned n = f->evicted;

	f->evicted = 0;
	return n;
}

uint64_t mf_fragments_deadline(const struct mf_fragments *f)
{
	return f->head == NONE ? UINT64_MAX : f->datagrams[f->head].since_ns + f->time_ns;
}

unsigned mf_fragments_count(const struct mf_fragments *f)
{
	return f->cnt;
}
