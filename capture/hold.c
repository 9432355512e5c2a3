/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.c - owners of flows, and first packets that wait for them
 *
 * How it works. One record a flow: who owns it, or the packets that wait until that is known. Records are found by hash;
 * when there are owners_max of them, the one that was not asked for in the longest time (roughly: second chance) makes
 * room, unless packets wait in it. Records that hold packets stand in one list, oldest first; as all wait equally
 * long, its head is the next to be due.
 *
 *	state		event known	event closed	first packet		time over
 *	(none)		KNOWN		-		PENDING, held		-
 *	PENDING		KNOWN, released	-		held (bounded)		KNOWN or NOBODY, released
 *	KNOWN		KNOWN		closed		as its process; PENDING if closed, or if it begins a
 *							connection other than the one the record was used for
 *	NOBODY		KNOWN		(none)		as unknown; PENDING after MF_OWNER_RETRY_NS
 *
 * A record that was closed before its first packet came (connect() and close() at once) serves that packet still.
 */
#include <stdlib.h>

#include "capture/pipeline_internal.h"
#include "core/base/pages.h"
#include "core/base/prefetch.h"

#define NONE	    UINT32_MAX
#define EVICT_TRIES 64u

/* Two cache lines: the first is all that a packet without a wait touches. */
struct record {
	struct mf_flow flow;
	union {
		uint64_t since_ns; /* PENDING: held since; NOBODY: not known since */
		struct {
			uint32_t pid, isn; /* KNOWN */
		};
	};
	uint32_t chain; /* next in the bucket, index + 1 */
	uint32_t hash;	/* the lower half */
	uint8_t kind;	/* enum mf_owner_kind */
	uint8_t flags;
	uint8_t packets; /* held */
	uint8_t pad;
	struct mf_held *first, *last;
	uint32_t bytes;	     /* of the packets held */
	uint32_t next, prev; /* of those that hold packets */
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct record, first) == 64, "what is always needed is one cache line");

#define THERE	 0x01 /* in use */
#define ASKED	 0x02 /* asked for again since the hand came by */
#define ACCEPTED 0x04
#define CLOSED	 0x08
#define USED	 0x10 /* a packet that begins a flow was judged by it */
#define REBORN	 0x20

struct mf_holds {
	struct record *records;
	uint32_t *buckets;		 /* index + 1 */
	void *records_mem, *buckets_mem; /* as allocated */
	uint32_t bucket_mask, max;
	uint64_t hold_ns;
	uint64_t bytes; /* of all packets held */
	unsigned packets_max, flows_max, flows;
	uint32_t bytes_max;
	uint32_t used, hand, free_head; /* index + 1 */
	uint32_t head, tail;		/* of those that hold packets */
};

/* ---- memory of held packets ---- */

struct mf_held *mf_held_new(const struct mf_packet *packet)
{
	struct mf_held *h = malloc(sizeof(*h) + packet->len);

	if (!h)
		return NULL;
	h->next = NULL;
	h->packet = *packet;
	h->packet.ptr = h->bytes;
	memcpy(h->bytes, packet->ptr, packet->len);
	return h;
}

void mf_held_free(struct mf_held *list)
{
	struct mf_held *next;

	for (; list; list = next) {
		next = list->next;
		free(list);
	}
}

/* ---- records ---- */

int mf_holds_new(const struct mf_pipeline_options *o, struct mf_holds **ret)
{
	struct mf_holds *h;
	uint32_t buckets = 16;

	*ret = NULL;
	if (o->scope != MF_SCOPE_PIDS)
		return 0;
	h = calloc(1, sizeof(*h));
	if (!h)
		return MF_E_NOMEM;
	*ret = h;
	while (buckets < o->owners_max * 4)
		buckets *= 2;
	h->max = o->owners_max;
	h->bucket_mask = buckets - 1;
	h->records = mf_pages_alloc(h->max, sizeof(*h->records), &h->records_mem);
	h->buckets = mf_pages_alloc(buckets, sizeof(*h->buckets), &h->buckets_mem);
	h->hold_ns = o->hold_ns;
	h->packets_max = o->hold_packets_max;
	h->flows_max = o->hold_flows_max < h->max ? o->hold_flows_max : h->max;
	h->bytes_max = o->hold_bytes_max;
	h->head = h->tail = NONE;
	return h->records && h->buckets ? 0 : MF_E_NOMEM;
}

