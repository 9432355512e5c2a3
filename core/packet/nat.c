/* SPDX-License-Identifier: Apache-2.0 */
/* nat.c - what changes the NAT table, under its mutex; see nat.h and nat_internal.h */
#include "core/packet/nat.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/prefetch.h"
#include "core/packet/nat_internal.h"

#define SLICE	    64u	 /* steps before the mutex is given to who waits */
#define DRAIN_MAX   256u /* changed entries looked at by one call */
#define EVICT_TRIES 64u
#define EVICT_STEPS 1024u /* of the wheel, before a live entry is given up; most are empty slots */

/* ---- lists ---- */

static struct links *links_at(struct mf_nat *nat, enum list_kind kind, uint32_t i)
{
	if (!(i & SENTINEL))
		return &nat->entries[i].links[kind];
	i &= ~SENTINEL;
	return kind == LIST_TIMER   ? &nat->wheel[i]
	       : kind == LIST_STATE ? &nat->states[i]
				    : &nat->pids[i].head;
}

static void list_init(struct mf_nat *nat, enum list_kind kind, uint32_t i)
{
	*links_at(nat, kind, i) = (struct links){ i, i };
}

static void list_unlink(struct mf_nat *nat, enum list_kind kind, uint32_t i)
{
	struct links *l = links_at(nat, kind, i);

	links_at(nat, kind, l->prev)->next = l->next;
	links_at(nat, kind, l->next)->prev = l->prev;
	*l = (struct links){ i, i };
}

/* At the end of the list of @head. */
static void list_append(struct mf_nat *nat, enum list_kind kind, uint32_t head, uint32_t i)
{
	struct links *h = links_at(nat, kind, head), *l = links_at(nat, kind, i);

	*l = (struct links){ .next = head, .prev = h->prev };
	links_at(nat, kind, h->prev)->next = i;
	h->prev = i;
}

static uint32_t list_first(struct mf_nat *nat, enum list_kind kind, uint32_t head)
{
	return links_at(nat, kind, head)->next;
}

/* ---- mutex ---- */

static void lock(struct mf_nat *nat)
{
	if (pthread_mutex_trylock(&nat->mutex) == 0)
		return;
	atomic_fetch_add_explicit(&nat->waiting, 1, memory_order_relaxed);
	pthread_mutex_lock(&nat->mutex);
	atomic_fetch_sub_explicit(&nat->waiting, 1, memory_order_relaxed);
}

static void unlock(struct mf_nat *nat)
{
	pthread_mutex_unlock(&nat->mutex);
}

/* Between two slices of long work: mutexes are not fair, so leave it to the others on purpose. */
static void let_pass(struct mf_nat *nat)
{
	for (unsigned i = 0; i < 100 && atomic_load_explicit(&nat->waiting, memory_order_relaxed);
	     i++)
		sched_yield();
}

static void set_time(struct mf_nat *nat, uint64_t now_ns)
{
	uint64_t tick = now_ns >> TICK_SHIFT;

	if (tick > nat->tick)
		nat->tick = tick;
}

/* ---- timers ---- */

/* Ticks that lie near the table's time, 64 bits wide again. */
static uint64_t widen(const struct mf_nat *nat, uint32_t tick)
{
	return nat->tick + (uint64_t)(int64_t)(int32_t)(tick - (uint32_t)nat->tick);
}

static uint64_t deadline_of(const struct mf_nat *nat, const struct entry *e)
{
	uint64_t ctl = atomic_load(&e->ctl), word4 = atomic_load(&e->key[4]);
	int32_t ttl = nat->ttl[state_of(ctl)][proto_of(word4) == MF_PROTO_TCP];

	return widen(nat, atomic_load(&e->seen)) + (uint64_t)ttl;
}

