/* SPDX-License-Identifier: Apache-2.0 */
/* store_install.c - what an archive has to pass before it is in force; see store.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packs/archive.h"
#include "packs/store_int.h"

int mf_store_verify(const struct mf_trust *trust, uint64_t now_s, const struct mf_store_archive *a,
		    struct mf_pack_manifest *ret_manifest, struct mf_pack_tree *ret_tree,
		    const struct mf_trust_key **ret_key, struct mf_err *err)
{
	struct mf_pack_tree tree = { 0 };
	struct mf_err why = { 0 };
	struct mf_signature sig;
	int r = mf_signature_parse(a->sig, a->sig_len, &sig, &why);

	if (r < 0)
		return mf_err_set(err, r, "%s: %s", a->name, why.msg);
	r = mf_trust_check(trust, &sig, now_s, a->data, a->len, a->name, ret_key, err);
	if (r < 0)
		return r;
	r = mf_pack_archive_read(a->data, a->len, &tree, &why);
	if (r < 0)
		return mf_err_set(err, r, "%s: %s", a->name, why.msg);
	r = mf_pack_manifest_read(&tree, a->name, ret_manifest, err);
	if (r == 0 && mf_pack_tree_find(&tree, MF_STORE_SIGNATURE))
		r = mf_err_set(err, MF_E_BAD,
			       "%s: it has a file " MF_STORE_SIGNATURE ", which packs get here",
			       a->name);
	if (r == 0 && (r = mf_trust_allows(*ret_key, ret_manifest, &why)) < 0)
		mf_err_set(err, r, "%s: %s", a->name, why.msg);
	if (r == 0 && ret_tree)
		*ret_tree = tree;
	else
		mf_pack_tree_done(&tree);
	return r;
}

/* An archive that is being installed. */
struct incoming {
	const struct mf_store_archive *archive;
	struct mf_pack_manifest manifest;
	struct mf_pack_tree tree;
	struct mf_pack_entry entry;
};

/* An index that gives another channel's archive, or another pack's, as this one. */
static int check_expected(const struct mf_store_archive *a, const struct mf_pack_manifest *m,
			  struct mf_err *err)
{
	if (!a->pack || (strcmp(a->pack, m->name) == 0 && strcmp(a->version, m->version) == 0 &&
			 strcmp(a->channel, m->channel) == 0))
		return 0;
	return mf_err_set(err, MF_E_PERM,
			  "%s is %s %s of channel %s; the index of channel %s gives it as %s %s",
			  a->name, m->name, m->version, m->channel, a->channel, a->pack,
			  a->version);
}

/* Let one archive in as far as its signature and its version go; @g: what is in force with it. */
static int admit(struct mf_store *s, const struct mf_store_archive *a, struct incoming *in,
		 struct mf_err *err)
{
	const struct mf_trust_key *key;
	const struct mf_pack_file *m;
	struct mf_pack_entry *e = &in->entry;
	int r;

	in->archive = a;
	r = mf_store_verify(&s->trust, s->options.now_s, a, &in->manifest, &in->tree, &key, err);
	if (r < 0)
		return r;
	r = check_expected(a, &in->manifest, err);
	if (r < 0)
		return r;
	snprintf(e->name, sizeof(e->name), "%s", in->manifest.name);
	snprintf(e->version, sizeof(e->version), "%s", in->manifest.version);
	snprintf(e->channel, sizeof(e->channel), "%s", in->manifest.channel);
	snprintf(e->key, sizeof(e->key), "%s", key->name);
	m = mf_pack_tree_find(&in->tree, MF_PACK_MANIFEST);
	if (mf_pack_hash(a->data, a->len, e->hash) < 0 ||
	    mf_pack_hash(m->data, m->len, e->manifest) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	return 0;
}

/* One after the other, and no pack twice. */
static int admit_all(struct mf_store *s, const struct mf_store_archive *archives, size_t cnt,
		     struct incoming *in, struct mf_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < cnt; i++) {
		r = admit(s, &archives[i], &in[i], err);
		for (size_t k = 0; r == 0 && k < i; k++)
			if (strcmp(in[k].entry.name, in[i].entry.name) == 0)
				r = mf_err_set(err, MF_E_INVAL, "%s and %s are the same pack",
					       archives[k].name, archives[i].name);
	}
	return r;
}

