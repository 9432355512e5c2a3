/* SPDX-License-Identifier: Apache-2.0 */
/* policy_keys.c - see policy_keys.h */
#include "packs/policy_keys.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"

#define FILES_MAX 10000
#define PATH_ROOM 4096

const char *mf_policy_signed_word(enum mf_policy_signed what)
{
	static const char *const words[] = {
		[MF_POLICY_SIGNED] = "signed",
		[MF_POLICY_MISSING_SIGNATURE] = "missing_signature",
		[MF_POLICY_UNKNOWN_KEY] = "unknown_key",
		[MF_POLICY_EXPIRED_KEY] = "expired_key",
		[MF_POLICY_INVALID_SIGNATURE] = "invalid_signature",
		[MF_POLICY_CERT_CHAIN] = "unsupported_cert_chain",
	};
	_Static_assert(sizeof(words) / sizeof(words[0]) == MF_POLICY_SIGNED_NUM, "a word for each");

	return words[what];
}

/* --- the store -------------------------------------------------------------------------------------------------------------- */

/* JSON that does not mean to be a key. */
static bool is_other(const char *text, size_t len)
{
	json_t *o = json_loadb(text, len, JSON_DECODE_ANY, NULL);
	bool other = o && !json_object_get(o, "public_key") && !json_object_get(o, "key_id");

	json_decref(o);
	return other;
}

static int take_key(struct mf_policy_keys *keys, const char *path, const char *text, size_t len,
		    struct mf_err *err)
{
	struct mf_public_key *key = &keys->keys[keys->cnt];
	struct mf_err why = { 0 };
	int r;

	if (is_other(text, len))
		return 0;
	if (keys->cnt == MF_POLICY_KEYS_MAX)
		return mf_err_set(err, MF_E_LIMIT, "%s: more than %d keys", path,
				  MF_POLICY_KEYS_MAX);
	if (len == 0 || text[0] != '{')
		r = mf_err_set(&why, MF_E_BAD, "it is no JSON object");
	else
		r = mf_public_key_parse(text, len, key, &why);
	if (r < 0)
		return mf_err_set(err, r, "%s: %s", path, why.msg);
	for (size_t i = 0; i < keys->cnt; i++)
		if (strcmp(keys->keys[i].id, key->id) == 0)
			return mf_err_set(err, MF_E_EXIST, "%s: another file has the key %s too",
					  path, key->id);
	keys->cnt++;
	return 0;
}

int mf_policy_keys_read(const char *dir, struct mf_policy_keys *ret, struct mf_err *err)
{
	struct mf_file_list list = { 0 };
	int r = mf_file_list_dir(dir, FILES_MAX, &list, err);

	ret->cnt = 0;
	for (size_t i = 0; i < list.cnt && r == 0; i++) {
		char path[PATH_ROOM], *text;
		size_t len;

		if (!mf_file_name_ends(list.items[i].name, ".json"))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, list.items[i].name) >=
		    (int)sizeof(path))
			r = mf_err_set(err, MF_E_LIMIT, "%s: the path is too long", dir);
		if (r == 0)
			r = mf_file_read(path, MF_SIGNATURE_TEXT_MAX, &text, &len, err);
		if (r == 0) {
			r = take_key(ret, path, text, len, err);
			free(text);
		}
	}
	mf_file_list_done(&list);
	return r;
}

/* --- signatures -------------------------------------------------------------------------------------------------------------- */

static bool has_chain(const char *text, size_t len)
{
	json_t *o = json_loadb(text, len, 0, NULL);
	const json_t *chain = json_object_get(o, "cert_chain");
	bool has = json_array_size(chain) || json_object_size(chain) ||
		   (json_is_string(chain) && *json_string_value(chain));

	json_decref(o);
	return has;
}

enum mf_policy_signed mf_policy_signature_check(const struct mf_policy_keys *keys, const char *sig,
						size_t sig_len, const void *text, size_t len,
						uint64_t now_s,
						const struct mf_public_key **ret_key,
						struct mf_err *err)
{
	const struct mf_public_key *key = NULL;
	struct mf_signature s;

	if (!sig) {
		mf_err_set(err, MF_E_PERM, "nobody signed it");
		return MF_POLICY_MISSING_SIGNATURE;
	}
	if (sig_len <= MF_SIGNATURE_TEXT_MAX && has_chain(sig, sig_len)) {
		mf_err_set(err, MF_E_UNSUPPORTED, "its signature has a chain of certificates");
		return MF_POLICY_CERT_CHAIN;
	}
	if (mf_signature_parse(sig, sig_len, &s, err) < 0)
		return MF_POLICY_INVALID_SIGNATURE;
	for (size_t i = 0; i < keys->cnt && !key; i++)
		if (mf_signature_is_by(&s, &keys->keys[i]))
			key = &keys->keys[i];
	if (!key) {
		mf_err_set(err, MF_E_PERM, "no key of the store made its signature");
		return MF_POLICY_UNKNOWN_KEY;
	}
	if (mf_signature_check(&s, key, text, len, err) < 0)
		return MF_POLICY_INVALID_SIGNATURE;
	if (ret_key)
		*ret_key = key;
	if (key->expires_s && now_s >= key->expires_s) {
		char when[32];

		mf_time_text(key->expires_s, when);
		mf_err_set(err, MF_E_PERM, "its key expired at %s", when);
		return MF_POLICY_EXPIRED_KEY;
	}
	return MF_POLICY_SIGNED;
}