/* Into the wheel slot behind the entry's deadline, or the farthest one: it is looked at again there. */
static void arm(struct mf_nat *nat, uint32_t i)
{
	uint64_t slot = (deadline_of(nat, &nat->entries[i]) >> SLOT_SHIFT) + 1;

	if (slot <= nat->cursor)
		slot = nat->cursor + 1;
	if (slot >= nat->cursor + WHEEL_SLOTS)
		slot = nat->cursor + WHEEL_SLOTS - 1;
	list_append(nat, LIST_TIMER, SENTINEL | (uint32_t)(slot % WHEEL_SLOTS), i);
}

static bool entry_over(const struct mf_nat *nat, const struct entry *e)
{
	return is_over(nat, atomic_load(&e->ctl), atomic_load(&e->key[4]), atomic_load(&e->seen),
		       (uint32_t)nat->tick);
}

/* ---- index ---- */

/* Under the mutex: nobody else stores tags. */
static void set_tag(struct bucket *k, unsigned way, uint16_t tag)
{
	_Atomic uint64_t *word = &k->tags[way / 4];
	unsigned shift = way % 4 * 16;
	uint64_t w = atomic_load_explicit(word, memory_order_relaxed);

	w = (w & ~(UINT64_C(0xffff) << shift)) | (uint64_t)tag << shift;
	atomic_store_explicit(word, w, memory_order_release);
}

static void index_add(struct mf_nat *nat, uint64_t hash, uint32_t node)
{
	uint32_t b = (uint32_t)hash & nat->bucket_mask;

	// There are more slots than nodes, so this ends.
	for (;; b = (b + 1) & nat->bucket_mask) {
		struct bucket *k = &nat->buckets[b];
		uint64_t ways = ways_with(k, 0);

		if (ways) {
			atomic_store_explicit(&k->nodes[way_at(ways)], node, memory_order_release);
			set_tag(k, way_at(ways), tag_of(hash));
			return;
		}
		atomic_fetch_add_explicit(&k->overflow, 1, memory_order_release);
	}
}

/* The way of a node in a bucket, or SLOTS_PER_BUCKET. */
static unsigned way_of_node(const struct bucket *k, uint16_t tag, uint32_t node)
{
	for (uint64_t ways = ways_with(k, tag); ways; ways &= ways - 1)
		if (atomic_load_explicit(&k->nodes[way_at(ways)], memory_order_relaxed) == node)
			return way_at(ways);
	return SLOTS_PER_BUCKET;
}

static void index_del(struct mf_nat *nat, uint64_t hash, uint32_t node)
{
	uint32_t home = (uint32_t)hash & nat->bucket_mask, b = home;

	for (;; b = (b + 1) & nat->bucket_mask) {
		struct bucket *k = &nat->buckets[b];
		unsigned way = way_of_node(k, tag_of(hash), node);

		if (way < SLOTS_PER_BUCKET) {
			set_tag(k, way, 0);
			atomic_store_explicit(&k->nodes[way], 0, memory_order_release);
			break;
		}
		if (mf_bug(!atomic_load(&k->overflow)))
			return;
	}
	for (uint32_t x = home; x != b; x = (x + 1) & nat->bucket_mask)
		atomic_fetch_sub_explicit(&nat->buckets[x].overflow, 1, memory_order_release);
}

/* ---- processes ---- */

static uint32_t *pid_bucket(struct mf_nat *nat, uint32_t pid)
{
	return &nat->pid_buckets[mf_hash_u64(pid, nat->seed) & nat->pid_mask];
}

/* The link that leads to the node of @pid, or to 0. */
static uint32_t *pid_find(struct mf_nat *nat, uint32_t pid)
{
	uint32_t *at = pid_bucket(nat, pid);

	while (*at && nat->pids[*at - 1].pid != pid)
		at = &nat->pids[*at - 1].next;
	return at;
}

