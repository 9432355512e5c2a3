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

static_assert(sizeof(struct mf_memo_entry) == 2 * LINE, "an entry is two cache lines");
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
		key->fields[key->cnt].type = mf_field_table[f].type;
		key->fields[key->cnt++].slot = mf_field_table[f].slot;
	}
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* What a field contributes when it has no value: nil, or "could be fetched". */
enum { ABSENT = 0xf0, UNFETCHED = 0xf1 };

static uint8_t absence(const struct mf_request *req, unsigned field)
{
	return req->lazy & MF_FIELD_BIT(field) ? UNFETCHED : ABSENT;
}

static bool is_number(unsigned type)
{
	return type == MF_T_INT || type == MF_T_BOOL;
}

/* Each field is hashed with a seed of its own, and not one after another: the multiplications overlap. */
uint64_t mf_memo_hash(const struct mf_memo *m, const struct mf_request *req)
{
	const struct mf_memo_key *key = &m->keys[req->kind];
	uint64_t seed = m->seed + req->kind, h = 0;
	const union mf_slot *slot;
	unsigned i, field;

	for (i = 0; i < key->cnt; i++, seed += UINT64_C(0x9e3779b97f4a7c15)) {
		field = key->fields[i].field;
		slot = &req->slots[key->fields[i].slot];
		if (!(req->set & MF_FIELD_BIT(field)))
			h ^= mf_hash_u64(absence(req, field), seed);
		else if (is_number(key->fields[i].type))
			h ^= mf_hash_u64((uint64_t)slot->num, seed);
		else
			h ^= mf_hash_bytes(req->pool + slot->off, slot->len, seed);
	}
	if (key->labels)
		h ^= mf_hash_bytes(req->pool + req->labels_off, req->labels_len, seed);
	return h;
}

/* memcmp() == 0 for what is mostly 4 to 40 bytes: words, the last one overlapping the one before. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint64_t x, y;
	uint32_t v, w;

	if (len < 4) {
		for (; len; len--)
			if (*a++ != *b++)
				return false;
		return true;
	}
	if (len < 8) {
		memcpy(&v, a, 4);
		memcpy(&w, b, 4);
		if (v != w)
			return false;
		memcpy(&v, a + len - 4, 4);
		memcpy(&w, b + len - 4, 4);
		return v == w;
	}
	for (; len > 8; len -= 8, a += 8, b += 8) {
		memcpy(&x, a, 8);
		memcpy(&y, b, 8);
		if (x != y)
			return false;
	}
	/* 1 to 8 bytes are left, and at least 8 lie before their end. */
	memcpy(&x, a + len - 8, 8);
	memcpy(&y, b + len - 8, 8);
	return x == y;
}

static const uint8_t *entry_bytes(const struct mf_memo_entry *e)
{
	return e->len > MF_MEMO_KEY_INLINE ? e->long_key : e->inline_key;
}

/*
 * The key in memory: for each field its type (or absence), then 8 bytes of number, or 2 of length and the bytes; the
 * labels last. Compared with a request without writing the request's key down.
 */
static bool key_is(const struct mf_memo_key *key, const struct mf_memo_entry *e,
		   const struct mf_request *req)
{
	const uint8_t *p = entry_bytes(e), *end = p + e->len;
	const union mf_slot *slot;
	unsigned i, field, type;
	uint16_t len;

	p += e->timed ? BOUNDS_BYTES : 0;
	for (i = 0; i < key->cnt; i++) {
		field = key->fields[i].field;
		type = key->fields[i].type;
		slot = &req->slots[key->fields[i].slot];
		if (!(req->set & MF_FIELD_BIT(field))) {
			if (*p++ != absence(req, field))
				return false;
			continue;
		}
		if (*p++ != type)
			return false;
		if (is_number(type)) {
			if (memcmp(p, &slot->num, 8) != 0)
				return false;
			p += 8;
			continue;
		}
		memcpy(&len, p, 2);
		if (len != slot->len || !same_bytes(p + 2, req->pool + slot->off, len))
			return false;
		p += 2 + len;
	}
	return !key->labels || ((size_t)(end - p) == req->labels_len &&
				same_bytes(p, req->pool + req->labels_off, req->labels_len));
}

static size_t key_size(const struct mf_memo_key *key, const struct mf_request *req)
{
	size_t size = key->labels ? req->labels_len : 0;
	unsigned i;

	for (i = 0; i < key->cnt; i++) {
		if (!(req->set & MF_FIELD_BIT(key->fields[i].field)))
			size += 1;
		else
			size += is_number(key->fields[i].type)
					? 9
					: (size_t)3 + req->slots[key->fields[i].slot].len;
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
		if (!(req->set & MF_FIELD_BIT(field))) {
			*p++ = absence(req, field);
			continue;
		}
		*p++ = key->fields[i].type;
		if (is_number(key->fields[i].type)) {
			memcpy(p, &slot->num, 8);
			p += 8;
			continue;
		}
		len = (uint16_t)slot->len;
		memcpy(p, &len, 2);
		memcpy(p + 2, req->pool + slot->off, len);
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

struct mf_memo_entry *mf_memo_find(struct mf_memo *m, const struct mf_request *req, uint64_t hash)
{
	const struct mf_memo_key *key = &m->keys[req->kind];
	struct mf_memo_entry *e;
	uint64_t ways;
	uint32_t base, i;
	uint16_t tag = tag_of(hash);
	unsigned bit;

	if (__builtin_expect(!m->entries, 0))
		return NULL;
	base = set_of(m, hash);
	for (ways = ways_with(m->tags + base, tag); ways; ways &= ways - 1) {
		bit = (unsigned)__builtin_ctzll(ways);
		i = base + (bit >> 4) + ((bit & 1) << 2);
		e = &m->entries[i];
		__builtin_prefetch((const char *)e + LINE);
		if (m->tags[i] != tag || e->kind != req->kind || e->epoch != key->epoch ||
		    !key_is(key, e, req))
			continue;
		if (!e->used)
			e->used = 1;
		return e;
	}
	return NULL;
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
	size_t len = key_size(key, req) + (wall_until ? BOUNDS_BYTES : 0);
	uint64_t hash = mf_memo_hash(m, req);
	struct mf_memo_entry *e;
	uint8_t *bytes = NULL;
	uint32_t at;

	if (!m->entries || len > MF_MEMO_KEY_MAX)
		return;
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
