/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_purge_posix.c - deleting for good
 *
 * A directory leaves the trash in one step, by a rename to moonfence/.purge-…, and is deleted there: whatever interrupts
 * that, an entry is whole or gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_choose.h"
#include "fs/trash_int.h"

struct purge {
	struct mf_trash *t;
	const struct mf_trash_purge *p;
	struct mf_trash_candidates all;
	struct mf_trash_sizes sizes;
};

int mf_trash_delete_entry(struct mf_trash *t, const struct mf_trash_entry *e)
{
	char gone[MF_TRASH_OWN_NAME_MAX], token[MF_TRASH_TOKEN_MAX];
	struct stat st;
	int r = 0;

	gone[0] = '\0';
	if (*e->file && fstatat(t->files_fd, e->file, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode)) {
			r = mf_trash_new_token(t, token);
			if (r < 0)
				return r;
			mf_trash_own_name(t, gone, MF_TRASH_GONE, token);
			if (renameat(t->files_fd, e->file, t->own_fd, gone) < 0)
				return -errno;
		} else if (unlinkat(t->files_fd, e->file, 0) < 0) {
			return -errno;
		}
	}
	r = mf_trash_forget(t, e->token, e->file);
	if (r < 0 && !*e->file)
		return r;
	return *gone ? mf_trash_remove_tree(t->own_fd, gone) : 0;
}

static int collect(void *ctx, const struct mf_trash_entry *e)
{
	struct purge *p = ctx;
	uint64_t bytes = e->attr.size;

	if (p->p->token && strcmp(p->p->token, *e->token ? e->token : e->file) != 0)
		return 0;
	if (S_ISDIR(e->attr.mode))
		bytes = *e->file ? mf_trash_dir_bytes(p->t, &p->sizes, e->file) : 0;
	return mf_trash_candidates_add(&p->all, e, bytes);
}

static int load_candidate(const struct purge *p, const struct mf_trash_candidate *c,
			  struct mf_trash_loaded *ret)
{
	return c->file ? mf_trash_load_foreign(p->t, c->file, ret)
		       : mf_trash_load(p->t, c->token, ret);
}

static int carry_out(struct purge *p, struct mf_trash_purged *ret, struct mf_err *err)
{
	int r = 0;

	for (size_t i = 0; i < p->all.cnt && r == 0; i++) {
		struct mf_trash_candidate *c = &p->all.list[i];
		struct mf_trash_loaded l;
		int gone = 0;

		if (!c->why || load_candidate(p, c, &l) < 0)
			continue;
		if (!p->p->dry_run)
			gone = mf_trash_delete_entry(p->t, &l.r.e);
		if (gone < 0) {
			r = mf_err_set(err, MF_E_IO, "Cannot delete what is kept of %s: %s.",
				       l.r.e.path, strerror(-gone));
		} else {
			ret->count++;
			ret->bytes += c->bytes;
			if (p->p->report)
				r = p->p->report(p->p->ctx, &l.r.e);
		}
		if (gone == 0 && !p->p->dry_run)
			mf_trash_tell_purged(&p->t->options, &l.r.e, c->why, c->bytes);
		mf_trash_loaded_done(&l);
	}
	return r;
}

int mf_trash_purge_locked(struct mf_trash *t, const struct mf_trash_purge *purge,
			  struct mf_trash_purged *ret, struct mf_err *err)
{
	struct purge p = { .t = t, .p = purge };
	// What a limit of a session's counts is the session's alone.
	struct mf_trash_filter filter = { .session = purge->session,
					  .no_foreign = !purge->foreign };
	bool indexed;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = mf_trash_writer_ready(t);
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "Cannot write to %s: %s.", t->path, strerror(-r));
	mf_trash_sizes_load(t, &p.sizes);
	r = mf_trash_list(t, &filter, collect, &p, err);
	mf_trash_sizes_done(&p.sizes);
	if (r == MF_E_NOMEM)
		mf_err_set(err, r, "Out of memory.");
	if (r == 0) {
		mf_trash_candidates_choose(&p.all, purge, mf_trash_now(t));
		indexed = mf_trash_index_begin(t);
		r = carry_out(&p, ret, err);
		if (indexed)
			mf_trash_index_end(t);
	}
	mf_trash_candidates_done(&p.all);
	return r;
}

int mf_trash_purge(struct mf_trash *t, const struct mf_trash_purge *purge,
		   struct mf_trash_purged *ret, struct mf_err *err)
{
	int r, lock = mf_trash_lock_dir(t, !purge->no_wait);

	memset(ret, 0, sizeof(*ret));
	if (lock == -EWOULDBLOCK)
		return mf_err_set(err, MF_E_AGAIN, "Another process works on %s.", t->path);
	if (lock < 0)
		return mf_err_set(err, MF_E_IO, "Cannot lock %s: %s.", t->path, strerror(-lock));
	r = mf_trash_purge_locked(t, purge, ret, err);
	close(lock);
	return r;
}
