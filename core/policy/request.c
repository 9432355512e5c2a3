/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - values of a request: the pool that they stand in, and how they get there; see request.h */
#include "core/policy/request_int.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/names/canonical.h"

#define CACHE_LINE 64
#define POOL_MAX   (4u << 20) /* bytes: 64 KiB for each of a request's fields, and room to spare */

static_assert(MF_F_NUM <= MF_REQUEST_WIDE_BITS, "the mask of wide fields has a bit for each");
static_assert(offsetof(struct mf_request, slots) == 32, "four slots stand in the first line");
static_assert(offsetof(struct mf_request, inline_pool) == 3 * CACHE_LINE, "the pool has its own");
static_assert(POOL_MAX * 2 <= 1u << MF_SLOT_OFF_BITS, "a slot can name every place of the pool");
static_assert(MF_REQUEST_STR_MAX + MF_REQUEST_LIST_MAX * MF_LIST_ITEM_OVERHEAD <
		      1u << MF_SLOT_LEN_BITS,
	      "a slot can hold every length");

/* ---------------------------------------------------------------------------------------------------------------- */
/* The pool                                                                                                         */

struct mf_request *mf_request_new(enum mf_kind kind)
{
	struct mf_request *req;
	void *base;

	if ((unsigned)kind >= MF_KIND_NUM)
		return NULL;
	base = calloc(1, sizeof(*req) + CACHE_LINE - 1);
	if (!base)
		return NULL;
	req = (struct mf_request *)(void *)((char *)base + (-(uintptr_t)base & (CACHE_LINE - 1)));
	req->base = base;
	req->kind = (uint8_t)kind;
	req->pool = req->inline_pool;
	req->pool_room = sizeof(req->inline_pool);
	return req;
}

void mf_request_free(struct mf_request *req)
{
	if (!req)
		return;
	if (req->pool != req->inline_pool)
		free(req->pool);
	free(req->base);
}

void mf_request_reset(struct mf_request *req, enum mf_kind kind)
{
	if ((unsigned)kind >= MF_KIND_NUM)
		return;
	req->kind = (uint8_t)kind;
	req->fetching = false;
	req->label_cnt = 0;
	req->fetch_cnt = 0;
	req->dry = false;
	req->derived = req->derived_now = 0;
	req->set = req->lazy = req->locked = 0;
	req->wide = 0;
	req->pool_len = 0;
	req->labels_off = req->labels_len = 0;
	req->fetch = NULL;
	req->fetch_ctx = NULL;
}

static bool in_pool(const struct mf_request *req, int field)
{
	return (req->set & req->wide & MF_FIELD_BIT(field)) != 0;
}

/* Seedless: a peer who makes texts collide shares the eight ways of one set of the memo, and is compared eight times. */
static uint64_t print_of(const uint8_t *bytes, size_t len, uint64_t before)
{
	return mf_hash_bytes(bytes, len, before) >> (MF_SLOT_OFF_BITS + MF_SLOT_LEN_BITS);
}

static union mf_slot make_slot(uint32_t off, uint32_t len, uint64_t print)
{
	return (union mf_slot){ .word = print << (MF_SLOT_OFF_BITS + MF_SLOT_LEN_BITS) |
					(uint64_t)len << MF_SLOT_OFF_BITS | off };
}

static void move_slot(union mf_slot *slot, uint32_t off)
{
	slot->word = mf_slot_print(*slot) << MF_SLOT_OFF_BITS | off;
}

/* Bytes of the pool that some field or the labels still use. */
static size_t pool_live(const struct mf_request *req)
{
	size_t live = req->labels_len;
	int f;

	for (f = 0; f < MF_F_NUM; f++)
		if (in_pool(req, f))
			live += mf_slot_len(req->slots[mf_field_table[f].slot]) + 1;
	return live;
}

static uint32_t move_bytes(uint8_t *pool, uint32_t *len, const uint8_t *from, size_t n)
{
	uint32_t off = *len;

	if (n)
		memcpy(pool + off, from, n);
	*len += (uint32_t)n;
	return off;
}

