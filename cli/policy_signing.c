/* SPDX-License-Identifier: Apache-2.0 */
/* policy_signing.c - see policy_signing.h */
#include "cli/policy_signing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/paths.h"
#include "core/base/clock.h"
#include "core/policy/files.h"
#include "packs/disk.h"
#include "packs/policy_keys.h"

void mf_policy_signing_init(struct mf_policy_signing *s)
{
	*s = (struct mf_policy_signing){ 0 };
	(void)pthread_mutex_init(&s->lock, NULL);
}

void mf_policy_signing_change(struct mf_policy_signing *s, const char *trust_store,
			      enum mf_signing_mode mode)
{
	pthread_mutex_lock(&s->lock);
	s->trust_store = trust_store;
	s->mode = mode;
	pthread_mutex_unlock(&s->lock);
}

enum mf_signing_mode mf_policy_signing_mode(const char *word)
{
	static const char *const words[] = { "enforce", "warn", "off" };
	_Static_assert(MF_ARRAY_SIZE(words) == MF_SIGNING_MODE_NUM, "a word for each mode");
	int i = 0;

	while (i < MF_SIGNING_MODE_NUM && strcmp(word, words[i]) != 0)
		i++;
	return (enum mf_signing_mode)i;
}

int mf_policy_signing_take_mode(const struct mf_usage *usage, struct mf_policy_signing *s,
				const char *value)
{
	enum mf_signing_mode mode = mf_policy_signing_mode(value);

	if (mode == MF_SIGNING_MODE_NUM)
		return mf_options_wrong(
			usage, "--signing knows 'enforce', 'warn' and 'off', not '%s'", value);
	s->mode = mode;
	s->said = true;
	return 0;
}

/* Who may write to the store says who signs. */
static int check_store(const struct mf_policy_signing *s, bool again, struct mf_err *err)
{
	struct mf_err why = { 0 };
	int r = mf_pack_disk_check(s->trust_store, &why);

	if (r == MF_E_PERM && s->mode == MF_SIGNING_WARN) {
		if (!again)
			mf_log_warning(s->log, "%s", why.msg);
		return 0;
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

/* The signature beside @file; *ret_sig NULL: there is none */
static int read_signature(const char *file, char **ret_sig, size_t *ret_len, struct mf_err *err)
{
	char path[MF_PATH_MAX];
	int r;

	*ret_sig = NULL;
	*ret_len = 0;
	if (snprintf(path, sizeof(path), "%s.sig", file) >= (int)sizeof(path))
		return mf_err_set(err, MF_E_LIMIT, "%s: the path is too long", file);
	r = mf_file_read(path, MF_SIGNATURE_TEXT_MAX, ret_sig, ret_len, err);
	return r == MF_E_NOENT ? 0 : r;
}

/* As it is for one file: @store has room for MF_PATH_MAX. */
static struct mf_policy_signing now_of(struct mf_policy_signing *s, char *store)
{
	struct mf_policy_signing now = { .log = s->log };

	pthread_mutex_lock(&s->lock);
	now.mode = s->mode;
	if (s->trust_store) {
		snprintf(store, MF_PATH_MAX, "%s", s->trust_store);
		now.trust_store = store;
	}
	pthread_mutex_unlock(&s->lock);
	return now;
}

static int check(void *ctx, const char *file, const void *text, size_t len, bool again,
		 struct mf_err *err)
{
	char store[MF_PATH_MAX];
	const struct mf_policy_signing now = now_of(ctx, store), *s = &now;
	uint64_t now_s = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	struct mf_policy_keys *keys = calloc(1, sizeof(*keys));
	enum mf_policy_signed what = MF_POLICY_INVALID_SIGNATURE;
	struct mf_err why = { 0 };
	char *sig = NULL;
	size_t sig_len = 0;
	int r;

	if (s->mode == MF_SIGNING_OFF || !s->trust_store) {
		free(keys);
		return 0;
	}
	if (!keys)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while checking signatures");
	r = check_store(s, again, err);
	if (r == 0)
		r = mf_policy_keys_read(s->trust_store, keys, err);
	if (r == 0)
		r = read_signature(file, &sig, &sig_len, err);
	if (r == 0) {
		what = mf_policy_signature_check(keys, sig, sig_len, text, len, now_s, NULL, &why);
		if (what != MF_POLICY_SIGNED)
			r = mf_err_at(err, MF_E_PERM, file, 0, 0, "%s: %s (%s)", file,
				      mf_policy_signed_word(what), why.msg);
	}
	if (r == MF_E_PERM && what != MF_POLICY_SIGNED && s->mode == MF_SIGNING_WARN) {
		if (!again)
			mf_log_warning(s->log, "%s: %s (%s)", file, mf_policy_signed_word(what),
				       why.msg);
		r = 0;
	}
	free(sig);
	free(keys);
	return r;
}

int mf_policy_signing_guard(struct mf_policy_signing *s, struct mf_source_guard *ret,
			    struct mf_err *err)
{
	*ret = (struct mf_source_guard){ 0 };
	if (s->mode == MF_SIGNING_OFF && !s->may_change)
		return 0;
	if (!s->trust_store && s->mode != MF_SIGNING_OFF && (s->said || !s->may_change))
		return s->said ? mf_err_set(
					 err, MF_E_INVAL,
					 "--signing: whose signatures count? Give --trust-store.")
			       : 0;
	*ret = (struct mf_source_guard){ check, s };
	return 0;
}
