/* SPDX-License-Identifier: Apache-2.0 */
/* path_name_posix.c - what makes, moves and removes names; see path_fs.h */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/ask_tree_posix.h"
#include "fs/path_fs.h"

/* ---- making -------------------------------------------------------------------------------------------------------- */

static int end_made(struct mf_path_op *op, int r)
{
	if (r == 0)
		mf_path_made(op);
	return mf_path_end(op, r);
}

/* The kernel has taken the caller's umask off already: the server's own must not take more. Return: 0, -errno */
static int give_back(struct mf_path_op *op, mode_t mode)
{
	struct stat st;

	if (mf_path_stat(op, &st) < 0 || !(mode & 0777 & ~st.st_mode))
		return 0;
	return fchmodat(op->dir_fd, op->at, (st.st_mode | mode) & 07777, AT_SYMLINK_NOFOLLOW) < 0
		       ? -errno
		       : 0;
}

static int do_mkdir(const char *path, mode_t mode)
{
	struct mf_path_op op;
	int r = mf_path_begin(&op, path, MF_FS_MKDIR, 0, -1);

	op.act.mode = mode & 07777;
	if (r == 0)
		r = mkdirat(op.dir_fd, op.at, mode & 07777) < 0 ? -errno : give_back(&op, mode);
	return end_made(&op, r);
}

static int do_mknod(const char *path, mode_t mode, dev_t dev)
{
	bool regular = S_ISREG(mode) || !(mode & S_IFMT);
	struct mf_path_op op;
	int r = mf_path_begin(&op, path, regular ? MF_FS_CREATE_WRITE : MF_FS_MKNOD,
			      regular ? MF_FS_FLAG_CREATE | MF_FS_FLAG_EXCLUSIVE : 0, -1),
	    fd;

	op.act.mode = mode & 07777;
	if (r == 0 && regular) {
		fd = openat(op.dir_fd, op.at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    mode & 07777);
		r = fd < 0 ? -errno : 0;
		if (fd >= 0)
			close(fd);
	} else if (r == 0) {
		r = mf_path_source_mknod(op.dir_fd, op.at, mode, dev);
	}
	if (r == 0)
		r = give_back(&op, mode);
	return end_made(&op, r);
}

static int do_symlink(const char *text, const char *path)
{
	struct mf_path_op op;
	int r = mf_path_name(&op, path);

	op.act.q.op = MF_FS_SYMLINK;
	op.act.q.target = text;
	op.act.q.target_len = strlen(text);
	if (r == 0)
		r = mf_path_ask(&op);
	if (r == 0)
		r = mf_path_locate(&op);
	if (r == 0 && symlinkat(text, op.dir_fd, op.at) < 0)
		r = -errno;
	return end_made(&op, r);
}

/* ---- two names ------------------------------------------------------------------------------------------------------ */

struct pair {
	struct mf_path_op from, to;
};

/* Both ends are asked about with the other as target; the stricter answer is that of the whole, and stays in @p->from. */
static int begin_pair(struct pair *p, const char *from, enum mf_fs_op from_op, const char *to,
		      enum mf_fs_op to_op)
{
	int r = mf_path_name(&p->from, from), r2 = mf_path_name(&p->to, to);
	struct mf_fs_question *a = &p->from.act.q, *b = &p->to.act.q;

	if (r < 0 || r2 < 0)
		return r < 0 ? r : r2;
	a->op = from_op;
	a->target = p->to.path;
	a->target_len = b->path_len;
	b->op = to_op;
	b->target = p->from.path;
	b->target_len = a->path_len;
	r = mf_path_ask(&p->from);
	if (r == 0)
		r = mf_policy_fs_also(p->from.m->pfs, &p->from.act, b);
	return r < 0 ? -mf_path_source_errno(-r) : 0;
}

/* A redirect of one end cannot be told from one of the other; a pair stays where it is or is refused. */
static int locate_pair(struct pair *p)
{
	int r;

	if (p->from.act.verdict.what == MF_FS_ELSEWHERE)
		return -EXDEV;
	r = mf_path_locate(&p->from);
	return r < 0 ? r : mf_path_locate(&p->to);
}

static int end_pair(struct pair *p, int r)
{
	(void)mf_path_end(&p->from, r);
	return mf_path_end(&p->to, r);
}

/*
 * A new name must not be a way to write to a file that may not be written by the name it has.
 */
static int check_writing(struct pair *p)
{
	struct mf_fs_question old = p->from.act.q, new = p->to.act.q;
	int r;

	old.op = new.op = MF_FS_OPEN_WRITE;
	old.flags = new.flags = MF_FS_FLAG_WRITE;
	old.target = new.target = NULL;
	if (!mf_policy_fs_refuses(p->from.m->pfs, &p->from.act, &old) ||
	    mf_policy_fs_refuses(p->from.m->pfs, &p->from.act, &new))
		return 0;
	// Told as the refusal that it is.
	r = mf_policy_fs_also(p->from.m->pfs, &p->from.act, &old);
	return r < 0 ? -mf_path_source_errno(-r) : 0;
}