/* Copy what is live into a pool with room for @more bytes. */
static int pool_rebuild(struct mf_request *req, size_t more)
{
	size_t need = pool_live(req) + more, room = sizeof(req->inline_pool) * 2;
	union mf_slot *slot;
	uint8_t *pool;
	uint32_t len = 0;
	int f;

	if (need > POOL_MAX)
		return MF_E_LIMIT;
	while (room < need + need / 2)
		room *= 2;
	pool = malloc(room);
	if (!pool)
		return MF_E_NOMEM;
	for (f = 0; f < MF_F_NUM; f++) {
		if (!in_pool(req, f))
			continue;
		slot = mf_request_slot(req, (enum mf_field)f);
		move_slot(slot, move_bytes(pool, &len, req->pool + mf_slot_off(*slot),
					   mf_slot_len(*slot) + 1));
	}
	req->labels_off = move_bytes(pool, &len, req->pool + req->labels_off, req->labels_len);
	if (req->pool != req->inline_pool)
		free(req->pool);
	req->pool = pool;
	req->pool_len = len;
	req->pool_room = (uint32_t)room;
	return 0;
}

/* @len bytes at the end of the pool, which the caller fills. The offset stays good until the next call. */
static int pool_take(struct mf_request *req, size_t len, uint32_t *ret_off)
{
	int r;

	if (len > req->pool_room - req->pool_len) {
		r = pool_rebuild(req, len);
		if (r < 0)
			return r;
	}
	*ret_off = req->pool_len;
	req->pool_len += (uint32_t)len;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Setters                                                                                                          */

static int check_field(const struct mf_request *req, enum mf_field field, enum mf_type type)
{
	const struct mf_field_info *info;

	if ((unsigned)field >= MF_F_NUM)
		return MF_E_INVAL;
	info = &mf_field_table[field];
	if (info->type != type || !(info->kinds >> req->kind & 1))
		return MF_E_INVAL;
	/* A policy has seen this field in this decision already: see request.h. */
	if (req->fetching && req->locked & MF_FIELD_BIT(field))
		return MF_E_EXIST;
	return 0;
}

/* The first @len bytes (1 to 7) of a word as it stands in memory. */
static inline uint64_t load_short(const char *str, size_t len)
{
	const uint8_t *p = (const uint8_t *)str;
	uint64_t w;
	size_t i;

	if (len >= 4) {
		w = (uint64_t)(p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
		i = len - 4;
		w |= (uint64_t)(p[i] | p[i + 1] << 8 | p[i + 2] << 16 | (uint32_t)p[i + 3] << 24)
		     << i * 8;
	} else {
		w = p[0] | (uint64_t)p[len / 2] << len / 2 * 8 |
		    (uint64_t)p[len - 1] << (len - 1) * 8;
	}
	return mf_word_little(w);
}

/* Words: canonical in a register. Return: 0 or MF_E_SYNTAX for a NUL in them. */
static int set_word(struct mf_request *req, enum mf_field field, const char *str, size_t len)
{
	const struct mf_field_info *info = &mf_field_table[field];
	uint64_t w = len ? load_short(str, len) : 0;

	req->set &= ~MF_FIELD_BIT(field);
	if (mf_word_little(mf_word_bytes_equal(w, 0)) << 8 << (MF_SLOT_TEXT_MAX - len) * 8)
		return MF_E_SYNTAX;
	if (info->canon == MF_CANON_LOWER)
		w |= mf_word_bytes_between(w, 'A', 'Z') >> 2;
	else if (info->canon == MF_CANON_UPPER)
		w ^= mf_word_bytes_between(w, 'a', 'z') >> 2;
	req->slots[info->slot].word = w | mf_word_little((uint64_t)(MF_SLOT_TEXT_MAX - len) << 56);
	req->wide &= ~MF_FIELD_BIT(field);
	req->set |= MF_FIELD_BIT(field);
	return 0;
}

/* The canonical text of @len bytes at @off, the end of the pool, becomes the field's value. */
static void put_text(struct mf_request *req, enum mf_field field, uint32_t off, uint32_t len)
{
	union mf_slot *slot = mf_request_slot(req, field);
	uint8_t *text = req->pool + off;

	req->set |= MF_FIELD_BIT(field);
	if (len <= MF_SLOT_TEXT_MAX) {
		slot->word = 0;
		memcpy(slot->text, text, len);
		slot->text[MF_SLOT_TEXT_MAX] = (uint8_t)(MF_SLOT_TEXT_MAX - len);
		req->wide &= ~MF_FIELD_BIT(field);
		req->pool_len = off;
		return;
	}
	text[len] = '\0';
	*slot = make_slot(off, len, print_of(text, len, 0));
	req->wide |= MF_FIELD_BIT(field);
	req->pool_len = off + len + 1;
}

/* A name that is not plain: its canonical form may be longer. */
static __attribute__((noinline)) int set_odd_name(struct mf_request *req, enum mf_field field,
						  const char *str, size_t len)
{
	char name[MF_NAME_ROOM];
	uint32_t off;
	int n, r;

	n = mf_request_canon_name(str, len, name);
	if (n < 0)
		return n;
	r = pool_take(req, (size_t)n + 1, &off);
	if (r < 0)
		return r;
	memcpy(req->pool + off, name, (size_t)n);
	put_text(req, field, off, (uint32_t)n);
	return 0;
}

int mf_request_set_str(struct mf_request *req, enum mf_field field, const char *str, size_t len)
{
	enum mf_canon canon;
	uint32_t off;
	int r;

	r = check_field(req, field, MF_T_STR);
	if (r < 0)
		return r;
	canon = (enum mf_canon)mf_field_table[field].canon;
	if (len <= MF_SLOT_TEXT_MAX && canon <= MF_CANON_UPPER)
		return set_word(req, field, str, len);
	if (len > MF_REQUEST_STR_MAX)
		return MF_E_SYNTAX;
	req->set &= ~MF_FIELD_BIT(field);
	r = pool_take(req, len + 1, &off);
	if (r < 0)
		return r;
	if (canon == MF_CANON_NAME)
		r = mf_request_canon_plain_name(str, len, (char *)req->pool + off);
	else
		r = mf_request_canon_text(canon, str, len, (char *)req->pool + off);
	if (r < 0) {
		req->pool_len = off;
		return r == MF_E_AGAIN ? set_odd_name(req, field, str, len) : r;
	}
	put_text(req, field, off, (uint32_t)r);
	return 0;
}

int mf_request_set_int(struct mf_request *req, enum mf_field field, int64_t value)
{
	int r = check_field(req, field, MF_T_INT);

	if (r < 0)
		return r;
	if (field == MF_F_FAMILY || value < 0 || value > mf_field_table[field].max)
		return MF_E_INVAL;
	mf_request_slot(req, field)->num = value;
	req->set |= MF_FIELD_BIT(field);
	return 0;
}

int mf_request_set_bool(struct mf_request *req, enum mf_field field, bool value)
{
	int r = check_field(req, field, MF_T_BOOL);

	if (r < 0)
		return r;
	mf_request_slot(req, field)->num = value;
	req->set |= MF_FIELD_BIT(field);
	return 0;
}

static int set_addr(struct mf_request *req, enum mf_field field, const struct mf_addr *addr)
{
	uint32_t off;
	int r = check_field(req, field, MF_T_ADDR);

	if (r < 0)
		return r;
	r = pool_take(req, sizeof(*addr) + 1, &off);
	if (r < 0)
		return r;
	memcpy(req->pool + off, addr, sizeof(*addr));
	*mf_request_slot(req, field) =
		make_slot(off, sizeof(*addr), print_of(req->pool + off, sizeof(*addr), 0));
	req->set |= MF_FIELD_BIT(field);
	req->wide |= MF_FIELD_BIT(field);
	if (field == MF_F_IP) {
		mf_request_slot(req, MF_F_FAMILY)->num = addr->family;
		req->set |= MF_FIELD_BIT(MF_F_FAMILY);
	}
	return 0;
}

int mf_request_set_addr(struct mf_request *req, enum mf_field field, const uint8_t *bytes,
			size_t len)
{
	struct mf_addr addr;

	if (!mf_addr_from_bytes(&addr, bytes, len))
		return MF_E_INVAL;
	return set_addr(req, field, &addr);
}

int mf_request_set_addr_text(struct mf_request *req, enum mf_field field, const char *text)
{
	struct mf_addr addr;
	int r = mf_addr_parse(text, strlen(text), &addr);

	return r < 0 ? r : set_addr(req, field, &addr);
}

/* Make the list's bytes the last of the pool, with room for @more behind them. */
static int list_to_end(struct mf_request *req, union mf_slot *slot, size_t more)
{
	uint32_t at, len = mf_slot_len(*slot);
	int r;

	/* The last of the pool already; the byte behind every value is free to be used again. */
	if (len && mf_slot_off(*slot) + len + 1 == req->pool_len &&
	    more < req->pool_room - req->pool_len) {
		req->pool_len += (uint32_t)more;
		return 0;
	}
	r = pool_take(req, len + more, &at);
	if (r < 0)
		return r;
	memmove(req->pool + at, req->pool + mf_slot_off(*slot), len);
	move_slot(slot, at);
	return 0;
}

int mf_request_add_str(struct mf_request *req, enum mf_field field, const char *str, size_t len)
{
	enum mf_canon canon;
	char name[MF_NAME_ROOM];
	uint8_t *cnt, *item;
	union mf_slot *slot;
	uint32_t n;
	int r;

	r = check_field(req, field, MF_T_LIST);
	if (r < 0)
		return r;
	slot = mf_request_slot(req, field);
	cnt = &req->list_cnt[mf_field_table[field].slot];
	if (!(req->set & MF_FIELD_BIT(field))) {
		*slot = make_slot(0, 0, 0);
		*cnt = 0;
	}
	if (*cnt >= MF_REQUEST_LIST_MAX)
		return MF_E_LIMIT;
	if (len > MF_REQUEST_STR_MAX || mf_slot_len(*slot) + len > MF_REQUEST_STR_MAX)
		return MF_E_SYNTAX;
	canon = (enum mf_canon)mf_field_table[field].canon;
	if (canon == MF_CANON_NAME) {
		r = mf_request_canon_name(str, len, name);
		if (r < 0)
			return r;
		str = name;
		len = (size_t)r;
		canon = MF_CANON_NONE;
	}
	/* The slot follows the bytes when the pool moves: while it is set, pool_rebuild() keeps it up to date. */
	r = list_to_end(req, slot, len + MF_LIST_ITEM_OVERHEAD + 1);
	if (r < 0)
		return r;
	item = req->pool + mf_slot_off(*slot) + mf_slot_len(*slot);
	r = mf_request_canon_text(canon, str, len, (char *)item + 4);
	if (r < 0) {
		req->pool_len = mf_slot_off(*slot) + mf_slot_len(*slot);
		return r;
	}
	n = (uint32_t)r;
	memcpy(item, &n, 4);
	item[4 + n] = '\0';
	*slot = make_slot(mf_slot_off(*slot), mf_slot_len(*slot) + n + MF_LIST_ITEM_OVERHEAD,
			  print_of(item + 4, n, mf_slot_print(*slot)));
	/* pool_rebuild() copies one byte more than the length of every value. */
	req->pool_len = mf_slot_off(*slot) + mf_slot_len(*slot) + 1;
	req->set |= MF_FIELD_BIT(field);
	req->wide |= MF_FIELD_BIT(field);
	++*cnt;
	return 0;
}

static int compare_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

static void put_item(uint8_t *out, uint32_t *len, const char *str, size_t n)
{
	uint32_t n32 = (uint32_t)n;

	memcpy(out + *len, &n32, 4);
	memcpy(out + *len + 4, str, n);
	out[*len + 4 + n32] = '\0';
	*len += n32 + MF_LIST_ITEM_OVERHEAD;
}

int mf_request_set_label(struct mf_request *req, const char *key, const char *value)
{
	size_t key_len = strlen(key), value_len = strlen(value), pos = 0, n, m;
	struct mf_value all;
	const char *k, *v;
	uint32_t off, len = 0;
	uint8_t cnt = 0;
	bool done = false;
	int r;

	if (key_len == 0 || key_len > 255 || value_len > 4096)
		return MF_E_SYNTAX;
	if (req->fetching)
		return MF_E_EXIST;
	r = pool_take(req, req->labels_len + key_len + value_len + 2 * MF_LIST_ITEM_OVERHEAD, &off);
	if (r < 0)
		return r;
	/* Merge into the sorted list, replacing an equal key. */
	all = mf_request_labels(req);
	while ((k = mf_list_next(&all, &pos, &n)) && (v = mf_list_next(&all, &pos, &m))) {
		int c = compare_text(key, key_len, k, n);

		if (!done && c <= 0) {
			put_item(req->pool + off, &len, key, key_len);
			put_item(req->pool + off, &len, value, value_len);
			done = true;
			cnt++;
		}
		if (c == 0)
			continue;
		put_item(req->pool + off, &len, k, n);
		put_item(req->pool + off, &len, v, m);
		cnt++;
	}
	if (!done) {
		put_item(req->pool + off, &len, key, key_len);
		put_item(req->pool + off, &len, value, value_len);
		cnt++;
	}
	if (cnt > MF_REQUEST_LABEL_MAX) {
		req->pool_len = off;
		return MF_E_LIMIT;
	}
	req->pool_len = off + len;
	req->labels_off = off;
	req->labels_len = len;
	req->label_cnt = cnt;
	return 0;
}

struct mf_value mf_request_label(const struct mf_request *req, const char *key, size_t len)
{
	struct mf_value all = mf_request_labels(req), ret = { .type = MF_T_NIL };
	const char *k, *v;
	size_t pos = 0, n, m;

	while ((k = mf_list_next(&all, &pos, &n)) && (v = mf_list_next(&all, &pos, &m))) {
		if (n != len || memcmp(k, key, n) != 0)
			continue;
		ret.type = MF_T_STR;
		ret.ptr = (const uint8_t *)v;
		ret.len = (uint32_t)m;
		break;
	}
	return ret;
}

void mf_request_set_fetch(struct mf_request *req, mf_fetch_fn fetch, void *ctx, uint64_t fields)
{
	req->fetch = fetch;
	req->fetch_ctx = ctx;
	req->lazy = fetch ? fields : 0;
}

void mf_request_set_dry(struct mf_request *req)
{
	req->dry = true;
}

void mf_request_set_names_only(struct mf_request *req, bool on)
{
	mf_request_slot(req, MF_F_FAMILY)->num = 0;
	if (on)
		req->set |= MF_FIELD_BIT(MF_F_FAMILY);
	else
		req->set &= ~MF_FIELD_BIT(MF_F_FAMILY);
}

bool mf_request_is_names_only(const struct mf_request *req)
{
	const uint64_t both = MF_FIELD_BIT(MF_F_FAMILY) | MF_FIELD_BIT(MF_F_IP);

	return (req->kind == MF_CONNECT || req->kind == MF_SNI) &&
	       (req->set & both) == MF_FIELD_BIT(MF_F_FAMILY);
}

void mf_request_set_derived(struct mf_request *req, uint64_t fields)
{
	req->derived = fields;
}

void mf_request_fetch(struct mf_request *req, enum mf_field field)
{
	uint64_t before = req->set;

	req->lazy &= ~MF_FIELD_BIT(field);
	if (!req->fetch || req->fetching)
		return;
	req->fetching = true;
	/* Whatever it returns, what counts is whether the field has a value now. */
	(void)req->fetch(req, field, req->fetch_ctx);
	req->fetching = false;
	if (req->derived & MF_FIELD_BIT(field))
		req->derived_now |= req->derived & (MF_FIELD_BIT(field) | (req->set & ~before));
	else
		req->fetch_cnt++;
}
