/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_io_linux.c - open files, and all that has a handle; see fuse_linux.h
 *
 * What an open handle may do was asked when it was opened, and holds while it is open. Handles that
 * are open when policies change keep what they were given, as an open file keeps its rights when its mode changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/fuse_linux.h"

#define OPEN_EXEC 0x20 /* of an open's flags: to execute it */

/* ---- handles --------------------------------------------------------------------------------------------------- */

struct mf_fs_handle *mf_fuse_make_handle(struct mf_fs_mount *m, struct mf_fs_node *node, int fd,
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

struct mf_fs_handle *mf_fuse_handle_away(struct mf_fs_mount *m, struct mf_fs_node *node)
{
	struct mf_fs_handle *h;

	mf_fs_nodes_lock(m->nodes);
	for (h = node->ways ? m->handles : NULL; h && h->way_node != node; h = h->all_after)
		;
	if (h)
		atomic_fetch_add(&h->refs, 1);
	mf_fs_nodes_unlock(m->nodes);
	return h;
}

static void remember(struct mf_fs_node *node, const struct statx *stx)
{
	node->seen_mtime_ns = mf_fs_source_ns(&stx->stx_mtime);
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
	bool known = node && h->writes && h->way == MF_FUSE_CACHED &&
		     mf_fs_source_stat_fd(h->fd, &stx) == 0;
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
		for (other = node->handles; other && !other->writes; other = other->next)
			;
		if (!other)
			mf_fuse_forget_write(node);
		h->node = NULL;
		// Another one may go on writing to what is in the trash.
		for (other = node->handles; *settle && other; other = other->next)
			if (other->writes && !*other->settle) {
				memcpy(other->settle, settle, sizeof(other->settle));
				settle[0] = '\0';
			}
	}
	mf_fs_nodes_unlock(m->nodes);
	mf_fuse_way_leave(m, h);
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

bool mf_fuse_may_open(const struct mf_fs_mount *m)
{
	return atomic_load(&m->open_files) < m->files_max;
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

int mf_fuse_open_flags(const struct mf_fs_mount *m, int flags)
{
	// Buffers are not aligned as O_DIRECT wants them, and truncation waits until the inode is known to be the right one.
	// Pages of a mapping are written by any handle that writes, at their place: Linux would append them by one with O_APPEND.
	flags &= ~(O_DIRECT | O_TRUNC | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND);
	// The kernel reads what it fills pages with.
	if (m->writeback && (flags & O_ACCMODE) == O_WRONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	return flags;
}

static void note_flags(const struct mf_fs_mount *m, struct mf_fs_handle *h, int flags)
{
	// With writeback the kernel places appended bytes itself.
	h->appends = flags & O_APPEND && !m->writeback;
}

int mf_fuse_open_created(struct mf_fs_op_ctx *c, struct mf_fs_node *node, int fd,
			 struct fuse_file_info *fi)
{
	struct mf_fs_handle *h =
		mf_fuse_make_handle(c->m, node, fd, (fi->flags & O_ACCMODE) != O_RDONLY);
	int r;

	if (!h)
		return -ENOMEM;
	note_flags(c->m, h, fi->flags);
	r = mf_fuse_way_enter(c->m, h, node, c->elsewhere, c->act.mode & (S_ISUID | S_ISGID),
			      fi->flags);
	if (r < 0) {
		mf_fuse_close(c->m, h);
		return r;
	}
	fi->fh = (uint64_t)(uintptr_t)h;
	fi->noflush = c->m->no_flush;
	return 0;
}

/*
 * A file without a name, which nobody can be asked about, through /proc/PID/fd of a process that has it open: with no more
 * rights than its handles have.
 */
static int open_again(struct mf_fs_op_ctx *c, int flags, struct statx *stx)
{
	bool write = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
	struct mf_fs_handle *h = mf_fuse_handle_of(c->m, c->node, write);
	char proc[MF_FS_PROC_ROOM];
	int open_as, fd, r;

	if (!h && write) {
		h = mf_fuse_handle_of(c->m, c->node, false);
		if (h)
			mf_fuse_handle_put(c->m, h);
		return h ? -EACCES : -ESTALE;
	}
	if (!h)
		return -ESTALE;
	mf_fs_source_proc(h->fd, proc);
	open_as = mf_fuse_open_flags(c->m, flags) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	fd = open(proc, open_as);
	if (fd < 0 && errno == EPERM && flags & O_APPEND) // a file that takes nothing else
		fd = open(proc, open_as | O_APPEND);
	r = fd < 0 ? -errno : mf_fs_source_stat_fd(fd, stx);
	if (r < 0 && fd >= 0)
		close(fd);
	mf_fuse_handle_put(c->m, h);
	return r < 0 ? r : fd;
}

static int open_at(struct mf_fs_op_ctx *c, int flags, struct statx *stx)
{
	bool make = c->elsewhere && (flags & O_ACCMODE) != O_RDONLY;
	int open_as = mf_fuse_open_flags(c->m, flags) | (make ? O_CREAT : 0), fd, r;

	if (!mf_fuse_may_open(c->m))
		return -ENFILE;
	if (c->unnamed)
		return open_again(c, flags, stx);
	fd = mf_fs_source_open_file(c->dir_fd, c->at, open_as, 0644);
	if (fd == -EPERM && flags & O_APPEND) // a file that takes nothing else
		fd = mf_fs_source_open_file(c->dir_fd, c->at, open_as | O_APPEND, 0644);
	if (fd < 0)
		return fd == -ENOENT && !c->elsewhere ? -ESTALE : fd;
	r = mf_fs_source_stat_fd(fd, stx);
	if (r == 0)
		r = mf_fuse_check(c, stx);
	if (r == 0 && !S_ISREG(stx->stx_mode))
		r = -ESTALE;
	// The kernel looks only whether anybody may execute it.
	if (r == 0 && flags & OPEN_EXEC && c->m->checks_below &&
	    faccessat(fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) < 0)
		r = -errno;
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
	mf_fs_source_keep_bits(!mf_fuse_session_kills());
	if (r == 0 && ftruncate(fd, 0) < 0 && truncate(mf_fs_source_proc(fd, proc), 0) < 0)
		r = -errno;
	mf_fs_source_keep_bits(true);
	if (r < 0)
		mf_fuse_unkeep(c, token);
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
	bool keeps;

	if (r == 0 && trunc)
		r = mf_fuse_ask_also(&c, MF_FS_TRUNCATE, flags, 0);
	keeps = r == 0 && write && c.act.verdict.keeps && !c.elsewhere && !c.unnamed;
	// What is to be kept is read from the same descriptor.
	if (r == 0)
		r = fd = open_at(&c, keeps ? (fi->flags & ~O_ACCMODE) | O_RDWR : fi->flags, &stx);
	if (fd >= 0) {
		// A redirect that has no copy yet: where its opens lead to may be another file soon.
		// Whose bits go by a write depends on who writes; by itself the kernel takes them always.
		bool stays = keeps || c.act.verdict.what == MF_FS_ELSEWHERE ||
			     (write && stx.stx_mode & (S_ISUID | S_ISGID));

		h = mf_fuse_make_handle(c.m, c.elsewhere ? NULL : c.node, fd, write);
		r = h ? mf_fuse_way_enter(c.m, h, c.node, c.elsewhere, stays, fi->flags) : -ENOMEM;
	}
	if (r == 0 && trunc)
		r = cut_opened(&c, fd, &stx, token);
	if (r == 0 && keeps)
		r = mf_fuse_expect_write(&c, c.node, &stx);
	// What is mapped changes unseen.
	if (r == 0 && keeps && h->maps)
		r = mf_fuse_before_write(req, h, 0);
	if (h && r < 0) {
		mf_fuse_close(c.m, h);
		h = NULL;
	}
	if (h) {
		note_flags(c.m, h, fi->flags);
		fi->fh = (uint64_t)(uintptr_t)h;
		fi->noflush = c.m->no_flush || (!write && !c.m->writeback);
		mf_fs_nodes_lock(c.m->nodes);
		fi->keep_cache = h->way == MF_FUSE_CACHED && unchanged(c.node, &stx);
		if (h->way == MF_FUSE_CACHED)
			remember(c.node, &stx);
		mf_fs_nodes_unlock(c.m->nodes);
	}
	mf_fuse_end(&c, r);
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (mf_fuse_way_reply_open(req, h, fi) < 0)
		mf_fuse_close(c.m, h);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mf_fs_mount *m = fuse_req_userdata(req);

	// What was changed by mapping has other times now.
	if (mf_fuse_handle(fi)->maps)
		(void)fuse_lowlevel_notify_inval_inode(m->se, ino, -1, 0);
	mf_fuse_close(m, mf_fuse_handle(fi));
	fuse_reply_err(req, 0);
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);

	(void)ino;
	buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf.buf[0].fd = mf_fuse_handle(fi)->fd;
	buf.buf[0].pos = off;
	fuse_reply_data(req, &buf, FUSE_BUF_SPLICE_MOVE);
}

/* At the end of the file, wherever that is by now, as one write */
static ssize_t append(int fd, struct fuse_bufvec *in)
{
	size_t size = fuse_buf_size(in);
	struct fuse_bufvec copy = FUSE_BUFVEC_INIT(size);
	struct iovec iov = { in->buf[0].mem, size };
	void *own = NULL;
	ssize_t n = (ssize_t)size;

	if (in->count != 1 || in->buf[0].flags & FUSE_BUF_IS_FD) {
		own = malloc(size ? size : 1);
		if (!own)
			return -ENOMEM;
		iov.iov_base = copy.buf[0].mem = own;
		n = fuse_buf_copy(&copy, in, 0);
		iov.iov_len = n < 0 ? 0 : (size_t)n;
	}
	if (n >= 0) {
		do
			n = pwritev2(fd, &iov, 1, 0, RWF_APPEND);
		while (n < 0 && errno == EINTR);
		n = n < 0 ? -errno : n;
	}
	free(own);
	return n;
}

static void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
			 struct fuse_file_info *fi)
{
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	struct mf_fs_handle *h = mf_fuse_handle(fi);
	ssize_t n = mf_fuse_before_write(req, h, (uint64_t)off);

	(void)ino;
	if (n < 0) {
		fuse_reply_err(req, (int)-n);
		return;
	}
	out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	out.buf[0].fd = h->fd;
	out.buf[0].pos = off;
	mf_fs_source_keep_bits(!mf_fuse_session_kills());
	n = h->appends && !fi->writepage ? append(h->fd, in) : fuse_buf_copy(&out, in, 0);
	mf_fs_source_keep_bits(true);
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
	if (!mf_fuse_handle(fi)->writes) {
		fuse_reply_err(req, 0);
		return;
	}
	fd = dup(mf_fuse_handle(fi)->fd);
	fuse_reply_err(req, fd < 0 || close(fd) < 0 ? errno : 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_err(req, (datasync ? fdatasync(mf_fuse_handle(fi)->fd)
				      : fsync(mf_fuse_handle(fi)->fd)) < 0
				    ? errno
				    : 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	// What only makes room loses nothing.
	int r = mode & ~FALLOC_FL_KEEP_SIZE
			? mf_fuse_before_write(req, mf_fuse_handle(fi), (uint64_t)off)
			: 0;

	(void)ino;
	mf_fs_source_keep_bits(!mf_fuse_session_kills());
	if (r == 0 && fallocate(mf_fuse_handle(fi)->fd, mode, off, len) < 0)
		r = -errno;
	mf_fs_source_keep_bits(true);
	fuse_reply_err(req, -r);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	off_t at = lseek(mf_fuse_handle(fi)->fd, off, whence);

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
	ssize_t n = mf_fuse_before_write(req, mf_fuse_handle(fi_out), (uint64_t)off_out);

	(void)in;
	(void)out;
	if (n == 0) {
		mf_fs_source_keep_bits(!mf_fuse_session_kills());
		n = copy_file_range(mf_fuse_handle(fi_in)->fd, &off_in, mf_fuse_handle(fi_out)->fd,
				    &off_out, len, (unsigned)flags);
		if (n < 0)
			n = -errno;
		mf_fs_source_keep_bits(true);
	}
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
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
	ops->releasedir = op_release;
	ops->fsyncdir = op_fsync;
}
