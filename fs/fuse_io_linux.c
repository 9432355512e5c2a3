/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_io_linux.c - open files and directories; see fuse_linux.h
 *
 * What an open handle may do was asked when it was opened, and holds while it is open. Handles that
 * are open when policies change keep what they were given, as an open file keeps its rights when its mode changes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/fuse_linux.h"

#define DIR_ROOM 32768 /* bytes of directory entries read at once */

struct dirent64_raw {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

/* ---- handles --------------------------------------------------------------------------------------------------- */

static struct mf_fs_handle *handle(const struct fuse_file_info *fi)
{
	return (struct mf_fs_handle *)(uintptr_t)fi->fh;
}

/* Takes @fd. A handle that goes elsewhere belongs to no node: what is known of the node is not about it. */
static struct mf_fs_handle *make_handle(struct mf_fs_mount *m, struct mf_fs_node *node, int fd,
					bool writes)
{
	struct mf_fs_handle *h = calloc(1, sizeof(*h));

	if (!h) {
		close(fd);
		return NULL;
	}
	h->fd = fd;
	h->writes = writes;
	h->refs = 1;
	pthread_mutex_init(&h->lock, NULL);
	if (node)
		mf_fs_nodes_hold(m->nodes, node);
	mf_fs_nodes_lock(m->nodes);
	h->all_after = m->handles;
	if (m->handles)
		m->handles->all_before = h;
	m->handles = h;
	if (node) {
		h->node = node;
		h->next = node->handles;
		node->handles = h;
	}
	mf_fs_nodes_unlock(m->nodes);
	atomic_fetch_add(&m->open_files, 1);
	return h;
}

static void free_handle(struct mf_fs_mount *m, struct mf_fs_handle *h)
{
	close(h->fd);
	free(h->buf);
	pthread_mutex_destroy(&h->lock);
	atomic_fetch_sub(&m->open_files, 1);
	free(h);
}

void mf_fuse_handle_put(struct mf_fs_mount *m, struct mf_fs_handle *h)
{
	if (atomic_fetch_sub(&h->refs, 1) == 1)
		free_handle(m, h);
}

struct mf_fs_handle *mf_fuse_handle_of(struct mf_fs_mount *m, struct mf_fs_node *node, bool writes)
{
	struct mf_fs_handle *h;

