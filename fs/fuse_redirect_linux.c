/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_redirect_linux.c - acting on another path, see redirect_posix.h and fuse_linux.h */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/fuse_linux.h"
#include "fs/redirect_posix.h"

static int open_base(void *ctx, bool source)
{
	struct mf_fs_mount *m = ctx;
	struct mf_fs_dirfd *root;
	int fd;

	if (!source) {
		fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	fd = mf_fs_nodes_pin(m->nodes, mf_fs_nodes_root(m->nodes), &root);
	if (fd < 0)
		return fd;
	fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		fd = -errno;
	mf_fs_nodes_unpin(m->nodes, root);
	return fd;
}

/*
 * The original, which c->node or c->dir names, becomes @name in @dir_fd: with its owner, mode and attributes, which the caller might not give it,
 * so as ourselves.
 */
static int copy_up(struct mf_fs_op_ctx *c, int dir_fd, const char *name)
{
	struct statx stx;
	int r = mf_fs_source_become_self(), back;
	int from = r < 0 ? r : mf_fs_source_open_file(c->dir_fd, c->at, O_RDONLY, 0);

	if (from < 0)
		return from;
	r = mf_fs_source_stat_fd(from, &stx);
	if (r == 0)
		r = mf_fuse_check(c, &stx);
	if (r == 0)
		r = mf_fs_redirect_copy(from, dir_fd, name, c);
	close(from);
	back = mf_fuse_become(c);
	return r < 0 ? r : back;
}

/* Return: 1: stay with the original, 0: go to the target, -errno */
static int choose(struct mf_fs_op_ctx *c, enum mf_fs_need need, int fd, const char *name)
{
	int r;

	if (need == MF_FS_NEED_DIRECTORY || (fd >= 0 && mf_fs_redirect_is_there(fd, name)))
		return fd < 0 ? fd : 0;
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (need == MF_FS_NEED_IT)
		return 1;
	if (need == MF_FS_NEED_NAME)
		return -EROFS;
	r = mf_fuse_pin(c);
	return r < 0 ? r : copy_up(c, fd, name);
}

int mf_fuse_redirect(struct mf_fs_op_ctx *c)
{
	const struct mf_fs_verdict *v = &c->act.verdict;
	const struct mf_fs_redirect_base base = { .root = c->m->root,
						  .open = open_base,
						  .open_dir = mf_fs_source_open_dir,
						  .ctx = c->m };
	enum mf_fs_need need = mf_fs_need_of(c->act.q.op);
	bool make = need == MF_FS_NEED_DIRECTORY || need == MF_FS_NEED_CONTENT;
	char name[MF_FS_NAME_ROOM];
	// Directories on the way are the caller's, as what it makes in them is.
	int fd = make ? mf_fuse_become(c) : 0, r;

	if (fd == 0)
		fd = mf_fs_redirect_open(&base, v->d.path_target, make, name);
	r = v->cow ? choose(c, need, fd, name) : fd < 0 ? fd : 0;

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
