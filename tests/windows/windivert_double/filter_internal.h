/* SPDX-License-Identifier: Apache-2.0 */
/* filter_internal.h - the compiled form of a filter, and the fields that tests read */
#ifndef WDD_FILTER_INTERNAL_H
#define WDD_FILTER_INTERNAL_H

#include "filter.h"

#define WDD_NODES_MAX 1024

__extension__ typedef unsigned __int128 wdd_u128; /* the language's numbers */

enum wdd_op { WDD_EQ, WDD_NE, WDD_LT, WDD_GT, WDD_LE, WDD_GE };

struct wdd_node {
	enum { WDD_CONST, WDD_NOT, WDD_AND, WDD_OR, WDD_COND, WDD_TEST } kind;
	enum wdd_op op;
	int field;
	int a, b, c; /* nodes; the index of an array field; the value of a constant */
	wdd_u128 value;
};

struct wdd_filter {
	int layer, root;
	unsigned tests, nodes_cnt;
	struct wdd_node nodes[WDD_NODES_MAX];
};

struct wdd_input {
	const uint8_t *addr;
	uint32_t bits;
	const struct wdd_pkt *k;
	int layer;
};

/** wdd_field_find() - Return: the field's number, or -1 if @layer has no such field */
int wdd_field_find(const char *name, size_t len, int layer);
bool wdd_field_is_array(int field);
/** wdd_field_get() - Return: false if the packet or event has no such field */
bool wdd_field_get(int field, int index, const struct wdd_input *in, wdd_u128 *ret);
bool wdd_macro_find(const char *name, size_t len, int layer, wdd_u128 *ret);

#endif
