/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - see store.h: opening, trust, generations; store_install.c lets archives in */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/policy/files.h"
#include "packs/archive.h"
#include "packs/store_int.h"

static int read_trust(struct mf_store *s, struct mf_err *err)
{
	char file[4096], *text;
	size_t len;
	int r;

	if (snprintf(file, sizeof(file), "%s/%s", s->path, MF_STORE_TRUST_FILE) >=
	    (int)sizeof(file))
		return mf_err_set(err, MF_E_LIMIT, "the path of %.200s... is too long", s->path);
	r = mf_file_read_below(s->path, MF_STORE_TRUST_FILE, MF_TRUST_TEXT_MAX, &text, &len, err);
	if (r == MF_E_NOENT) /* nobody is trusted */
		return 0;
	if (r == 0) {
		r = mf_trust_parse(text, len, file, &s->trust, err);
		free(text);
	}
	return r;
}

static int read_state(struct mf_store *s, struct mf_err *err)
{
	int r = mf_pack_state_read(s->path, &s->state, err);

	if (r != MF_E_NOENT)
		return r;
	s->state = calloc(1, sizeof(*s->state));
	return s->state ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");
}

/* A store that is not there is an empty one. */
static int check_readable(const char *path, struct mf_err *err)
{
	int r = mf_pack_disk_check(path, err);

	return r == MF_E_NOENT ? 0 : r;
}

int mf_store_open(const char *path, const struct mf_store_options *options,
		  struct mf_store **ret_store, struct mf_err *err)
{
	struct mf_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->options = *options;
	if (!s->options.now_s)
		s->options.now_s = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	s->path = mf_file_path_dup(path);
	s->options.stdlib_dir = s->stdlib_dir =
		options->stdlib_dir ? strdup(options->stdlib_dir) : NULL;
	if (!s->path || !options->stdlib_dir != !s->stdlib_dir)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else if (options->read_only)
		r = check_readable(s->path, err);
	else
		r = mf_pack_disk_open(s->path, &s->disk, err);
	if (r == 0)
		r = read_trust(s, err);
	if (r == 0)
		r = read_state(s, err);
	if (r < 0) {
		mf_store_close(s);
		return r;
	}
	*ret_store = s;
	return 0;
}

void mf_store_close(struct mf_store *s)
{
	if (!s)
		return;
	mf_pack_disk_close(s->disk);
	free(s->state);
	free(s->path);
	free(s->stdlib_dir);
	free(s);
}

const struct mf_pack_state *mf_store_state(const struct mf_store *s)
{
	return s->state;
}

struct mf_trust *mf_store_trust(struct mf_store *s)
{
	return &s->trust;
}

int mf_store_write_trust(struct mf_store *s, struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_TRUST_TEXT_MAX);
	int r = mf_trust_write(&s->trust, &text, err);

	if (r == 0)
		r = mf_pack_disk_write(s->disk, MF_STORE_TRUST_FILE, text.str, text.len, err);
	mf_strbuf_done(&text);
	return r;
}

int mf_store_write_sources(struct mf_store *s, const char *text, size_t len, struct mf_err *err)
{
	return mf_pack_disk_write(s->disk, MF_STORE_SOURCES_FILE, text, len, err);
}

/* --- generations -------------------------------------------------------------------------------------------------- */

/* Remove the directories that no generation has any more. */
static void sweep(struct mf_store *s, const struct mf_pack_state *before)
{
	for (size_t i = 0; i < before->generation_cnt; i++)
		for (size_t k = 0; k < before->generations[i].cnt; k++) {
			const struct mf_pack_entry *e = &before->generations[i].packs[k];
			char dir[MF_PACK_DIR_ROOM];

			if (mf_store_is_used(s->state, e))
				continue;
			mf_pack_entry_dir(e, dir);
			mf_pack_disk_remove(s->disk, e->name, strchr(dir, '/') + 1);
		}
}

int mf_store_commit(struct mf_store *s, struct mf_pack_state *next, struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PACK_STATE_MAX);
	struct mf_pack_state *before = s->state;
	int r = mf_pack_state_write(next, &text, err);

	if (r == 0)
		r = mf_pack_disk_write(s->disk, MF_PACK_STATE_FILE, text.str, text.len, err);
	mf_strbuf_done(&text);
	if (r < 0) {
		free(next);
		return r;
	}
	s->state = next;
	sweep(s, before);
	free(before);
	return 0;
}

/* Generation @g could not be put in force: not all is there, or it does not load. */
static int check_generation(struct mf_store *s, struct mf_pack_generation *g, struct mf_err *err)
{
	int r = g ? mf_store_check_requires(s, g, err) : 0;

	return r < 0 || !g ? r : mf_store_try(s, g, err);
}

int mf_store_remove(struct mf_store *s, const char *name, struct mf_err *err)
{
	char leave[1][MF_PACK_NAME_MAX + 1];
	struct mf_pack_generation *g;
	struct mf_pack_state *next = mf_store_copy(s, err);
	struct mf_pack_entry *e;
	int r;

	if (!next)
		return MF_E_NOMEM;
	g = mf_store_add_generation(next, next->active);
	next->active = g->number;
	e = mf_store_entry(g, name);
	if (e) {
		memmove(e, e + 1, (size_t)(&g->packs[--g->cnt] - e) * sizeof(*e));
		r = mf_store_check_requires(s, g, err);
	} else {
		r = mf_err_set(err, MF_E_NOENT, "no pack \"%s\" is installed in %s", name, s->path);
	}
	if (r == 0 && next->canary) {
		snprintf(leave[0], sizeof(leave[0]), "%s", name);
		r = mf_store_rebase_canary(next, s->state->active, NULL, 0, 0, leave, 1, err);
		if (r == 0)
			r = check_generation(s, mf_pack_state_find(next, next->canary), err);
	}
	if (r < 0) {
		free(next);
		return r;
	}
	return mf_store_commit(s, next, err);
}

