/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_place_linux.c - where an operation acts: its path, the question about it, the directory; see fuse_linux.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fuse_linux.h"

/* Names of a hard-linked file that are asked about, beside the one it was reached by. One that has more is not changed. */
#define OTHER_NAMES_MAX 1024
/* What the kernel keeps is looked up again after so long, so that changes behind the mount's back are seen. */
#define TIMEOUT_S 1.0

struct mf_fs_node *mf_fuse_node(struct mf_fs_mount *m, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? mf_fs_nodes_root(m->nodes)
				   : (struct mf_fs_node *)(uintptr_t)ino;
}

fuse_ino_t mf_fuse_ino(struct mf_fs_mount *m, struct mf_fs_node *node)
{
	return node == mf_fs_nodes_root(m->nodes) ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

/* ---- finding --------------------------------------------------------------------------------------------------- */

static void init(struct mf_fs_op_ctx *c, fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	c->m = fuse_req_userdata(req);
	c->who = (struct mf_fs_caller){ ctx->pid, ctx->uid, ctx->gid };
	c->umask = ctx->umask;
	mf_fs_act_init(&c->act,
		       &(struct mf_fs_question){ .caller = &c->who, .size = -1, .path = c->path });
	c->dir = c->node = NULL;
	c->pin = NULL;
	c->dir_fd = c->own_fd = -1;
	c->at = "";
	c->holds = c->begun = c->elsewhere = c->unnamed = false;
	c->path[0] = '\0';
}

int mf_fuse_become(const struct mf_fs_op_ctx *c)
{
	return mf_fs_source_become((uid_t)c->who.uid, (gid_t)c->who.gid, c->umask);
}

static int set_path(struct mf_fs_op_ctx *c, const char *name)
{
	int len = mf_fs_nodes_child_path(c->m->nodes, c->dir, name, c->path);

	if (len < 0)
		return len;
	c->act.q.path_len = (size_t)len;
	return 0;
}

int mf_fuse_find_child(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t dir, const char *name)
{
	init(c, req);
	c->dir = mf_fuse_node(c->m, dir);
	c->at = name;
	if (strlen(name) >= MF_FS_NAME_ROOM)
		return -ENAMETOOLONG;
	return set_path(c, name);
}

int mf_fuse_find_node(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t ino)
{
	int r;

	init(c, req);
	c->node = mf_fuse_node(c->m, ino);
	if (c->node->dir) {
		c->dir = c->node;
		return set_path(c, NULL);
	}
	r = mf_fs_nodes_name(c->m->nodes, c->node, 0, &c->dir, c->name);
	if (r < 0) {
		c->unnamed = true;
		c->act.verdict = (struct mf_fs_verdict){ .what = MF_FS_DO, .plain = true };
		return 0;
	}
	c->holds = true;
	c->at = c->name;
	return set_path(c, c->name);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

int mf_fuse_ask(struct mf_fs_op_ctx *c)
{
	if (c->unnamed)
		return 0;
	c->begun = true;
	return mf_policy_fs_begin(c->m->pfs, &c->act);
}

/* P59: whoever changes a file changes what is behind all its names. */
static int ask_other_names(struct mf_fs_op_ctx *c, const struct mf_fs_question *question)
{
	char path[MF_FS_PATH_ROOM], name[MF_FS_NAME_ROOM];
	struct mf_fs_question q = *question;
	int r = 0;

	for (unsigned i = 1; r == 0; i++) {
		struct mf_fs_node *dir;
		int len;

		if (mf_fs_nodes_name(c->m->nodes, c->node, i, &dir, name) < 0)
			break;
		if (i > OTHER_NAMES_MAX) {
			mf_fs_nodes_drop(c->m->nodes, dir);
			return -EACCES;
		}
		len = mf_fs_nodes_child_path(c->m->nodes, dir, name, path);
		q.path = path;
		q.path_len = len > 0 ? (size_t)len : 0;
		if (len > 0)
			r = mf_policy_fs_also(c->m->pfs, &c->act, &q);
		mf_fs_nodes_drop(c->m->nodes, dir);
	}
	return r;
}

int mf_fuse_ask_also(struct mf_fs_op_ctx *c, enum mf_fs_op op, unsigned flags, int64_t size)
{
	struct mf_fs_question q = c->act.q;
	int r;

	if (c->unnamed)
		return 0;
	q.op = op;
	q.flags = flags;
	q.size = size;
	r = mf_policy_fs_also(c->m->pfs, &c->act, &q);
	return r == 0 && c->node && !c->node->dir && mf_fs_op_changes_content(op)
		       ? ask_other_names(c, &q)
		       : r;
}

int mf_fuse_begin_child_with(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t dir,
			     const char *name, enum mf_fs_op op, unsigned flags, const char *target)
{
	int r = mf_fuse_find_child(c, req, dir, name);

	if (r < 0)
		return r;
	c->act.q.op = op;
	c->act.q.flags = flags;
	c->act.q.target = target;
	c->act.q.target_len = target ? strlen(target) : 0;
	r = mf_fuse_ask(c);
	return r < 0 ? r : mf_fuse_locate(c);
}

int mf_fuse_begin_child(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t dir, const char *name,
			enum mf_fs_op op, unsigned flags)
{
	return mf_fuse_begin_child_with(c, req, dir, name, op, flags, NULL);
}

int mf_fuse_begin_node(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t ino, enum mf_fs_op op,
		       unsigned flags, int64_t size)
{
	int r = mf_fuse_find_node(c, req, ino);

	if (r < 0)
		return r;
	c->act.q.op = op;
	c->act.q.flags = flags;
	c->act.q.size = size;
	r = mf_fuse_ask(c);
	if (r == 0 && mf_fs_op_changes_content(op) && !c->unnamed && !c->node->dir)
		r = ask_other_names(c, &c->act.q);
	return r < 0 ? r : mf_fuse_locate(c);
}

void mf_fuse_end(struct mf_fs_op_ctx *c, int result)
{
	if (c->begun)
		mf_policy_fs_end(c->m->pfs, &c->act, result);
	if (c->pin)
		mf_fs_nodes_unpin(c->m->nodes, c->pin);
	if (c->holds)
		mf_fs_nodes_drop(c->m->nodes, c->dir);
	if (c->own_fd >= 0)
		close(c->own_fd);
}

/* ---- the place ------------------------------------------------------------------------------------------------- */

int mf_fuse_pin(struct mf_fs_op_ctx *c)
{
	int r;

	if (c->pin)
		return 0;
	r = mf_fs_nodes_pin(c->m->nodes, c->dir, &c->pin);
	if (r == 0)
		c->dir_fd = c->pin->fd;
	return r;
}

int mf_fuse_locate(struct mf_fs_op_ctx *c)
{
	// Nobody can be asked about it, although it still has a name.
	if (c->unnamed && c->node->retired && c->act.q.op != MF_FS_GETATTR)
		return -ESTALE;
	if (c->unnamed)
		return 0;
	return c->act.verdict.what == MF_FS_ELSEWHERE ? mf_fuse_redirect(c) : mf_fuse_pin(c);
}

int mf_fuse_check(const struct mf_fs_op_ctx *c, const struct statx *stx)
{
	struct mf_fs_id id;

	if (c->elsewhere || !c->node)
		return 0;
	mf_fs_id_of(stx, &id);
	return mf_fs_id_same(&id, &c->node->id) ? 0 : -ESTALE;
}

int mf_fuse_open_path(struct mf_fs_op_ctx *c)
{
	struct statx stx;
	int fd, r;

	if (!*c->at) {
		fd = fcntl(c->dir_fd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	fd = mf_fs_source_open_path(c->dir_fd, c->at);
	if (fd < 0)
		return fd;
	r = c->node && !c->elsewhere ? mf_fs_source_stat_fd(fd, &stx) : 0;
	if (r == 0 && c->node && !c->elsewhere)
		r = mf_fuse_check(c, &stx);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

int mf_fuse_stat(struct mf_fs_op_ctx *c, struct statx *ret)
{
	struct mf_fs_handle *h;
	int r = -ESTALE;

	if (!c->unnamed) {
		r = *c->at ? mf_fs_source_stat(c->dir_fd, c->at, ret)
			   : mf_fs_source_stat_fd(c->dir_fd, ret);
		if (r == 0)
			r = mf_fuse_check(c, ret);
	}
	if ((r == -ESTALE || r == -ENOENT) && c->node && !c->elsewhere) {
		h = mf_fuse_handle_of(c->m, c->node, false);
		// What was opened elsewhere need not be there by its name, where only some operations are redirected.
		if (!h)
			h = mf_fuse_handle_away(c->m, c->node);
		if (h) {
			r = mf_fs_source_stat_fd(h->fd, ret);
			// The name that it has in the trash does not count here.
			if (c->unnamed && c->m->o.trash && ret->stx_nlink == 1)
				ret->stx_nlink = 0;
			mf_fuse_handle_put(c->m, h);
		} else if (r == -ENOENT) {
			r = -ESTALE;
		}
	}
	return r;
}

/* ---- what the kernel may keep ---------------------------------------------------------------------------------- */

double mf_fuse_timeout(const struct mf_fs_mount *m, uint64_t cache_ns)
{
	double s = (double)cache_ns / 1e9;

	if (m->o.no_cache)
		return 0;
	return s < TIMEOUT_S ? s : TIMEOUT_S;
}

double mf_fuse_stat_timeout(struct mf_fs_op_ctx *c)
{
	struct mf_fs_question q = c->act.q;
	struct mf_fs_verdict v;

	if (!c->begun || c->m->o.no_cache)
		return 0;
	q.op = MF_FS_LOOKUP;
	q.flags = 0;
	q.target = NULL;
	mf_fs_judge_keep(c->act.seat, &c->act.verdict);
	mf_fs_judge_ask(c->m->judge, c->act.seat, &q, &v);
	return v.what == MF_FS_DO ? mf_fuse_timeout(c->m, v.cache_ns) : 0;
}

int mf_fuse_entry(struct mf_fs_op_ctx *c, struct mf_fs_node *dir, const char *name,
		  const struct statx *stx, struct fuse_entry_param *ret)
{
	struct mf_fs_node *node = mf_fs_nodes_see(c->m->nodes, dir, name, stx);

	*ret = (struct fuse_entry_param){ 0 };
	if (!node)
		return -ENOMEM;
	ret->ino = mf_fuse_ino(c->m, node);
	ret->generation = node->generation;
	mf_fs_source_to_stat(stx, &ret->attr);
	return 0;
}
