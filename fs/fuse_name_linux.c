/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_name_linux.c - what makes, moves and removes names; see fuse_linux.h */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/ask_tree_posix.h"
#include "fs/fuse_linux.h"

/*
 * What has just been made at @c's name, of @type (S_IFMT). Others change the source too: what is there now and is of another
 * type is not what was made, and the kernel, which would take that for a broken file system (EIO), looks again.
 */
static int stat_made(const struct mf_fs_op_ctx *c, mode_t type, struct statx *ret)
{
	int r = mf_fs_source_stat(c->dir_fd, c->at, ret);

	return r == 0 && (ret->stx_mode & S_IFMT) != type ? -ESTALE : r;
}

static void reply_made(fuse_req_t req, struct mf_fs_op_ctx *c, fuse_ino_t parent, const char *name,
		       mode_t type, int r)
{
	struct fuse_entry_param e = { 0 };
	struct statx stx;

	if (r == 0)
		r = stat_made(c, type, &stx);
	if (r == 0)
		r = mf_fuse_entry(c, mf_fuse_node(c->m, parent), name, &stx, &e);
	if (r == 0) {
		mf_fuse_node(c->m, e.ino)->made = true;
		mf_fuse_changed_dir(c);
		e.entry_timeout = e.attr_timeout = mf_fuse_stat_timeout(c);
	}
	mf_fuse_end(c, r);
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, &e) < 0)
		mf_fs_nodes_forget(c->m->nodes, mf_fuse_node(c->m, e.ino), 1);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mf_fs_op_ctx c;
	int r = mf_fuse_begin_child(&c, req, parent, name, MF_FS_MKDIR, 0);

	c.act.mode = mode & 07777;
	if (r == 0)
		r = mf_fuse_become(&c);
	if (r == 0 && mkdirat(c.dir_fd, c.at, mode) < 0)
		r = -errno;
	reply_made(req, &c, parent, name, S_IFDIR, r);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mf_fs_op_ctx c;
	bool regular = S_ISREG(mode) || !(mode & S_IFMT);
	int r = mf_fuse_begin_child(&c, req, parent, name,
				    regular ? MF_FS_CREATE_WRITE : MF_FS_MKNOD,
				    regular ? MF_FS_FLAG_CREATE | MF_FS_FLAG_EXCLUSIVE : 0);

	c.act.mode = mode & 07777;
	if (r == 0)
		r = mf_fuse_become(&c);
	if (r == 0 && mknodat(c.dir_fd, c.at, mode, rdev) < 0)
		r = -errno;
	reply_made(req, &c, parent, name, regular ? S_IFREG : mode & S_IFMT, r);
}

static void op_symlink(fuse_req_t req, const char *text, fuse_ino_t parent, const char *name)
{
	struct mf_fs_op_ctx c;
	int r = mf_fuse_begin_child_with(&c, req, parent, name, MF_FS_SYMLINK, 0, text);

	if (r == 0)
		r = mf_fuse_become(&c);
	if (r == 0 && symlinkat(text, c.dir_fd, c.at) < 0)
		r = -errno;
	reply_made(req, &c, parent, name, S_IFLNK, r);
}

/* ---- two names ------------------------------------------------------------------------------------------------- */

/* Both ends are asked about with the other as target; the stricter answer is that of the whole, and stays in @a. */
static int ask_both(struct mf_fs_op_ctx *a, enum mf_fs_op op_a, struct mf_fs_op_ctx *b,
		    enum mf_fs_op op_b)
{
	int r;

	a->act.q.op = op_a;
	a->act.q.target = b->path;
	a->act.q.target_len = b->act.q.path_len;
	b->act.q.op = op_b;
	b->act.q.target = a->path;
	b->act.q.target_len = a->act.q.path_len;
	r = mf_fuse_ask(a);
	if (r == 0)
		r = mf_policy_fs_also(a->m->pfs, &a->act, &b->act.q);
	return r;
}

