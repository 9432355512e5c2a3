/* SPDX-License-Identifier: Apache-2.0 */
/* nat_lookup.c - the fast path of the NAT table, without locks; see nat_internal.h */
#include "core/base/prefetch.h"
#include "core/packet/nat_internal.h"

#define RETRIES \
	64 /* a reader that meets a writer again and again asks under the mutex in the end */

enum found { FOUND, NOT_IT, MOVED };

/* A consistent copy of what a look-up needs of an entry. */
struct snapshot {
	uint64_t ctl;
	uint64_t to[5]; /* what the packet becomes */
	uint64_t via;
	uint32_t seen, pid, isn;
};

static inline uint64_t get(const _Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_acquire);
}

static inline uint64_t swap_ports(uint64_t word4)
{
	return (word4 & ~UINT64_C(0xffffffff)) | (word4 & 0xffff) << 16 | (word4 >> 16 & 0xffff);
}

/* The words that both directions need, and whether the copy is of one piece. */
static inline bool read_rest(const struct mf_nat *nat, const struct entry *e, struct snapshot *s)
{
	s->via = load_via(nat, s->ctl);
	s->seen = atomic_load_explicit(&e->seen, memory_order_acquire);
	s->pid = atomic_load_explicit(&e->pid, memory_order_acquire);
	s->isn = atomic_load_explicit(&e->isn, memory_order_acquire);
	return !(s->ctl >> 32 & 1) &&
	       !((atomic_load_explicit(&e->ctl, memory_order_relaxed) ^ s->ctl) >> 32);
}

static inline enum found read_forward(const struct mf_nat *nat, const struct entry *e,
				      const uint64_t w[5], struct snapshot *s)
{
	uint64_t differ = 0;

	s->ctl = get(&e->ctl);
	for (int i = 0; i < 5; i++)
		differ |= get(&e->key[i]) ^ w[i];
	for (int i = 0; i < 4; i++)
		s->to[i] = get(&e->to[i]);
	s->to[4] = (w[4] & ~UINT64_C(0xffffffff)) |
		   atomic_load_explicit(&e->to_ports, memory_order_acquire);
	if (!read_rest(nat, e, s))
		return MOVED;
	return differ ? NOT_IT : FOUND;
}

/* An answer carries the reverse of @to, and becomes the reverse of @key. */
static inline enum found read_reply(const struct mf_nat *nat, const struct entry *e,
				    const uint64_t w[5], struct snapshot *s)
{
	uint64_t ports = swap_ports(w[4]), key4, differ;

	s->ctl = get(&e->ctl);
	s->to[2] = get(&e->key[0]);
	s->to[3] = get(&e->key[1]);
	s->to[0] = get(&e->key[2]);
	s->to[1] = get(&e->key[3]);
	key4 = get(&e->key[4]);
	differ = (get(&e->to[0]) ^ w[2]) | (get(&e->to[1]) ^ w[3]) | (get(&e->to[2]) ^ w[0]) |
		 (get(&e->to[3]) ^ w[1]);
	differ |= ((key4 & ~UINT64_C(0xffffffff)) |
		   atomic_load_explicit(&e->to_ports, memory_order_acquire)) ^
		  ports;
	s->to[4] = swap_ports(key4);
	if (!read_rest(nat, e, s))
		return MOVED;
	return differ ? NOT_IT : FOUND;
}

static inline enum found read_node(const struct mf_nat *nat, uint32_t node, const uint64_t w[5],
				   struct snapshot *s)
{
	const struct entry *e = &nat->entries[(node - 1) / 2];

	return (node - 1) & 1 ? read_reply(nat, e, w, s) : read_forward(nat, e, w, s);
}

/* The node of a flow with its snapshot, or 0. MOVED in @ret_moved: a writer was there meanwhile, ask again. */
static uint32_t find(const struct mf_nat *nat, const uint64_t w[5], uint64_t hash,
		     struct snapshot *s, bool *ret_moved)
{
	uint32_t b = (uint32_t)hash & nat->bucket_mask;
	uint16_t tag = tag_of(hash);

	*ret_moved = false;
	for (uint32_t n = 0; n <= nat->bucket_mask; n++, b = (b + 1) & nat->bucket_mask) {
		const struct bucket *k = &nat->buckets[b];

		for (uint64_t ways = ways_with(k, tag); ways; ways &= ways - 1) {
			uint32_t node =
				atomic_load_explicit(&k->nodes[way_at(ways)], memory_order_acquire);
			enum found f;

			if (!node)
				continue;
			f = read_node(nat, node, w, s);
			if (f == FOUND)
				return node;
			if (f == MOVED)
				*ret_moved = true;
		}
		if (!atomic_load_explicit(&k->overflow, memory_order_acquire))
			break;
	}
	return 0;
}