void mf_holds_free(struct mf_holds *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->used; i++)
		mf_held_free(h->records[i].first);
	free(h->records_mem);
	free(h->buckets_mem);
	free(h);
}

static inline uint32_t *bucket_of(const struct mf_holds *h, uint64_t hash)
{
	return &h->buckets[(uint32_t)hash & h->bucket_mask];
}

void mf_holds_prefetch(const struct mf_holds *h, uint64_t hash, bool deep)
{
	const uint32_t *at = bucket_of(h, hash);

	if (!deep)
		mf_prefetch_write(at);
	else if (*at)
		mf_prefetch_write(&h->records[*at - 1]);
}

static struct record *find(const struct mf_holds *h, const struct mf_flow *flow, uint64_t hash)
{
	for (uint32_t i = *bucket_of(h, hash); i; i = h->records[i - 1].chain)
		if (h->records[i - 1].hash == (uint32_t)hash &&
		    mf_flow_eq(&h->records[i - 1].flow, flow))
			return &h->records[i - 1];
	return NULL;
}

static void forget(struct mf_holds *h, struct record *r)
{
	uint32_t i = (uint32_t)(r - h->records) + 1, *at = bucket_of(h, r->hash);

	while (*at != i)
		at = &h->records[*at - 1].chain;
	*at = r->chain;
	r->flags = 0;
	r->chain = h->free_head;
	h->free_head = i;
}

/* The record that the hand comes to @n steps from now. */
static uint32_t ahead(const struct mf_holds *h, uint32_t n)
{
	uint32_t i = h->hand + n;

	return i < h->max ? i : i % h->max;
}

/* A full table evicts with each new flow: what the next evictions need is fetched now. */
static void prefetch_victim(const struct mf_holds *h)
{
	mf_prefetch_write(&h->records[ahead(h, 4)]);
	mf_prefetch_write(bucket_of(h, h->records[ahead(h, 1)].hash));
}

/* Room for a record; some records may all hold packets, so this can fail. */
static bool make_room(struct mf_holds *h)
{
	for (unsigned n = 0; n < EVICT_TRIES; n++) {
		struct record *r = &h->records[h->hand];

		h->hand = ahead(h, 1);
		if (!(r->flags & THERE) || r->kind == MF_OWNER_PENDING)
			continue;
		if ((r->flags & ASKED) && n < EVICT_TRIES / 2) {
			r->flags &= (uint8_t)~ASKED;
			continue;
		}
		forget(h, r);
		prefetch_victim(h);
		return true;
	}
	return false;
}

static struct record *add(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash)
{
	struct record *r;
	uint32_t i, *at;

	if (!h->free_head && h->used == h->max && !make_room(h))
		return NULL;
	if (h->free_head) {
		i = h->free_head;
		h->free_head = h->records[i - 1].chain;
	} else {
		i = ++h->used;
	}
	r = &h->records[i - 1];
	at = bucket_of(h, hash);
	*r = (struct record){ .flow = *flow,
			      .chain = *at,
			      .hash = (uint32_t)hash,
			      .next = NONE,
			      .prev = NONE,
			      .flags = THERE };
	*at = i;
	return r;
}

/* ---- those that hold packets ---- */

static void pending_add(struct mf_holds *h, struct record *r, uint64_t now_ns)
{
	uint32_t i = (uint32_t)(r - h->records);

	r->kind = MF_OWNER_PENDING;
	r->since_ns = now_ns;
	r->flags = THERE;
	r->next = NONE;
	r->prev = h->tail;
	if (h->tail == NONE)
		h->head = i;
	else
		h->records[h->tail].next = i;
	h->tail = i;
	h->flows++;
}

static void pending_del(struct mf_holds *h, struct record *r)
{
	if (r->prev == NONE)
		h->head = r->next;
	else
		h->records[r->prev].next = r->next;
	if (r->next == NONE)
		h->tail = r->prev;
	else
		h->records[r->next].prev = r->prev;
	h->flows--;
}

