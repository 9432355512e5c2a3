/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h - the value of a request field, as policies read it and as the graph and the memo remember it
 *
 * Two values are equal exactly when Lua could not tell them apart: same type, same number or same bytes.
 */
#ifndef MF_POLICY_VALUE_H
#define MF_POLICY_VALUE_H

#include <stdbool.h>

#include "core/base/addr.h"
#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/strbuf.h"

enum mf_type { MF_T_NIL, MF_T_STR, MF_T_INT, MF_T_BOOL, MF_T_ADDR, MF_T_LIST, MF_TYPE_NUM };

/* Borrows its bytes from the request (or the graph) that it was read from. */
struct mf_value {
	uint8_t type; /* enum mf_type */
	uint32_t len; /* bytes at ptr; 0 for nil, int and bool */
	const uint8_t *
		ptr; /* str: NUL-terminated text; addr: a struct mf_addr; list: items, see mf_list_next() */
	int64_t num; /* int, bool; of a list the number of items */
};

/* A list is its items one behind another: 4 bytes of length (host order), the bytes, a NUL. */
#define MF_LIST_ITEM_OVERHEAD 5

/**
 * mf_list_next() - Walk a list
 * @pos: 0 to begin with; moved on
 * Return: the item's text (NUL-terminated, its length in *ret_len), NULL at the end
 */
static inline const char *mf_list_next(const struct mf_value *list, size_t *pos, size_t *ret_len)
{
	uint32_t len;
	const uint8_t *p = list->ptr + *pos;

	if (list->type != MF_T_LIST || *pos >= list->len)
		return NULL;
	memcpy(&len, p, 4);
	*pos += len + MF_LIST_ITEM_OVERHEAD;
	*ret_len = len;
	return (const char *)p + 4;
}

static inline bool mf_value_eq(const struct mf_value *a, const struct mf_value *b)
{
	return a->type == b->type && a->len == b->len && a->num == b->num &&
	       (a->len == 0 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

static inline uint64_t mf_value_hash(const struct mf_value *v, uint64_t seed)
{
	uint64_t h = seed ^ ((uint64_t)v->type << 56);

	if (v->len)
		return mf_hash_bytes(v->ptr, v->len, h);
	return mf_hash_u64((uint64_t)v->num, h);
}

/** mf_json_add_str() - Append @len bytes as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD */
void mf_json_add_str(struct mf_strbuf *b, const char *str, size_t len);
/** mf_value_add_json() - Append a value as JSON: null, "text", 5, true, "192.0.2.1", ["a", "b"] */
void mf_value_add_json(struct mf_strbuf *b, const struct mf_value *v);

#endif