static int do_link(const char *from, const char *to)
{
	struct stat st;
	struct pair p;
	int r = begin_pair(&p, from, MF_FS_LINK_FROM, to, MF_FS_LINK_TO);

	if (r == 0)
		r = check_writing(&p);
	if (r == 0)
		r = locate_pair(&p);
	if (r == 0 && linkat(p.from.dir_fd, p.from.at, p.to.dir_fd, p.to.at, 0) < 0)
		r = -errno;
	if (r == 0 && mf_path_stat(&p.to, &st) == 0 && mf_path_link_seen(p.from.m, &st, from) == 0)
		(void)mf_path_link_seen(p.from.m, &st, to);
	return end_pair(&p, r);
}

/* In the seat of the pair. */
static int ask_tree(struct pair *p, const struct mf_path_op *from, const struct mf_path_op *to)
{
	const struct mf_fs_tree_names names = { .old = from->path,
						.old_len = from->act.q.path_len,
						.new = to->path,
						.new_len = to->act.q.path_len };
	int r = mf_fs_ask_tree(p->from.m->pfs, &p->from.act, p->from.m->o.trash, from->dir_fd,
			       from->at, &names);

	return p->from.act.verdict.what == MF_FS_REFUSE && r < 0 ? -mf_path_source_errno(-r) : r;
}

/*
 * What stands at the new name is lost by a rename: it is deleted, as far as policies are concerned. The question about it
 * is @p->to's own, with an event of its own.
 */
static int keep_replaced(struct pair *p)
{
	struct mf_path_op *to = &p->to;
	struct stat st, source;
	bool dir, trash;
	int r = mf_path_stat(to, &st);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	// Another name of the same file: nothing happens, nothing is lost.
	r = mf_path_stat(&p->from, &source);
	if (r < 0 || (source.st_ino == st.st_ino && source.st_dev == st.st_dev))
		return r;
	// Refused by the system below anyway; nothing is kept for it.
	dir = S_ISDIR(st.st_mode);
	if (dir != (bool)S_ISDIR(source.st_mode))
		return dir ? -EISDIR : -ENOTDIR;
	to->act.q.op = MF_FS_REPLACE;
	r = mf_path_ask(to);
	if (r < 0)
		return r;
	trash = to->act.verdict.what == MF_FS_TRASH;
	to->act.quiet = !trash && !to->act.verdict.d.audit;
	if (to->act.verdict.what == MF_FS_ELSEWHERE)
		return -EXDEV;
	return !trash ? 0
		      : mf_path_keep(to, dir ? MF_TRASH_NOTE_DIR : MF_TRASH_LINK, MF_TRASH_REPLACE,
				     to->act.verdict.hash, &st);
}

/* ---- deleted while open ---------------------------------------------------------------------------------------------- */

/*
 * NFS, by which FUSE-T mounts, knows no files without a name: its client renames an open file that is deleted to ".nfs.*" and
 * deletes that when it is closed. To policies and the trash the file is deleted when it gets that name.
 */
static const char silly[] = ".nfs.";

static bool is_silly(const char *inner)
{
	const char *slash = strrchr(inner, '/');

	return slash && strncmp(slash + 1, silly, sizeof(silly) - 1) == 0;
}

/* The file is deleted and renamed: all has to be allowed. In the seat of the deletion, which is what is told of. */
static int begin_hiding(struct pair *p, const char *from, const char *to)
{
	int r = mf_path_name(&p->from, from), r2 = mf_path_name(&p->to, to);
	struct mf_fs_question a, b;

	if (r < 0 || r2 < 0)
		return r < 0 ? r : r2;
	a = p->from.act.q;
	a.op = MF_FS_RENAME_FROM;
	a.target = p->to.path;
	a.target_len = p->to.act.q.path_len;
	b = p->to.act.q;
	b.op = MF_FS_RENAME_TO;
	b.target = p->from.path;
	b.target_len = p->from.act.q.path_len;
	p->from.act.q.op = MF_FS_UNLINK;
	r = mf_path_ask(&p->from);
	if (r < 0)
		return r;
	r = mf_policy_fs_also(p->from.m->pfs, &p->from.act, &a);
	if (r == 0)
		r = mf_policy_fs_also(p->from.m->pfs, &p->from.act, &b);
	return r < 0 ? -mf_path_source_errno(-r) : 0;
}