int mf_holds_put(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash,
		 const struct mf_packet *packet, uint64_t now_ns)
{
	struct record *r = find(h, flow, hash);
	bool pending = r && r->kind == MF_OWNER_PENDING;
	struct mf_held *held;

	if (pending ? r->packets >= h->packets_max || packet->len > h->bytes_max - r->bytes
		    : h->flows >= h->flows_max || packet->len > h->bytes_max)
		return MF_E_FULL;
	if (packet->len > MF_HOLD_BYTES_TOTAL - h->bytes)
		return MF_E_FULL;
	held = mf_held_new(packet);
	if (!held)
		return MF_E_NOMEM;
	if (!r)
		r = add(h, flow, hash);
	if (!r) {
		mf_held_free(held);
		return MF_E_FULL;
	}
	if (!pending)
		pending_add(h, r, now_ns);
	if (r->last)
		r->last->next = held;
	else
		r->first = held;
	r->last = held;
	r->packets++;
	r->bytes += packet->len;
	h->bytes += packet->len;
	return 0;
}

struct mf_held *mf_holds_set(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash,
			     const struct mf_owner *owner, uint64_t now_ns)
{
	struct record *r = find(h, flow, hash);
	struct mf_held *list;

	if (!r)
		r = add(h, flow, hash);
	if (!r)
		return NULL;
	list = r->first;
	if (r->kind == MF_OWNER_PENDING && r->packets)
		pending_del(h, r);
	h->bytes -= r->bytes;
	r->first = r->last = NULL;
	r->packets = 0;
	r->bytes = 0;
	r->kind = owner->kind;
	r->flags = THERE | (owner->accepted ? ACCEPTED : 0) | (owner->reborn ? REBORN : 0);
	if (owner->kind == MF_OWNER_KNOWN)
		r->pid = owner->pid;
	else
		r->since_ns = now_ns;
	return list;
}

void mf_holds_close(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash)
{
	struct record *r = find(h, flow, hash);

	if (!r || r->kind == MF_OWNER_PENDING)
		return;
	if (r->kind == MF_OWNER_NOBODY)
		forget(h, r);
	else
		r->flags |= CLOSED;
}

/* Does what is known of a flow not count for a packet that begins one? */
static bool is_stale(const struct record *r, bool tcp, uint32_t isn, uint64_t now_ns)
{
	if (r->kind == MF_OWNER_NOBODY)
		return now_ns - r->since_ns >= MF_OWNER_RETRY_NS;
	return (r->flags & USED) && ((r->flags & CLOSED) || (tcp && r->isn != isn));
}

int mf_holds_find(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash, bool begins,
		  uint32_t isn, uint64_t now_ns, struct mf_owner *ret)
{
	struct record *r = find(h, flow, hash);

	if (!r)
		return MF_E_NOENT;
	if (r->flags & USED || !begins)
		r->flags |= ASKED;
	if (begins && r->kind != MF_OWNER_PENDING) {
		if (is_stale(r, flow->proto == MF_PROTO_TCP, isn, now_ns))
			return MF_E_NOENT;
		r->flags |= USED;
		if (r->kind == MF_OWNER_KNOWN)
			r->isn = isn;
	}
	*ret = (struct mf_owner){ .kind = r->kind,
				  .pid = r->kind == MF_OWNER_KNOWN ? r->pid : 0,
				  .accepted = r->flags & ACCEPTED,
				  .reborn = r->flags & REBORN };
	return 0;
}

/* ---- time ---- */

bool mf_holds_due(struct mf_holds *h, uint64_t now_ns, bool all, struct mf_flow *ret)
{
	if (h->head == NONE)
		return false;
	if (!all && now_ns < h->records[h->head].since_ns + h->hold_ns)
		return false;
	*ret = h->records[h->head].flow;
	return true;
}

uint64_t mf_holds_deadline(const struct mf_holds *h)
{
	return h->head == NONE ? UINT64_MAX : h->records[h->head].since_ns + h->hold_ns;
}

unsigned mf_holds_count(const struct mf_holds *h)
{
	return h->flows;
}
