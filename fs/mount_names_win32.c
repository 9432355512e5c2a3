/* SPDX-License-Identifier: Apache-2.0 */
/* mount_names_win32.c - operations of the mount of Windows on names: look, list, make, delete, rename, attributes */
#include <errno.h>
#include <string.h>

#include "fs/mount_int_win32.h"

/* ---- looking ---- */

static int fill_stat(struct mf_mount_winfsp *m, void *handle, struct mf_winfsp_stat *st)
{
	uint32_t flags;
	int r = mf_wsource_stat(handle, st, &flags);

	if (r == 0 && m->stat_ex)
		((struct mf_winfsp_stat_ex *)st)->flags = flags;
	return r;
}

static int do_getattr(const char *path, struct mf_winfsp_stat *st, struct mf_winfsp_file_info *fi)
{
	struct mf_mount_file *f = mf_mount_file_of(fi);
	struct mf_fs_caller who;
	struct mf_mount_act *act;
	int r;

	if (f) /* asked when it was opened */
		return fill_stat(mf_mount_here(&who), f->handle, st);
	act = mf_mount_act_new(MF_FS_GETATTR);
	if (!act)
		return -ENOMEM;
	r = mf_mount_act_open(act, path, MF_WSOURCE_LOOK);
	if (r == 0)
		r = fill_stat(act->m, act->handle, st);
	return mf_mount_act_end(act, r);
}

/* Links are shown as what they are to Windows' attributes, and lead nowhere: nothing here is one that can be read. */
static int do_readlink(const char *path, char *buf, size_t size)
{
	(void)path;
	(void)buf;
	(void)size;
	return -EINVAL;
}

static int do_statfs(const char *path, struct mf_winfsp_statvfs *st)
{
	struct mf_fs_caller who;

	(void)path;
	return mf_wsource_statfs(mf_mount_here(&who)->source, st);
}

/* Asked before a delete alone: its own error would not be told. */
static int do_access(const char *path, int mask)
{
	struct mf_winfsp_stat st;
	struct mf_mount_act *act;
	int r;

	act = mf_mount_act_new(MF_FS_ACCESS);
	if (!act)
		return -ENOMEM;
	if (mask & MF_WINFSP_DELETE_OK) {
		r = mf_wsource_open_at(act->m->source, path, MF_WSOURCE_LOOK, &act->handle, NULL);
		if (r == 0)
			r = mf_wsource_stat(act->handle, &st, NULL);
		mf_wsource_close_handle(act->handle);
		act->handle = NULL;
		if (r < 0)
			return mf_mount_act_end(act, r);
		act->a.q.op = (st.mode & 0170000) == 0040000 ? MF_FS_RMDIR : MF_FS_UNLINK;
		act->a.quiet = true; /* the delete tells of itself when it happens */
	}
	r = mf_mount_act_open(act, path, MF_WSOURCE_LOOK);
	if (r == 0 && act->a.verdict.what == MF_FS_TRASH && !act->m->o.trash)
		r = -EACCES;
	return mf_mount_act_end(act, r);
}

/* ---- directories ---- */

static int do_opendir(const char *path, struct mf_winfsp_file_info *fi)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_LIST);
	struct mf_winfsp_stat st;
	struct mf_mount_file *f;
	int r;

	if (!act)
		return -ENOMEM;
	r = mf_mount_act_open(act, path, MF_WSOURCE_READ);
	if (r == 0)
		r = mf_wsource_stat(act->handle, &st, NULL);
	if (r == 0 && (st.mode & 0170000) != 0040000)
		r = -ENOTDIR;
	if (r == 0 && mf_wsource_is_link(act->handle))
		r = -EACCES;
	if (r == 0) {
		f = mf_mount_file_new(act, true);
		fi->fh = (uint64_t)(uintptr_t)f;
		r = f ? 0 : -ENOMEM;
	}
	return mf_mount_act_end(act, r);
}

struct listing {
	const struct mf_trash *hidden; /* may be NULL */
	uint64_t dev;		       /* of the directory */
	void *buf;
	mf_winfsp_fill_fn fill;
};

static int tell_entry(void *ctx, const char *name, const struct mf_winfsp_stat *st)
{
	struct listing *l = ctx;
	struct mf_winfsp_stat_ex ex = { .st = *st };

	if (l->hidden && mf_trash_is(l->hidden, l->dev, st->ino))
		return 0;
	return l->fill(l->buf, name, &ex.st, 0, MF_WINFSP_FILL_DIR_PLUS) ? 1 : 0;
}

static int do_readdir(const char *path, void *buf, mf_winfsp_fill_fn fill, int64_t off,
		      struct mf_winfsp_file_info *fi, int flags)
{
	struct mf_mount_file *f = mf_mount_file_of(fi);
	struct listing l = { .buf = buf, .fill = fill };
	struct mf_fs_caller who;
	struct mf_winfsp_stat st;
	int r = 0;

