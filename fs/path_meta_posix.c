/* SPDX-License-Identifier: Apache-2.0 */
/* path_meta_posix.c - attributes, links' texts, extended attributes; see path_fs.h */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/path_fs.h"

#define LINK_ROOM 4096

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	struct mf_path_file *f = mf_path_file_of(fi);
	struct mf_path_op op;
	int r;

	if (f) // asked when it was opened
		return fstat(f->fd, st) < 0 ? -errno : 0;
	r = mf_path_begin(&op, path, MF_FS_GETATTR, 0, -1);
	if (r == 0)
		r = mf_path_stat(&op, st);
	if (r == 0 && !op.elsewhere)
		r = mf_path_link_seen(op.m, st, path);
	return mf_path_end(&op, r);
}

static int do_access(const char *path, int mask)
{
	struct mf_path_op op;
	struct stat st;
	int r = mf_path_begin(&op, path, MF_FS_ACCESS, 0, -1);

	if (r == 0)
		r = mf_path_stat(&op, &st);
	// The kernel has followed links by itself: what still is one was asked about as such.
	if (r == 0 && !S_ISLNK(st.st_mode) &&
	    faccessat(op.dir_fd, op.at, mask & (R_OK | W_OK | X_OK), AT_EACCESS) < 0)
		r = -errno;
	return mf_path_end(&op, r);
}

static int do_statfs(const char *path, struct statvfs *st)
{
	struct mf_path_op op;
	int r = mf_path_begin(&op, path, MF_FS_STATFS, 0, -1);

	if (r == 0 && fstatvfs(op.dir_fd, st) < 0)
		r = -errno;
	return mf_path_end(&op, r);
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

/* A change of attributes, of what is open or not. */
struct change {
	struct mf_path_op op;
	int fd; /* to be done by; -1: by op's place */
	bool named;
	char buf[MF_PATH_ROOM];
};

/* What has a name is asked about; what has none is left to those who have it open. */
static int begin_change(struct change *c, const char *path, struct fuse_file_info *fi,
			enum mf_fs_op what)
{
	struct mf_path_file *f = mf_path_file_of(fi);
	struct stat st;
	int r = 0;

	path = mf_path_inner(path, f, c->buf);
	c->named = path;
	if (!path && !f)
		return -ENOENT;
	if (path)
		r = mf_path_begin(&c->op, path, what, 0, -1);
	if (r == 0 && path)
		r = mf_path_ask_links(&c->op, what, &st);
	c->fd = f && (!path || !c->op.elsewhere) ? f->fd : -1;
	return r;
}

static int end_change(struct change *c, int r)
{
	return c->named ? mf_path_end(&c->op, r) : r;
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	struct change c;
	int r = begin_change(&c, path, fi, MF_FS_CHMOD);

	if (c.named)
		c.op.act.mode = mode & 07777;
	if (r == 0 &&
	    (c.fd >= 0 ? fchmod(c.fd, mode & 07777)
		       : fchmodat(c.op.dir_fd, c.op.at, mode & 07777, AT_SYMLINK_NOFOLLOW)) < 0)
		r = -errno;
	return end_change(&c, r);
}

static int do_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	struct change c;
	int r = begin_change(&c, path, fi, MF_FS_CHOWN);

	if (r == 0 &&
	    (c.fd >= 0 ? fchown(c.fd, uid, gid)
		       : fchownat(c.op.dir_fd, c.op.at, uid, gid, AT_SYMLINK_NOFOLLOW)) < 0)
		r = -errno;
	return end_change(&c, r);
}

static int do_utimens(const char *path, const struct timespec tv[2], struct fuse_file_info *fi)
{
	struct change c;
	int r = begin_change(&c, path, fi, MF_FS_UTIMENS);

	if (r == 0 && (c.fd >= 0 ? futimens(c.fd, tv)
				 : utimensat(c.op.dir_fd, c.op.at, tv, AT_SYMLINK_NOFOLLOW)) < 0)
		r = -errno;
	return end_change(&c, r);
}

