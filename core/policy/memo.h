/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memo.h - exact repeats: the values of all fields that matter to the decision
 *
 * How it works
 *
 * For each kind the owner tells which fields (and whether the labels) any policy of this generation has been seen to
 * read, so far. Their values in a request are the key: one hash, one compare of every byte. An entry is right because a
 * decision is a function of what was read, and everything that was read is in the key. When a decision reads a field that
 * is not in the key yet, the kind's key grows, and what was stored under the shorter key is forgotten (its epoch is over).
 * A field that is not set but could be fetched counts as "not fetched": a decision that fetched one is not stored, so an
 * entry that is found answers for requests where nobody looked.
 *
 * The table is like a processor's cache: sets of eight ways, sixteen bytes of tags a set; the way that goes is one that
 * was not used lately. Nothing moves, nothing grows, nothing is allocated on a hit. An entry is three cache lines.
 */
#ifndef MF_POLICY_MEMO_H
#define MF_POLICY_MEMO_H

#include "core/policy/outcome.h"
#include "core/policy/request.h"

/* Longest key that is stored; a request with a longer one goes through the graph. */
#define MF_MEMO_KEY_MAX	 1024
#define MF_MEMO_NO_OWNER UINT16_MAX

/* What the key of one kind is made of. */
struct mf_memo_key {
	uint16_t epoch;
	bool labels;
	uint8_t cnt;
	struct {
		uint8_t field, slot; /* enum mf_field, place in the request */
	} fields[MF_F_NUM];
	uint64_t mask;
};

/* Bytes: makes an entry three cache lines, of which most keys need one or two. */
#define MF_MEMO_KEY_INLINE 160

/*
 * In what form the key's fields are there, a bit of each mask for each: neither: nil; @low: "could be fetched"; @high: a
 * number or short text in the slot; both: bytes in the pool.
 */
struct mf_memo_forms {
	uint64_t high, low;
};

struct mf_memo_entry {
	struct mf_outcome *outcome;
	struct mf_memo_forms forms;
	uint16_t epoch;
	uint16_t len;	/* bytes of key, with the time bounds */
	uint16_t owner; /* the policy that decided, or MF_MEMO_NO_OWNER */
	uint8_t kind;
	uint8_t used : 1;
	uint8_t timed : 1; /* 16 bytes of time bounds stand before the key */
	union {
		uint8_t inline_key[MF_MEMO_KEY_INLINE]; /* len <= MF_MEMO_KEY_INLINE */
		uint8_t *long_key;
	};
};

struct mf_memo {
	uint16_t *tags; /* [sets][8]; 0 for empty */
	struct mf_memo_entry *entries;
	uint32_t set_mask; /* number of sets - 1; no sets: entries NULL */
	uint32_t hand;
	uint64_t seed;
	struct mf_memo_key keys[MF_KIND_NUM];
	uint64_t cnt, evictions;
	void *tags_base, *entries_base; /* of the allocations */
};

/** mf_memo_init() - @entries_max: rounded down to 8 x a power of two, 0 for none; Return: 0, MF_E_NOMEM */
int mf_memo_init(struct mf_memo *m, uint32_t entries_max);
void mf_memo_done(struct mf_memo *m);

/** mf_memo_cover() - Make the key of @kind hold these fields; forgets the kind's entries if it did not yet */
void mf_memo_cover(struct mf_memo *m, enum mf_kind kind, uint64_t fields, bool labels);

/** mf_memo_flush() - Forget everything */
void mf_memo_flush(struct mf_memo *m);

/** mf_memo_hash() - Hash of the request's key */
uint64_t mf_memo_hash(const struct mf_memo *m, const struct mf_request *req);

/** mf_memo_find() - The entry of an equal key, or NULL; the caller checks the time. @hash from mf_memo_hash() */
struct mf_memo_entry *mf_memo_find(struct mf_memo *m, const struct mf_request *req, uint64_t hash);

/** mf_memo_get() - mf_memo_find() with mf_memo_hash(), in one go */
struct mf_memo_entry *mf_memo_get(struct mf_memo *m, const struct mf_request *req);

/** mf_memo_bounds() - Of an entry that is timed: true while the wall clock is in [from, until) */
void mf_memo_bounds(const struct mf_memo_entry *e, uint64_t *from, uint64_t *until);

/**
 * mf_memo_put() - Store an answer; takes a reference. A key that is too long, or no memory: nothing is stored.
 * @wall_until: 0 for an answer that does not depend on the time
 */
void mf_memo_put(struct mf_memo *m, const struct mf_request *req, struct mf_outcome *outcome,
		 unsigned owner, uint64_t wall_from, uint64_t wall_until);

#endif
