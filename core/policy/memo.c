/* SPDX-License-Identifier: Apache-2.0 */
/* memo.c - see memo.h */
#include "core/policy/memo.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define WAYS	     8
#define LINE	     64
#define BOUNDS_BYTES 16

static_assert(sizeof(struct mf_memo_entry) == 3 * LINE, "an entry is three cache lines");
static_assert(MF_REQUEST_STR_MAX > MF_MEMO_KEY_MAX && MF_MEMO_KEY_MAX < UINT16_MAX,
	      "lengths in keys have 16 bits");

/* Zeroed memory that begins at a cache line; calloc() gives large blocks as address space only. */
static void *alloc_lines(size_t size, void **base)
{
	*base = calloc(1, size + LINE - 1);
	if (!*base)
		return NULL;
	return (char *)*base + (-(uintptr_t)*base & (LINE - 1));
}

int mf_memo_init(struct mf_memo *m, uint32_t entries_max)
{
	uint32_t sets = 1;

	memset(m, 0, sizeof(*m));
	m->seed = mf_hash_seed();
	if (entries_max < WAYS)
		return 0;
	while (sets * 2 <= entries_max / WAYS)
		sets *= 2;
	m->set_mask = sets - 1;
	m->tags = alloc_lines((size_t)sets * WAYS * sizeof(*m->tags), &m->tags_base);
	m->entries = alloc_lines((size_t)sets * WAYS * sizeof(*m->entries), &m->entries_base);
	if (m->tags && m->entries)
		return 0;
	free(m->tags_base);
	free(m->entries_base);
	memset(m, 0, sizeof(*m));
	return MF_E_NOMEM;
}

static void drop(struct mf_memo *m, uint32_t i)
{
	struct mf_memo_entry *e = &m->entries[i];

	if (!m->tags[i])
		return;
	mf_outcome_unref(e->outcome);
	if (e->len > MF_MEMO_KEY_INLINE)
		free(e->long_key);
	m->tags[i] = 0;
	m->cnt--;
}

void mf_memo_flush(struct mf_memo *m)
{
	uint32_t i;

	for (i = 0; m->entries && i < (m->set_mask + 1) * WAYS; i++)
		drop(m, i);
}

void mf_memo_done(struct mf_memo *m)
{
	mf_memo_flush(m);
	free(m->tags_base);
	free(m->entries_base);
	memset(m, 0, sizeof(*m));
}

