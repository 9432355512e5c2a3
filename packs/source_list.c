/* SPDX-License-Identifier: Apache-2.0 */
/* source_list.c - see source_list.h */
#include "packs/source_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"
#include "core/policy/yaml_tree.h"
#include "packs/source.h"
#include "packs/store.h"

struct field {
	const char *name;
	size_t at, size; /* in struct mf_source_entry */
	bool optional;
};

#define FIELD(member, can_miss)                                                 \
	{                                                                       \
#member, offsetof(struct mf_source_entry, member),              \
			sizeof(((struct mf_source_entry *)0)->member), can_miss \
	}

static const struct field fields[] = {
	FIELD(name, false), FIELD(address, false),    FIELD(channel, false),
	FIELD(ca, true),    FIELD(credentials, true),
};

/* Text that stands between quotes in YAML as it is. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 32 || *text == 127 || *text == '"' || *text == '\\')
			return false;
	return true;
}

int mf_source_list_add(struct mf_source_list *list, const struct mf_source_entry *e,
		       struct mf_err *err)
{
	int r;

	if (!mf_pack_is_id(e->name) || !mf_pack_is_id(e->channel))
		return mf_err_set(err, MF_E_INVAL,
				  "\"%s\" is no name for a source or channel: lower-case letters, "
				  "digits, \"-\", \"_\" and \".\"",
				  mf_pack_is_id(e->name) ? e->channel : e->name);
	if (!is_plain(e->address) || !is_plain(e->ca) || !is_plain(e->credentials))
		return mf_err_set(err, MF_E_INVAL,
				  "addresses and paths have no quotes, backslashes or line ends");
	r = mf_pack_source_check(e->address, err);
	if (r < 0)
		return r;
	if (mf_source_list_find(list, e->name))
		return mf_err_set(err, MF_E_EXIST, "there is a source \"%s\" already", e->name);
	if (list->cnt == MF_SOURCE_LIST_MAX)
		return mf_err_set(err, MF_E_FULL, "there are %d sources already",
				  MF_SOURCE_LIST_MAX);
	list->items[list->cnt++] = *e;
	return 0;
}

struct mf_source_entry *mf_source_list_find(struct mf_source_list *list, const char *name)
{
	for (size_t i = 0; i < list->cnt; i++)
		if (strcmp(list->items[i].name, name) == 0)
			return &list->items[i];
	return NULL;
}

static int fail_at(struct mf_err *err, const char *file, const struct mf_yaml_node *at,
		   const char *what)
{
	return mf_err_at(err, MF_E_SYNTAX, file, at->line, at->column, "%s", what);
}

static int take_source(const struct mf_yaml_node *n, const char *file, struct mf_source_list *list,
		       struct mf_err *err)
{
	struct mf_source_entry e = { 0 };
	struct mf_err why = { 0 };

	if (n->kind != MF_YAML_MAP)
		return fail_at(err, file, n, "a source is a mapping: name, address, channel");
	for (size_t i = 0; i < n->cnt; i++) {
		const struct mf_yaml_node *key = mf_yaml_key(n, i), *v = mf_yaml_value(n, i);
		size_t f = 0;

		while (f < MF_ARRAY_SIZE(fields) && strcmp(fields[f].name, key->text) != 0)
			f++;
		if (f == MF_ARRAY_SIZE(fields))
			return fail_at(err, file, key,
				       "a source has name, address, channel, ca and credentials");
		if (v->kind != MF_YAML_SCALAR || !*v->text || strlen(v->text) >= fields[f].size)
			return fail_at(err, file, v, "a text that is not empty and not that long");
		memcpy((char *)&e + fields[f].at, v->text, strlen(v->text) + 1);
	}
	for (size_t f = 0; f < MF_ARRAY_SIZE(fields); f++)
		if (!fields[f].optional && !*((const char *)&e + fields[f].at))
			return fail_at(err, file, n,
				       "a source has at least name, address and channel");
	return mf_source_list_add(list, &e, &why) < 0 ? fail_at(err, file, n, why.msg) : 0;
}

int mf_source_list_parse(const char *text, size_t len, const char *file, struct mf_source_list *ret,
			 struct mf_err *err)
{
	const struct mf_yaml_node *root, *list;
	struct mf_yaml_tree *tree;
	int r;

	*ret = (struct mf_source_list){ 0 };
	r = mf_yaml_read(text, len, file, &tree, err);
	if (r < 0)
		return r;
	root = mf_yaml_root(tree);
	list = mf_yaml_get(root, "sources");
	if (root->kind != MF_YAML_MAP || root->cnt != 1 || !list || list->kind != MF_YAML_LIST)
		r = fail_at(err, file, root, "a mapping with one key, \"sources\": a list");
	for (size_t i = 0; r == 0 && i < list->cnt; i++)
		r = take_source(list->items[i], file, ret, err);
	mf_yaml_free(tree);
	return r;
}

int mf_source_list_read(const char *path, struct mf_source_list *ret, struct mf_err *err)
{
	char file[4096], *text;
	size_t len;
	int r;

	*ret = (struct mf_source_list){ 0 };
	if (snprintf(file, sizeof(file), "%s/%s", path, MF_STORE_SOURCES_FILE) >= (int)sizeof(file))
		return mf_err_set(err, MF_E_LIMIT, "the path of %.200s... is too long", path);
	r = mf_file_read_below(path, MF_STORE_SOURCES_FILE, MF_SOURCE_LIST_TEXT_MAX, &text, &len,
			       err);
	if (r == MF_E_NOENT)
		return 0;
	if (r == 0) {
		r = mf_source_list_parse(text, len, file, ret, err);
		free(text);
	}
	return r;
}

int mf_source_list_write(const struct mf_source_list *list, struct mf_strbuf *out,
			 struct mf_err *err)
{
	mf_strbuf_addf(out, "# Where packs come from: docs/packs.md\nsources:%s\n",
		       list->cnt ? "" : " []");
	for (size_t i = 0; i < list->cnt; i++)
		for (size_t f = 0; f < MF_ARRAY_SIZE(fields); f++) {
			const char *text = (const char *)&list->items[i] + fields[f].at;

			if (*text)
				mf_strbuf_addf(out, "%s%s: \"%s\"\n", f ? "  " : "- ",
					       fields[f].name, text);
		}
	return out->failed ? mf_err_set(err, MF_E_NOMEM, "out of memory") : 0;
}
