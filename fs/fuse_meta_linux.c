/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_meta_linux.c - looking things up, attributes, texts of links, extended attributes; see fuse_linux.h */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/fuse_linux.h"

#define SETATTR_TIMES                                                          \
	(FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | \
	 FUSE_SET_ATTR_MTIME_NOW)

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { 0 };
	struct mf_fs_op_ctx c;
	struct statx stx;
	int r = mf_fuse_begin_child(&c, req, parent, name, MF_FS_LOOKUP, 0);
	bool asked = r == 0;

	if (r == 0)
		r = mf_fs_source_stat(c.dir_fd, c.at, &stx);
	if (r == 0 && mf_fuse_is_trash(c.m, &stx))
		r = -ENOENT;
	if (r == 0)
		r = mf_fuse_entry(&c, mf_fuse_node(c.m, parent), name, &stx, &e);
	e.entry_timeout = e.attr_timeout = mf_fuse_timeout(c.m, c.act.verdict.cache_ns);
	if (e.ino)
		e.attr_timeout = mf_fuse_attr_timeout(mf_fuse_node(c.m, e.ino), stx.stx_mode,
						      e.attr_timeout);
	mf_fuse_end(&c, r);
	// That something is not there may be kept as well.
	if (r < 0 && !(asked && r == -ENOENT && e.entry_timeout > 0))
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, &e) < 0 && e.ino)
		mf_fs_nodes_forget(c.m->nodes, mf_fuse_node(c.m, e.ino), 1);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t cnt)
{
	struct mf_fs_mount *m = fuse_req_userdata(req);

	if (ino != FUSE_ROOT_ID)
		mf_fs_nodes_forget(m->nodes, mf_fuse_node(m, ino), cnt);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t cnt, struct fuse_forget_data *forgets)
{
	struct mf_fs_mount *m = fuse_req_userdata(req);

	for (size_t i = 0; i < cnt; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			mf_fs_nodes_forget(m->nodes, mf_fuse_node(m, forgets[i].ino),
					   forgets[i].nlookup);
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, int r, const struct statx *stx, double timeout)
{
	struct stat st;

	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	mf_fs_source_to_stat(stx, &st);
	fuse_reply_attr(req, &st, timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mf_fs_op_ctx c;
	struct statx stx;
	int r = mf_fuse_begin_node(&c, req, ino, MF_FS_GETATTR, 0, -1);
	double timeout;

	(void)fi;
	if (r == 0)
		r = mf_fuse_stat(&c, &stx);
	timeout = r < 0 ? 0
			: mf_fuse_attr_timeout(c.node, stx.stx_mode,
					       mf_fuse_timeout(c.m, c.act.verdict.cache_ns));
	mf_fuse_end(&c, r);
	reply_attr(req, r, &stx, timeout);
}

/* ---- changing attributes --------------------------------------------------------------------------------------- */

static struct timespec time_of(int set, int want, int now, const struct timespec *t)
{
	if (set & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return set & want ? *t : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

/* @own: the caller has the file open for writing */
static int cut(struct mf_fs_op_ctx *c, int fd, uint64_t size, bool own,
	       char token[MF_TRASH_TOKEN_MAX])
{
	char proc[MF_FS_PROC_ROOM];
	struct mf_fs_handle *h;
	struct statx stx;
	int r = mf_fs_source_stat_fd(fd, &stx);

	if (r == 0)
		r = mf_fuse_keep_before_cut(c, &stx, size, token);
	if (r < 0)
		return r;
	// Who has opened it for writing may do so although its mode has changed since.
	h = c->elsewhere || (c->m->checks_below && !own) ? NULL
							 : mf_fuse_handle_of(c->m, c->node, true);
	if (!h && c->unnamed)
		return -EACCES; // nobody can be asked about it any more, and nobody was
	mf_fs_source_keep_bits(!mf_fuse_session_kills());
	r = h ? ftruncate(h->fd, (off_t)size) : truncate(mf_fs_source_proc(fd, proc), (off_t)size);
	if (r < 0)
		r = -errno;
	mf_fs_source_keep_bits(true);
	if (h)
		mf_fuse_handle_put(c->m, h);
	if (r < 0) {
		mf_fuse_unkeep(c, token);
	} else if (*token) {
		mf_fs_nodes_lock(c->m->nodes);
		mf_fuse_forget_write(c->node);
		mf_fs_nodes_unlock(c->m->nodes);
	}
	return r;
}

static int apply(struct mf_fs_op_ctx *c, int fd, const struct stat *attr, int set, bool own,
		 char token[MF_TRASH_TOKEN_MAX])
{
	char proc[MF_FS_PROC_ROOM];
	int r = 0;

	if (set & FUSE_SET_ATTR_MODE && chmod(mf_fs_source_proc(fd, proc), attr->st_mode) < 0)
		return -errno;
	if (set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) &&
	    fchownat(fd, "", set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
		     set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1, AT_EMPTY_PATH) < 0)
		return -errno;
	if (set & FUSE_SET_ATTR_SIZE)
		r = cut(c, fd, (uint64_t)attr->st_size, own, token);
	if (r == 0 && set & SETATTR_TIMES) {
		const struct timespec t[2] = {
			time_of(set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, &attr->st_atim),
			time_of(set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, &attr->st_mtim)
		};

		if (utimensat(fd, "", t, AT_EMPTY_PATH) < 0)
			r = -errno;
	}
	return r;
}

/* Every part of the change is asked about; times only where they are all of it: they come along with the others. */
static int begin_setattr(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t ino,
			 const struct stat *attr, int set)
{
	enum mf_fs_op ops[3];
	unsigned cnt = 0;
	int r;

	if (set & FUSE_SET_ATTR_SIZE)
		ops[cnt++] = MF_FS_TRUNCATE;
	if (set & FUSE_SET_ATTR_MODE)
		ops[cnt++] = MF_FS_CHMOD;
	if (set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		ops[cnt++] = MF_FS_CHOWN;
	if (!cnt)
		ops[cnt++] = MF_FS_UTIMENS;
	r = mf_fuse_begin_node(c, req, ino, ops[0],
			       set & FUSE_SET_ATTR_SIZE ? MF_FS_FLAG_WRITE | MF_FS_FLAG_TRUNCATE
							: 0,
			       set & FUSE_SET_ATTR_SIZE ? attr->st_size : -1);
	for (unsigned i = 1; i < cnt && r == 0; i++)
		r = mf_fuse_ask_also(c, ops[i], 0, -1);
	if (set & FUSE_SET_ATTR_MODE)
		c->act.mode = attr->st_mode & 07777;
	return r;
}

/* Of a directory. The kernel that does not check goes through names that it keeps without asking. */
static void rights_changed(struct mf_fs_mount *m)
{
	if (m->checks_below)
		(void)mf_fuse_refresh_names(m);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set,
		       struct fuse_file_info *fi)
{
	struct mf_fs_handle *h = NULL;
	char token[MF_TRASH_TOKEN_MAX] = "";
	struct mf_fs_op_ctx c;
	struct statx stx;
	int r = begin_setattr(&c, req, ino, attr, set), fd;
	double timeout;

	if (r == 0) {
		fd = c.unnamed ? -ESTALE : mf_fuse_open_path(&c);
		if ((fd == -ESTALE || fd == -ENOENT) && !c.elsewhere) {
			h = mf_fuse_handle_of(c.m, c.node, false);
			fd = h ? h->fd : -ESTALE;
		}
		r = fd < 0 ? fd : apply(&c, fd, attr, set, fi != NULL, token);
		if (r == 0)
			r = mf_fs_source_stat_fd(fd, &stx);
		if (h)
			mf_fuse_handle_put(c.m, h);
		else if (fd >= 0)
			close(fd);
	}
	timeout = r == 0 ? mf_fuse_attr_timeout(c.node, stx.stx_mode, mf_fuse_stat_timeout(&c)) : 0;
	if (r == 0 && c.node && c.node->dir && set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_GID))
		rights_changed(c.m);
	mf_fuse_end(&c, r);
	reply_attr(req, r, &stx, timeout);
}

/* ---- links' texts ---------------------------------------------------------------------------------------------- */

static int read_link(struct mf_fs_op_ctx *c, char *text, size_t room)
{
	int fd = mf_fuse_open_path(c);
	ssize_t len;
	int r;

	if (fd < 0)
		return fd;
	len = readlinkat(fd, "", text, room);
	r = len < 0 ? -errno : (size_t)len >= room ? -ENAMETOOLONG : (int)len;
	close(fd);
	return r;
}

/* The text is read first: policies are asked with it. */
static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mf_fs_op_ctx c;
	char text[PATH_MAX + 1];
	int r = mf_fuse_find_node(&c, req, ino);

	if (r == 0 && c.unnamed)
		r = -ESTALE;
	if (r == 0)
		r = mf_fuse_locate(&c);
	if (r == 0)
		r = read_link(&c, text, sizeof(text));
	if (r >= 0) {
		text[r] = '\0';
		c.act.q.op = MF_FS_READLINK;
		c.act.q.target = text;
		c.act.q.target_len = (size_t)r;
		r = mf_fuse_ask(&c);
	}
	if (r == 0 && c.act.verdict.what == MF_FS_ELSEWHERE) {
		r = mf_fuse_locate(&c);
		if (r == 0)
			r = read_link(&c, text, sizeof(text));
		if (r >= 0)
			text[r] = '\0';
	}
	mf_fuse_end(&c, r < 0 ? r : 0);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_readlink(req, text);
}

/* ---- extended attributes --------------------------------------------------------------------------------------- */

/*
 * A path to the inode for the calls on extended attributes. @ret_fd is to be closed, @ret_handle put; one of them is there.
 */
static int reach(struct mf_fs_op_ctx *c, char proc[MF_FS_PROC_ROOM], int *ret_fd,
		 struct mf_fs_handle **ret_handle)
{
	int fd = c->unnamed ? -ESTALE : mf_fuse_open_path(c);

	*ret_fd = -1;
	*ret_handle = NULL;
	if ((fd == -ESTALE || fd == -ENOENT) && !c->elsewhere) {
		*ret_handle = mf_fuse_handle_of(c->m, c->node, false);
		if (!*ret_handle)
			return -ESTALE;
		(void)mf_fs_source_proc((*ret_handle)->fd, proc);
		return 0;
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	(void)mf_fs_source_proc(fd, proc);
	return 0;
}

static void let_go(struct mf_fs_op_ctx *c, int fd, struct mf_fs_handle *h)
{
	if (fd >= 0)
		close(fd);
	if (h)
		mf_fuse_handle_put(c->m, h);
}

static void reply_xattr(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else if (!size)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

/* The kernel asks so before each write, of a file that somebody was allowed to open for it: nobody is told anything. */
static bool answer_writer(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mf_fs_mount *m = fuse_req_userdata(req);
	struct mf_fs_handle *h;
	char buf[256];
	ssize_t n;

	if (strcmp(name, "security.capability") != 0 || size > sizeof(buf))
		return false;
	h = mf_fuse_handle_of(m, mf_fuse_node(m, ino), true);
	if (!h)
		return false;
	n = fgetxattr(h->fd, name, buf, size);
	n = n < 0 ? -errno : n;
	mf_fuse_handle_put(m, h);
	reply_xattr(req, n, buf, size);
	return true;
}

/* trusted.* are shown to root only; the server may be. Return: what is left of the list */
static ssize_t hide_trusted(char *list, ssize_t len)
{
	ssize_t to = 0, n;

	for (ssize_t at = 0; at < len; at += n) {
		n = (ssize_t)strlen(list + at) + 1;
		if (strncmp(list + at, "trusted.", 8) == 0)
			continue;
		memmove(list + to, list + at, (size_t)n);
		to += n;
	}
	return to;
}

static ssize_t list_xattrs(const struct mf_fs_op_ctx *c, const char *path, char *buf, size_t size)
{
	char *all = NULL;
	ssize_t n;

	if (c->who.uid == 0 || geteuid() != 0) {
		n = listxattr(path, buf, size);
		return n < 0 ? -errno : n;
	}
	all = malloc(XATTR_LIST_MAX);
	if (!all)
		return -ENOMEM;
	n = listxattr(path, all, XATTR_LIST_MAX);
	n = n < 0 ? -errno : hide_trusted(all, n);
	if (n > 0 && size && (size_t)n > size)
		n = -ERANGE;
	if (n > 0 && size)
		memcpy(buf, all, (size_t)n);
	free(all);
	return n;
}

static void get_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char proc[MF_FS_PROC_ROOM], *buf = size ? malloc(size) : NULL;
	struct mf_fs_handle *h = NULL;
	struct mf_fs_op_ctx c;
	ssize_t n = size && !buf ? -ENOMEM : 0;
	int r = mf_fuse_begin_node(&c, req, ino, MF_FS_GETXATTR, 0, -1), fd = -1;

	if (r == 0 && n == 0)
		r = reach(&c, proc, &fd, &h);
	if (r < 0)
		n = r;
	if (n == 0) {
		n = name ? getxattr(proc, name, buf, size) : list_xattrs(&c, proc, buf, size);
		n = n < 0 && name ? -errno : n;
	}
	let_go(&c, fd, h);
	mf_fuse_end(&c, n < 0 ? (int)n : 0);
	reply_xattr(req, n, buf, size);
	free(buf);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (!answer_writer(req, ino, name, size))
		get_xattr(req, ino, name, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	get_xattr(req, ino, NULL, size);
}

static void set_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		      size_t size, int flags)
{
	char proc[MF_FS_PROC_ROOM];
	struct mf_fs_handle *h = NULL;
	struct mf_fs_op_ctx c;
	int r = mf_fuse_begin_node(&c, req, ino, MF_FS_SETXATTR, 0, -1), fd = -1;

	if (r == 0)
		r = reach(&c, proc, &fd, &h);
	if (r == 0 &&
	    (value ? setxattr(proc, name, value, size, flags) : removexattr(proc, name)) < 0)
		r = -errno;
	if (r == 0 && c.node && c.node->dir)
		rights_changed(c.m);
	let_go(&c, fd, h);
	mf_fuse_end(&c, r);
	fuse_reply_err(req, -r);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	set_xattr(req, ino, name, value, size, flags);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	set_xattr(req, ino, name, NULL, 0, 0);
}

/* Asked only where the kernel does not check by itself. */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct mf_fs_handle *h = NULL;
	struct mf_fs_op_ctx c;
	int r = mf_fuse_begin_node(&c, req, ino, MF_FS_ACCESS, 0, -1), fd = -1;

	if (r == 0 && c.unnamed) {
		h = mf_fuse_handle_of(c.m, c.node, false);
		r = h ? 0 : -ESTALE;
	}
	if (r == 0 && !h)
		r = fd = mf_fuse_open_path(&c);
	if (r >= 0)
		r = faccessat(h ? h->fd : fd, "", mask & (R_OK | W_OK | X_OK),
			      AT_EMPTY_PATH | AT_EACCESS) < 0
			    ? -errno
			    : 0;
	let_go(&c, fd, h);
	mf_fuse_end(&c, r);
	fuse_reply_err(req, -r);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mf_fs_op_ctx c;
	struct statvfs st;
	int r = mf_fuse_begin_node(&c, req, ino, MF_FS_STATFS, 0, -1);

	if (r == 0 && c.unnamed) { // of the file system, whatever the file was called
		c.dir = mf_fs_nodes_root(c.m->nodes);
		r = mf_fuse_pin(&c);
	}
	if (r == 0 && fstatvfs(c.dir_fd, &st) < 0)
		r = -errno;
	mf_fuse_end(&c, r);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_statfs(req, &st);
}

void mf_fuse_meta_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
	ops->access = op_access;
	ops->statfs = op_statfs;
}