	mf_fs_nodes_lock(m->nodes);
	for (h = node->handles; h && writes && !h->writes; h = h->next)
		;
	if (h)
		atomic_fetch_add(&h->refs, 1);
	mf_fs_nodes_unlock(m->nodes);
	return h;
}

static void remember(struct mf_fs_node *node, const struct statx *stx)
{
	node->seen_mtime_ns = mf_fs_source_ns(&stx->stx_mtime);
	node->seen_ctime_ns = mf_fs_source_ns(&stx->stx_ctime);
	node->seen_size = stx->stx_size;
}

static bool unchanged(const struct mf_fs_node *node, const struct statx *stx)
{
	return node->seen_mtime_ns && node->seen_mtime_ns == mf_fs_source_ns(&stx->stx_mtime) &&
	       node->seen_size == stx->stx_size;
}

void mf_fuse_close(struct mf_fs_mount *m, struct mf_fs_handle *h)
{
	struct mf_fs_node *node = h->node;
	struct statx stx;
	bool known = node && h->writes && mf_fs_source_stat_fd(h->fd, &stx) == 0;
	struct mf_fs_handle **at, *other;
	char settle[MF_TRASH_TOKEN_MAX];

	mf_fs_nodes_lock(m->nodes);
	memcpy(settle, h->settle, sizeof(settle));
	*(h->all_before ? &h->all_before->all_after : &m->handles) = h->all_after;
	if (h->all_after)
		h->all_after->all_before = h->all_before;
	if (node) {
		for (at = &node->handles; *at != h; at = &(*at)->next)
			;
		*at = h->next;
		// What was written through the mount is what the kernel has.
		if (known)
			remember(node, &stx);
		h->node = NULL;
		// Another one may go on writing to what is in the trash.
		for (other = node->handles; *settle && other; other = other->next)
			if (other->writes && !*other->settle) {
				memcpy(other->settle, settle, sizeof(other->settle));
				settle[0] = '\0';
			}
	}
	mf_fs_nodes_unlock(m->nodes);
	if (*settle)
		(void)mf_trash_settle(m->o.trash, settle);
	if (node)
		mf_fs_nodes_drop(m->nodes, node);
	mf_fuse_handle_put(m, h);
}

void mf_fuse_close_all(struct mf_fs_mount *m)
{
	while (m->handles)
		mf_fuse_close(m, m->handles);
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

int mf_fuse_open_flags(const struct mf_fs_mount *m, int flags)
{
	// Buffers are not aligned as O_DIRECT wants them, and truncation waits until the inode is known to be the right one.
	flags &= ~(O_DIRECT | O_TRUNC | O_CREAT | O_EXCL | O_NOFOLLOW);
	if (!m->writeback)
		return flags;
	// The kernel reads what it fills pages with, and places appended bytes itself.
	if ((flags & O_ACCMODE) == O_WRONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	return flags & ~O_APPEND;
}

int mf_fuse_open_created(struct mf_fs_op_ctx *c, struct mf_fs_node *node, int fd,
			 struct fuse_file_info *fi)
{
	struct mf_fs_handle *h = make_handle(c->m, node, fd, (fi->flags & O_ACCMODE) != O_RDONLY);

	if (!h)
		return -ENOMEM;
	fi->fh = (uint64_t)(uintptr_t)h;
	fi->direct_io = c->elsewhere;
	fi->noflush = c->m->no_flush;
	return 0;
}

static int open_at(struct mf_fs_op_ctx *c, int flags, struct statx *stx)
{
	bool make = c->elsewhere && (flags & O_ACCMODE) != O_RDONLY;
	int fd, r;

	if (c->unnamed)
		return -ESTALE;
	fd = mf_fs_source_open_file(c->dir_fd, c->at,
				    mf_fuse_open_flags(c->m, flags) | (make ? O_CREAT : 0), 0644);
	if (fd < 0)
		return fd == -ENOENT && !c->elsewhere ? -ESTALE : fd;
	r = mf_fs_source_stat_fd(fd, stx);
	if (r == 0)
		r = mf_fuse_check(c, stx);
	if (r == 0 && !S_ISREG(stx->stx_mode))
		r = -ESTALE;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int cut_opened(struct mf_fs_op_ctx *c, int fd, struct statx *stx,
		      char token[MF_TRASH_TOKEN_MAX])
{
	char proc[MF_FS_PROC_ROOM];
	int r = mf_fuse_keep_before_cut(c, stx, 0, token);

	// By its path: Linux truncates what is opened for reading, too.
	if (r == 0 && ftruncate(fd, 0) < 0 && truncate(mf_fs_source_proc(fd, proc), 0) < 0) {
		r = -errno;
		mf_fuse_unkeep(c, token);
	}
	return r < 0 ? r : mf_fs_source_stat_fd(fd, stx);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	bool read = (fi->flags & O_ACCMODE) != O_WRONLY,
	     write = (fi->flags & O_ACCMODE) != O_RDONLY, trunc = fi->flags & O_TRUNC;
	unsigned flags = (read ? MF_FS_FLAG_READ : 0) | (write ? MF_FS_FLAG_WRITE : 0) |
			 (trunc ? MF_FS_FLAG_TRUNCATE : 0) |
			 (fi->flags & O_APPEND ? MF_FS_FLAG_APPEND : 0);
	char token[MF_TRASH_TOKEN_MAX] = "";
	struct mf_fs_handle *h = NULL;
	struct mf_fs_op_ctx c;
	struct statx stx;
	int r = mf_fuse_begin_node(&c, req, ino, mf_fs_op_open(read, write), flags, -1), fd = -1;

	if (r == 0 && trunc && !c.unnamed) {
		struct mf_fs_question q = c.act.q;

		q.op = MF_FS_TRUNCATE;
		q.size = 0;
		r = mf_policy_fs_also(c.m->pfs, &c.act, &q);
	}
	if (r == 0)
		r = fd = open_at(&c, fi->flags, &stx);
	if (fd >= 0 && trunc)
		r = cut_opened(&c, fd, &stx, token);
	if (r >= 0) {
		h = make_handle(c.m, c.elsewhere ? NULL : c.node, fd, write);
		r = h ? 0 : -ENOMEM;
	} else if (fd >= 0) {
		close(fd);
	}
	if (h) {
		fi->fh = (uint64_t)(uintptr_t)h;
		fi->direct_io = c.elsewhere;
		fi->noflush = c.m->no_flush || (!write && !c.m->writeback);
		mf_fs_nodes_lock(c.m->nodes);
		fi->keep_cache = !c.elsewhere && unchanged(c.node, &stx);
		if (!c.elsewhere)
			remember(c.node, &stx);
		mf_fs_nodes_unlock(c.m->nodes);
	}
	mf_fuse_end(&c, r);
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_open(req, fi) < 0)
		mf_fuse_close(c.m, h);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	mf_fuse_close(fuse_req_userdata(req), handle(fi));
	fuse_reply_err(req, 0);
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);

	(void)ino;
	buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf.buf[0].fd = handle(fi)->fd;
	buf.buf[0].pos = off;
	fuse_reply_data(req, &buf, FUSE_BUF_SPLICE_MOVE);
}

static void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
			 struct fuse_file_info *fi)
{
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	ssize_t n;