uint32_t mf_nat_find(struct mf_nat *nat, const struct mf_flow *flow, uint64_t hash)
{
	uint64_t w[5];
	struct snapshot s;
	bool moved;

	flow_words(flow, w);
	return find(nat, w, hash, &s, &moved);
}

void mf_nat_copy_flows(const struct entry *e, struct mf_flow *ret_flow, struct mf_flow *ret_to)
{
	uint64_t w[5];

	for (int i = 0; i < 5; i++)
		w[i] = get(&e->key[i]);
	memcpy(ret_flow, w, sizeof(*ret_flow));
	for (int i = 0; i < 4; i++)
		w[i] = get(&e->to[i]);
	w[4] = (w[4] & ~UINT64_C(0xffffffff)) |
	       atomic_load_explicit(&e->to_ports, memory_order_relaxed);
	memcpy(ret_to, w, sizeof(*ret_to));
}

void mf_nat_push_changed(struct mf_nat *nat, struct entry *e)
{
	uint32_t me = (uint32_t)(e - nat->entries) + 2, zero = 0, head;

	// Claimed first, so that an entry is on the stack once; whoever takes it off looks at its state after that.
	if (!atomic_compare_exchange_strong(&e->changed, &zero, 1))
		return;
	head = atomic_load(&nat->changed);
	do {
		atomic_store(&e->changed, head);
	} while (!atomic_compare_exchange_weak(&nat->changed, &head, me));
}

static inline uint16_t tcp_flags_after(uint16_t f, uint8_t dir, uint8_t tcp)
{
	uint16_t rst = dir == MF_NAT_FORWARD ? CTL_RST_FORWARD : CTL_RST_REPLY;
	const uint16_t fins = CTL_FIN_FORWARD | CTL_FIN_REPLY;

	if (tcp & MF_TCP_RST)
		return (uint16_t)((f & ~CTL_STATE) | rst | MF_NAT_CLOSING);
	if ((f & CTL_STATE) == MF_NAT_CLOSING) {
		// A host that has reset a connection sends nothing more on it: the reset was not its own.
		if (!(f & rst) || (f & CTL_OWNER_CLOSE) || (f & fins) == fins || (tcp & MF_TCP_SYN))
			return f;
		f &= (uint16_t) ~(CTL_STATE | CTL_RST_FORWARD | CTL_RST_REPLY);
	}
	if (tcp & MF_TCP_FIN)
		f |= dir == MF_NAT_FORWARD ? CTL_FIN_FORWARD : CTL_FIN_REPLY;
	if (dir == MF_NAT_REPLY)
		f |= CTL_REPLIED;
	if ((f & fins) == fins)
		return (uint16_t)((f & ~CTL_STATE) | MF_NAT_CLOSING);
	if ((f & CTL_STATE) == MF_NAT_NEW && dir == MF_NAT_FORWARD && (f & CTL_REPLIED) &&
	    (tcp & (MF_TCP_ACK | MF_TCP_SYN)) == MF_TCP_ACK)
		f |= MF_NAT_ESTABLISHED;
	return f;
}

_Static_assert(MF_NAT_NEW == 0 && MF_NAT_ESTABLISHED == 1,
	       "new becomes established by setting a bit");

/* The flags of an entry after one more packet. */
static inline uint16_t flags_after(uint16_t f, uint8_t proto, uint8_t dir, uint8_t tcp)
{
	if (proto == MF_PROTO_TCP)
		return tcp_flags_after(f, dir, tcp);
	if (dir == MF_NAT_REPLY && (f & CTL_STATE) == MF_NAT_NEW)
		f |= CTL_REPLIED | MF_NAT_ESTABLISHED;
	return f;
}

/* Counts what happened to one packet; added to the table's counters in the end. */
struct tally {
	uint64_t hits, misses, reused, stale, revived;
};

static void add_tally(struct mf_nat *nat, const struct tally *t, uint64_t hash)
{
	struct stripe *s = &nat->stripes[hash >> 24 & (STRIPES - 1)];

	if (t->hits)
		atomic_fetch_add_explicit(&s->hits, t->hits, memory_order_relaxed);
	if (!t->misses && !t->revived)
		return;
	atomic_fetch_add_explicit(&s->misses, t->misses, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->reused, t->reused, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->stale, t->stale, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->revived, t->revived, memory_order_relaxed);
}