static void pid_add(struct mf_nat *nat, uint32_t pid, uint32_t entry)
{
	uint32_t *at = pid_find(nat, pid), i;

	if (!*at) {
		// There are as many nodes as entries.
		i = nat->pids_free ? nat->pids_free - 1 : nat->pids_used++;
		if (nat->pids_free)
			nat->pids_free = nat->pids[i].next;
		nat->pids[i] = (struct pid_node){ .pid = pid };
		list_init(nat, LIST_PID, SENTINEL | i);
		*at = i + 1;
	}
	list_append(nat, LIST_PID, SENTINEL | (*at - 1), entry);
}

static void pid_del(struct mf_nat *nat, uint32_t pid, uint32_t entry)
{
	uint32_t *at = pid_find(nat, pid), i = *at;

	list_unlink(nat, LIST_PID, entry);
	if (mf_bug(!i) || nat->pids[i - 1].head.next != (SENTINEL | (i - 1)))
		return;
	*at = nat->pids[i - 1].next;
	nat->pids[i - 1].next = nat->pids_free;
	nat->pids_free = i;
}

/* ---- entries ---- */

static uint32_t entry_take(struct mf_nat *nat)
{
	uint32_t i;

	if (nat->free_head) {
		i = nat->free_head - 1;
		nat->free_head = nat->entries[i].links[LIST_TIMER].next;
		return i;
	}
	return nat->used < nat->limit ? nat->used++ : UINT32_MAX;
}

/* The row of two interface numbers, with one reference more; 0 for none. Return: 0, MF_E_FULL */
static int via_ref(struct mf_nat *nat, const uint32_t via[2], uint32_t *ret)
{
	uint64_t value = (uint64_t)via[1] << 32 | via[0];
	uint32_t row = nat->via_last, room = 0;

	*ret = 0;
	if (!value)
		return 0;
	if (!nat->via_refs[row] || atomic_load(&nat->vias[row]) != value) {
		for (row = 1; row <= MF_NAT_VIAS_MAX; row++) {
			if (!nat->via_refs[row])
				room = room ? room : row;
			else if (atomic_load(&nat->vias[row]) == value)
				break;
		}
		if (row > MF_NAT_VIAS_MAX) {
			if (!room)
				return MF_E_FULL;
			row = room;
			atomic_store_explicit(&nat->vias[row], value, memory_order_release);
		}
	}
	nat->via_refs[row]++;
	nat->via_last = *ret = row;
	return 0;
}

static void via_unref(struct mf_nat *nat, uint32_t row)
{
	if (row && !mf_bug(!nat->via_refs[row]))
		nat->via_refs[row]--;
}

/* Is a flow not its own answer? Only that of an entry which rewrites nothing, and of one end alone, is. */
static bool has_two_nodes(const struct entry *e)
{
	struct mf_flow flow, to;

	mf_nat_copy_flows(e, &flow, &to);
	to = mf_flow_reverse(&to);
	return !mf_flow_eq(&flow, &to);
}

/* The hashes of an entry's two flows. */
static void entry_hashes(struct mf_nat *nat, uint32_t i, uint64_t hashes[2])
{
	const struct entry *e = &nat->entries[i];
	struct mf_flow flow, to;

	if (nat->victim.entry == i + 1 &&
	    nat->victim.seq == (uint32_t)(atomic_load(&e->ctl) >> 32)) {
		memcpy(hashes, nat->victim.hashes, sizeof(nat->victim.hashes));
		return;
	}
	mf_nat_copy_flows(e, &flow, &to);
	to = mf_flow_reverse(&to);
	hashes[0] = mf_flow_hash(&flow, nat->seed);
	hashes[1] = mf_flow_hash(&to, nat->seed);
}