/* No way back by installing: an old archive keeps its good signature for ever. */
static int check_way(struct mf_store *s, struct mf_pack_state *next, const struct incoming *in,
		     bool for_all, struct mf_err *err)
{
	struct mf_pack_generation *g = mf_pack_state_find(s->state, s->state->active);
	const struct mf_pack_entry *e = &in->entry, *old = g ? mf_store_entry(g, e->name) : NULL;

	if (old && strcmp(old->channel, e->channel) != 0 && !s->options.switch_channel)
		return mf_err_set(err, MF_E_PERM,
				  "%s is of channel %s, but %s %s is followed on channel %s: "
				  "--switch-channel if that is meant",
				  in->archive->name, e->channel, old->name, old->version,
				  old->channel);
	return mf_store_note_seen(next, e, in->archive->name, for_all, err);
}

static int put_files(struct mf_store *s, struct incoming *in, struct mf_err *err)
{
	char dir[MF_PACK_DIR_ROOM];
	int r;

	mf_pack_entry_dir(&in->entry, dir);
	/* What is there and whole stays as it is: somebody may be reading it. */
	if (mf_store_check(s, &in->entry, NULL) == 0)
		return 0;
	r = mf_pack_tree_add(&in->tree, MF_STORE_SIGNATURE, in->archive->sig, in->archive->sig_len,
			     NULL, err);
	return r < 0 ? r
		     : mf_pack_disk_put(s->disk, in->entry.name, strchr(dir, '/') + 1, &in->tree,
					err);
}

/* pack.lua, which the loader will believe, says what MANIFEST says, which was looked at here. */
static int check_described(struct mf_store *s, const struct mf_pack_entry *e,
			   struct mf_pack_manifest *ret, struct mf_err *err)
{
	struct mf_pack p = { .tier = 1 };
	char dir[MF_PACK_DIR_ROOM], path[4096];
	int r;

	mf_pack_entry_dir(e, dir);
	if (snprintf(path, sizeof(path), "%s/%s", s->path, dir) >= (int)sizeof(path))
		return mf_err_set(err, MF_E_LIMIT, "a path below %.200s is too long", s->path);
	r = mf_pack_read(path, &p, err);
	if (r < 0)
		return r;
	r = mf_pack_manifest_of(&p, path, ret, err);
	mf_pack_done(&p);
	return r;
}

static int check_agrees(struct mf_store *s, const struct incoming *in, struct mf_err *err)
{
	struct mf_strbuf a = MF_STRBUF_INIT(MF_PACK_MANIFEST_MAX),
			 b = MF_STRBUF_INIT(MF_PACK_MANIFEST_MAX);
	static const struct mf_pack_tree none;
	struct mf_pack_manifest m;
	int r = check_described(s, &in->entry, &m, err);

	if (r == 0)
		r = mf_pack_manifest_write(&in->manifest, &none, &a, err);
	if (r == 0)
		r = mf_pack_manifest_write(&m, &none, &b, err);
	if (r == 0 && strcmp(a.str, b.str) != 0)
		r = mf_err_set(err, MF_E_BAD, "%s: its pack.lua and its MANIFEST are of two minds",
			       in->archive->name);
	mf_strbuf_done(&a);
	mf_strbuf_done(&b);
	return r;
}

int mf_store_check_requires(struct mf_store *s, struct mf_pack_generation *g, struct mf_err *err)
{
	struct mf_pack_manifest m;

	for (size_t i = 0; i < g->cnt; i++) {
		int r = check_described(s, &g->packs[i], &m, err);

		if (r < 0)
			return r;
		for (size_t k = 0; k < m.require_cnt; k++) {
			const struct mf_pack_require *q = &m.requires[k];
			struct mf_pack_entry *e = mf_store_entry(g, q->name);
			struct mf_semver_range range;
			struct mf_semver version;

			if (!e)
				return mf_err_set(err, MF_E_NOENT,
						  "%s %s requires %s %s, which is not installed",
						  m.name, m.version, q->name, q->range);
			r = mf_semver_range_parse(q->range, &range, err);
			if (r == 0)
				r = mf_semver_parse(e->version, &version, err);
			if (r < 0)
				return r;
			if (!mf_semver_range_has(&range, &version))
				return mf_err_set(
					err, MF_E_NOENT,
					"%s %s requires %s %s, but %s %s would be in force", m.name,
					m.version, q->name, q->range, e->name, e->version);
		}
	}
	return 0;
}