/* A redirect of one end cannot be told from one of the other; a pair stays where it is or is refused. */
static int locate_both(struct mf_fs_op_ctx *a, struct mf_fs_op_ctx *b)
{
	int r;

	if (a->act.verdict.what == MF_FS_ELSEWHERE)
		return -EXDEV;
	r = mf_fuse_locate(a);
	return r < 0 ? r : mf_fuse_locate(b);
}

/*
 * A new name must not be a way to write to a file that may not be written by the name it has: once it is all that the
 * kernel remembers, nobody would ask about the other one.
 */
static int check_writing(struct mf_fs_op_ctx *from, struct mf_fs_op_ctx *to)
{
	struct mf_fs_question old = from->act.q, new = to->act.q;

	old.op = new.op = MF_FS_OPEN_WRITE;
	old.flags = new.flags = MF_FS_FLAG_WRITE;
	old.target = new.target = NULL;
	if (!mf_policy_fs_refuses(from->m->pfs, &from->act, &old) ||
	    mf_policy_fs_refuses(from->m->pfs, &from->act, &new))
		return 0;
	// Told as the refusal that it is.
	return mf_policy_fs_also(from->m->pfs, &from->act, &old);
}

static int link_to(struct mf_fs_op_ctx *from, struct mf_fs_op_ctx *to)
{
	char proc[MF_FS_PROC_ROOM];
	int fd = mf_fuse_open_path(from), r = 0;

	if (fd < 0)
		return fd;
	if (linkat(AT_FDCWD, mf_fs_source_proc(fd, proc), to->dir_fd, to->at, AT_SYMLINK_FOLLOW) <
	    0)
		r = -errno;
	close(fd);
	return r;
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct mf_fs_op_ctx from, to;
	struct fuse_entry_param e = { 0 };
	struct statx stx;
	int r = mf_fuse_find_node(&from, req, ino), r2 = mf_fuse_find_child(&to, req, parent, name);

	if (r == 0)
		r = r2;
	if (r == 0 && from.unnamed)
		r = -ENOENT;
	if (r == 0)
		r = ask_both(&from, MF_FS_LINK_FROM, &to, MF_FS_LINK_TO);
	if (r == 0)
		r = check_writing(&from, &to);
	if (r == 0)
		r = locate_both(&from, &to);
	if (r == 0)
		r = link_to(&from, &to);
	if (r == 0)
		r = stat_made(&to, from.node->type, &stx);
	if (r == 0)
		r = mf_fuse_entry(&to, mf_fuse_node(to.m, parent), name, &stx, &e);
	mf_fuse_end(&from, r);
	mf_fuse_end(&to, r);
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, &e) < 0)
		mf_fs_nodes_forget(to.m->nodes, mf_fuse_node(to.m, e.ino), 1);
}

/*
 * What stands at the new name is lost by a rename: it is deleted, as far as policies are concerned. The question about it
 * is @to's own, with an event of its own.
 */
static int keep_replaced(struct mf_fs_op_ctx *from, struct mf_fs_op_ctx *to,
			 char token[MF_TRASH_TOKEN_MAX])
{
	struct statx stx, source;
	bool dir, trash;
	int r = mf_fs_source_stat(to->dir_fd, to->at, &stx);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (mf_fuse_is_trash(to->m, &stx))
		return -EACCES;
	// Another name of the same file: nothing happens, nothing is lost.
	r = mf_fs_source_stat(from->dir_fd, from->at, &source);
	if (r < 0)
		return r;
	if (source.stx_ino == stx.stx_ino && source.stx_dev_major == stx.stx_dev_major &&
	    source.stx_dev_minor == stx.stx_dev_minor)
		return 0;
	// Refused by the system below anyway; nothing is kept for it.
	dir = S_ISDIR(stx.stx_mode);
	if (dir != (bool)S_ISDIR(source.stx_mode))
		return dir ? -EISDIR : -ENOTDIR;
	to->act.q.op = MF_FS_REPLACE;
	r = mf_fuse_ask(to);
	if (r < 0)
		return r;
	trash = to->act.verdict.what == MF_FS_TRASH;
	to->act.quiet = !trash && !to->act.verdict.d.audit;
	if (to->act.verdict.what == MF_FS_ELSEWHERE)
		return -EXDEV;
	return !trash ? 0
		      : mf_fuse_keep(to, dir ? MF_TRASH_NOTE_DIR : MF_TRASH_LINK, MF_TRASH_REPLACE,
				     to->act.verdict.hash, &stx, token);
}

