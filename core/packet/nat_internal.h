/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat_internal.h - the memory of the NAT table; nat.h says how it works
 *
 * Who may touch what: members marked "look-ups" are atomic and read by any thread at any time; all others belong to the
 * thread that holds the mutex.
 *
 * An entry's contents are guarded by the sequence number in its control word: odd while they change and while the entry
 * is free. A reader loads the control word, then the contents (acquire), then the control word again; the writer stores
 * contents with release, so a reader that has seen one new word sees the odd number too. That needs no fences, which
 * ThreadSanitizer would not understand.
 */
#ifndef MF_PACKET_NAT_INTERNAL_H
#define MF_PACKET_NAT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/packet/nat.h"

#define TICK_SHIFT	 20u /* a tick is 2^20 ns, about a millisecond: 32 bits of them last 52 days */
#define SLOT_SHIFT	 10u /* a wheel slot is 1,024 ticks, about a second */
#define WHEEL_SLOTS	 512u
#define SENTINEL	 0x80000000u
#define STRIPES		 16u
#define SLOTS_PER_BUCKET 8u

/* Circular lists by index; indices with SENTINEL set are list heads. */
enum list_kind { LIST_TIMER, LIST_STATE, LIST_PID, LIST_NUM };
struct links {
	uint32_t next, prev;
};

/* The control word: sequence number 32, redirect 16 (0 for none), flags 16. */
#define CTL_STATE	0x0003u
#define CTL_REPLIED	0x0004u
#define CTL_FIN_FORWARD 0x0008u
#define CTL_FIN_REPLY	0x0010u
#define CTL_RST_FORWARD 0x0020u
#define CTL_RST_REPLY	0x0040u
#define CTL_OWNER_CLOSE 0x0080u
#define CTL_REWRITES	0x0100u
#define CTL_VIA_SHIFT	9u /* 7 bits: a row of the table of interface numbers, 0 for { 0, 0 } */
_Static_assert(MF_NAT_VIAS_MAX == (1u << (16 - CTL_VIA_SHIFT)) - 1, "rows fill the flags up");

/* Two cache lines: the first is all that a look-up of a forward packet compares, the second begins with its answer. */
struct entry {
	_Atomic uint64_t ctl;	   /* look-ups */
	_Atomic uint64_t key[5];   /* look-ups: struct mf_flow as words */
	_Atomic uint32_t pid, isn; /* look-ups */
	_Atomic uint32_t seen;	   /* look-ups: tick of the last packet, or when closing began */
	uint32_t created;	   /* tick */
	_Atomic uint64_t to[4];	   /* look-ups: addresses of struct mf_flow */
	_Atomic uint32_t to_ports; /* look-ups: the lower half of its fifth word */
	_Atomic uint32_t
		changed; /* look-ups: link of the stack of changed entries; 0 = not on it */
	struct links links[LIST_NUM];
};
_Static_assert(sizeof(struct entry) == 128, "two cache lines an entry");

/*
 * One cache line of the index. A node is entry * 2 + direction + 1, and 0 means none. Its tag, 16 bits of the hash that are
 * never 0, stands in the same lane of @tags, four to a word, so that all are compared at once; 0 is a free lane. A node is
 * stored before its tag and outlives it, so a look-up that sees a tag sees that node or a later one, whose key it compares.
 * @overflow counts the nodes that belong here or before and found room only further on: 0 ends a search.
 */
struct bucket {
	_Atomic uint64_t tags[SLOTS_PER_BUCKET / 4];
	_Atomic uint32_t nodes[SLOTS_PER_BUCKET];
	_Atomic uint32_t overflow;
	uint32_t pad[3];
};
_Static_assert(sizeof(struct bucket) == 64, "one cache line a bucket");

static inline uint16_t tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48) | 1;
}

/*
 * The lanes of a word of tags that hold @tag: bit 16 x lane. All tags are odd, so the one that this may find in vain is a
 * free lane above a true one.
 */
static inline uint64_t lanes_with(uint64_t tags, uint16_t tag)
{
	const uint64_t ones = UINT64_C(0x0001000100010001);

	tags ^= tag * ones;
	return ((tags - ones) & ~tags & (ones << 15)) >> 15;
}

/* The same for both words of a bucket: bit 16 x lane for the first four, one higher for the others. */
static inline uint64_t ways_with(const struct bucket *k, uint16_t tag)
{
	uint64_t low = atomic_load_explicit(&k->tags[0], memory_order_acquire);
	uint64_t high = atomic_load_explicit(&k->tags[1], memory_order_acquire);

	return lanes_with(low, tag) | lanes_with(high, tag) << 1;
}

static inline unsigned way_at(uint64_t ways)
{
	unsigned bit = (unsigned)__builtin_ctzll(ways);

	return (bit >> 4) + ((bit & 1) << 2);
}

struct stripe {
	_Alignas(64) _Atomic uint64_t hits;
	_Atomic uint64_t misses, reused, stale, revived;
};

struct pid_node {
	struct links head; /* of the entries */
	uint32_t pid, next;
};

