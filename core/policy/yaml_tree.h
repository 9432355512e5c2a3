/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_tree.h - one YAML document as a tree, read strictly and with bounds; every node knows its place
 *
 *	struct mf_yaml_tree *t;
 *	r = mf_yaml_read(text, len, "policy.yaml", &t, &err);
 *	node = mf_yaml_get(mf_yaml_root(t), "name");
 *	mf_yaml_free(t);
 *
 * Refused: more than one document, an empty one, duplicate keys, keys that are no scalars, tags other than !!str, NUL in
 * text, an alias to an anchor that is not there or not complete yet. Limits: MF_YAML_* below. Aliases share nodes, so that
 * they cost nothing to read; what they would expand to counts against MF_YAML_NODES_MAX ("billion laughs"). Merge keys
 * ("<<") are carried out. Nothing here interprets scalars: `no` and `0x1` are text, and node.plain says whether they stood
 * without quotes.
 */
#ifndef MF_POLICY_YAML_TREE_H
#define MF_POLICY_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

#define MF_YAML_DEPTH_MAX 64 /* lists and mappings in each other */
#define MF_YAML_NODES_MAX \
	1000000 /* scalars, lists and mappings, each alias counted as what it stands for */
#define MF_YAML_KEYS_MAX   1024 /* of one mapping */
#define MF_YAML_ANCHOR_MAX 1000

enum mf_yaml_kind { MF_YAML_SCALAR, MF_YAML_LIST, MF_YAML_MAP, MF_YAML_KIND_NUM };

struct mf_yaml_node {
	enum mf_yaml_kind kind;
	bool plain; /* a scalar without quotes */
	unsigned line, column;
	const char *text; /* of a scalar; NUL-terminated and without others */
	/* Items of a list; of a mapping key, value, key, value ... */
	const struct mf_yaml_node **items;
	size_t cnt; /* items of a list, pairs of a mapping */
	size_t weight;
};

struct mf_yaml_tree;

/**
 * mf_yaml_read() - Read one document (UTF-8, a byte order mark is fine; JSON is YAML)
 * @file: for messages
 * Return: 0; MF_E_SYNTAX, MF_E_LIMIT with the place in @err; MF_E_NOMEM
 */
int mf_yaml_read(const char *text, size_t len, const char *file, struct mf_yaml_tree **ret_tree,
		 struct mf_err *err);
void mf_yaml_free(struct mf_yaml_tree *tree);

const struct mf_yaml_node *mf_yaml_root(const struct mf_yaml_tree *tree);

/**
 * mf_yaml_long_texts() - Which lines of a document belong to texts of several lines (|, >, quoted): blanks at their ends are content
 * @each: first and last line of each, from 0. Return: 0; MF_E_SYNTAX where the text is no YAML, MF_E_NOMEM
 */
int mf_yaml_long_texts(const char *text, size_t len,
		       void (*each)(void *ctx, size_t first, size_t last), void *ctx);

static inline const struct mf_yaml_node *mf_yaml_key(const struct mf_yaml_node *map, size_t i)
{
	return map->items[2 * i];
}

static inline const struct mf_yaml_node *mf_yaml_value(const struct mf_yaml_node *map, size_t i)
{
	return map->items[2 * i + 1];
}

/** mf_yaml_get() - The value of @key; NULL where @map is NULL or no mapping, or has no such key */
const struct mf_yaml_node *mf_yaml_get(const struct mf_yaml_node *map, const char *key);

/** mf_yaml_is_null() - Nothing, "~" or "null" without quotes; or no node at all */
bool mf_yaml_is_null(const struct mf_yaml_node *node);

/** mf_yaml_kind_name() - "text", "a list", "a mapping", for messages */
const char *mf_yaml_kind_name(enum mf_yaml_kind kind);

#endif
