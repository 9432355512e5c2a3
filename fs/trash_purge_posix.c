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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_int.h"

struct candidate {
	uint64_t deleted_ns, bytes;
	char token[MF_TRASH_TOKEN_MAX];
	char *file;	 /* of a foreign entry */
	const char *why; /* it goes, in the word of the event; NULL: it stays */
};

struct purge {
	struct mf_trash *t;
	const struct mf_trash_purge *p;
	struct candidate *list;
	size_t cnt, room;
	uint64_t bytes; /* of all */
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
	mf_trash_forget(t, e->token, e->file);
	return *gone ? mf_trash_remove_tree(t->own_fd, gone) : 0;
}

static int collect(void *ctx, const struct mf_trash_entry *e)
{
	struct purge *p = ctx;
	struct candidate *c;

	if (p->p->token && strcmp(p->p->token, *e->token ? e->token : e->file) != 0)
		return 0;
	if (p->cnt == p->room) {
		size_t room = p->room ? 2 * p->room : 256;
		struct candidate *list = realloc(p->list, room * sizeof(*list));

		if (!list)
			return MF_E_NOMEM;
		p->list = list;
		p->room = room;
	}
	c = &p->list[p->cnt];
	*c = (struct candidate){ .deleted_ns = e->deleted_ns, .bytes = e->attr.size };
	if (S_ISDIR(e->attr.mode))
		c->bytes = *e->file ? mf_trash_dir_bytes(p->t, &p->sizes, e->file) : 0;
	memcpy(c->token, e->token, strlen(e->token) + 1);
	if (e->foreign && !(c->file = strdup(e->file)))
		return MF_E_NOMEM;
	p->bytes += c->bytes;
	p->cnt++;
	return 0;
}

static int older_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->deleted_ns < y->deleted_ns ? -1 : x->deleted_ns > y->deleted_ns;
}

static void choose(struct purge *p)
{
	const struct mf_trash_keep *keep = &p->p->keep;
	bool limited = keep->age_s || keep->max_bytes || keep->max_count || keep->keep_last;
	bool all = p->p->all || p->p->token || (p->p->session && !limited);
	// With nothing but a number to keep, all the others are what is to go.
	bool rest = limited && !keep->age_s && !keep->max_bytes && !keep->max_count;
	uint64_t now = mf_trash_now(p->t), left = p->cnt, bytes = p->bytes;

	for (size_t i = 0; i < p->cnt; i++) {
		struct candidate *c = &p->list[i];
		uint64_t age = now > c->deleted_ns ? now - c->deleted_ns : 0;

		if (keep->keep_last && p->cnt - i <= keep->keep_last)
			break;
		c->why = all || rest						      ? "user"
			 : keep->age_s && age / MF_NS_PER_S >= keep->age_s	      ? "expired"
			 : keep->max_count && left > keep->max_count		      ? "count"
			 : keep->max_bytes && bytes > keep->max_bytes && c->bytes > 0 ? "size"
										      : NULL;
		if (c->why) {
			left--;
			bytes -= c->bytes;
		}
	}
}

static int load_candidate(const struct purge *p, const struct candidate *c,
			  struct mf_trash_loaded *ret)
{
	return c->file ? mf_trash_load_foreign(p->t, c->file, ret)
		       : mf_trash_load(p->t, c->token, ret);
}

static int carry_out(struct purge *p, struct mf_trash_purged *ret, struct mf_err *err)
{
	int r = 0;

	for (size_t i = 0; i < p->cnt && r == 0; i++) {
		struct candidate *c = &p->list[i];
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
			mf_trash_tell(p->t, &(struct mf_trash_event){ .type = MF_TRASH_EVENT_PURGED,
								      .token = l.r.e.token,
								      .path = l.r.e.path,
								      .session = l.r.e.session,
								      .text = c->why,
								      .size = c->bytes });
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
	if (r == 0 && p.cnt) {
		qsort(p.list, p.cnt, sizeof(*p.list), older_first);
		choose(&p);
		r = carry_out(&p, ret, err);
	}
	for (size_t i = 0; i < p.cnt; i++)
		free(p.list[i].file);
	free(p.list);
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