struct redirect {
	uint64_t hash;
	uint32_t refs;
	uint16_t next; /* in its hash chain */
	uint16_t port;
	uint8_t tls_mode, on_failure, host_len, sni_len;
	char text[]; /* host, sni: without NUL */
};

struct mf_nat {
	/* constant after mf_nat_new() */
	struct entry *entries;
	struct bucket *buckets;
	void *mem, *entries_mem,
		*buckets_mem; /* as allocated; the above are aligned to cache lines */
	uint64_t seed;
	uint32_t limit, bucket_mask;
	uint32_t redirects_max, redirect_mask, pid_mask;
	int32_t ttl[MF_NAT_STATE_NUM][2]; /* ticks; [1] is TCP */

	_Atomic uint32_t count;
	_Atomic uint32_t state_cnt[MF_NAT_STATE_NUM];
	_Atomic uint32_t
		changed; /* stack of entries whose state look-ups changed: index + 2, 1 ends it */
	_Atomic uint32_t waiting; /* writers at the mutex: long work lets them pass */
	struct stripe stripes[STRIPES];
	_Atomic uint64_t vias[MF_NAT_VIAS_MAX + 1]; /* look-ups: what rows of CTL_VIA stand for */

	pthread_mutex_t mutex;
	uint64_t tick;	  /* the latest seen, 64 bits of it */
	uint64_t cursor;  /* wheel slots before this one are done */
	uint32_t pending; /* taken from the stack, not looked at yet */
	uint32_t used,
		free_head; /* entries once used; list through links[LIST_TIMER].next, index + 1 */
	struct links wheel[WHEEL_SLOTS];
	struct links states[MF_NAT_STATE_NUM];
	struct pid_node *pids;
	uint32_t *pid_buckets; /* index + 1 */
	uint32_t pids_used, pids_free;
	struct redirect **redirects; /* [1..redirects_max] */
	uint16_t *redirect_buckets, *redirect_free;
	uint32_t redirect_cnt, redirects_used, redirect_free_cnt;
	uint32_t via_refs[MF_NAT_VIAS_MAX +
			  1]; /* entries of a row; a row without any may be taken */
	uint32_t via_last;    /* the row of the last insertion: mostly the next one's */
	/* The next entry to be evicted, whose memory was fetched: its number + 1, its hashes, and which life of it */
	struct {
		uint32_t entry, seq;
		uint64_t hashes[2];
	} victim;
	struct mf_nat_stats stats;
};

static inline uint32_t tick_of(uint64_t now_ns)
{
	return (uint32_t)(now_ns >> TICK_SHIFT);
}

static inline enum mf_nat_state state_of(uint64_t ctl)
{
	return (enum mf_nat_state)(ctl & CTL_STATE);
}

static inline uint32_t redirect_of(uint64_t ctl)
{
	return (uint32_t)(ctl >> 16) & 0xffff;
}

static inline uint32_t via_of(uint64_t ctl)
{
	return (uint32_t)(uint16_t)ctl >> CTL_VIA_SHIFT;
}

/* The numbers that an entry was inserted with. A copy read before the control word is checked again belongs to it. */
static inline uint64_t load_via(const struct mf_nat *nat, uint64_t ctl)
{
	return atomic_load_explicit(&nat->vias[via_of(ctl)], memory_order_acquire);
}

static inline void flow_words(const struct mf_flow *f, uint64_t w[5])
{
	memcpy(w, f, 40);
}

static inline uint8_t proto_of(uint64_t word4)
{
	return (uint8_t)(word4 >> 32);
}

static inline bool is_over(const struct mf_nat *nat, uint64_t ctl, uint64_t word4, uint32_t seen,
			   uint32_t tick)
{
	int32_t ttl = nat->ttl[state_of(ctl)][proto_of(word4) == MF_PROTO_TCP];

	return (int32_t)(tick - seen) > ttl;
}

/** mf_nat_find() - The node of a flow, or 0; by a thread that holds the mutex */
uint32_t mf_nat_find(struct mf_nat *nat, const struct mf_flow *flow, uint64_t hash);

/** mf_nat_copy_flows() - An entry's two flows; by a thread that holds the mutex */
void mf_nat_copy_flows(const struct entry *e, struct mf_flow *ret_flow, struct mf_flow *ret_to);

/** mf_nat_push_changed() - Tell the next writer that an entry changed its state */
void mf_nat_push_changed(struct mf_nat *nat, struct entry *e);

/** mf_nat_redirect_ref() - The number of a redirect's one copy, with one reference more; 0 for none
 * Return: 0, MF_E_INVAL, MF_E_FULL, MF_E_NOMEM */
int mf_nat_redirect_ref(struct mf_nat *nat, const struct mf_nat_redirect *r, uint32_t *ret);
void mf_nat_redirect_unref(struct mf_nat *nat, uint32_t number);
void mf_nat_redirect_copy(const struct mf_nat *nat, uint32_t number, struct mf_nat_redirect *ret);

#endif