int mf_store_try(struct mf_store *s, const struct mf_pack_generation *g, struct mf_err *err)
{
	struct mf_runtime_options o = { .size = sizeof(o), .stdlib_dir = s->options.stdlib_dir };
	const char *paths[MF_PACK_STATE_PACKS];
	char(*texts)[4096] = calloc(g->cnt + 1, sizeof(*texts));
	struct mf_runtime *rt = NULL;
	int r = 0;

	if (!texts)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < g->cnt; i++) {
		char dir[MF_PACK_DIR_ROOM];

		mf_pack_entry_dir(&g->packs[i], dir);
		if (snprintf(texts[i], sizeof(*texts), "%s/%s", s->path, dir) >=
		    (int)sizeof(*texts))
			r = mf_err_set(err, MF_E_LIMIT, "a path below %.200s is too long", s->path);
		paths[i] = texts[i];
	}
	if (r == 0 && g->cnt) {
		r = mf_runtime_new(&o, &rt, err);
		if (r == 0)
			r = mf_runtime_load(rt, paths, g->cnt, err);
		mf_runtime_free(rt);
	}
	free(texts);
	return r;
}

/* What the archives for all make active; Return: 1: nothing else than before */
static int set_active(struct mf_store *s, struct mf_pack_state *next, const struct incoming *in,
		      size_t cnt, struct mf_err *err)
{
	struct mf_pack_generation *g = mf_pack_state_find(next, next->active);
	size_t old = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < cnt; i++) {
		old += mf_store_has(g, &in[i].entry);
		r = check_way(s, next, &in[i], true, err);
	}
	if (r < 0 || old == cnt)
		return r < 0 ? r : 1;
	g = mf_store_add_generation(next, next->active);
	next->active = g->number;
	for (size_t i = 0; r == 0 && i < cnt; i++)
		r = mf_store_put_entry(g, &in[i].entry, err);
	return r;
}

static int set_canary(struct mf_store *s, struct mf_pack_state *next,
		      const struct mf_store_change *c, const struct incoming *in,
		      struct mf_err *err)
{
	const struct incoming *canary = in + c->cnt;
	char leave[3 * MF_STORE_TOGETHER][MF_PACK_NAME_MAX + 1];
	struct mf_pack_entry more[MF_STORE_TOGETHER];
	size_t leave_cnt = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->canary_cnt; i++) {
		more[i] = canary[i].entry;
		r = check_way(s, next, &canary[i], false, err);
	}
	for (size_t i = 0; i < c->leave_cnt; i++)
		memcpy(leave[leave_cnt++], c->leave[i], sizeof(leave[0]));
	for (size_t i = 0; i < c->cnt; i++)
		memcpy(leave[leave_cnt++], in[i].entry.name, sizeof(leave[0]));
	if (r < 0 || (!next->canary && !c->canary_cnt))
		return r;
	return mf_store_rebase_canary(next, s->state->active, more, c->canary_cnt, c->percent,
				      leave, leave_cnt, err);
}

/* A generation that comes to be in force, for all or some. */
static int check_new(struct mf_store *s, struct mf_pack_state *next, uint32_t number,
		     struct mf_err *err)
{
	struct mf_pack_generation *g = mf_pack_state_find(next, number);
	int r = g ? mf_store_check_requires(s, g, err) : 0;

	return r < 0 || !g ? r : mf_store_try(s, g, err);
}

static int apply(struct mf_store *s, const struct mf_store_change *c, struct incoming *in,
		 struct mf_pack_state *next, struct mf_err *err)
{
	const struct mf_pack_state *now = s->state;
	size_t cnt = c->cnt + c->canary_cnt;
	bool new_active, new_canary;
	int r = admit_all(s, c->archives, c->cnt, in, err);

