/* SPDX-License-Identifier: Apache-2.0 */
/* trust_file.c - trust.yaml, read strictly and written; see trust.h */
#include <stdio.h>
#include <string.h>

#include "core/policy/yaml_tree.h"
#include "packs/trust.h"

struct reading {
	const char *file;
	struct mf_err *err;
};

static int fail_at(const struct reading *rd, const struct mf_yaml_node *at, const char *what)
{
	return mf_err_at(rd->err, MF_E_SYNTAX, rd->file, at->line, at->column, "%s", what);
}

/* A scalar's text where it fits, else NULL. */
static const char *text_of(const struct mf_yaml_node *n, size_t room)
{
	return n->kind == MF_YAML_SCALAR && *n->text && strlen(n->text) < room ? n->text : NULL;
}

static int take_roles(const struct reading *rd, const struct mf_yaml_node *n,
		      struct mf_trust_key *k)
{
	if (n->kind != MF_YAML_LIST || !n->cnt)
		return fail_at(rd, n, "roles: a list of \"packs\", \"mandatory\" and \"channel\"");
	for (size_t i = 0; i < n->cnt; i++) {
		const char *text = text_of(n->items[i], 32);
		enum mf_trust_role role = text ? mf_trust_role_find(text) : MF_TRUST_ROLE_NUM;

		if (role == MF_TRUST_ROLE_NUM)
			return fail_at(rd, n->items[i],
				       "roles are \"packs\", \"mandatory\" and \"channel\"");
		k->roles |= 1u << role;
	}
	return 0;
}

static int take_packs(const struct reading *rd, const struct mf_yaml_node *n,
		      struct mf_trust_key *k)
{
	if (n->kind != MF_YAML_LIST || !n->cnt || n->cnt > MF_TRUST_PATTERNS_MAX)
		return fail_at(rd, n, "packs: a list of 1 to 16 names, such as \"corp-*\"");
	for (size_t i = 0; i < n->cnt; i++) {
		const char *text = text_of(n->items[i], sizeof(k->packs[0]));

		if (!text || !mf_trust_is_pattern(text))
			return fail_at(rd, n->items[i],
				       "the name of a pack, which may end in \"*\" for any rest");
		snprintf(k->packs[k->pack_cnt++], sizeof(k->packs[0]), "%s", text);
	}
	return 0;
}

static int take_public_key(const struct reading *rd, const struct mf_yaml_node *n,
			   struct mf_trust_key *k)
{
	const char *text = text_of(n, 128);
	struct mf_err why = { 0 };
	uint64_t expires_s = k->key.expires_s;
	int r = text ? mf_public_key_parse(text, strlen(text), &k->key, &why) : MF_E_BAD;

	k->key.expires_s = expires_s;
	if (r == MF_E_NOMEM)
		return mf_err_set(rd->err, r, "out of memory");
	return r < 0 ? fail_at(rd, n, text ? why.msg : "key: the line \"RW...\" of a public key")
		     : 0;
}

static int take_field(const struct reading *rd, const struct mf_yaml_node *key,
		      const struct mf_yaml_node *n, struct mf_trust_key *k, bool *ret_no_minisign)
{
	const char *text;

	if (strcmp(key->text, "roles") == 0)
		return take_roles(rd, n, k);
	if (strcmp(key->text, "packs") == 0)
		return take_packs(rd, n, k);
	if (strcmp(key->text, "key") == 0)
		return take_public_key(rd, n, k);
	if (strcmp(key->text, "name") == 0) {
		text = text_of(n, sizeof(k->name));
		if (!text || !mf_pack_is_id(text))
			return fail_at(rd, n,
				       "name: lower-case letters, digits, \"-\", \"_\" and \".\"");
		snprintf(k->name, sizeof(k->name), "%s", text);
	} else if (strcmp(key->text, "expires") == 0) {
		text = text_of(n, 64);
		if (!text || mf_time_parse(text, &k->key.expires_s) < 0)
			return fail_at(rd, n,
				       "expires: a day such as 2027-12-31, or a time such as "
				       "2027-12-31T12:00:00Z");
	} else if (strcmp(key->text, "revoked") == 0) {
		text = text_of(n, sizeof(k->revoked_why));
		if (!text)
			return fail_at(rd, n,
				       "revoked: the reason, in one line of at most 127 bytes");
		snprintf(k->revoked_why, sizeof(k->revoked_why), "%s", text);
		k->revoked = true;
	} else if (strcmp(key->text, "minisign") == 0) {
		text = text_of(n, 8);
		if (!text || strcmp(text, "no") != 0)
			return fail_at(rd, n, "minisign: \"no\", or nothing");
		*ret_no_minisign = true;
	} else {
		return fail_at(rd, key,
			       "a key has name, key, roles, packs, expires, revoked and minisign");
	}
	return 0;
}