/* A file that may be written to, at the place. */
static int open_to_cut(struct mf_path_op *op)
{
	struct stat st;
	int fd = openat(op->dir_fd, op->at,
			O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

static int cut(struct mf_path_op *op, int fd, off_t size)
{
	struct mf_path_inode *inode;
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : mf_path_keep_before_cut(op, &st, size);

	if (r < 0)
		return r;
	if (ftruncate(fd, size) < 0) {
		r = -errno;
		mf_path_unkeep(op);
	} else if (*op->token) {
		// All that it held is kept.
		pthread_mutex_lock(&op->m->lock);
		inode = mf_path_inode_find(op->m, (uint64_t)st.st_dev, st.st_ino);
		if (inode)
			mf_path_forget_write(inode);
		pthread_mutex_unlock(&op->m->lock);
	}
	return r;
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	struct mf_path_file *f = mf_path_file_of(fi);
	char buf[MF_PATH_ROOM];
	struct mf_path_op op;
	struct stat st;
	int r, fd;

	path = mf_path_inner(path, f, buf);
	if (!path) // without a name there is nothing that it could come back as
		return !f ? -ENOENT : ftruncate(f->fd, size) < 0 ? -errno : 0;
	r = mf_path_begin(&op, path, MF_FS_TRUNCATE, MF_FS_FLAG_WRITE | MF_FS_FLAG_TRUNCATE, size);
	if (r == 0)
		r = mf_path_ask_links(&op, MF_FS_TRUNCATE, &st);
	if (r == 0) {
		bool own = f && f->writes && !op.elsewhere;

		fd = own ? f->fd : open_to_cut(&op);
		r = fd < 0 ? fd : cut(&op, fd, size);
		if (fd >= 0 && !own)
			close(fd);
	}
	return mf_path_end(&op, r);
}

/* ---- links' texts ------------------------------------------------------------------------------------------------ */

static int read_link(const struct mf_path_op *op, char text[LINK_ROOM])
{
	ssize_t len = readlinkat(op->dir_fd, op->at, text, LINK_ROOM - 1);

	if (len < 0)
		return -errno;
	text[len] = '\0';
	return (int)len;
}

/* The text is read first: policies are asked with it. */
static int do_readlink(const char *path, char *buf, size_t size)
{
	char text[LINK_ROOM];
	struct mf_path_op op;
	int r = mf_path_name(&op, path);

	if (r == 0)
		r = mf_path_locate(&op);
	if (r == 0)
		r = read_link(&op, text);
	if (r >= 0) {
		op.act.q.op = MF_FS_READLINK;
		op.act.q.target = text;
		op.act.q.target_len = (size_t)r;
		r = mf_path_ask(&op);
	}
	if (r == 0 && op.act.verdict.what == MF_FS_ELSEWHERE) {
		close(op.dir_fd);
		op.dir_fd = -1;
		r = mf_path_locate(&op);
		if (r == 0)
			r = read_link(&op, text);
	}
	if (r >= 0 && size) {
		size_t len = strlen(text) < size ? strlen(text) : size - 1;

		memcpy(buf, text, len);
		buf[len] = '\0';
	}
	return mf_path_end(&op, r < 0 ? r : 0);
}

/* ---- extended attributes ------------------------------------------------------------------------------------------ */

static int do_getxattr(const char *path, const char *name, char *value, size_t size)
{
	struct mf_path_op op;
	int r = mf_path_begin(&op, path, MF_FS_GETXATTR, 0, -1);

	if (r == 0)
		r = (int)mf_path_source_get_xattr(op.dir_fd, op.at, name, value, size);
	return mf_path_end(&op, r);
}

static int do_listxattr(const char *path, char *list, size_t size)
{
	struct mf_path_op op;
	int r = mf_path_begin(&op, path, MF_FS_GETXATTR, 0, -1);

	if (r == 0)
		r = (int)mf_path_source_list_xattr(op.dir_fd, op.at, list, size);
	return mf_path_end(&op, r);
}

static int do_setxattr(const char *path, const char *name, const char *value, size_t size,
		       int flags)
{
	struct mf_path_op op;
	struct stat st;
	int r = mf_path_begin(&op, path, MF_FS_SETXATTR, 0, -1);

	if (r == 0)
		r = mf_path_ask_links(&op, MF_FS_SETXATTR, &st);
	if (r == 0)
		r = mf_path_source_set_xattr(op.dir_fd, op.at, name, value, size, flags);
	return mf_path_end(&op, r);
}

static int do_removexattr(const char *path, const char *name)
{
	struct mf_path_op op;
	struct stat st;
	int r = mf_path_begin(&op, path, MF_FS_SETXATTR, 0, -1);

	if (r == 0)
		r = mf_path_ask_links(&op, MF_FS_SETXATTR, &st);
	if (r == 0)
		r = mf_path_source_remove_xattr(op.dir_fd, op.at, name);
	return mf_path_end(&op, r);
}

void mf_path_meta_ops(struct fuse_operations *ops)
{
	ops->getattr = do_getattr;
	ops->access = do_access;
	ops->statfs = do_statfs;
	ops->chmod = do_chmod;
	ops->chown = do_chown;
	ops->utimens = do_utimens;
	ops->truncate = do_truncate;
	ops->readlink = do_readlink;
	ops->getxattr = do_getxattr;
	ops->listxattr = do_listxattr;
	ops->setxattr = do_setxattr;
	ops->removexattr = do_removexattr;
}
