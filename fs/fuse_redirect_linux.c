/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_redirect_linux.c - acting on another path: down to the target's directory, and copy-on-write; see fuse_linux.h
 *
 * With cow the original stays what is seen until somebody writes: then it is copied to the target, under a name of its own
 * first, so that nobody ever sees half of a copy; from then on the copy is what is seen. A file that has no copy is not
 * deleted and not renamed (EROFS): the original would have to go.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/fuse_linux.h"

/* What a redirected operation needs of its target. */
enum need {
	NEED_IT,	/* to be there */
	NEED_DIRECTORY, /* only that it can be made: its directory is made where it is missing */
	NEED_CONTENT,	/* to be there, with cow: a copy is made if it is not */
	NEED_NAME,	/* a name that goes: with cow, of a copy */
};

static enum need need_of(enum mf_fs_op op)
{
	switch (op) {
	case MF_FS_CREATE_READ:
	case MF_FS_CREATE_WRITE:
	case MF_FS_CREATE_BOTH:
	case MF_FS_MKDIR:
	case MF_FS_MKNOD:
	case MF_FS_SYMLINK:
		return NEED_DIRECTORY;
	case MF_FS_OPEN_WRITE:
	case MF_FS_OPEN_BOTH:
	case MF_FS_TRUNCATE:
	case MF_FS_CHMOD:
	case MF_FS_CHOWN:
	case MF_FS_UTIMENS:
	case MF_FS_SETXATTR:
		return NEED_CONTENT;
	case MF_FS_UNLINK:
	case MF_FS_RMDIR:
		return NEED_NAME;
	default:
		return NEED_IT;
	}
}

/* The target as seen from the result: the source for what lies in the mount, else the host's root. */
static int base_of(struct mf_fs_mount *m, const char **path)
{
	size_t len = strlen(m->root);
	struct mf_fs_dirfd *root;
	int fd;

	if (strncmp(*path, m->root, len) != 0 || (*path)[len] != '/') {
		fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	*path += len;
	fd = mf_fs_nodes_pin(m->nodes, mf_fs_nodes_root(m->nodes), &root);
	if (fd < 0)
		return fd;
	fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		fd = -errno;
	mf_fs_nodes_unpin(m->nodes, root);
	return fd;
}

/* One component down; takes @fd. */
static int descend(int fd, const char *name, bool make)
{
	int next = mf_fs_source_open_dir(fd, name);

	if (next == -ENOENT && make) {
		if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
			next = -errno;
		else
			next = mf_fs_source_open_dir(fd, name);
	}
	close(fd);
	return next;
}

/* The directory of the target, and its last component in @name. @path is canonical: no "..", no "//". */
static int open_target(struct mf_fs_mount *m, const char *path, bool make,
		       char name[MF_FS_NAME_ROOM])
{
	const char *slash;
	int fd = path[0] == '/' ? base_of(m, &path) : -EACCES;

	for (path++; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		size_t len = (size_t)(slash - path);

		if (len == 0 || len >= MF_FS_NAME_ROOM) {
			close(fd);
			return len ? -ENAMETOOLONG : -EACCES;
		}
		memcpy(name, path, len);
		name[len] = '\0';
		fd = descend(fd, name, make);
	}
	if (fd < 0)
		return fd;
	if (!*path || strlen(path) >= MF_FS_NAME_ROOM) {
		close(fd);
		return *path ? -ENAMETOOLONG : -EACCES;
	}
	memcpy(name, path, strlen(path) + 1);
	return fd;
}

/* ---- copies ---------------------------------------------------------------------------------------------------- */

static int copy_bytes(int from, int to, off_t size)
{
	char buf[65536];
	off_t at = 0;

	while (at < size) {
		ssize_t n = copy_file_range(from, &at, to, NULL, (size_t)(size - at), 0);

		if (n == 0)
			return 0;
		if (n > 0)
			continue;
		// Not between these two: by hand.
		n = pread(from, buf, sizeof(buf), at);
		if (n == 0)
			return 0;
		if (n < 0 || write(to, buf, (size_t)n) != n)
			return errno ? -errno : -EIO;
		at += n;
	}
	return 0;
}

static int copy_into(int from, int dir_fd, const char *temp, const struct statx *stx)
{
	const struct timespec times[2] = { { stx->stx_atime.tv_sec, stx->stx_atime.tv_nsec },
					   { stx->stx_mtime.tv_sec, stx->stx_mtime.tv_nsec } };
	int to = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
	    r;

	if (to < 0)
		return -errno;
	r = copy_bytes(from, to, (off_t)stx->stx_size);
	if (r == 0 && geteuid() == 0 && fchown(to, stx->stx_uid, stx->stx_gid) < 0)
		r = -errno;
	if (r == 0 && (fchmod(to, stx->stx_mode & 07777) < 0 || futimens(to, times) < 0))
		r = -errno;
	if (close(to) < 0 && r == 0)
		r = -errno;
	return r;
}

/* The original, which c->node or c->dir names, becomes @name in @dir_fd. Somebody who is faster has copied the same. */
static int copy_up(struct mf_fs_op_ctx *c, int dir_fd, const char *name)
{
	char temp[64];
	struct statx stx;
	int from = mf_fs_source_open_file(c->dir_fd, c->at, O_RDONLY, 0), r;

	if (from < 0)
		return from;
	r = mf_fs_source_stat_fd(from, &stx);
	if (r == 0)
		r = mf_fuse_check(c, &stx);
	if (r == 0 && !S_ISREG(stx.stx_mode))
		r = -EROFS;
	snprintf(temp, sizeof(temp), ".mf-cow-%d-%p", (int)getpid(), (void *)c);
	if (r == 0) {
		r = copy_into(from, dir_fd, temp, &stx);
		if (r == 0 && renameat2(dir_fd, temp, dir_fd, name, RENAME_NOREPLACE) < 0 &&
		    errno != EEXIST)
			r = -errno;
		(void)unlinkat(dir_fd, temp, 0);
	}
	close(from);
	return r;
}

static bool is_there(int dir_fd, const char *name)
{
	struct statx stx;

	return mf_fs_source_stat(dir_fd, name, &stx) == 0;
}

/* Return: 1: stay with the original, 0: go to the target, -errno */
static int choose(struct mf_fs_op_ctx *c, enum need need, int fd, const char *name)
{
	int r;

	if (need == NEED_DIRECTORY || (fd >= 0 && is_there(fd, name)))
		return fd < 0 ? fd : 0;
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (need == NEED_IT)
		return 1;
	if (need == NEED_NAME)
		return -EROFS;
	r = mf_fuse_pin(c);
	return r < 0 ? r : copy_up(c, fd, name);
}

int mf_fuse_redirect(struct mf_fs_op_ctx *c)
{
	const struct mf_fs_verdict *v = &c->act.verdict;
	enum need need = need_of(c->act.q.op);
	char name[MF_FS_NAME_ROOM];
	int fd = open_target(c->m, v->d.path_target, need == NEED_DIRECTORY || need == NEED_CONTENT,
			     name);
	int r = v->cow ? choose(c, need, fd, name) : fd < 0 ? fd : 0;

	if (r != 0) {
		if (fd >= 0)
			close(fd);
		return r < 0 ? r : mf_fuse_pin(c);
	}
	memcpy(c->name, name, sizeof(name));
	c->own_fd = c->dir_fd = fd;
	c->at = c->name;
	c->elsewhere = true;
	return 0;
}
