/* SPDX-License-Identifier: Apache-2.0 */
/* memo.c - see memo.h */
#include "core/policy/memo.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define WAYS 8

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
	/* One line of tags a set; address space only until it is used. */
	m->tags = aligned_alloc(64, (size_t)sets * WAYS * sizeof(*m->tags));
	m->entries = aligned_alloc(64, (size_t)sets * WAYS * sizeof(*m->entries));
	if (!m->tags || !m->entries) {
		free(m->tags);
		free(m->entries);
		m->tags = NULL;
		m->entries = NULL;
		return MF_E_NOMEM;
	}
	memset(m->tags, 0, (size_t)sets * WAYS * sizeof(*m->tags));
	return 0;
}

static void drop(struct mf_memo *m, uint32_t i)
{
	struct mf_memo_entry *e = &m->entries[i];

	if (!m->tags[i])
		return;
	mf_outcome_unref(e->outcome);
	if (e->key_len > MF_MEMO_KEY_INLINE)
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
	if (m->tags)
		mf_memo_flush(m);
	free(m->tags);
	free(m->entries);
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
	/* Entries of the old epoch are never found again, and go as their room is needed. */
	key->epoch++;
	key->cnt = 0;
	for (f = 0; f < MF_F_NUM; f++)
		if (key->mask & MF_FIELD_BIT(f)) {
			key->fields[key->cnt].field = (uint8_t)f;
			key->fields[key->cnt++].type = mf_field_table[f].type;
		}
}

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

uint64_t mf_memo_hash(const struct mf_memo *m, const struct mf_request *req)
{
	const struct mf_memo_key *key = &m->keys[req->kind];
	uint64_t h = m->seed ^ req->kind;
	const union mf_slot *slot;
	unsigned i, field;

	for (i = 0; i < key->cnt; i++) {
		field = key->fields[i].field;
		slot = &req->slots[field];
		if (!(req->set & MF_FIELD_BIT(field)))
			h = mf_hash_u64(absence(req, field), h);
		else if (is_number(key->fields[i].type))
			h = mf_hash_u64((uint64_t)slot->num, h);
		else
			h = mf_hash_bytes(req->pool + slot->off, slot->len, h);
	}
	if (key->labels)
		h = mf_hash_bytes(req->pool + req->labels_off, req->labels_len, h);
	return h ? h : 1;
}

/*
 * The key in memory: for each field its type (or absence), then 8 bytes of number, or 4 of length and the bytes; the
 * labels last. Compared with a request without writing the request's key down.
 */
static bool key_is(const struct mf_memo_key *key, const struct mf_memo_entry *e,
		   const struct mf_request *req)
{
	const uint8_t *p = e->key_len > MF_MEMO_KEY_INLINE ? e->long_key : e->inline_key;
	const uint8_t *end = p + e->key_len;
	const union mf_slot *slot;
	unsigned i, field, type;
	uint32_t len;

	for (i = 0; i < key->cnt; i++) {
		field = key->fields[i].field;
		type = key->fields[i].type;
		slot = &req->slots[field];
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
		memcpy(&len, p, 4);
		if (len != slot->len || memcmp(p + 4, req->pool + slot->off, len) != 0)
			return false;
		p += 4 + len;
	}
	if (!key->labels)
		return true;
	return (size_t)(end - p) == req->labels_len &&
	       (req->labels_len == 0 ||
		memcmp(p, req->pool + req->labels_off, req->labels_len) == 0);
}

struct mf_memo_entry *mf_memo_find(struct mf_memo *m, const struct mf_request *req, uint64_t hash)
{
	const struct mf_memo_key *key = &m->keys[req->kind];
	struct mf_memo_entry *e;
	const uint64_t *tags;
	uint32_t base;
	unsigned i;