static void entry_remove(struct mf_nat *nat, uint32_t i)
{
	struct entry *e = &nat->entries[i];
	uint32_t pid = atomic_load(&e->pid);
	uint64_t hashes[2], ctl;

	entry_hashes(nat, i, hashes);
	index_del(nat, hashes[0], i * 2 + 1);
	if (hashes[0] != hashes[1] || has_two_nodes(e))
		index_del(nat, hashes[1], i * 2 + 2);
	// From here on readers that still hold the node see that it is gone.
	ctl = atomic_fetch_or(&e->ctl, UINT64_C(1) << 32);
	atomic_fetch_sub_explicit(&nat->state_cnt[state_of(ctl)], 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&nat->count, 1, memory_order_relaxed);
	list_unlink(nat, LIST_TIMER, i);
	list_unlink(nat, LIST_STATE, i);
	if (pid && e->links[LIST_PID].next != i)
		pid_del(nat, pid, i);
	mf_nat_redirect_unref(nat, redirect_of(ctl));
	via_unref(nat, via_of(ctl));
	e->links[LIST_TIMER].next = nat->free_head;
	nat->free_head = i + 1;
}

static void entry_fill(struct mf_nat *nat, uint32_t i, const struct mf_nat_insert *in,
		       const struct mf_flow *to, uint32_t redirect, uint32_t via)
{
	struct entry *e = &nat->entries[i];
	uint64_t seq = (atomic_load(&e->ctl) >> 32) | 1, w[5], ctl;

	// The release stores below keep this before them, and the last one all of them before itself.
	atomic_store_explicit(&e->ctl, seq << 32, memory_order_relaxed);
	flow_words(&in->flow, w);
	for (int k = 0; k < 5; k++)
		atomic_store_explicit(&e->key[k], w[k], memory_order_release);
	flow_words(to, w);
	for (int k = 0; k < 4; k++)
		atomic_store_explicit(&e->to[k], w[k], memory_order_release);
	atomic_store_explicit(&e->to_ports, (uint32_t)w[4], memory_order_release);
	atomic_store_explicit(&e->pid, in->pid, memory_order_release);
	atomic_store_explicit(&e->isn, in->isn, memory_order_release);
	atomic_store_explicit(&e->seen, (uint32_t)nat->tick, memory_order_release);
	e->created = (uint32_t)nat->tick;
	ctl = ((seq + 1) & 0xffffffff) << 32 | (uint64_t)redirect << 16 |
	      (uint64_t)via << CTL_VIA_SHIFT | MF_NAT_NEW;
	if (!mf_flow_eq(&in->flow, to))
		ctl |= CTL_REWRITES;
	atomic_store_explicit(&e->ctl, ctl, memory_order_release);
}

/* Entries whose state look-ups changed: put them into the right list and under the right deadline. */
static void drain_changed(struct mf_nat *nat)
{
	for (unsigned n = 0; n < DRAIN_MAX; n++) {
		struct entry *e;
		uint32_t i;
		uint64_t ctl;

		if (nat->pending < 2)
			nat->pending = atomic_exchange(&nat->changed, 1);
		if (nat->pending < 2)
			return;
		i = nat->pending - 2;
		e = &nat->entries[i];
		// Off the stack first, then look: a change from now on pushes it again.
		nat->pending = atomic_exchange(&e->changed, 0);
		ctl = atomic_load(&e->ctl);
		if (ctl >> 32 & 1)
			continue;
		list_unlink(nat, LIST_STATE, i);
		if (state_of(ctl) == MF_NAT_CLOSING) {
			list_append(nat, LIST_STATE, SENTINEL | MF_NAT_CLOSING, i);
			list_unlink(nat, LIST_TIMER, i);
			arm(nat, i);
		} else if (state_of(ctl) == MF_NAT_NEW) {
			list_append(nat, LIST_STATE, SENTINEL | MF_NAT_NEW, i);
		}
	}
}

static void begin(struct mf_nat *nat, uint64_t now_ns)
{
	lock(nat);
	set_time(nat, now_ns);
	// An empty wheel needs no turning, not even from the zero that a new table starts with.
	if (!mf_nat_count(nat) && nat->cursor < nat->tick >> SLOT_SHIFT)
		nat->cursor = nat->tick >> SLOT_SHIFT;
	drain_changed(nat);
}

