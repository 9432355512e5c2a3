/* SPDX-License-Identifier: Apache-2.0 */
/* publish.c - see publish.h */
#include "packs/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"
#include "packs/archive.h"

/* What the archive @name is; its place among the others is found by its own manifest. */
static int describe(const char *dir, const char *name, struct mf_channel_pack *p,
		    struct mf_pack_manifest *m, struct mf_err *err)
{
	struct mf_pack_tree tree = { 0 };
	struct mf_err why = { 0 };
	char *data, *sig, file[MF_CHANNEL_FILE_ROOM];
	size_t sig_len;
	int r = mf_file_read_below(dir, name, MF_PACK_BYTES_MAX, &data, &p->len, err);

	if (r < 0)
		return r;
	r = mf_pack_archive_read((const uint8_t *)data, p->len, &tree, &why);
	if (r == 0)
		r = mf_pack_manifest_read(&tree, name, m, &why);
	if (r == 0)
		r = mf_pack_hash(data, p->len, p->hash);
	mf_pack_tree_done(&tree);
	free(data);
	if (r < 0)
		return mf_err_set(err, r, "%s/%s: %s", dir, name, why.msg);
	memcpy(p->name, m->name, sizeof(p->name));
	memcpy(p->version, m->version, sizeof(p->version));
	mf_channel_file(p, file);
	if (strcmp(file, name) != 0)
		return mf_err_set(err, MF_E_BAD, "%s/%s is %s %s: it must be called %s", dir, name,
				  m->name, m->version, file);
	for (unsigned format = 0; format < MF_SIGNATURE_FORMAT_NUM; format++) {
		p->format = (enum mf_signature_format)format;
		mf_channel_signature_file(p, file);
		r = mf_file_read_below(dir, file, MF_SIGNATURE_TEXT_MAX, &sig, &sig_len, err);
		if (r == 0)
			free(sig);
		if (r != MF_E_NOENT)
			return r;
	}
	return mf_err_set(err, r,
			  "%s/%s is not signed: there is neither %s.minisig nor %s.sig beside it",
			  dir, name, name, name);
}

/* One more archive: by name, the newer one of two. */
static int take(struct mf_channel_pack *packs, size_t *cnt, const struct mf_channel_pack *p,
		const struct mf_semver *version, const char *dir, struct mf_err *err)
{
	struct mf_semver before;
	size_t at = 0;

	while (at < *cnt && strcmp(packs[at].name, p->name) < 0)
		at++;
	if (at < *cnt && strcmp(packs[at].name, p->name) == 0) {
		(void)mf_semver_parse(packs[at].version, &before, NULL);
		if (mf_semver_compare(version, &before) > 0)
			packs[at] = *p;
		return 0;
	}
	if (*cnt == MF_CHANNEL_PACKS_MAX)
		return mf_err_set(err, MF_E_LIMIT, "%s has more than %d packs", dir,
				  MF_CHANNEL_PACKS_MAX);
	memmove(&packs[at + 1], &packs[at], ((*cnt)++ - at) * sizeof(*packs));
	packs[at] = *p;
	return 0;
}

static int read_archives(const char *dir, const char *channel, struct mf_channel_pack *packs,
			 size_t *cnt, struct mf_err *err)
{
	struct mf_file_list list;
	int r = mf_file_list_dir(dir, 4 * MF_PUBLISH_ARCHIVES_MAX, &list, err);

	*cnt = 0;
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < list.cnt; i++) {
		struct mf_channel_pack p = { 0 };
		struct mf_pack_manifest m;

		if (!mf_file_name_ends(list.items[i].name, ".mfpack"))
			continue;
		r = describe(dir, list.items[i].name, &p, &m, err);
		if (r == 0 && strcmp(m.channel, channel) == 0)
			r = take(packs, cnt, &p, &m.semver, dir, err);
	}
	mf_file_list_done(&list);
	return r;
}