	(void)ino;
	out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	out.buf[0].fd = handle(fi)->fd;
	out.buf[0].pos = off;
	n = fuse_buf_copy(&out, in, 0);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd;

	(void)ino;
	// Only who has written can be told of an error by closing.
	if (!handle(fi)->writes) {
		fuse_reply_err(req, 0);
		return;
	}
	fd = dup(handle(fi)->fd);
	fuse_reply_err(req, fd < 0 || close(fd) < 0 ? errno : 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_err(req, (datasync ? fdatasync(handle(fi)->fd) : fsync(handle(fi)->fd)) < 0
				    ? errno
				    : 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_err(req, fallocate(handle(fi)->fd, mode, off, len) < 0 ? errno : 0);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	off_t at = lseek(handle(fi)->fd, off, whence);

	(void)ino;
	if (at < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, at);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t out, off_t off_out,
			       struct fuse_file_info *fi_out, size_t len, int flags)
{
	ssize_t n = copy_file_range(handle(fi_in)->fd, &off_in, handle(fi_out)->fd, &off_out, len,
				    (unsigned)flags);

	(void)in;
	(void)out;
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)n);
}

/* ---- directories ----------------------------------------------------------------------------------------------- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mf_fs_handle *h = NULL;
	struct mf_fs_op_ctx c;
	int r = mf_fuse_begin_node(&c, req, ino, MF_FS_LIST, 0, -1), fd = -1;

	if (r == 0) {
		fd = openat(c.dir_fd, *c.at ? c.at : ".",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0) {
		h = make_handle(c.m, NULL, fd, false);
		r = h ? 0 : -ENOMEM;
	}
	mf_fuse_end(&c, r);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)h;
	if (fuse_reply_open(req, fi) < 0)
		mf_fuse_close(c.m, h);
}

/* The entry at @offset, NULL at the end; *@ret_r is an errno. Under the handle's lock. */
static const struct dirent64_raw *entry_at(struct mf_fs_handle *h, uint64_t offset, int *ret_r)
{
	long n;

	*ret_r = 0;
	if (!h->buf) {
		h->buf = malloc(DIR_ROOM);
		if (!h->buf) {
			*ret_r = -ENOMEM;
			return NULL;
		}
	}
	if (offset != h->offset) {
		if (lseek(h->fd, (off_t)offset, SEEK_SET) < 0) {
			*ret_r = -errno;
			return NULL;
		}
		h->at = h->len = 0;
		h->offset = offset;
	}
	if (h->at == h->len) {
		n = syscall(SYS_getdents64, h->fd, h->buf, DIR_ROOM);
		if (n <= 0) {
			*ret_r = n < 0 ? -errno : 0;
			return NULL;
		}
		h->at = 0;
		h->len = (size_t)n;
	}
	return (const struct dirent64_raw *)(const void *)(h->buf + h->at);
}

/* One entry with its attributes, where `stat` lets the caller see them. Return: whether a lookup was counted */
static bool look(struct mf_fs_op_ctx *c, const char *name, struct fuse_entry_param *e)
{
	size_t len = c->act.q.path_len;
	struct mf_fs_question q = c->act.q;
	struct mf_fs_verdict v;
	struct statx stx;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	if (len == 1)
		len = 0;
	if (len + strlen(name) + 2 > sizeof(c->path))
		return false;
	q.op = MF_FS_LOOKUP;
	c->path[len] = '/';
	memcpy(c->path + len + 1, name, strlen(name) + 1);
	q.path_len = len + 1 + strlen(name);
	mf_fs_judge_ask(c->m->judge, c->act.seat, &q, &v);
	if (v.what != MF_FS_DO || mf_fs_source_stat(c->dir_fd, name, &stx) < 0 ||
	    mf_fuse_entry(c, c->node, name, &stx, e) < 0)
		return false;
	e->attr_timeout = e->entry_timeout = mf_fuse_timeout(c->m, v.cache_ns);
	return true;
}

static bool is_trash(struct mf_fs_op_ctx *c, int dir_fd, const struct dirent64_raw *d)
{
	struct statx stx;

	return c->m->o.trash && d->d_ino == c->m->trash_ino &&
	       mf_fs_source_stat(dir_fd, d->d_name, &stx) == 0 && mf_fuse_is_trash(c->m, &stx);
}

/* Fill @buf from @off on; the directory was asked about when it was opened. Return: bytes, -errno */
static ssize_t fill(struct mf_fs_op_ctx *c, fuse_req_t req, struct mf_fs_handle *h, char *buf,
		    size_t size, off_t off, bool plus)
{
	const struct dirent64_raw *d;
	size_t used = 0;
	int r = 0;

	while ((d = entry_at(h, (uint64_t)off, &r))) {
		struct fuse_entry_param e = { .attr.st_ino = d->d_ino,
					      .attr.st_mode = (mode_t)d->d_type << 12 };
		size_t need = plus ? fuse_add_direntry_plus(req, NULL, 0, d->d_name, NULL, 0)
				   : fuse_add_direntry(req, NULL, 0, d->d_name, NULL, 0);

		if (used + need > size)
			break;
		if (!is_trash(c, h->fd, d)) {
			if (plus)
				(void)look(c, d->d_name, &e);
			used += plus ? fuse_add_direntry_plus(req, buf + used, size - used,
							      d->d_name, &e, d->d_off)
				     : fuse_add_direntry(req, buf + used, size - used, d->d_name,
							 &e.attr, d->d_off);
		}
		off = d->d_off;
		h->at += d->d_reclen;
		h->offset = (uint64_t)off;
	}
	return used ? (ssize_t)used : r;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi, bool plus)
{
	struct mf_fs_handle *h = handle(fi);
	struct mf_fs_op_ctx c;
	char *buf = malloc(size);
	ssize_t n = buf ? mf_fuse_find_node(&c, req, ino) : -ENOMEM;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	// A directory that was removed while it is open: no entries are left, nothing need be asked about.
	plus = plus && n == 0;
	if (n == -ESTALE)
		n = 0;
	else if (n == 0)
		n = mf_fuse_locate(&c);
	if (n == 0) {
		c.act.seat = plus ? mf_fs_judge_sit(c.m->judge) : NULL;
		pthread_mutex_lock(&h->lock);
		n = fill(&c, req, h, buf, size, off, plus);
		pthread_mutex_unlock(&h->lock);
		mf_fs_judge_leave(c.m->judge, c.act.seat);
	}
	mf_fuse_end(&c, n < 0 ? (int)n : 0);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}

void mf_fuse_io_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->release = op_release;
	ops->read = op_read;
	ops->write_buf = op_write_buf;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
	ops->opendir = op_opendir;
	ops->releasedir = op_release;
	ops->fsyncdir = op_fsync;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
}