/* The oldest entry that is still in @state, as far as the list knows within some tries. */
static uint32_t oldest(struct mf_nat *nat, enum mf_nat_state state)
{
	for (unsigned n = 0; n < EVICT_TRIES; n++) {
		uint32_t i = list_first(nat, LIST_STATE, SENTINEL | state);

		if (i & SENTINEL)
			return UINT32_MAX;
		if (state_of(atomic_load(&nat->entries[i].ctl)) == state)
			return i;
		// It changed a moment ago and stands on the stack: its list is put right from there.
		list_unlink(nat, LIST_STATE, i);
	}
	return UINT32_MAX;
}

/* One entry of the slot that is due, or the next slot. False: nothing is due. */
static bool expire_step(struct mf_nat *nat)
{
	uint32_t head = SENTINEL | (uint32_t)(nat->cursor % WHEEL_SLOTS);
	uint32_t i = list_first(nat, LIST_TIMER, head);

	if (i & SENTINEL) {
		if (nat->cursor >= nat->tick >> SLOT_SHIFT)
			return false;
		nat->cursor++;
		return true;
	}
	if (entry_over(nat, &nat->entries[i])) {
		entry_remove(nat, i);
		nat->stats.expired++;
	} else {
		list_unlink(nat, LIST_TIMER, i);
		arm(nat, i);
	}
	return true;
}

/* Remove one entry whose time is over, if that can be found out in bounded time. */
static bool expire_one(struct mf_nat *nat)
{
	uint32_t before = mf_nat_count(nat), head, i;

	for (unsigned n = 0; n < EVICT_STEPS && expire_step(nat); n++)
		if (mf_nat_count(nat) < before)
			return true;
	// The wheel turns by seconds: what went over within this one stands in the next slot.
	head = SENTINEL | (uint32_t)((nat->cursor + 1) % WHEEL_SLOTS);
	i = list_first(nat, LIST_TIMER, head);
	for (unsigned n = 0; n < EVICT_TRIES && !(i & SENTINEL); n++) {
		if (entry_over(nat, &nat->entries[i])) {
			entry_remove(nat, i);
			nat->stats.expired++;
			return true;
		}
		i = nat->entries[i].links[LIST_TIMER].next;
	}
	return false;
}

/*
 * A full table evicts with each insertion, and what it evicts was touched long ago. So fetch now what the next eviction
 * will need: the buckets of the next entry of the list, and the entry behind it.
 */
static void prefetch_victim(struct mf_nat *nat, enum mf_nat_state state)
{
	uint32_t i = list_first(nat, LIST_STATE, SENTINEL | state), next;

	if (i & SENTINEL)
		return;
	entry_hashes(nat, i, nat->victim.hashes);
	nat->victim.entry = i + 1;
	nat->victim.seq = (uint32_t)(atomic_load(&nat->entries[i].ctl) >> 32);
	mf_nat_prefetch(nat, nat->victim.hashes[0]);
	mf_nat_prefetch(nat, nat->victim.hashes[1]);
	next = nat->entries[i].links[LIST_STATE].next;
	if (next & SENTINEL)
		return;
	mf_prefetch_write(&nat->entries[next]);
	mf_prefetch_write((const uint8_t *)&nat->entries[next] + 64);
}

/* Make room for one entry. False: all are established. */
static bool evict(struct mf_nat *nat)
{
	enum mf_nat_state state = MF_NAT_CLOSING;
	uint32_t i;

	if (expire_one(nat))
		return true;
	if ((i = oldest(nat, MF_NAT_CLOSING)) != UINT32_MAX)
		nat->stats.evicted_closing++;
	else if ((i = oldest(nat, state = MF_NAT_NEW)) != UINT32_MAX)
		nat->stats.evicted_new++;
	else
		return false;
	entry_remove(nat, i);
	prefetch_victim(nat, state);
	return true;
}

/* ---- inserting ---- */