/* In the seat of @c. */
static int ask_tree(struct mf_fs_op_ctx *c, const struct mf_fs_op_ctx *from,
		    const struct mf_fs_op_ctx *to)
{
	const struct mf_fs_tree_names names = { .old = from->path,
						.old_len = from->act.q.path_len,
						.new = to->path,
						.new_len = to->act.q.path_len };

	return mf_fs_ask_tree(c->m->pfs, &c->act, c->m->o.trash, from->dir_fd, from->at, &names);
}

static int do_rename(struct mf_fs_op_ctx *from, const char *name, struct mf_fs_op_ctx *to,
		     const char *new_name, unsigned flags)
{
	struct mf_fs_nodes *nodes = from->m->nodes;
	int r;

	mf_fs_nodes_moving(nodes, true);
	r = renameat2(from->dir_fd, from->at, to->dir_fd, to->at, flags) < 0 ? -errno : 0;
	if (r == 0)
		mf_fs_nodes_moved(nodes, from->dir, name, to->dir, new_name,
				  flags & RENAME_EXCHANGE);
	mf_fs_nodes_moving(nodes, false);
	return r;
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	struct mf_fs_op_ctx from, to;
	char token[MF_TRASH_TOKEN_MAX] = "";
	int r = mf_fuse_find_child(&from, req, parent, name),
	    r2 = mf_fuse_find_child(&to, req, new_parent, new_name);

	if (r == 0)
		r = r2;
	if (r == 0)
		r = ask_both(&from, MF_FS_RENAME_FROM, &to, MF_FS_RENAME_TO);
	if (r == 0)
		r = locate_both(&from, &to);
	if (r == 0)
		r = ask_tree(&from, &from, &to);
	if (r == 0 && flags & RENAME_EXCHANGE)
		r = ask_tree(&from, &to, &from);
	if (r == 0 && !(flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)))
		r = keep_replaced(&from, &to, token);
	if (r == 0)
		r = do_rename(&from, name, &to, new_name, flags);
	if (r < 0) {
		mf_fuse_unkeep(&to, token);
	} else {
		mf_fuse_changed_dir(&from);
		mf_fuse_changed_dir(&to);
	}
	mf_fuse_end(&from, r);
	mf_fuse_end(&to, r);
	fuse_reply_err(req, -r);
}

/* ---- removing -------------------------------------------------------------------------------------------------- */