	if (__builtin_expect(!m->entries, 0))
		return NULL;
	base = ((uint32_t)(hash >> 32) & m->set_mask) * WAYS;
	tags = m->tags + base;
	for (i = 0; i < WAYS; i++) {
		if (tags[i] != hash)
			continue;
		e = &m->entries[base + i];
		__builtin_prefetch((const char *)e + 64);
		if (e->kind != req->kind || e->epoch != key->epoch || !key_is(key, e, req))
			continue;
		if (!e->used)
			e->used = 1;
		return e;
	}
	return NULL;
}

static size_t key_size(const struct mf_memo_key *key, const struct mf_request *req)
{
	size_t size = key->labels ? req->labels_len : 0;
	struct mf_value v;
	unsigned i;

	for (i = 0; i < key->cnt; i++) {
		v = mf_request_peek(req, (enum mf_field)key->fields[i].field);
		size += v.type == MF_T_NIL			    ? 1
			: is_number(v.type) ? 9
								    : 5 + v.len;
	}
	return size;
}

static void key_write(const struct mf_memo_key *key, const struct mf_request *req, uint8_t *p)
{
	struct mf_value v;
	unsigned i;

	for (i = 0; i < key->cnt; i++) {
		v = mf_request_peek(req, (enum mf_field)key->fields[i].field);
		if (v.type == MF_T_NIL) {
			*p++ = absence(req, key->fields[i].field);
			continue;
		}
		*p++ = v.type;
		if (is_number(v.type)) {
			memcpy(p, &v.num, 8);
			p += 8;
			continue;
		}
		memcpy(p, &v.len, 4);
		memcpy(p + 4, v.ptr, v.len);
		p += 4 + v.len;
	}
	if (key->labels && req->labels_len)
		memcpy(p, req->pool + req->labels_off, req->labels_len);
}

/* The way of a set that may go: empty, of a past epoch, or not used since the hand came by. */
static uint32_t choose(struct mf_memo *m, uint32_t base)
{
	struct mf_memo_entry *e;
	uint32_t i, at;

	for (i = 0; i < WAYS; i++)
		if (!m->tags[base + i] ||
		    m->entries[base + i].epoch != m->keys[m->entries[base + i].kind].epoch)
			return base + i;
	at = base + m->hand++ % WAYS;
	for (i = 0; i < WAYS; i++, at = base + (at + 1) % WAYS) {
		e = &m->entries[at];
		if (!e->used)
			break;
		e->used = 0;
	}
	m->evictions++;
	return at;
}

void mf_memo_put(struct mf_memo *m, const struct mf_request *req, struct mf_outcome *outcome,
		 unsigned owner, uint64_t wall_from, uint64_t wall_until)
{
	const struct mf_memo_key *key = &m->keys[req->kind];
	size_t len = key_size(key, req);
	struct mf_memo_entry *e;
	uint64_t hash;
	uint8_t *bytes = NULL;
	uint32_t base, at;

	if (!m->entries || len > MF_MEMO_KEY_MAX)
		return;
	hash = mf_memo_hash(m, req);
	base = ((uint32_t)(hash >> 32) & m->set_mask) * WAYS;
	e = mf_memo_find(m, req, hash); /* there already: its time was over */
	at = e ? (uint32_t)(e - m->entries) : choose(m, base);
	if (len > MF_MEMO_KEY_INLINE) {
		bytes = malloc(len);
		if (!bytes)
			return;
	}
	mf_outcome_ref(outcome);
	drop(m, at);
	e = &m->entries[at];
	*e = (struct mf_memo_entry){
		.outcome = outcome,
		.wall_from = wall_from,
		.wall_until = wall_until,
		.epoch = key->epoch,
		.key_len = (uint32_t)len,
		.kind = req->kind,
		.used = 1,
		.owner = (uint16_t)owner,
	};
	if (bytes)
		e->long_key = bytes;
	key_write(key, req, bytes ? bytes : e->inline_key);
	m->tags[at] = hash;
	m->cnt++;
}