/* The number of the generation to go back to. */
static int find_way_back(struct mf_store *s, uint32_t *number, struct mf_err *err)
{
	struct mf_pack_generation *g = mf_pack_state_find(s->state, s->state->active);

	if (!*number && s->state->canary) {
		*number = s->state->active; /* what all others load */
		return 0;
	}
	if (!g)
		return mf_err_set(err, MF_E_NOENT, "nothing was ever installed in %s", s->path);
	if (!*number && !g->parent)
		return mf_err_set(err, MF_E_NOENT, "before generation %u there was none",
				  g->number);
	*number = *number ? *number : g->parent;
	if (*number == s->state->canary)
		return mf_err_set(err, MF_E_INVAL,
				  "generation %u is the canary: 'moonfence pack promote' puts it "
				  "in force for all",
				  *number);
	if (!mf_pack_state_find(s->state, *number))
		return mf_err_set(err, MF_E_NOENT,
				  "generation %u is not kept any more: the last %d are", *number,
				  MF_PACK_STATE_GENERATIONS);
	return 0;
}

int mf_store_rollback(struct mf_store *s, uint32_t number, struct mf_err *err)
{
	struct mf_pack_generation *g;
	struct mf_pack_state *next;
	int r = find_way_back(s, &number, err);

	if (r < 0)
		return r;
	g = mf_pack_state_find(s->state, number);
	r = g && number != s->state->active ? mf_store_try(s, g, err) : 0;
	if (r < 0)
		return r;
	next = mf_store_copy(s, err);
	if (!next)
		return MF_E_NOMEM;
	mf_store_drop_canary(next);
	next->active = number;
	return mf_store_commit(s, next, err);
}

int mf_store_promote(struct mf_store *s, uint32_t percent, struct mf_err *err)
{
	struct mf_pack_generation *g = mf_pack_state_find(s->state, s->state->canary);
	struct mf_pack_state *next;
	int r = 0;

	if (!g)
		return mf_err_set(err, MF_E_NOENT, "there is no canary in %s", s->path);
	next = mf_store_copy(s, err);
	if (!next)
		return MF_E_NOMEM;
	if (percent) {
		next->canary_percent = percent;
		return mf_store_commit(s, next, err);
	}
	for (size_t i = 0; r == 0 && i < g->cnt; i++)
		if (!mf_store_has(mf_pack_state_find(s->state, s->state->active), &g->packs[i]))
			r = mf_store_note_seen(next, &g->packs[i], "the canary", true, err);
	if (r == 0)
		r = check_generation(s, g, err);
	if (r < 0) {
		free(next);
		return r;
	}
	next->active = next->canary;
	next->canary = next->canary_percent = 0;
	return mf_store_commit(s, next, err);
}

int mf_store_check(struct mf_store *s, const struct mf_pack_entry *e, struct mf_err *err)
{
	struct mf_store_archive a = { .name = e->name };
	struct mf_pack_tree tree = { 0 }, *files = &tree;
	const struct mf_pack_file *sig;
	const struct mf_trust_key *key;
	struct mf_pack_manifest m;
	char dir[MF_PACK_DIR_ROOM], path[4096], hash[MF_PACK_HASH_ROOM] = "";
	uint8_t *data = NULL;
	int r;

	mf_pack_entry_dir(e, dir);
	if (snprintf(path, sizeof(path), "%s/%s", s->path, dir) >= (int)sizeof(path))
		return mf_err_set(err, MF_E_LIMIT, "a path below %.200s is too long", s->path);
	r = mf_pack_tree_read(path, files, err);
	if (r < 0)
		return r;
	sig = mf_pack_tree_find(files, MF_STORE_SIGNATURE);
	if (sig) {
		/* It is not a part of the archive; as the last file it is out of the way. */
		struct mf_pack_file last = *sig;
		size_t at = (size_t)(sig - files->files);

		memmove(&files->files[at], &files->files[at + 1],
			(files->cnt - 1 - at) * sizeof(*files->files));
		files->files[files->cnt - 1] = last;
		a.sig = (const char *)last.data;
		a.sig_len = last.len;
		files->cnt--;
		r = mf_pack_archive_write(files, &data, &a.len, err);
		files->cnt++;
	} else {
		r = mf_err_set(err, MF_E_PERM, "%s has no %s: it was changed", path,
			       MF_STORE_SIGNATURE);
	}
	a.data = data;
	if (r == 0)
		r = mf_pack_hash(a.data, a.len, hash);
	if (r == 0 && strcmp(hash, e->hash) != 0)
		r = mf_err_set(err, MF_E_PERM, "%s is not what was installed: it was changed",
			       path);
	if (r == 0)
		r = mf_store_verify(&s->trust, s->options.now_s, &a, &m, NULL, &key, err);
	free(data);
	mf_pack_tree_done(files);
	return r;
}
