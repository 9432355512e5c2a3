/* SPDX-License-Identifier: Apache-2.0 */
/* mount_data_win32.c - operations of the mount of Windows on content: open, create, read, write, truncate, close */
#include <errno.h>
#include <string.h>

#include "fs/mount_int_win32.h"

static enum mf_wsource_how how_of(int flags)
{
	switch (flags & MF_WINFSP_O_ACCMODE) {
	case MF_WINFSP_O_RDONLY:
		return MF_WSOURCE_READ;
	case MF_WINFSP_O_WRONLY:
		return MF_WSOURCE_WRITE;
	default:
		return MF_WSOURCE_BOTH;
	}
}

/* @st: NULL: it is new */
static int keep_open(struct mf_mount_act *act, struct mf_winfsp_file_info *fi, bool write,
		     const struct mf_winfsp_stat *st)
{
	struct mf_mount_winfsp *m = act->m;
	struct mf_mount_file *f = mf_mount_file_new(act, false);
	struct mf_winfsp_stat own;
	int r = f ? 0 : -ENOMEM;

	if (r == 0 && write && !st)
		r = mf_wsource_stat(f->handle, &own, NULL);
	if (r == 0 && write)
		r = mf_mount_expect_write(act, f, st ? st : &own, !st);
	if (r < 0) {
		mf_mount_file_free(m, f);
		return r;
	}
	fi->fh = (uint64_t)(uintptr_t)f;
	return 0;
}

static int do_open(const char *path, struct mf_winfsp_file_info *fi)
{
	enum mf_wsource_how how = how_of(fi->flags);
	bool read = how != MF_WSOURCE_WRITE, write = how != MF_WSOURCE_READ;
	struct mf_mount_act *act = mf_mount_act_new(mf_fs_op_open(read, write));
	struct mf_winfsp_stat st;
	int r;

	if (!act)
		return -ENOMEM;
	act->a.q.flags = (read ? MF_FS_FLAG_READ : 0) | (write ? MF_FS_FLAG_WRITE : 0);
	r = mf_mount_act_open(act, path, how);
	if (r == 0)
		r = mf_wsource_stat(act->handle, &st, NULL);
	if (r == 0 && (st.mode & 0170000) == 0040000)
		r = -EISDIR;
	if (r == 0 && mf_wsource_is_link(act->handle))
		r = -EACCES;
	if (r == 0)
		r = keep_open(act, fi, write, &st);
	return mf_mount_act_end(act, r);
}

static int do_create(const char *path, uint32_t mode, struct mf_winfsp_file_info *fi)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_CREATE_BOTH);
	int r;

	if (!act)
		return -ENOMEM;
	act->a.q.flags =
		MF_FS_FLAG_READ | MF_FS_FLAG_WRITE | MF_FS_FLAG_CREATE | MF_FS_FLAG_EXCLUSIVE;
	act->a.mode = (int64_t)mode;
	r = mf_mount_act_make(act, path, false, MF_WSOURCE_BOTH);
	if (r == 0) {
		mf_mount_made(act->m, act->handle);
		r = keep_open(act, fi, true, NULL);
	}
	return mf_mount_act_end(act, r);
}

static int do_read(const char *path, char *buf, size_t size, int64_t off,
		   struct mf_winfsp_file_info *fi)
{
	struct mf_mount_file *f = mf_mount_file_of(fi);

	(void)path;
	return f && !f->dir ? mf_wsource_read(f->handle, buf, size, off) : -EBADF;
}

static int do_write(const char *path, const char *buf, size_t size, int64_t off,
		    struct mf_winfsp_file_info *fi)
{
	struct mf_mount_file *f = mf_mount_file_of(fi);
	struct mf_fs_caller who;
	int r = 0;

	(void)path;
	if (!f || f->dir)
		return -EBADF;
	if (f->content && size)
		r = mf_mount_keep_pending(mf_mount_here(&who), f, off);
	return r < 0 ? -mf_wsource_errno(-r) : mf_wsource_write(f->handle, buf, size, off);
}

/* What is cut off goes to the trash first where the policy keeps the file when it is deleted. */
static int cut(struct mf_mount_act *act, struct mf_mount_file *f, void *handle, int64_t size)
{
	struct mf_winfsp_stat st;
	bool hash = act->a.verdict.hash, keep;
	int r = mf_wsource_stat(handle, &st, NULL);

	if (r < 0)
		return r;
	keep = size < st.size && act->a.verdict.what != MF_FS_ELSEWHERE &&
	       (act->a.verdict.what == MF_FS_TRASH ||
		mf_policy_fs_keeps(act->m->o.policy, &act->a, &hash));
	act->a.size = size;
	if (keep)
		r = mf_mount_keep(act, handle, act->real, MF_TRASH_COPY, MF_TRASH_TRUNCATE, hash,
				  NULL);
	if (r < 0)
		return r;
	r = mf_wsource_truncate(handle, size);
	if (r < 0 && act->token[0]) {
		(void)mf_trash_cancel(act->m->o.trash, act->token);
		act->token[0] = '\0';
	}
	if (r == 0 && f && act->token[0])
		mf_mount_forget_write(f);
	return r;
}

static int do_truncate(const char *path, int64_t size, struct mf_winfsp_file_info *fi)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_TRUNCATE);
	struct mf_mount_file *f = mf_mount_file_of(fi);
	int r;

	if (!act)
		return -ENOMEM;
	act->a.q.flags = MF_FS_FLAG_WRITE | MF_FS_FLAG_TRUNCATE;
	act->a.q.size = size;
	if (f && !f->dir) {
		/* By its handle: the name may be another file's by now. */
		act->who = f->who;
		mf_mount_file_place(act->m, f, act->real);
		r = mf_mount_act_ask(act);
		if (r == 0)
			r = cut(act, f, f->handle, size);
	} else {
		r = mf_mount_act_open(act, path, MF_WSOURCE_BOTH);
		if (r == 0)
			r = cut(act, NULL, act->handle, size);
	}
	return mf_mount_act_end(act, r);
}

static int do_flush(const char *path, struct mf_winfsp_file_info *fi)
{
	(void)path;
	(void)fi;
	return 0; /* nothing is kept back here */
}

static int do_fsync(const char *path, int datasync, struct mf_winfsp_file_info *fi)
{
	struct mf_mount_file *f = mf_mount_file_of(fi);

	(void)path;
	(void)datasync;
	return f ? mf_wsource_flush(f->handle) : 0;
}

static int do_release(const char *path, struct mf_winfsp_file_info *fi)
{
	struct mf_fs_caller who;

	(void)path;
	mf_mount_file_free(mf_mount_here(&who), mf_mount_file_of(fi));
	fi->fh = 0;
	return 0;
}

void mf_mount_fill_data(struct mf_winfsp_ops *ops)
{
	ops->open = do_open;
	ops->create = do_create;
	ops->read = do_read;
	ops->write = do_write;
	ops->truncate = do_truncate;
	ops->flush = do_flush;
	ops->fsync = do_fsync;
	ops->fsyncdir = do_fsync;
	ops->release = do_release;
}