/* Is the key free for this flow? What is over or replaced is removed. */
static int clear_key(struct mf_nat *nat, const struct mf_nat_insert *in, uint64_t hash)
{
	uint32_t node = mf_nat_find(nat, &in->flow, hash);
	struct entry *e;
	uint64_t ctl;

	if (!node)
		return 0;
	e = &nat->entries[(node - 1) / 2];
	ctl = atomic_load(&e->ctl);
	if (entry_over(nat, e)) {
		nat->stats.expired++;
	} else if ((node - 1) & 1) {
		nat->stats.collided++;
		return MF_E_AGAIN;
	} else if (in->flow.proto == MF_PROTO_TCP ? atomic_load(&e->isn) != in->isn
						  : state_of(ctl) == MF_NAT_CLOSING) {
		nat->stats.replaced++;
	} else {
		nat->stats.repeated++;
		return MF_E_EXIST;
	}
	entry_remove(nat, (node - 1) / 2);
	return 0;
}

/* Is the key of the answers free? */
static int clear_reply(struct mf_nat *nat, const struct mf_flow *back, uint64_t hash)
{
	uint32_t node = mf_nat_find(nat, back, hash);

	if (!node)
		return 0;
	if (!entry_over(nat, &nat->entries[(node - 1) / 2])) {
		nat->stats.collided++;
		return MF_E_AGAIN;
	}
	nat->stats.expired++;
	entry_remove(nat, (node - 1) / 2);
	return 0;
}

static int insert(struct mf_nat *nat, const struct mf_nat_insert *in, const struct mf_flow *to)
{
	struct mf_flow back = mf_flow_reverse(to);
	uint64_t hash = in->hash ? in->hash : mf_flow_hash(&in->flow, nat->seed);
	uint64_t back_hash = in->back_hash ? in->back_hash : mf_flow_hash(&back, nat->seed);
	uint32_t i, redirect = 0, via = 0;
	int r = clear_key(nat, in, hash);

	if (!r)
		r = clear_reply(nat, &back, back_hash);
	if (!r)
		r = mf_nat_redirect_ref(nat, in->redirect, &redirect);
	if (!r) {
		r = via_ref(nat, in->via, &via);
		if (r)
			mf_nat_redirect_unref(nat, redirect);
	}
	if (r == MF_E_FULL)
		nat->stats.full++;
	if (r)
		return r;
	i = entry_take(nat);
	if (i == UINT32_MAX && evict(nat))
		i = entry_take(nat);
	if (i == UINT32_MAX) {
		mf_nat_redirect_unref(nat, redirect);
		via_unref(nat, via);
		nat->stats.full++;
		return MF_E_FULL;
	}
	list_init(nat, LIST_PID, i); // of a process that is not known; the other two follow
	entry_fill(nat, i, in, to, redirect, via);
	index_add(nat, hash, i * 2 + 1);
	if (hash != back_hash || !mf_flow_eq(&in->flow, &back))
		index_add(nat, back_hash, i * 2 + 2);
	list_append(nat, LIST_STATE, SENTINEL | MF_NAT_NEW, i);
	if (in->pid)
		pid_add(nat, in->pid, i);
	arm(nat, i);
	atomic_fetch_add_explicit(&nat->state_cnt[MF_NAT_NEW], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&nat->count, 1, memory_order_relaxed);
	nat->stats.inserted++;
	return 0;
}

int mf_nat_insert(struct mf_nat *nat, const struct mf_nat_insert *in, uint64_t now_ns)
{
	struct mf_flow to = in->to.family ? in->to : in->flow;
	int r;

	if ((in->flow.family != 4 && in->flow.family != 6) || to.family != in->flow.family ||
	    to.proto != in->flow.proto || in->flow.zero || to.zero)
		return MF_E_INVAL;
	begin(nat, now_ns);
	r = insert(nat, in, &to);
	unlock(nat);
	return r;
}

/* ---- one entry ---- */

/* The entry of a flow in either direction that is not over, or NULL. */
static struct entry *live(struct mf_nat *nat, const struct mf_flow *flow)
{
	uint32_t node = mf_nat_find(nat, flow, mf_flow_hash(flow, nat->seed));
	struct entry *e = node ? &nat->entries[(node - 1) / 2] : NULL;