static int remove_name(struct mf_fs_op_ctx *c, bool dir, char token[MF_TRASH_TOKEN_MAX])
{
	struct statx stx;
	int r;

	if (c->act.verdict.what != MF_FS_TRASH)
		return unlinkat(c->dir_fd, c->at, dir ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
	r = mf_fs_source_stat(c->dir_fd, c->at, &stx);
	if (r < 0)
		return r;
	if (dir != (bool)S_ISDIR(stx.stx_mode))
		return dir ? -ENOTDIR : -EISDIR;
	mf_fuse_emptying(c);
	if (!dir)
		return mf_fuse_keep(c, MF_TRASH_MOVE, MF_TRASH_DELETE, c->act.verdict.hash, &stx,
				    token);
	r = mf_fuse_keep(c, MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR, false, &stx, token);
	if (r == 0 && unlinkat(c->dir_fd, c->at, AT_REMOVEDIR) < 0) {
		r = -errno;
		mf_fuse_unkeep(c, token);
	}
	return r;
}

static void remove_child(fuse_req_t req, fuse_ino_t parent, const char *name, bool dir)
{
	char token[MF_TRASH_TOKEN_MAX] = "";
	struct mf_fs_op_ctx c;
	int r = mf_fuse_begin_child(&c, req, parent, name, dir ? MF_FS_RMDIR : MF_FS_UNLINK, 0);

	if (r == 0)
		r = remove_name(&c, dir, token);
	if (r == 0)
		mf_fs_nodes_gone(c.m->nodes, c.dir, name);
	mf_fuse_end(&c, r);
	fuse_reply_err(req, -r);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_child(req, parent, name, false);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_child(req, parent, name, true);
}

/* ---- create ---------------------------------------------------------------------------------------------------- */

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	bool read = (fi->flags & O_ACCMODE) != O_WRONLY,
	     write = (fi->flags & O_ACCMODE) != O_RDONLY;
	unsigned flags = (read ? MF_FS_FLAG_READ : 0) | (write ? MF_FS_FLAG_WRITE : 0) |
			 MF_FS_FLAG_CREATE | (fi->flags & O_EXCL ? MF_FS_FLAG_EXCLUSIVE : 0) |
			 (fi->flags & O_APPEND ? MF_FS_FLAG_APPEND : 0);
	struct fuse_entry_param e = { 0 };
	struct mf_fs_op_ctx c;
	struct statx stx;
	int r = mf_fuse_begin_child(&c, req, parent, name, mf_fs_op_create(read, write), flags),
	    fd = -1;

	c.act.mode = mode & 07777;
	if (r == 0)
		r = mf_fuse_become(&c);
	if (r == 0 && !mf_fuse_may_open(c.m))
		r = -ENFILE;
	if (r == 0) {
		// Somebody else's file of this name is not ours to open: the kernel looks again.
		fd = mf_fs_source_open_file(c.dir_fd, c.at,
					    mf_fuse_open_flags(c.m, fi->flags) | O_CREAT | O_EXCL,
					    mode);
		r = fd < 0 ? fd == -EEXIST && !(fi->flags & O_EXCL) ? -ESTALE : fd : 0;
	}
	if (r == 0)
		r = mf_fs_source_stat_fd(fd, &stx);
	if (r == 0)
		r = mf_fuse_entry(&c, mf_fuse_node(c.m, parent), name, &stx, &e);
	if (r == 0) {
		mf_fuse_node(c.m, e.ino)->made = true;
		mf_fuse_changed_dir(&c);
		e.entry_timeout = e.attr_timeout = mf_fuse_stat_timeout(&c);
		r = mf_fuse_open_created(&c, mf_fuse_node(c.m, e.ino), fd, fi);
		if (r < 0)
			mf_fs_nodes_forget(c.m->nodes, mf_fuse_node(c.m, e.ino), 1);
		else
			e.attr_timeout = mf_fuse_attr_timeout(mf_fuse_node(c.m, e.ino),
							      stx.stx_mode, e.attr_timeout);
	} else if (fd >= 0) {
		close(fd);
	}
	mf_fuse_end(&c, r);
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (mf_fuse_way_reply_create(req, (struct mf_fs_handle *)(uintptr_t)fi->fh, &e, fi) <
		 0) {
		mf_fuse_close(c.m, (struct mf_fs_handle *)(uintptr_t)fi->fh);
		mf_fs_nodes_forget(c.m->nodes, mf_fuse_node(c.m, e.ino), 1);
	}
}

void mf_fuse_name_ops(struct fuse_lowlevel_ops *ops)
{
	ops->mkdir = op_mkdir;
	ops->mknod = op_mknod;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->rename = op_rename;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->create = op_create;
}
