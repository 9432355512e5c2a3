/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c - see trust.h: whose signatures count; trust_file.c reads and writes the file */
#include "packs/trust.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const role_names[] = {
	[MF_TRUST_PACKS] = "packs",
	[MF_TRUST_MANDATORY] = "mandatory",
	[MF_TRUST_CHANNEL] = "channel",
};
_Static_assert(MF_ARRAY_SIZE(role_names) == MF_TRUST_ROLE_NUM, "a name for each role");

const char *mf_trust_role_name(enum mf_trust_role role)
{
	return role_names[role];
}

enum mf_trust_role mf_trust_role_find(const char *name)
{
	unsigned role = 0;

	while (role < MF_TRUST_ROLE_NUM && strcmp(role_names[role], name) != 0)
		role++;
	return (enum mf_trust_role)role;
}

bool mf_trust_is_pattern(const char *pattern)
{
	size_t len = strlen(pattern);
	char name[MF_PACK_NAME_MAX + 2];

	if (len == 0 || len >= sizeof(name))
		return false;
	/* "corp-*" is of packs if "corp-x" is one, "*" if "x" is. */
	memcpy(name, pattern, len + 1);
	if (name[len - 1] == '*')
		name[len - 1] = 'x';
	return mf_pack_is_id(name);
}

int mf_trust_add(struct mf_trust *trust, const struct mf_trust_key *key, struct mf_err *err)
{
	if (!mf_pack_is_id(key->name))
		return mf_err_set(
			err, MF_E_INVAL,
			"\"%s\" is no name for a key: lower-case letters, digits, \"-\", \"_\" "
			"and \".\"",
			key->name);
	for (size_t i = 0; i < key->pack_cnt; i++)
		if (!mf_trust_is_pattern(key->packs[i]))
			return mf_err_set(err, MF_E_INVAL,
					  "\"%s\" is no name of a pack, which may end in \"*\" for "
					  "any rest",
					  key->packs[i]);
	if (trust->cnt == MF_TRUST_KEYS_MAX)
		return mf_err_set(err, MF_E_FULL, "there are %d keys already", MF_TRUST_KEYS_MAX);
	for (size_t i = 0; i < trust->cnt; i++) {
		const struct mf_trust_key *k = &trust->keys[i];

		if (strcmp(k->name, key->name) == 0)
			return mf_err_set(err, MF_E_EXIST, "there is a key \"%s\" already",
					  k->name);
		if (memcmp(k->key.key, key->key.key, sizeof(k->key.key)) == 0)
			return mf_err_set(err, MF_E_EXIST, "\"%s\" has this key already%s", k->name,
					  k->revoked ? ", revoked" : "");
	}
	trust->keys[trust->cnt++] = *key;
	return 0;
}

static bool same_word(const char *a, const char *b)
{
	while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b))
		a++, b++;
	return *a == *b;
}

struct mf_trust_key *mf_trust_find(struct mf_trust *trust, const char *word)
{
	for (size_t i = 0; i < trust->cnt; i++) {
		struct mf_trust_key *k = &trust->keys[i];
		char number[17];

		mf_public_key_number(&k->key, number);
		if (strcmp(k->name, word) == 0 || same_word(k->key.id, word) ||
		    (*number && same_word(number, word)))
			return k;
	}
	return NULL;
}

static int unknown_key(const struct mf_signature *sig, const char *what, struct mf_err *err)
{
	struct mf_public_key key = { .has_number = true };
	char number[17];

	memcpy(key.number, sig->number, sizeof(key.number));
	mf_public_key_number(&key, number);
	return mf_err_set(
		err, MF_E_PERM,
		"%s is signed by key %.64s, which is not trusted here ('moonfence pack trust "
		"add' makes it so)",
		what, sig->format == MF_SIGNATURE_AGENTSH ? sig->id : number);
}

int mf_trust_check(const struct mf_trust *trust, const struct mf_signature *sig, uint64_t now_s,
		   const void *data, size_t len, const char *what,
		   const struct mf_trust_key **ret_key, struct mf_err *err)
{
	const struct mf_trust_key *k = NULL;
	struct mf_err why = { 0 };
	char when[32];
	int r;

	/* Two minisign keys may have one number: made so, or by chance. */
	for (size_t i = 0; i < trust->cnt; i++) {
		if (!mf_signature_is_by(sig, &trust->keys[i].key))
			continue;
		k = &trust->keys[i];
		r = mf_signature_check(sig, &k->key, data, len, &why);
		if (r != MF_E_PERM)
			break;
	}
	if (!k)
		return unknown_key(sig, what, err);
	if (r < 0)
		return mf_err_set(err, r, "%s: %s", what, why.msg);
	if (k->revoked)
		return mf_err_set(err, MF_E_PERM,
				  "%s is signed by \"%s\", a key that is revoked: %s", what,
				  k->name, k->revoked_why);
	if (k->key.expires_s && now_s >= k->key.expires_s) {
		mf_time_text(k->key.expires_s, when);
		return mf_err_set(err, MF_E_PERM,
				  "%s is signed by \"%s\", a key that expired on %s", what, k->name,
				  when);
	}
	*ret_key = k;
	return 0;
}

static bool fits(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static bool may_name(const struct mf_trust_key *key, const char *name)
{
	bool named = key->pack_cnt == 0;

	for (size_t i = 0; i < key->pack_cnt; i++)
		named = named || fits(key->packs[i], name);
	return named;
}

int mf_trust_allows_in_channel(const struct mf_trust_key *key, const char *name, struct mf_err *err)
{
	return may_name(key, name)
		       ? 0
		       : mf_err_set(err, MF_E_PERM,
				    "the key \"%s\" may not name a pack \"%s\" in a channel",
				    key->name, name);
}

int mf_trust_allows(const struct mf_trust_key *key, const struct mf_pack_manifest *m,
		    struct mf_err *err)
{
	if (!may_name(key, m->name))
		return mf_err_set(err, MF_E_PERM, "the key \"%s\" may not sign a pack \"%s\"",
				  key->name, m->name);
	if (!(key->roles >> MF_TRUST_PACKS & 1))
		return mf_err_set(err, MF_E_PERM, "the key \"%s\" may not sign packs", key->name);
	if (m->mandatory && !(key->roles >> MF_TRUST_MANDATORY & 1))
		return mf_err_set(
			err, MF_E_PERM,
			"the key \"%s\" may not sign packs of tier mandatory, which \"%s\" is",
			key->name, m->name);
	return 0;
}
