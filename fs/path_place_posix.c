/* SPDX-License-Identifier: Apache-2.0 */
/* path_place_posix.c - where an operation acts: its path, the question about it, the directory; see path_fs.h */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/path_fs.h"
#include "fs/redirect_posix.h"

/* Names of a hard-linked file that are asked about, beside the one it was reached by. One that has more is not changed. */
#define OTHER_NAMES_MAX 1024

struct mf_path_mount *mf_path_here(struct mf_fs_caller *ret_who)
{
	const struct fuse_context *c = mf_libfuse_path.get_context();

	// Who does not know sends 0, which is no process that asks anything.
	*ret_who = (struct mf_fs_caller){ c->pid > 0 ? c->pid : -1, c->uid, c->gid };
	return c->private_data;
}

int mf_path_name(struct mf_path_op *op, const char *inner)
{
	size_t root_len, len;

	op->m = mf_path_here(&op->who);
	op->act = (struct mf_fs_act){ .q = { .caller = &op->who, .size = -1, .path = op->path } };
	op->inner = inner;
	op->dir_fd = -1;
	op->at = op->name;
	op->begun = op->elsewhere = false;
	op->token[0] = op->name[0] = op->path[0] = '\0';
	root_len = strlen(op->m->root);
	// The source is the root's own path; a root of "" is "/".
	len = strcmp(inner, "/") == 0 && root_len ? 0 : strlen(inner);
	if (root_len + len >= sizeof(op->path))
		return -ENAMETOOLONG;
	memcpy(op->path, op->m->root, root_len);
	memcpy(op->path + root_len, inner, len);
	op->path[root_len + len] = '\0';
	op->act.q.path_len = root_len + len;
	return 0;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static int refusal(int r)
{
	return r < 0 ? -mf_path_source_errno(-r) : 0;
}

int mf_path_ask(struct mf_path_op *op)
{
	op->begun = true;
	return refusal(mf_policy_fs_begin(op->m->pfs, &op->act));
}

int mf_path_ask_also(struct mf_path_op *op, enum mf_fs_op what, unsigned flags, int64_t size)
{
	struct mf_fs_question q = op->act.q;

	q.op = what;
	q.flags = flags;
	q.size = size;
	return refusal(mf_policy_fs_also(op->m->pfs, &op->act, &q));
}

/* P59: whoever changes a file changes what is behind all its names. */
static int ask_others(struct mf_path_op *op, enum mf_fs_op what, const struct stat *st)
{
	size_t root_len = strlen(op->m->root);
	struct mf_fs_question q = op->act.q;
	char path[MF_PATH_ROOM], *inner;
	int r = 0;

	q.op = what;
	for (unsigned i = 0; r == 0; i++) {
		char name[MF_PATH_ROOM];

		if (mf_path_link_name(op->m, (uint64_t)st->st_dev, st->st_ino, i, name) < 0)
			break;
		if (i > OTHER_NAMES_MAX || root_len + strlen(name) >= sizeof(path))
			return -EACCES;
		if (strcmp(name, op->inner) == 0)
			continue;
		memcpy(path, op->m->root, root_len);
		inner = path + root_len;
		memcpy(inner, name, strlen(name) + 1);
		q.path = path;
		q.path_len = root_len + strlen(name);
		r = refusal(mf_policy_fs_also(op->m->pfs, &op->act, &q));
	}
	return r;
}

int mf_path_ask_links(struct mf_path_op *op, enum mf_fs_op what, struct stat *st)
{
	int r = mf_path_stat(op, st);

	if (r < 0 || op->elsewhere || !S_ISREG(st->st_mode) || st->st_nlink < 2)
		return 0; // what is not there is told of by the operation
	r = mf_path_link_seen(op->m, st, op->inner);
	return r < 0 ? r : ask_others(op, what, st);
}

const char *mf_path_inner(const char *path, const struct mf_path_file *f, char buf[MF_PATH_ROOM])
{
	struct mf_fs_caller who;

	if (path || !f || !f->inode)
		return path;
	return mf_path_link_name(mf_path_here(&who), f->inode->dev, f->inode->ino, 0, buf) < 0
		       ? NULL
		       : buf;
}

/* ---- the place ------------------------------------------------------------------------------------------------- */

bool mf_path_is_trash(const struct mf_path_mount *m, const struct stat *st)
{
	return m->o.trash && S_ISDIR(st->st_mode) &&
	       mf_trash_is(m->o.trash, (uint64_t)st->st_dev, st->st_ino);
}

int mf_path_stat(const struct mf_path_op *op, struct stat *ret)
{
	return fstatat(op->dir_fd, op->at, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int take_name(char name[MF_PATH_NAME_ROOM], const char *from, size_t len)
{
	if (len == 0 || len >= MF_PATH_NAME_ROOM)
		return len ? -ENAMETOOLONG : -EINVAL;
	memcpy(name, from, len);
	name[len] = '\0';
	return is_dots(name) ? -EINVAL : 0;
}

/* One component down; takes @fd. */
static int descend(const struct mf_path_mount *m, int fd, const char *name)
{
	int next = mf_path_source_open_dir(fd, name);
	struct stat st;

	close(fd);
	if (next < 0 || !m->o.trash)
		return next;
	if (fstat(next, &st) == 0 && !mf_path_is_trash(m, &st))
		return next;
	close(next);
	return -ENOENT;
}

/* The original place. */
static int walk(struct mf_path_op *op)
{
	const char *path = op->inner + 1, *slash;
	struct stat st;
	int fd, r;

	fd = fcntl(op->m->source_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	for (; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		r = take_name(op->name, path, (size_t)(slash - path));
		if (r < 0) {
			close(fd);
			return r;
		}
		fd = descend(op->m, fd, op->name);
	}
	if (fd < 0)
		return fd;
	op->dir_fd = fd;
	op->at = op->name;
	if (!*path) {
		op->at = ".";
		return 0;
	}
	r = take_name(op->name, path, strlen(path));
	if (r == 0 && op->m->o.trash && mf_path_stat(op, &st) == 0 && mf_path_is_trash(op->m, &st))
		r = -ENOENT;
	return r;
}

/* ---- redirects ------------------------------------------------------------------------------------------------- */

static int open_base(void *ctx, bool source)
{
	struct mf_path_mount *m = ctx;
	int fd;

	if (!source)
		return mf_path_source_open_dir(AT_FDCWD, "/");
	fd = fcntl(m->source_fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

/* The original becomes @name in @dir_fd. */
static int copy_up(struct mf_path_op *op, int dir_fd, const char *name)
{
	int from = openat(op->dir_fd, op->at,
			  O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
	    r;

	if (from < 0)
		return -errno;
	r = mf_fs_redirect_copy(from, dir_fd, name, op);
	close(from);
	return r;
}

/* With copy-on-write. Return: 1: stay with the original, whose place is found; 0: go to the target, -errno */
static int choose(struct mf_path_op *op, enum mf_fs_need need, int fd, const char *name)
{
	int r;

	if (need == MF_FS_NEED_DIRECTORY || (fd >= 0 && mf_fs_redirect_is_there(fd, name)))
		return fd < 0 ? fd : 0;
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (need == MF_FS_NEED_NAME)
		return -EROFS;
	r = walk(op);
	if (r < 0)
		return r;
	return need == MF_FS_NEED_IT ? 1 : copy_up(op, fd, name);
}

static int redirect(struct mf_path_op *op)
{
	const struct mf_fs_verdict *v = &op->act.verdict;
	const struct mf_fs_redirect_base base = { .root = op->m->root,
						  .open = open_base,
						  .open_dir = mf_path_source_open_dir,
						  .ctx = op->m };
	enum mf_fs_need need = mf_fs_need_of(op->act.q.op);
	char name[MF_FS_REDIRECT_NAME];
	int fd = mf_fs_redirect_open(&base, v->d.path_target,
				     need == MF_FS_NEED_DIRECTORY || need == MF_FS_NEED_CONTENT,
				     name);
	int r = v->cow ? choose(op, need, fd, name) : fd < 0 ? fd : 0;

	if (r != 0) {
		if (fd >= 0)
			close(fd);
		return r < 0 ? r : 0;
	}
	if (op->dir_fd >= 0)
		close(op->dir_fd);
	memcpy(op->name, name, sizeof(name));
	op->dir_fd = fd;
	op->at = op->name;
	op->elsewhere = true;
	return 0;
}
_Static_assert(MF_FS_REDIRECT_NAME == MF_PATH_NAME_ROOM, "copied");

int mf_path_locate(struct mf_path_op *op)
{
	return op->act.verdict.what == MF_FS_ELSEWHERE ? redirect(op) : walk(op);
}

int mf_path_begin(struct mf_path_op *op, const char *inner, enum mf_fs_op what, unsigned flags,
		  int64_t size)
{
	int r = mf_path_name(op, inner);

	op->act.q.op = what;
	op->act.q.flags = flags;
	op->act.q.size = size;
	if (r == 0)
		r = mf_path_ask(op);
	return r < 0 ? r : mf_path_locate(op);
}

int mf_path_end(struct mf_path_op *op, int result)
{
	if (op->begun)
		mf_policy_fs_end(op->m->pfs, &op->act, result);
	if (op->dir_fd >= 0)
		close(op->dir_fd);
	op->dir_fd = -1;
	return result;
}