	(void)path;
	(void)off; /* a whole listing each time: the filler's offset is 0 */
	(void)flags;
	if (!f || !f->dir)
		return -EBADF;
	l.hidden = mf_mount_here(&who)->o.trash;
	if (l.hidden) {
		r = mf_wsource_stat(f->handle, &st, NULL);
		if (r < 0)
			return r;
		l.dev = st.dev;
	}
	pthread_mutex_lock(&f->list_lock);
	r = mf_wsource_list(f->handle, tell_entry, &l);
	pthread_mutex_unlock(&f->list_lock);
	return r < 0 ? r : 0; /* a full buffer is no error */
}

static int do_releasedir(const char *path, struct mf_winfsp_file_info *fi)
{
	struct mf_fs_caller who;

	(void)path;
	mf_mount_file_free(mf_mount_here(&who), mf_mount_file_of(fi));
	fi->fh = 0;
	return 0;
}

static int do_mkdir(const char *path, uint32_t mode)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_MKDIR);
	int r;

	if (!act)
		return -ENOMEM;
	act->a.mode = (int64_t)mode;
	r = mf_mount_act_make(act, path, true, MF_WSOURCE_LOOK);
	if (r == 0)
		mf_mount_made(act->m, act->handle);
	return mf_mount_act_end(act, r);
}

/* ---- deleting ---- */

static int is_empty(void *ctx, const char *name, const struct mf_winfsp_stat *st)
{
	(void)ctx;
	(void)st;
	return strcmp(name, ".") && strcmp(name, "..");
}

/* Return: 0, -ENOTEMPTY, another negative errno */
static int check_empty(struct mf_mount_act *act, const char *path)
{
	void *h;
	int r;

	if (mf_wsource_is_link(act->handle)) /* it goes itself, not what it leads to */
		return 0;
	r = mf_wsource_open_at(act->m->source, path, MF_WSOURCE_READ, &h, NULL);
	if (r < 0)
		return r;
	r = mf_wsource_list(h, is_empty, NULL);
	mf_wsource_close_handle(h);
	return r == 1 ? -ENOTEMPTY : r;
}

static int remove_name(const char *path, enum mf_fs_op op)
{
	struct mf_mount_act *act = mf_mount_act_new(op);
	struct mf_winfsp_stat st;
	bool dir = op == MF_FS_RMDIR;
	int r;

	if (!act)
		return -ENOMEM;
	r = mf_mount_act_open(act, path, MF_WSOURCE_REMOVE);
	if (r == 0)
		r = mf_wsource_stat(act->handle, &st, NULL);
	if (r == 0 && ((st.mode & 0170000) == 0040000) != dir)
		r = dir ? -ENOTDIR : -EISDIR;
	if (r == 0 && dir && act->a.verdict.what != MF_FS_ELSEWHERE)
		r = check_empty(act, path);
	if (r == 0) {
		act->a.size = st.size;
		act->a.nlink = st.nlink;
	}
	if (r == 0 && act->a.verdict.what == MF_FS_TRASH)
		r = mf_mount_keep(
			act, act->handle, act->real, dir ? MF_TRASH_NOTE_DIR : MF_TRASH_MOVE,
			dir ? MF_TRASH_RMDIR : MF_TRASH_DELETE, act->a.verdict.hash, NULL);
	if (r == 0 && (act->a.verdict.what != MF_FS_TRASH || dir)) {
		r = mf_wsource_remove(act->handle);
		if (r < 0 && act->token[0])
			(void)mf_trash_cancel(act->m->o.trash, act->token);
		if (r == 0)
			mf_mount_unmade(act->m, &st);
	}
	return mf_mount_act_end(act, r);
}

static int do_unlink(const char *path)
{
	return remove_name(path, MF_FS_UNLINK);
}

static int do_rmdir(const char *path)
{
	return remove_name(path, MF_FS_RMDIR);
}

/* ---- renaming ---- */

/*
 * What the rename would replace: asked about, and kept. @own: of what is renamed.
 * Return: 0, 1: the file itself, by another spelling; a negative errno
 */
