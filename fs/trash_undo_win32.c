/* SPDX-License-Identifier: Apache-2.0 */
/* trash_undo_win32.c - all that a session lost, the latest first */
#include <string.h>

#include "fs/trash_choose.h"
#include "fs/trash_int_win32.h"

static void undo_one(struct mf_trash *t, const struct mf_trash_undo *undo,
		     const struct mf_trash_lost *lost, struct mf_trash_made *made,
		     struct mf_trash_undone *ret)
{
	const struct mf_trash_target target = { .replace = undo->replace || lost->replaced,
						.session = "undo" };
	struct mf_trash_result result;
	struct mf_wtrash_loaded l;
	struct mf_err err = { 0 };
	int r = mf_wtrash_look_up(t, lost->token, 0, &l, &err);

	if (r < 0)
		return; /* somebody has restored or purged it meanwhile */
	if (!undo->dry_run)
		r = mf_wtrash_restore_locked(t, lost->token, &target, &result, made, &err);
	if (r == 0)
		ret->restored++;
	else
		ret->failed++;
	if (undo->report)
		undo->report(undo->ctx, &l.r.e, r < 0 ? &err : NULL);
	mf_wtrash_loaded_done(&l);
}

int mf_trash_undo(struct mf_trash *t, const struct mf_trash_undo *undo, struct mf_trash_undone *ret,
		  struct mf_err *err)
{
	const struct mf_trash_filter filter = mf_trash_filter_of_undo(undo);
	struct mf_trash_losses losses = { .fold = true };
	struct mf_trash_made made = { 0 };
	void *lock;
	int r;

	*ret = (struct mf_trash_undone){ .restored = 0 };
	r = mf_wtrash_lock_for(t, &lock, err);
	if (r < 0)
		return r;
	r = mf_trash_list(t, &filter, mf_trash_losses_add, &losses, err);
	if (r == 0)
		mf_trash_losses_thin(&losses);
	ret->own = losses.own;
	for (size_t i = 0; r == 0 && i < losses.cnt; i++)
		undo_one(t, undo, &losses.list[i], &made, ret);
	ret->failed += mf_wtrash_made_finish(t, &made);
	mf_trash_losses_done(&losses);
	mf_wsource_close_handle(lock);
	return r;
}