static int take_key(const struct reading *rd, const struct mf_yaml_node *n, struct mf_trust *trust)
{
	struct mf_trust_key k = { 0 };
	struct mf_err why = { 0 };
	bool no_minisign = false;
	int r = 0;

	if (n->kind != MF_YAML_MAP)
		return fail_at(rd, n, "a key is a mapping: name, key, roles ...");
	for (size_t i = 0; r == 0 && i < n->cnt; i++)
		r = take_field(rd, mf_yaml_key(n, i), mf_yaml_value(n, i), &k, &no_minisign);
	if (r < 0)
		return r;
	if (!k.name[0] || !k.key.id[0] || !k.roles)
		return fail_at(rd, n, "a key has at least name, key and roles");
	if (no_minisign)
		k.key.has_number = false;
	return mf_trust_add(trust, &k, &why) < 0 ? fail_at(rd, n, why.msg) : 0;
}

static int take_root(const struct reading *rd, const struct mf_yaml_node *root,
		     struct mf_trust *trust)
{
	const struct mf_yaml_node *keys = mf_yaml_get(root, "keys");
	int r = 0;

	if (root->kind != MF_YAML_MAP || root->cnt != 1 || !keys)
		return fail_at(rd, root, "a trust store is a mapping with one key, \"keys\"");
	if (keys->kind != MF_YAML_LIST)
		return fail_at(rd, keys, "keys: a list");
	for (size_t i = 0; r == 0 && i < keys->cnt; i++)
		r = take_key(rd, keys->items[i], trust);
	return r;
}

int mf_trust_parse(const char *text, size_t len, const char *file, struct mf_trust *ret,
		   struct mf_err *err)
{
	const struct reading rd = { file, err };
	struct mf_yaml_tree *tree;
	int r;

	*ret = (struct mf_trust){ 0 };
	if (len > MF_TRUST_TEXT_MAX)
		return mf_err_at(err, MF_E_LIMIT, file, 0, 0, "a trust store has at most %zu KiB",
				 MF_TRUST_TEXT_MAX >> 10);
	r = mf_yaml_read(text, len, file, &tree, err);
	if (r < 0)
		return r;
	r = take_root(&rd, mf_yaml_root(tree), ret);
	mf_yaml_free(tree);
	return r;
}

/* A double-quoted scalar: what was read may hold anything but NUL. */
static void put_text(struct mf_strbuf *out, const char *key, const char *text)
{
	mf_strbuf_addf(out, "  %s: \"", key);
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			mf_strbuf_addf(out, "\\%c", *p);
		else if ((unsigned char)*p < 32 || *p == 127)
			mf_strbuf_addf(out, "\\x%02x", (unsigned)*p);
		else
			mf_strbuf_addc(out, *p);
	}
	mf_strbuf_adds(out, "\"\n");
}

static void put_key(struct mf_strbuf *out, const struct mf_trust_key *k)
{
	char text[57], when[32];
	const char *comma = "";

	mf_public_key_text(&k->key, text);
	mf_strbuf_addf(out, "- name: %s\n  key: %s\n", k->name, text);
	if (!k->key.has_number)
		mf_strbuf_adds(out, "  minisign: no\n");
	mf_strbuf_adds(out, "  roles: [");
	for (unsigned role = 0; role < MF_TRUST_ROLE_NUM; role++) {
		if (!(k->roles >> role & 1))
			continue;
		mf_strbuf_addf(out, "%s%s", comma, mf_trust_role_name((enum mf_trust_role)role));
		comma = ", ";
	}
	mf_strbuf_adds(out, "]\n");
	for (size_t i = 0; i < k->pack_cnt; i++)
		mf_strbuf_addf(out, "%s\"%s\"", i ? ", " : "  packs: [", k->packs[i]);
	if (k->pack_cnt)
		mf_strbuf_adds(out, "]\n");
	if (k->key.expires_s) {
		mf_time_text(k->key.expires_s, when);
		mf_strbuf_addf(out, "  expires: %s\n", when);
	}
	if (k->revoked)
		put_text(out, "revoked", k->revoked_why);
}

int mf_trust_write(const struct mf_trust *trust, struct mf_strbuf *out, struct mf_err *err)
{
	mf_strbuf_addf(out, "# Whose signatures of packs count: docs/packs.md\nkeys:%s\n",
		       trust->cnt ? "" : " []");
	for (size_t i = 0; i < trust->cnt; i++)
		put_key(out, &trust->keys[i]);
	return out->failed ? mf_err_set(err, MF_E_NOMEM, "out of memory") : 0;
}