	if (r == 0)
		r = admit_all(s, c->canary, c->canary_cnt, in + c->cnt, err);
	if (r == 0)
		r = set_active(s, next, in, c->cnt, err);
	if (r >= 0)
		r = set_canary(s, next, c, in, err);
	if (r < 0)
		return r;
	new_active = next->active != now->active;
	/* Another one may have got the number of the one before. */
	new_canary =
		next->canary &&
		(!now->canary || !mf_store_same_packs(mf_pack_state_find(next, next->canary),
						      mf_pack_state_find(s->state, now->canary)));
	if (!new_active && !new_canary && next->canary == now->canary &&
	    next->canary_percent == now->canary_percent)
		return 1;
	for (size_t i = 0; r == 0 && i < cnt; i++)
		r = put_files(s, &in[i], err);
	for (size_t i = 0; r == 0 && i < cnt; i++)
		r = check_agrees(s, &in[i], err);
	if (r == 0 && new_active)
		r = check_new(s, next, next->active, err);
	if (r == 0 && new_canary)
		r = check_new(s, next, next->canary, err);
	return r;
}

/* What was put there for an installation that came to nothing. */
static void take_back(struct mf_store *s, const struct incoming *in, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		char dir[MF_PACK_DIR_ROOM];

		if (!in[i].entry.hash[0] || mf_store_is_used(s->state, &in[i].entry))
			continue;
		mf_pack_entry_dir(&in[i].entry, dir);
		mf_pack_disk_remove(s->disk, in[i].entry.name, strchr(dir, '/') + 1);
	}
}

/* No way back by an index either, and no two of one number. */
static int check_source(struct mf_store *s, const struct mf_pack_state_source *source,
			struct mf_err *err)
{
	const struct mf_pack_state_source *last =
		mf_store_source(s->state, source->name, source->channel);

	if (!last && s->state->source_cnt == MF_PACK_STATE_SOURCES)
		return mf_err_set(err, MF_E_FULL, "channels of more than %d sources were followed",
				  MF_PACK_STATE_SOURCES);
	if (last && source->number < last->number)
		return mf_err_set(err, MF_E_PERM,
				  "source %s gives index %u of channel %s, older than index %u, "
				  "which was carried out before",
				  source->name, source->number, source->channel, last->number);
	if (last && source->number == last->number && strcmp(source->hash, last->hash) != 0)
		return mf_err_set(err, MF_E_PERM,
				  "source %s gives another index %u of channel %s than before: one "
				  "number is one index",
				  source->name, source->number, source->channel);
	return 0;
}

int mf_store_apply(struct mf_store *s, const struct mf_store_change *c, struct mf_err *err)
{
	struct mf_pack_state *next;
	struct incoming *in;
	int r, done;

	if (c->cnt > MF_STORE_TOGETHER || c->canary_cnt > MF_STORE_TOGETHER ||
	    c->leave_cnt > 2 * MF_STORE_TOGETHER || (c->canary_cnt && !c->percent))
		return mf_err_set(err, MF_E_INVAL, "1 to %d archives are installed together",
				  MF_STORE_TOGETHER);
	r = c->source ? check_source(s, c->source, err) : 0;
	if (r < 0)
		return r;
	in = calloc(c->cnt + c->canary_cnt + 1, sizeof(*in));
	next = in ? mf_store_copy(s, err) : NULL;
	if (!next) {
		free(in);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	done = r = apply(s, c, in, next, err);
	if (r >= 0 && c->source)
		mf_store_note_source(next, c->source);
	if (r == 0 || (r > 0 && c->source))
		r = mf_store_commit(s, next, err);
	else
		free(next);
	if (r < 0)
		take_back(s, in, c->cnt + c->canary_cnt);
	for (size_t i = 0; i < c->cnt + c->canary_cnt; i++)
		mf_pack_tree_done(&in[i].tree);
	free(in);
	return r < 0 ? r : done;
}

int mf_store_install(struct mf_store *s, const struct mf_store_archive *archives, size_t cnt,
		     struct mf_err *err)
{
	const struct mf_store_change change = { .archives = archives, .cnt = cnt };

	if (!cnt)
		return mf_err_set(err, MF_E_INVAL, "1 to %d archives are installed together",
				  MF_STORE_TOGETHER);
	return mf_store_apply(s, &change, err);
}