void mf_memo_cover(struct mf_memo *m, enum mf_kind kind, uint64_t fields, bool labels)
{
	struct mf_memo_key *key = &m->keys[kind];
	int f;

	if (!(fields & ~key->mask) && (key->labels || !labels))
		return;
	key->mask |= fields;
	key->labels |= labels;
	/* Entries of the old epoch are never found again, and go as their room is needed. It grows by a field at most each
	 * time, so the number cannot come round. */
	key->epoch++;
	key->cnt = 0;
	for (f = 0; f < MF_F_NUM; f++) {
		if (!(key->mask & MF_FIELD_BIT(f)))
			continue;
		key->fields[key->cnt].field = (uint8_t)f;
		key->fields[key->cnt++].slot = mf_field_table[f].slot;
	}
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static inline struct mf_memo_forms forms_of(const struct mf_memo_key *key,
					    const struct mf_request *req)
{
	uint64_t low = (req->set & req->wide) | (req->lazy & ~req->set);

	return (struct mf_memo_forms){ .high = req->set & key->mask, .low = low & key->mask };
}

#define SEED_STEP UINT64_C(0x9e3779b97f4a7c15)

/* Each field is hashed with a seed of its own, and not one after another: the multiplications overlap. No branches. */
static inline uint64_t hash_key(const struct mf_memo *m, const struct mf_memo_key *key,
				const struct mf_request *req, struct mf_memo_forms forms)
{
	uint64_t seed = m->seed + req->kind, word;
	uint64_t h = mf_hash_u64(forms.high ^ (forms.low << 32 | forms.low >> 32), seed);
	unsigned i, field;

	for (i = 0; i < key->cnt; i++) {
		field = key->fields[i].field;
		word = req->slots[key->fields[i].slot].word;
		word >>= MF_SLOT_OFF_BITS & -((uint64_t)req->wide >> field & 1);
		word &= -(req->set >> field & 1);
		h ^= mf_hash_u64(word, seed += SEED_STEP);
	}
	if (key->labels)
		h ^= mf_hash_bytes(req->pool + req->labels_off, req->labels_len, seed + SEED_STEP);
	return mf_hash_u64(h, m->seed);
}

uint64_t mf_memo_hash(const struct mf_memo *m, const struct mf_request *req)
{
	const struct mf_memo_key *key = &m->keys[req->kind];

	return hash_key(m, key, req, forms_of(key, req));
}

static inline uint64_t differ8(const uint8_t *a, const uint8_t *b)
{
	uint64_t x, y;

	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	return x ^ y;
}

static inline uint64_t differ16(const uint8_t *a, const uint8_t *b)
{
	return differ8(a, b) | differ8(a + 8, b + 8);
}

/* memcmp() == 0 for what is mostly 16 to 32 bytes, with few branches: the last block overlaps the one before. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint64_t d = 0;

	if (len < 8) {
		for (; len; len--)
			d |= *a++ ^ *b++;
		return d == 0;
	}
	if (len < 16)
		return (differ8(a, b) | differ8(a + len - 8, b + len - 8)) == 0;
	for (; len > 32; len -= 16, a += 16, b += 16)
		d |= differ16(a, b);
	return (d | differ16(a, b) | differ16(a + len - 16, b + len - 16)) == 0;
}

static const uint8_t *entry_bytes(const struct mf_memo_entry *e)
{
	return e->len > MF_MEMO_KEY_INLINE ? e->long_key : e->inline_key;
}

/*
 * The key in memory: for each field that has a value 8 bytes of the slot, or 2 of length and the bytes; the labels last.
 * Compared with a request of equal forms without writing the request's key down.
 */
static bool key_is(const struct mf_memo_key *key, const struct mf_memo_entry *e,
		   const struct mf_request *req)
{
	const uint8_t *p = entry_bytes(e), *end = p + e->len;
	const union mf_slot *slot;
	unsigned i, field;
	uint16_t len;

	p += e->timed ? BOUNDS_BYTES : 0;
	for (i = 0; i < key->cnt; i++) {
		field = key->fields[i].field;
		slot = &req->slots[key->fields[i].slot];
		if (!(req->set >> field & 1))
			continue;
		if (!(req->wide >> field & 1)) {
			if (differ8(p, slot->text))
				return false;
			p += 8;
			continue;
		}
		memcpy(&len, p, 2);
		if (len != mf_slot_len(*slot) ||
		    !same_bytes(p + 2, req->pool + mf_slot_off(*slot), len))
			return false;
		p += 2 + len;
	}
	return !key->labels || ((size_t)(end - p) == req->labels_len &&
				same_bytes(p, req->pool + req->labels_off, req->labels_len));
}

static size_t key_size(const struct mf_memo_key *key, const struct mf_request *req)
{
	size_t size = key->labels ? req->labels_len : 0;
	unsigned i, field;

	for (i = 0; i < key->cnt; i++) {
		field = key->fields[i].field;
		if (req->set & req->wide & MF_FIELD_BIT(field))
			size += (size_t)2 + mf_slot_len(req->slots[key->fields[i].slot]);
		else if (req->set & MF_FIELD_BIT(field))
			size += 8;
	}
	return size;
}

static void key_write(const struct mf_memo_key *key, const struct mf_request *req, uint8_t *p)
{
	const union mf_slot *slot;
	unsigned i, field;
	uint16_t len;

	for (i = 0; i < key->cnt; i++) {
		field = key->fields[i].field;
		slot = &req->slots[key->fields[i].slot];
		if (!(req->set & MF_FIELD_BIT(field)))
			continue;
		if (!(req->wide & MF_FIELD_BIT(field))) {
			memcpy(p, slot, 8);
			p += 8;
			continue;
		}
		len = (uint16_t)mf_slot_len(*slot);
		memcpy(p, &len, 2);
		memcpy(p + 2, req->pool + mf_slot_off(*slot), len);
		p += 2 + len;
	}
	if (key->labels && req->labels_len)
		memcpy(p, req->pool + req->labels_off, req->labels_len);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

/* The upper bits choose the tag, the lower ones the set. */
static uint16_t tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48) | 1;
}

static uint32_t set_of(const struct mf_memo *m, uint64_t hash)
{
	return ((uint32_t)hash & m->set_mask) * WAYS;
}

/*
 * The ways of a set whose tag is @tag, without a branch: bit 16 x lane of the first four, bit 16 x lane + 1 of the last
 * four. May have a false one above a true one (a borrow): look at the tag again.
 */