static int read_last(const char *dir, const struct mf_publish_options *o, struct mf_channel *ret,
		     struct mf_err *err)
{
	struct mf_trust_key key = { .name = "key", .roles = 1u << MF_TRUST_CHANNEL };
	struct mf_trust *trust = calloc(1, sizeof(*trust));
	char name[MF_PACK_NAME_MAX + 16], hash[MF_PACK_HASH_ROOM], *text = NULL;
	struct mf_err why = { 0 };
	size_t len;
	int r, head;

	snprintf(name, sizeof(name), "%s" MF_CHANNEL_ENDING, o->channel);
	r = trust ? mf_file_read_below(dir, name, MF_CHANNEL_MAX, &text, &len, err)
		  : mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (r == 0 && o->key) {
		key.key = *o->key;
		key.key.expires_s = 0;
		r = mf_trust_add(trust, &key, err);
		/* Long expired or not: what counts is its number. */
		if (r == 0)
			r = mf_channel_open(trust, 0, name, o->channel, text, len, ret, hash, err);
	} else if (r == 0) {
		head = mf_channel_split(text, len);
		r = head < 0 ? head : mf_channel_parse(text + head, len - (size_t)head, ret, &why);
		if (r < 0)
			mf_err_set(err, r, "%s/%s: %s", dir, name,
				   *why.msg ? why.msg : "it has no signature");
	}
	free(text);
	free(trust);
	return r;
}

static int check_there(const char *dir, const struct mf_channel *c, struct mf_err *err)
{
	for (size_t i = 0; i < c->pack_cnt; i++) {
		struct mf_channel_pack p = { 0 };
		struct mf_pack_manifest m;
		char file[MF_CHANNEL_FILE_ROOM];
		int r;

		mf_channel_file(&c->packs[i], file);
		r = describe(dir, file, &p, &m, err);
		if (r < 0)
			return r;
		if (strcmp(p.hash, c->packs[i].hash) != 0)
			return mf_err_set(err, MF_E_BAD,
					  "%s/%s is not the archive that was published: a new one "
					  "needs a new version",
					  dir, file);
	}
	return 0;
}

static int no_canary_yet(const char *dir, struct mf_err *err)
{
	return mf_err_set(err, MF_E_NOENT,
			  "there is no index of that channel in %s yet: the first one is for all",
			  dir);
}

int mf_publish(const char *dir, const struct mf_publish_options *o, struct mf_channel *ret,
	       struct mf_err *err)
{
	struct mf_channel last = { 0 };
	struct mf_channel_pack packs[MF_CHANNEL_PACKS_MAX];
	size_t cnt;
	int r = read_last(dir, o, &last, err);

	*ret = (struct mf_channel){ .expires_s = o->expires_s, .number = last.number + 1 };
	snprintf(ret->name, sizeof(ret->name), "%s", o->channel);
	if (r == MF_E_NOENT && (o->percent || o->withdraw))
		return no_canary_yet(dir, err);
	if (r < 0 && r != MF_E_NOENT)
		return r;
	r = read_archives(dir, o->channel, packs, &cnt, err);
	if (r < 0)
		return r;
	if (!o->percent && !o->withdraw) {
		memcpy(ret->packs, packs, sizeof(packs));
		ret->pack_cnt = cnt;
		return cnt ? 0
			   : mf_err_set(err, MF_E_NOENT, "there is no archive of channel %s in %s",
					o->channel, dir);
	}
	memcpy(ret->packs, last.packs, sizeof(ret->packs));
	ret->pack_cnt = last.pack_cnt;
	for (size_t i = 0; o->percent && i < cnt; i++) {
		const struct mf_channel_pack *old =
			mf_channel_find(last.packs, last.pack_cnt, packs[i].name);

		if (!old || strcmp(old->hash, packs[i].hash) != 0)
			ret->canary[ret->canary_cnt++] = packs[i];
	}
	ret->percent = o->percent;
	if (o->percent && !ret->canary_cnt)
		return mf_err_set(err, MF_E_NOENT,
				  "there is nothing in %s that is not in force for all", dir);
	return check_there(dir, ret, err);
}