static int hide(const char *from, const char *to)
{
	struct stat st;
	struct pair p;
	int r = begin_hiding(&p, from, to);

	if (r == 0)
		r = locate_pair(&p);
	if (r == 0)
		r = mf_path_stat(&p.from, &st);
	if (r == 0 && !S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r == 0 && p.from.act.verdict.what == MF_FS_TRASH)
		r = mf_path_keep(&p.from, MF_TRASH_LINK, MF_TRASH_DELETE, p.from.act.verdict.hash,
				 &st);
	if (r == 0) {
		r = mf_path_source_rename(p.from.dir_fd, p.from.at, p.to.dir_fd, p.to.at,
					  MF_PATH_RENAME_NEW);
		if (r < 0)
			mf_path_unkeep(&p.from);
	}
	if (r == 0) {
		mf_path_links_moved(p.from.m, from, to, false);
		mf_path_hide(p.from.m, &st, to);
	}
	return end_pair(&p, r);
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
	int how = mf_path_source_rename_of(flags), r;
	struct pair p;

	if (how < 0)
		return how;
	if (how == MF_PATH_RENAME_PLAIN && is_silly(to) && !is_silly(from))
		return hide(from, to);
	r = begin_pair(&p, from, MF_FS_RENAME_FROM, to, MF_FS_RENAME_TO);
	if (r == 0)
		r = locate_pair(&p);
	if (r == 0)
		r = ask_tree(&p, &p.from, &p.to);
	if (r == 0 && how == MF_PATH_RENAME_SWAP)
		r = ask_tree(&p, &p.to, &p.from);
	if (r == 0 && how == MF_PATH_RENAME_PLAIN)
		r = keep_replaced(&p);
	if (r == 0)
		r = mf_path_source_rename(p.from.dir_fd, p.from.at, p.to.dir_fd, p.to.at,
					  (enum mf_path_rename)how);
	if (r == 0) {
		mf_path_links_moved(p.from.m, from, to, how == MF_PATH_RENAME_SWAP);
		mf_path_changed_dir(&p.from);
		mf_path_changed_dir(&p.to);
	}
	if (r < 0)
		mf_path_unkeep(&p.to);
	return end_pair(&p, r);
}

/* ---- removing ------------------------------------------------------------------------------------------------------ */

static int remove_name(struct mf_path_op *op, bool dir)
{
	struct stat st;
	int r = mf_path_stat(op, &st);

	if (r < 0)
		return r;
	if (op->act.verdict.what != MF_FS_TRASH) {
		if (unlinkat(op->dir_fd, op->at, dir ? AT_REMOVEDIR : 0) < 0)
			return -errno;
		mf_path_link_gone(op->m, &st, op->inner);
		return 0;
	}
	if (dir != (bool)S_ISDIR(st.st_mode))
		return dir ? -ENOTDIR : -EISDIR;
	mf_path_emptying(op);
	if (!dir) {
		r = mf_path_keep(op, MF_TRASH_MOVE, MF_TRASH_DELETE, op->act.verdict.hash, &st);
		if (r == 0)
			mf_path_link_gone(op->m, &st, op->inner);
		return r;
	}
	r = mf_path_keep(op, MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR, false, &st);
	if (r == 0 && unlinkat(op->dir_fd, op->at, AT_REMOVEDIR) < 0) {
		r = -errno;
		mf_path_unkeep(op);
	}
	return r;
}

/* What was deleted before, and is closed now: nobody is asked again. Return: 1: it is none */
static int remove_hidden(const char *path)
{
	struct mf_path_op op;
	struct stat st;
	int r = mf_path_name(&op, path);

	if (r == 0)
		r = mf_path_locate(&op);
	if (r == 0)
		r = mf_path_stat(&op, &st);
	if (r == 0 && !mf_path_is_hidden(op.m, &st, path))
		r = 1;
	if (r == 0 && unlinkat(op.dir_fd, op.at, 0) < 0)
		r = -errno;
	if (r == 0)
		mf_path_link_gone(op.m, &st, path);
	return mf_path_end(&op, r < 0 ? 1 : r);
}

static int do_unlink(const char *path)
{
	struct mf_path_op op;
	int r;

	if (is_silly(path) && remove_hidden(path) == 0)
		return 0;
	r = mf_path_begin(&op, path, MF_FS_UNLINK, 0, -1);
	if (r == 0)
		r = remove_name(&op, false);
	return mf_path_end(&op, r);
}

static int do_rmdir(const char *path)
{
	struct mf_path_op op;
	int r = mf_path_begin(&op, path, MF_FS_RMDIR, 0, -1);

	if (r == 0)
		r = remove_name(&op, true);
	return mf_path_end(&op, r);
}

void mf_path_name_ops(struct fuse_operations *ops)
{
	ops->mkdir = do_mkdir;
	ops->mknod = do_mknod;
	ops->symlink = do_symlink;
	ops->link = do_link;
	ops->rename = do_rename;
	ops->unlink = do_unlink;
	ops->rmdir = do_rmdir;
}