static uint64_t ways_with(const uint16_t *tags, uint16_t tag)
{
	const uint64_t ones = UINT64_C(0x0001000100010001);
	uint64_t a, b;

	memcpy(&a, tags, 8);
	memcpy(&b, tags + 4, 8);
	a ^= tag * ones;
	b ^= tag * ones;
	a = (a - ones) & ~a & (ones << 15);
	b = (b - ones) & ~b & (ones << 15);
	return a >> 15 | b >> 14;
}

static inline struct mf_memo_entry *find_in_set(struct mf_memo *m, const struct mf_memo_key *key,
						const struct mf_request *req,
						struct mf_memo_forms forms, uint64_t hash)
{
	struct mf_memo_entry *e;
	uint64_t ways;
	uint32_t base = set_of(m, hash), i;
	uint16_t tag = tag_of(hash);
	unsigned bit;

	for (ways = ways_with(m->tags + base, tag); ways; ways &= ways - 1) {
		bit = (unsigned)__builtin_ctzll(ways);
		i = base + (bit >> 4) + ((bit & 1) << 2);
		e = &m->entries[i];
		if (m->tags[i] != tag || e->kind != req->kind || e->epoch != key->epoch ||
		    e->forms.high != forms.high || e->forms.low != forms.low ||
		    !key_is(key, e, req))
			continue;
		if (!e->used)
			e->used = 1;
		return e;
	}
	return NULL;
}

struct mf_memo_entry *mf_memo_find(struct mf_memo *m, const struct mf_request *req, uint64_t hash)
{
	const struct mf_memo_key *key = &m->keys[req->kind];

	return m->entries ? find_in_set(m, key, req, forms_of(key, req), hash) : NULL;
}

struct mf_memo_entry *mf_memo_get(struct mf_memo *m, const struct mf_request *req)
{
	const struct mf_memo_key *key = &m->keys[req->kind];
	struct mf_memo_forms forms = forms_of(key, req);

	return m->entries ? find_in_set(m, key, req, forms, hash_key(m, key, req, forms)) : NULL;
}

void mf_memo_bounds(const struct mf_memo_entry *e, uint64_t *from, uint64_t *until)
{
	const uint8_t *p = entry_bytes(e);

	memcpy(from, p, 8);
	memcpy(until, p + 8, 8);
}

/* The way of a set that may go: empty, of a past epoch, or not used since the hand came by. */
static uint32_t choose(struct mf_memo *m, uint32_t base)
{
	struct mf_memo_entry *e;
	uint32_t i, at;

	for (i = 0; i < WAYS; i++) {
		e = &m->entries[base + i];
		if (!m->tags[base + i] || e->epoch != m->keys[e->kind].epoch)
			return base + i;
	}
	at = m->hand++ % WAYS;
	for (i = 0; i < WAYS && m->entries[base + at].used; i++, at = (at + 1) % WAYS)
		m->entries[base + at].used = 0;
	m->evictions++;
	return base + at;
}

void mf_memo_put(struct mf_memo *m, const struct mf_request *req, struct mf_outcome *outcome,
		 unsigned owner, uint64_t wall_from, uint64_t wall_until)
{
	const struct mf_memo_key *key = &m->keys[req->kind];
	struct mf_memo_entry *e;
	uint8_t *bytes = NULL;
	uint64_t hash;
	uint32_t at;
	size_t len;

	if (!m->entries)
		return;
	len = key_size(key, req) + (wall_until ? BOUNDS_BYTES : 0);
	if (len > MF_MEMO_KEY_MAX)
		return;
	hash = mf_memo_hash(m, req);
	e = mf_memo_find(m, req, hash); /* there already: its time was over */
	at = e ? (uint32_t)(e - m->entries) : choose(m, set_of(m, hash));
	if (len > MF_MEMO_KEY_INLINE) {
		bytes = malloc(len);
		if (!bytes)
			return;
	}
	mf_outcome_ref(outcome);
	drop(m, at);
	e = &m->entries[at];
	e->outcome = outcome;
	e->forms = forms_of(key, req);
	e->epoch = key->epoch;
	e->len = (uint16_t)len;
	e->owner = (uint16_t)owner;
	e->kind = req->kind;
	e->used = 1;
	e->timed = wall_until != 0;
	if (bytes)
		e->long_key = bytes;
	else
		bytes = e->inline_key;
	if (wall_until) {
		memcpy(bytes, &wall_from, 8);
		memcpy(bytes + 8, &wall_until, 8);
		bytes += BOUNDS_BYTES;
	}
	key_write(key, req, bytes);
	m->tags[at] = tag_of(hash);
	m->cnt++;
}
