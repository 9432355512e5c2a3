/* SPDX-License-Identifier: Apache-2.0 */
/* trash_undo_posix.c - all that a session lost, the latest first */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_choose.h"
#include "fs/trash_int.h"

static void undo_one(struct mf_trash *t, const struct mf_trash_undo *undo,
		     const struct mf_trash_lost *lost, struct mf_trash_made *made,
		     struct mf_trash_undone *ret)
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
	const struct mf_trash_filter filter = mf_trash_filter_of_undo(undo);
	struct mf_trash_made made = { 0 };
	struct mf_trash_losses losses = { 0 };
	int r, lock = mf_trash_lock_dir(t, true);
	bool indexed;

	memset(ret, 0, sizeof(*ret));
	if (lock < 0)
		return mf_err_set(err, MF_E_IO, "Cannot lock %s: %s.", t->path, strerror(-lock));
	r = mf_trash_list(t, &filter, mf_trash_losses_add, &losses, err);
	if (r == MF_E_NOMEM)
		mf_err_set(err, r, "Out of memory.");
	if (r == 0)
		mf_trash_losses_thin(&losses);
	ret->own = losses.own;
	indexed = r == 0 && mf_trash_index_begin(t);
	for (size_t i = 0; r == 0 && i < losses.cnt; i++)
		undo_one(t, undo, &losses.list[i], &made, ret);
	mf_trash_losses_done(&losses);
	if (indexed)
		mf_trash_index_end(t);
	ret->failed += mf_trash_made_finish(t, &made);
	close(lock);
	return r;
}