	return e && !entry_over(nat, e) ? e : NULL;
}

int mf_nat_get(struct mf_nat *nat, const struct mf_flow *flow, uint64_t now_ns,
	       struct mf_nat_entry *ret)
{
	struct entry *e;
	uint64_t ctl;

	begin(nat, now_ns);
	e = live(nat, flow);
	if (e) {
		ctl = atomic_load(&e->ctl);
		mf_nat_copy_flows(e, &ret->flow, &ret->to);
		mf_nat_redirect_copy(nat, redirect_of(ctl), &ret->redirect);
		ret->pid = atomic_load(&e->pid);
		ret->isn = atomic_load(&e->isn);
		ret->via[0] = (uint32_t)load_via(nat, ctl);
		ret->via[1] = (uint32_t)(load_via(nat, ctl) >> 32);
		ret->state = state_of(ctl);
		ret->created_ns = widen(nat, e->created) << TICK_SHIFT;
		ret->seen_ns = widen(nat, atomic_load(&e->seen)) << TICK_SHIFT;
		ret->expires_ns = deadline_of(nat, e) << TICK_SHIFT;
	}
	unlock(nat);
	return e ? 0 : MF_E_NOENT;
}

int mf_nat_set_redirect(struct mf_nat *nat, const struct mf_flow *flow,
			const struct mf_nat_redirect *redirect, uint64_t now_ns)
{
	uint32_t number;
	struct entry *e;
	uint64_t ctl;
	int r;

	begin(nat, now_ns);
	e = live(nat, flow);
	r = e ? mf_nat_redirect_ref(nat, redirect, &number) : MF_E_NOENT;
	if (!r) {
		ctl = atomic_load(&e->ctl);
		while (!atomic_compare_exchange_weak(
			&e->ctl, &ctl, (ctl & ~UINT64_C(0xffff0000)) | (uint64_t)number << 16))
			;
		mf_nat_redirect_unref(nat, redirect_of(ctl));
	}
	unlock(nat);
	return r;
}

static void entry_close(struct mf_nat *nat, struct entry *e)
{
	uint64_t ctl = atomic_load(&e->ctl), next;

	do {
		next = (ctl & ~(uint64_t)CTL_STATE) | MF_NAT_CLOSING | CTL_OWNER_CLOSE;
	} while (!atomic_compare_exchange_weak(&e->ctl, &ctl, next));
	if (state_of(ctl) != MF_NAT_CLOSING) {
		atomic_store(&e->seen, (uint32_t)nat->tick);
		atomic_fetch_sub(&nat->state_cnt[state_of(ctl)], 1);
		atomic_fetch_add(&nat->state_cnt[MF_NAT_CLOSING], 1);
		mf_nat_push_changed(nat, e);
	}
}

int mf_nat_close(struct mf_nat *nat, const struct mf_flow *flow, uint64_t now_ns)
{
	struct entry *e;

	begin(nat, now_ns);
	e = live(nat, flow);
	if (e)
		entry_close(nat, e);
	unlock(nat);
	return e ? 0 : MF_E_NOENT;
}

int mf_nat_remove(struct mf_nat *nat, const struct mf_flow *flow)
{
	uint32_t node;

	begin(nat, 0);
	node = mf_nat_find(nat, flow, mf_flow_hash(flow, nat->seed));
	if (node) {
		entry_remove(nat, (node - 1) / 2);
		nat->stats.removed++;
	}
	unlock(nat);
	return node ? 0 : MF_E_NOENT;
}