static void note_state(struct mf_nat *nat, struct entry *e, uint64_t from, uint64_t to,
		       uint32_t tick, struct tally *t)
{
	if (state_of(from) == state_of(to))
		return;
	if (state_of(to) == MF_NAT_CLOSING)
		atomic_store_explicit(&e->seen, tick, memory_order_release);
	if (state_of(from) == MF_NAT_CLOSING)
		t->revived++;
	atomic_fetch_sub_explicit(&nat->state_cnt[state_of(from)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&nat->state_cnt[state_of(to)], 1, memory_order_relaxed);
	mf_nat_push_changed(nat, e);
}

/* The most frequent packet by far changes nothing: one of an established flow. */
static inline bool changes_nothing(uint16_t f, uint8_t proto, uint8_t tcp)
{
	if ((f & CTL_STATE) != MF_NAT_ESTABLISHED)
		return false;
	return proto != MF_PROTO_TCP ||
	       ((f & CTL_REPLIED) && !(tcp & (MF_TCP_FIN | MF_TCP_SYN | MF_TCP_RST)));
}

/* Count a packet into the entry's state. False if the entry went away meanwhile. */
static bool step_state(struct mf_nat *nat, struct entry *e, struct snapshot *s, uint8_t proto,
		       uint8_t dir, uint8_t tcp, uint32_t tick, struct tally *t)
{
	uint64_t seq = s->ctl >> 32, ctl = s->ctl;

	for (;;) {
		uint16_t f = (uint16_t)ctl;
		uint16_t next = flags_after(f, proto, dir, tcp);
		uint64_t now = (ctl & ~UINT64_C(0xffff)) | next;

		if (next == f) {
			s->ctl = ctl;
			return true;
		}
		if (atomic_compare_exchange_weak(&e->ctl, &ctl, now)) {
			note_state(nat, e, ctl, now, tick, t);
			s->ctl = now;
			return true;
		}
		if (ctl >> 32 != seq)
			return false;
	}
}

/* What is left to do with an entry that was found. Return: as try_lookup() */
static inline int take_hit(struct mf_nat *nat, const struct mf_nat_ask *ask, uint64_t word4,
			   uint32_t node, struct snapshot *s, uint32_t tick, struct mf_nat_hit *ret,
			   struct tally *t)
{
	struct entry *e = &nat->entries[(node - 1) / 2];
	uint8_t dir = (node - 1) & 1, proto = proto_of(word4);

	if (is_over(nat, s->ctl, word4, s->seen, tick)) {
		t->stale++;
		return MF_E_NOENT;
	}
	if ((ask->tcp_flags & (MF_TCP_SYN | MF_TCP_ACK)) == MF_TCP_SYN && dir == MF_NAT_FORWARD &&
	    proto == MF_PROTO_TCP && ask->seq != s->isn) {
		t->reused++;
		return MF_E_NOENT;
	}
	if (!changes_nothing((uint16_t)s->ctl, proto, ask->tcp_flags) &&
	    !step_state(nat, e, s, proto, dir, ask->tcp_flags, tick, t))
		return MF_E_AGAIN;
	if (state_of(s->ctl) != MF_NAT_CLOSING && (int32_t)(tick - s->seen) > 0)
		atomic_store_explicit(&e->seen, tick, memory_order_relaxed);
	memcpy(&ret->to, s->to, sizeof(ret->to));
	ret->pid = s->pid;
	ret->via[0] = (uint32_t)s->via;
	ret->via[1] = (uint32_t)(s->via >> 32);
	ret->dir = dir;
	ret->state = (uint8_t)state_of(s->ctl);
	ret->rewrites = s->ctl & CTL_REWRITES;
	ret->redirected = redirect_of(s->ctl) != 0;
	return 0;
}

/* One look-up with a hash that is known. Return: 0, MF_E_NOENT, or MF_E_AGAIN if a writer was in the way */
static int try_lookup(struct mf_nat *nat, const struct mf_nat_ask *ask, uint64_t hash,
		      uint32_t tick, struct mf_nat_hit *ret, struct tally *t)
{
	struct snapshot s;
	uint64_t w[5];
	uint32_t node;
	bool moved;

	flow_words(&ask->flow, w);
	node = find(nat, w, hash, &s, &moved);
	if (!node)
		return moved ? MF_E_AGAIN : MF_E_NOENT;
	return take_hit(nat, ask, w[4], node, &s, tick, ret, t);
}

static int lookup_hashed(struct mf_nat *nat, const struct mf_nat_ask *ask, uint64_t hash,
			 uint32_t tick, struct mf_nat_hit *ret, struct tally *t)
{
	int r = try_lookup(nat, ask, hash, tick, ret, t);

	for (unsigned i = 0; r == MF_E_AGAIN && i < RETRIES; i++)
		r = try_lookup(nat, ask, hash, tick, ret, t);
	if (r == MF_E_AGAIN) {
		pthread_mutex_lock(&nat->mutex);
		r = try_lookup(nat, ask, hash, tick, ret, t);
		pthread_mutex_unlock(&nat->mutex);
	}
	if (r)
		t->misses++;
	else
		t->hits++;
	return r ? MF_E_NOENT : 0;
}

static inline uint64_t hash_of(const struct mf_nat *nat, const struct mf_nat_ask *ask)
{
	return __builtin_expect(ask->hash != 0, 1) ? ask->hash
						   : mf_flow_hash(&ask->flow, nat->seed);
}

int mf_nat_lookup(struct mf_nat *nat, const struct mf_nat_ask *ask, uint64_t now_ns,
		  struct mf_nat_hit *ret)
{
	uint64_t hash = hash_of(nat, ask);
	struct tally t = { 0 };
	int r = lookup_hashed(nat, ask, hash, tick_of(now_ns), ret, &t);

	add_tally(nat, &t, hash);
	return r;
}

#define NODE_UNSURE UINT32_MAX /* not in the first bucket, but perhaps in a later one */

/*
 * The first node with the tag of a flow, whose entry is fetched: mostly the one. 0: the flow is not there. A wrong guess
 * costs no more than the fetch.
 */
static inline uint32_t guess_node(const struct mf_nat *nat, uint64_t hash)
{
	const struct bucket *k = &nat->buckets[(uint32_t)hash & nat->bucket_mask];
	uint64_t ways = ways_with(k, tag_of(hash));
	const struct entry *e;
	uint32_t node;

	if (!ways)
		return atomic_load_explicit(&k->overflow, memory_order_acquire) ? NODE_UNSURE : 0;
	node = atomic_load_explicit(&k->nodes[way_at(ways)], memory_order_acquire);
	if (!node)
		return NODE_UNSURE;
	e = &nat->entries[(node - 1) / 2];
	mf_prefetch_write(e);
	mf_prefetch_read((const uint8_t *)e + 64);
	return node;
}

/* A look-up that begins with a guess. */
static inline int lookup_guessed(struct mf_nat *nat, const struct mf_nat_ask *ask, uint64_t hash,
				 uint32_t node, uint32_t tick, struct mf_nat_hit *ret,
				 struct tally *t)
{
	struct snapshot s;
	uint64_t w[5];
	int r;

	if (!node) {
		t->misses++;
		return MF_E_NOENT;
	}
	flow_words(&ask->flow, w);
	if (node == NODE_UNSURE || read_node(nat, node, w, &s) != FOUND)
		return lookup_hashed(nat, ask, hash, tick, ret, t);
	r = take_hit(nat, ask, w[4], node, &s, tick, ret, t);
	if (__builtin_expect(r == MF_E_AGAIN, 0))
		return lookup_hashed(nat, ask, hash, tick, ret, t);
	if (r)
		t->misses++;
	else
		t->hits++;
	return r;
}

uint64_t mf_nat_seed(const struct mf_nat *nat)
{
	return nat->seed;
}

void mf_nat_prefetch(const struct mf_nat *nat, uint64_t hash)
{
	mf_prefetch_write(&nat->buckets[(uint32_t)hash & nat->bucket_mask]);
}

uint64_t mf_nat_lookup_burst(struct mf_nat *nat, const struct mf_nat_ask *asks, unsigned cnt,
			     uint64_t now_ns, struct mf_nat_hit *rets)
{
	uint64_t hashes[MF_NAT_BURST_MAX], found = 0;
	uint32_t nodes[MF_NAT_BURST_MAX], tick = tick_of(now_ns);
	struct tally t = { 0 };

	if (cnt > MF_NAT_BURST_MAX)
		cnt = MF_NAT_BURST_MAX;
	if (!cnt)
		return 0;
	for (unsigned i = 0; i < cnt; i++) {
		hashes[i] = hash_of(nat, &asks[i]);
		mf_prefetch_read(&nat->buckets[(uint32_t)hashes[i] & nat->bucket_mask]);
	}
	for (unsigned i = 0; i < cnt; i++)
		nodes[i] = guess_node(nat, hashes[i]);
	for (unsigned i = 0; i < cnt; i++)
		if (lookup_guessed(nat, &asks[i], hashes[i], nodes[i], tick, &rets[i], &t) == 0)
			found |= UINT64_C(1) << i;
	add_tally(nat, &t, hashes[0]);
	return found;
}