static int clear_target(struct mf_mount_act *act, const char *to, const struct mf_winfsp_stat *own)
{
	struct mf_winfsp_stat st;
	struct mf_fs_question q;
	char *place = act->target;
	void *h;
	int r;

	r = mf_wsource_open_at(act->m->source, to, MF_WSOURCE_REMOVE, &h, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = mf_wsource_stat(h, &st, NULL);
	if (r == 0 && st.ino == own->ino && st.dev == own->dev) {
		mf_wsource_close_handle(h);
		return 1;
	}
	if (r == 0 && (st.mode & own->mode & 0170000) != 0100000)
		r = -EACCES; /* Windows replaces no directory, nor anything by one */
	q = (struct mf_fs_question){ .op = MF_FS_REPLACE,
				     .path = place,
				     .path_len = strlen(place),
				     .size = -1,
				     .caller = &act->who };
	if (r == 0) {
		r = mf_policy_fs_also(act->m->o.policy, &act->a, &q);
		if (r < 0)
			r = -mf_wsource_errno_from_linux(-r);
	}
	if (r == 0 && act->a.verdict.what == MF_FS_TRASH)
		r = mf_mount_keep(act, h, place, MF_TRASH_MOVE, MF_TRASH_REPLACE,
				  act->a.verdict.hash, NULL);
	mf_wsource_close_handle(h);
	return r;
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_RENAME_FROM);
	char inner[MF_WSOURCE_PATH_MAX];
	struct mf_fs_question q;
	struct mf_winfsp_stat st;
	void *parent = NULL;
	int r;

	if (!act)
		return -ENOMEM;
	if (flags)
		return mf_mount_act_end(act, -EINVAL);
	r = mf_wsource_open_parent(act->m->source, to, &parent, inner);
	if (r < 0)
		return mf_mount_act_end(act, r);
	mf_mount_place(act->m, inner, act->target);
	r = mf_mount_act_open(act, from, MF_WSOURCE_REMOVE);
	if (r == 0 && act->a.verdict.what == MF_FS_ELSEWHERE)
		r = -EACCES; /* a name cannot leave the tree by being renamed */
	if (r == 0) {
		q = (struct mf_fs_question){ .op = MF_FS_RENAME_TO,
					     .path = act->target,
					     .path_len = strlen(act->target),
					     .target = act->real,
					     .target_len = strlen(act->real),
					     .size = -1,
					     .caller = &act->who };
		r = mf_policy_fs_also(act->m->o.policy, &act->a, &q);
		if (r < 0)
			r = -mf_wsource_errno_from_linux(-r);
		if (r == 0 && act->a.verdict.what == MF_FS_ELSEWHERE)
			r = -EACCES;
	}
	if (r == 0)
		r = mf_wsource_stat(act->handle, &st, NULL);
	if (r == 0)
		r = clear_target(act, to, &st);
	if (r >= 0) {
		r = mf_wsource_rename(act->handle, parent, to, (st.mode & 0170000) == 0100000);
		if (r == 0)
			mf_mount_files_renamed(act->m, act->real, act->target);
		if (r < 0 && act->token[0]) {
			/* Nothing was lost: what was to be replaced goes back to its place. */
			(void)mf_trash_restore(act->m->o.trash, act->token,
					       &(struct mf_trash_target){ .session = NULL },
					       &(struct mf_trash_result){ .was_there = false },
					       NULL);
			act->token[0] = '\0';
		}
	}
	mf_wsource_close_handle(parent);
	return mf_mount_act_end(act, r);
}

/* ---- attributes ---- */

static int do_chmod(const char *path, uint32_t mode, struct mf_winfsp_file_info *fi)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_CHMOD);
	int r;

	(void)fi; /* its handle need not be one that may set attributes */
	if (!act)
		return -ENOMEM;
	act->a.mode = (int64_t)mode;
	r = mf_mount_act_open(act, path, MF_WSOURCE_SET);
	if (r == 0)
		r = mf_wsource_set_mode(act->handle, mode);
	return mf_mount_act_end(act, r);
}

/* Owners are the mounting user's, as the mount is told: another cannot be kept. */
static int do_chown(const char *path, uint32_t uid, uint32_t gid, struct mf_winfsp_file_info *fi)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_CHOWN);
	int r;

	(void)fi;
	if (!act)
		return -ENOMEM;
	r = mf_mount_act_open(act, path, MF_WSOURCE_LOOK);
	if (r == 0 && (uid != UINT32_MAX || gid != UINT32_MAX))
		r = -EPERM;
	return mf_mount_act_end(act, r);
}

static int do_utimens(const char *path, const struct mf_winfsp_timespec tv[2],
		      struct mf_winfsp_file_info *fi)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_UTIMENS);
	int r;

	(void)fi;
	if (!act)
		return -ENOMEM;
	r = mf_mount_act_open(act, path, MF_WSOURCE_SET);
	if (r == 0)
		r = mf_wsource_set_times(act->handle, tv);
	return mf_mount_act_end(act, r);
}

void mf_mount_fill_names(struct mf_winfsp_ops *ops)
{
	ops->getattr = do_getattr;
	ops->readlink = do_readlink;
	ops->statfs = do_statfs;
	ops->access = do_access;
	ops->opendir = do_opendir;
	ops->readdir = do_readdir;
	ops->releasedir = do_releasedir;
	ops->mkdir = do_mkdir;
	ops->unlink = do_unlink;
	ops->rmdir = do_rmdir;
	ops->rename = do_rename;
	ops->chmod = do_chmod;
	ops->chown = do_chown;
	ops->utimens = do_utimens;
}