/* Takes the entries of a process one by one, and lets others in between. Return: how many */
static unsigned for_each_of_pid(struct mf_nat *nat, uint32_t pid, uint64_t now_ns,
				void (*fn)(struct mf_nat *nat, uint32_t entry, uint32_t pid),
				uint64_t *count)
{
	unsigned all = 0, n;

	if (!pid)
		return 0;
	do {
		begin(nat, now_ns);
		for (n = 0; n < SLICE; n++) {
			uint32_t at = *pid_find(nat, pid);

			if (!at)
				break;
			fn(nat, list_first(nat, LIST_PID, SENTINEL | (at - 1)), pid);
		}
		*count += n;
		unlock(nat);
		let_pass(nat);
		all += n;
	} while (n == SLICE);
	return all;
}

static void remove_of_pid(struct mf_nat *nat, uint32_t entry, uint32_t pid)
{
	(void)pid;
	entry_remove(nat, entry);
}

/* The entry still says whose it was, but is on no list: the number may soon be another process'. */
static void close_of_pid(struct mf_nat *nat, uint32_t entry, uint32_t pid)
{
	entry_close(nat, &nat->entries[entry]);
	pid_del(nat, pid, entry);
}

unsigned mf_nat_remove_pid(struct mf_nat *nat, uint32_t pid)
{
	return for_each_of_pid(nat, pid, 0, remove_of_pid, &nat->stats.removed_pid);
}

unsigned mf_nat_close_pid(struct mf_nat *nat, uint32_t pid, uint64_t now_ns)
{
	return for_each_of_pid(nat, pid, now_ns, close_of_pid, &nat->stats.closed_pid);
}

/* ---- expiry ---- */

unsigned mf_nat_expire(struct mf_nat *nat, uint64_t now_ns, unsigned budget)
{
	unsigned used = 0;
	bool more = true;

	while (more && used < budget) {
		begin(nat, now_ns);
		for (unsigned n = 0; n < SLICE && used < budget; n++, used++) {
			more = expire_step(nat);
			if (!more)
				break;
		}
		unlock(nat);
		let_pass(nat);
	}
	return used;
}

/* ---- numbers ---- */

uint32_t mf_nat_count(const struct mf_nat *nat)
{
	return atomic_load_explicit(&nat->count, memory_order_relaxed);
}

void mf_nat_get_stats(struct mf_nat *nat, struct mf_nat_stats *ret)
{
	lock(nat);
	*ret = nat->stats;
	ret->redirects = nat->redirect_cnt;
	unlock(nat);
	ret->entries = mf_nat_count(nat);
	for (int i = 0; i < MF_NAT_STATE_NUM; i++)
		ret->states[i] = atomic_load_explicit(&nat->state_cnt[i], memory_order_relaxed);
	for (unsigned i = 0; i < STRIPES; i++) {
		ret->hits += atomic_load_explicit(&nat->stripes[i].hits, memory_order_relaxed);
		ret->misses += atomic_load_explicit(&nat->stripes[i].misses, memory_order_relaxed);
		ret->reused += atomic_load_explicit(&nat->stripes[i].reused, memory_order_relaxed);
		ret->stale += atomic_load_explicit(&nat->stripes[i].stale, memory_order_relaxed);
		ret->revived +=
			atomic_load_explicit(&nat->stripes[i].revived, memory_order_relaxed);
	}
}

const char *mf_nat_state_name(enum mf_nat_state state)
{
	static const char *const names[] = { "new", "established", "closing" };

	_Static_assert(MF_ARRAY_SIZE(names) == MF_NAT_STATE_NUM, "one name per state");
	return (unsigned)state < MF_NAT_STATE_NUM ? names[state] : "?";
}

const char *mf_nat_target(const struct mf_nat_entry *e, char *buf, size_t size)
{
	const struct mf_nat_redirect *r = &e->redirect;
	struct mf_endpoint ep = mf_flow_dst(&e->flow);

	if (!r->host[0])
		return mf_endpoint_format(&ep, buf, size);
	if (!r->port)
		snprintf(buf, size, "%s", r->host);
	else
		snprintf(buf, size, strchr(r->host, ':') ? "[%s]:%u" : "%s:%u", r->host, r->port);
	return buf;
}
