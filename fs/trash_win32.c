/* SPDX-License-Identifier: Apache-2.0 */
/* trash_win32.c - no trash on Windows yet: opening one says so; without one nothing else is ever called */
#include <errno.h>

#include "fs/trash.h"

#define NONE "There is no trash on Windows in this version."

int mf_trash_open(const struct mf_trash_options *options, struct mf_trash **ret_trash,
		  struct mf_err *err)
{
	(void)options;
	(void)ret_trash;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}

void mf_trash_close(struct mf_trash *t)
{
	(void)t;
}

const char *mf_trash_path(const struct mf_trash *t)
{
	(void)t;
	return "";
}

enum mf_trash_place mf_trash_where(const struct mf_trash *t)
{
	(void)t;
	return MF_TRASH_NAMED;
}

bool mf_trash_is(const struct mf_trash *t, uint64_t dev, uint64_t ino)
{
	(void)t;
	(void)dev;
	(void)ino;
	return false;
}

int mf_trash_put(struct mf_trash *t, int dir_fd, const char *name, const struct mf_trash_loss *loss,
		 char token[MF_TRASH_TOKEN_MAX])
{
	(void)t;
	(void)dir_fd;
	(void)name;
	(void)loss;
	token[0] = '\0';
	return -ENOSYS;
}

int mf_trash_cancel(struct mf_trash *t, const char *token)
{
	(void)t;
	(void)token;
	return -ENOSYS;
}

int mf_trash_settle(struct mf_trash *t, const char *token)
{
	(void)t;
	(void)token;
	return -ENOSYS;
}

void mf_trash_tick(struct mf_trash *t)
{
	(void)t;
}

void mf_trash_drain(struct mf_trash *t)
{
	(void)t;
}

int mf_trash_repair(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err)
{
	(void)t;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}

int mf_trash_list(struct mf_trash *t, const struct mf_trash_filter *filter, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	(void)t;
	(void)filter;
	(void)fn;
	(void)ctx;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}

int mf_trash_find(struct mf_trash *t, const char *what, uint64_t at_ns, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	(void)t;
	(void)what;
	(void)at_ns;
	(void)fn;
	(void)ctx;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}

int mf_trash_open_payload(struct mf_trash *t, const char *what, struct mf_err *err)
{
	(void)t;
	(void)what;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}

int mf_trash_restore(struct mf_trash *t, const char *what, const struct mf_trash_target *target,
		     struct mf_trash_result *ret, struct mf_err *err)
{
	(void)t;
	(void)what;
	(void)target;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}

int mf_trash_undo(struct mf_trash *t, const struct mf_trash_undo *undo, struct mf_trash_undone *ret,
		  struct mf_err *err)
{
	(void)t;
	(void)undo;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}

int mf_trash_purge(struct mf_trash *t, const struct mf_trash_purge *purge,
		   struct mf_trash_purged *ret, struct mf_err *err)
{
	(void)t;
	(void)purge;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, NONE);
}
