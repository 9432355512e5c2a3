/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_dir_linux.c - listing directories; see fuse_linux.h */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	char proc[MF_FS_PROC_ROOM];
	struct mf_fs_handle *h = NULL;
	struct mf_fs_op_ctx c;
	int r = mf_fuse_begin_node(&c, req, ino, MF_FS_LIST, 0, -1), fd = -1;

	if (r == 0 && !mf_fuse_may_open(c.m))
		r = -ENFILE;
	if (r == 0) {
		fd = openat(c.dir_fd, *c.at ? c.at : ".",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		r = fd < 0 ? -errno : 0;
	}
	// "." wants to be searched, which a list does not.
	if (r == -EACCES && !*c.at) {
		fd = open(mf_fs_source_proc(c.dir_fd, proc), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0) {
		h = mf_fuse_make_handle(c.m, NULL, fd, false);
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
	e->entry_timeout = mf_fuse_timeout(c->m, v.cache_ns);
	e->attr_timeout =
		mf_fuse_attr_timeout(mf_fuse_node(c->m, e->ino), stx.stx_mode, e->entry_timeout);
	return true;
}

static bool is_trash(struct mf_fs_op_ctx *c, int dir_fd, const struct dirent64_raw *d)
{
	struct statx stx;

	return c->m->o.trash && d->d_ino == c->m->trash_ino &&
	       mf_fs_source_stat(dir_fd, d->d_name, &stx) == 0 && mf_fuse_is_trash(c->m, &stx);
}

/* Entries that did not reach the kernel: it will not forget them. */
static void forget_entries(struct mf_fs_mount *m, const char *buf, size_t len)
{
	const struct fuse_direntplus *d;

	for (size_t at = 0; at + FUSE_NAME_OFFSET_DIRENTPLUS <= len;
	     at += FUSE_DIRENTPLUS_SIZE(d)) {
		d = (const struct fuse_direntplus *)(const void *)(buf + at);
		if (d->entry_out.nodeid)
			mf_fs_nodes_forget(m->nodes, mf_fuse_node(m, d->entry_out.nodeid), 1);
	}
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
	struct mf_fs_handle *h = mf_fuse_handle(fi);
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
	else if (fuse_reply_buf(req, buf, (size_t)n) < 0 && plus)
		forget_entries(c.m, buf, (size_t)n);
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

void mf_fuse_dir_ops(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
}
