/* SPDX-License-Identifier: Apache-2.0 */
/* trash_undo_posix.c - all that a session lost, the latest first */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_int.h"

struct lost {
	char token[MF_TRASH_TOKEN_MAX];
	char *path;
	bool replaced; /* something new may stand in its place: replace, truncate, overwrite; a directory gets its mode */
};

struct undo {
	struct lost *list;
	size_t cnt, room;
};

static int collect(void *ctx, const struct mf_trash_entry *e)
{
	struct undo *u = ctx;
	struct lost *l;

	if (u->cnt == u->room) {
		size_t room = u->room ? 2 * u->room : 256;
		struct lost *list = realloc(u->list, room * sizeof(*list));

		if (!list)
			return MF_E_NOMEM;
		u->list = list;
		u->room = room;
	}
	l = &u->list[u->cnt];
	memcpy(l->token, e->token, MF_TRASH_TOKEN_MAX);
	l->replaced = e->op == MF_TRASH_REPLACE || e->op == MF_TRASH_TRUNCATE ||
		      e->op == MF_TRASH_OVERWRITE || e->op == MF_TRASH_RMDIR;
	l->path = strdup(e->path);
	if (!l->path)
		return MF_E_NOMEM;
	u->cnt++;
	return 0;
}

/* By path, of one path the oldest first. */
static int by_path(const void *a, const void *b)
{
	const struct lost *x = a, *y = b;
	int r = strcmp(x->path, y->path);

	return r ? r : strcmp(x->token, y->token);
}

static int latest_first(const void *a, const void *b)
{
	return -strcmp(((const struct lost *)a)->token, ((const struct lost *)b)->token);
}

/*
 * Of each path only what it held first stays in the list. A path that was deleted first and later replaced by others has
 * something new in its place as well.
 */
static void thin(struct undo *u)
{
	size_t kept = 0;

	if (u->cnt == 0)
		return;
	qsort(u->list, u->cnt, sizeof(*u->list), by_path);
	for (size_t i = 0; i < u->cnt; i++) {
		if (kept > 0 && strcmp(u->list[kept - 1].path, u->list[i].path) == 0) {
			u->list[kept - 1].replaced |= u->list[i].replaced;
			free(u->list[i].path);
		} else {
			u->list[kept++] = u->list[i];
		}
	}
	u->cnt = kept;
	qsort(u->list, u->cnt, sizeof(*u->list), latest_first);
}

static void undo_one(struct mf_trash *t, const struct mf_trash_undo *undo, const struct lost *lost,
		     struct mf_trash_made *made, struct mf_trash_undone *ret)
{
	const struct mf_trash_target target = { .replace = undo->replace || lost->replaced,
						.session = "undo" };
	struct mf_trash_loaded l;
	struct mf_err err = { 0 };
	int r = mf_trash_look_up(t, lost->token, 0, &l, &err);

	// The directory came back with what was in it, and its entry went.
	if (r == MF_E_NOENT)
		return;
	if (r == 0 && !undo->dry_run)
		r = mf_trash_restore_locked(t, lost->token, &target, NULL, made, &err);
	if (r == 0)
		ret->restored++;
	else
		ret->failed++;
	if (undo->report && *l.token && l.text)
		undo->report(undo->ctx, &l.r.e, r < 0 ? &err : NULL);
	mf_trash_loaded_done(&l);
}

int mf_trash_undo(struct mf_trash *t, const struct mf_trash_undo *undo, struct mf_trash_undone *ret,
		  struct mf_err *err)
{
	const struct mf_trash_filter filter = { .session = undo->session,
						.since_ns = undo->since_ns,
						.until_ns = undo->until_ns,
						.no_foreign = true };
	struct mf_trash_made made = { 0 };
	struct undo u = { 0 };
	int r, lock = mf_trash_lock_dir(t, true);

	memset(ret, 0, sizeof(*ret));
	if (lock < 0)
		return mf_err_set(err, MF_E_IO, "Cannot lock %s: %s.", t->path, strerror(-lock));
	r = mf_trash_list(t, &filter, collect, &u, err);
	if (r == MF_E_NOMEM)
		mf_err_set(err, r, "Out of memory.");
	if (r == 0)
		thin(&u);
	for (size_t i = 0; i < u.cnt; i++) {
		if (r == 0)
			undo_one(t, undo, &u.list[i], &made, ret);
		free(u.list[i].path);
	}
	free(u.list);
	mf_trash_made_finish(t, &made);
	close(lock);
	return r;
}
