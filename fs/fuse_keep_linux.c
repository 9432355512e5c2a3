/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_keep_linux.c - what goes to the trash before it is lost; see fuse_linux.h, write_note.h
 *
 * The pages of a shared mapping are written by any handle that writes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fuse_linux.h"
#include "fs/write_note.h"

/* ---- the trash ------------------------------------------------------------------------------------------------- */

bool mf_fuse_is_trash(const struct mf_fs_mount *m, const struct statx *stx)
{
	struct mf_fs_id id;

	if (!m->o.trash || !S_ISDIR(stx->stx_mode))
		return false;
	mf_fs_id_of(stx, &id);
	return mf_trash_is(m->o.trash, id.dev, id.ino);
}

static struct mf_trash_attr attr_of(const struct statx *stx)
{
	struct mf_fs_id id;

	mf_fs_id_of(stx, &id);
	return (struct mf_trash_attr){ .mode = stx->stx_mode,
				       .uid = stx->stx_uid,
				       .gid = stx->stx_gid,
				       .nlink = stx->stx_nlink,
				       .size = stx->stx_size,
				       .mtime_ns = mf_fs_source_ns(&stx->stx_mtime),
				       .dev = id.dev,
				       .ino = id.ino };
}

/* Whether this mount, and so its session, made what is lost. What the kernel has forgotten since counts as found. */
static void know(struct mf_fs_mount *m, const struct statx *stx, struct mf_trash_loss *loss,
		 struct mf_trash_attr *attr)
{
	struct mf_fs_node *node;
	struct mf_fs_id id;

	mf_fs_id_of(stx, &id);
	mf_fs_nodes_lock(m->nodes);
	node = mf_fs_nodes_find(m->nodes, &id);
	loss->made = node && node->made;
	// A directory that was emptied gets the time that it had with all that was in it.
	if (node && node->dir && node->seen_mtime_ns)
		attr->mtime_ns = node->seen_mtime_ns;
	mf_fs_nodes_unlock(m->nodes);
}

void mf_fuse_emptying(struct mf_fs_op_ctx *c)
{
	struct statx stx;
	bool known;

	if (!c->dir || c->elsewhere)
		return;
	mf_fs_nodes_lock(c->m->nodes);
	known = c->dir->seen_mtime_ns != 0;
	mf_fs_nodes_unlock(c->m->nodes);
	if (known || mf_fs_source_stat_fd(c->dir_fd, &stx) < 0)
		return;
	mf_fs_nodes_lock(c->m->nodes);
	if (!c->dir->seen_mtime_ns)
		c->dir->seen_mtime_ns = mf_fs_source_ns(&stx.stx_mtime);
	mf_fs_nodes_unlock(c->m->nodes);
}

void mf_fuse_changed_dir(struct mf_fs_op_ctx *c)
{
	if (!c->dir || c->elsewhere)
		return;
	mf_fs_nodes_lock(c->m->nodes);
	c->dir->seen_mtime_ns = 0;
	mf_fs_nodes_unlock(c->m->nodes);
}

/* An open handle that may go on writing to an inode; under mf_fs_nodes_lock() */
static struct mf_fs_handle *writer_of(struct mf_fs_mount *m, const struct statx *stx)
{
	struct mf_fs_handle *h;
	struct mf_fs_node *node;
	struct mf_fs_id id;

	mf_fs_id_of(stx, &id);
	node = mf_fs_nodes_find(m->nodes, &id);
	for (h = node ? node->handles : NULL; h && !h->writes; h = h->next)
		;
	return h;
}

/* The token goes to who may still write to what is in the trash: it is settled when the last of them closes. */
static void settle_later(struct mf_fs_mount *m, const struct statx *stx, const char *token)
{
	struct mf_fs_handle *h;
	bool now;

	mf_fs_nodes_lock(m->nodes);
	h = writer_of(m, stx);
	now = !h || *h->settle;
	if (!now)
		memcpy(h->settle, token, sizeof(h->settle));
	mf_fs_nodes_unlock(m->nodes);
	if (now)
		(void)mf_trash_settle(m->o.trash, token);
}

/* What is at the place or, where @fd is not -1, open: to the trash. */
static int lose(struct mf_fs_op_ctx *c, enum mf_trash_how how, enum mf_trash_op op, bool hash,
		const struct statx *stx, int fd, char token[MF_TRASH_TOKEN_MAX])
{
	const struct mf_decision *d = &c->act.verdict.d;
	const char *below = c->path + strlen(c->m->root);
	struct mf_trash_attr attr = attr_of(stx);
	struct mf_trash_loss loss = { .how = how,
				      .op = op,
				      .attr = &attr,
				      .session = c->m->o.session_id,
				      .policy = d->policy,
				      .rule = d->rule,
				      .no_hash = !hash,
				      .pid = c->who.pid > 0 ? (uint32_t)c->who.pid : 0 };
	char path[MF_FS_PATH_ROOM + 4096];
	int r;

	token[0] = '\0';
	if (!c->m->o.trash)
		return -EACCES;
	know(c->m, stx, &loss, &attr);
	snprintf(path, sizeof(path), "%s%s", strcmp(c->m->source, "/") ? c->m->source : "", below);
	loss.path = path;
	if (hash && how != MF_TRASH_COPY && S_ISREG(stx->stx_mode)) {
		mf_fs_nodes_lock(c->m->nodes);
		loss.busy = writer_of(c->m, stx) != NULL;
		mf_fs_nodes_unlock(c->m->nodes);
	}
	r = mf_fs_source_become_self();
	if (r == 0)
		r = fd >= 0 ? mf_trash_put_open(c->m->o.trash, fd, &loss, token)
			    : mf_trash_put(c->m->o.trash, c->dir_fd, c->at, &loss, token);
	if (r < 0)
		return r;
	if (loss.busy && *token)
		settle_later(c->m, stx, token);
	c->act.token = token;
	c->act.size = (int64_t)stx->stx_size;
	c->act.nlink = stx->stx_nlink;
	return 0;
}

int mf_fuse_keep(struct mf_fs_op_ctx *c, enum mf_trash_how how, enum mf_trash_op op, bool hash,
		 const struct statx *stx, char token[MF_TRASH_TOKEN_MAX])
{
	return lose(c, how, op, hash, stx, -1, token);
}

int mf_fuse_keep_before_cut(struct mf_fs_op_ctx *c, const struct statx *stx, uint64_t size,
			    char token[MF_TRASH_TOKEN_MAX])
{
	bool hash = c->act.verdict.hash;

	token[0] = '\0';
	if (c->unnamed || c->elsewhere || size >= stx->stx_size || !S_ISREG(stx->stx_mode))
		return 0;
	if (c->act.verdict.what != MF_FS_TRASH && !mf_policy_fs_keeps(c->m->pfs, &c->act, &hash))
		return 0;
	return mf_fuse_keep(c, MF_TRASH_COPY, MF_TRASH_TRUNCATE, hash, stx, token);
}

void mf_fuse_unkeep(struct mf_fs_op_ctx *c, char token[MF_TRASH_TOKEN_MAX])
{
	if (*token)
		(void)mf_trash_cancel(c->m->o.trash, token);
	token[0] = '\0';
	c->act.token = NULL;
}

/* ---- writing over --------------------------------------------------------------------------------------------- */

void mf_fuse_forget_write(struct mf_fs_node *node)
{
	mf_fs_write_note_put(atomic_exchange(&node->pending, NULL));
}

int mf_fuse_expect_write(struct mf_fs_op_ctx *c, struct mf_fs_node *node, const struct statx *stx)
{
	struct mf_fs_write_note *p;

	if (!c->m->o.trash)
		return -EACCES;
	if (stx->stx_size == 0)
		return 0;
	p = mf_fs_write_note_new(&c->act.verdict, &c->who, stx->stx_size,
				 mf_fs_source_ns(&stx->stx_mtime));
	if (!p)
		return -ENOMEM;
	mf_fs_nodes_lock(c->m->nodes);
	mf_fuse_forget_write(node);
	node->pending = p;
	mf_fs_nodes_unlock(c->m->nodes);
	return 0;
}

/* Under p->lock. */
static int keep_opened(fuse_req_t req, struct mf_fs_handle *h, const struct mf_fs_write_note *p)
{
	struct mf_fs_mount *m = fuse_req_userdata(req);
	char token[MF_TRASH_TOKEN_MAX] = "";
	struct mf_fs_op_ctx c;
	struct statx stx;
	int r = mf_fs_source_stat_fd(h->fd, &stx), found;

	found = mf_fuse_find_node(&c, req, mf_fuse_ino(m, h->node));
	if (r == 0)
		r = found;
	// Without a name there is nothing that it could come back as; a mapping's pages are written by nobody.
	if (r == 0 && !c.unnamed) {
		if (c.who.pid <= 0)
			c.who.pid = p->who.pid;
		c.begun = true;
		r = mf_policy_fs_overwrite(m->pfs, &c.act, p->policy, p->rule);
		if (stx.stx_size > p->size)
			stx.stx_size = p->size;
		stx.stx_mtime.tv_sec = p->mtime_ns / (int64_t)MF_NS_PER_S;
		stx.stx_mtime.tv_nsec = (uint32_t)(p->mtime_ns % (int64_t)MF_NS_PER_S);
		if (r == 0)
			r = lose(&c, MF_TRASH_COPY, MF_TRASH_OVERWRITE, p->hash, &stx, h->fd,
				 token);
	}
	mf_fuse_end(&c, r);
	return r;
}

int mf_fuse_keep_pending(fuse_req_t req, struct mf_fs_handle *h, uint64_t off)
{
	struct mf_fs_mount *m = fuse_req_userdata(req);
	struct mf_fs_write_note *p;
	int r = 0;

	mf_fs_nodes_lock(m->nodes);
	p = mf_fs_write_note_get(h->node->pending, off);
	mf_fs_nodes_unlock(m->nodes);
	if (!p)
		return 0;
	pthread_mutex_lock(&p->lock);
	if (!p->done) {
		r = keep_opened(req, h, p);
		p->done = r == 0;
	}
	pthread_mutex_unlock(&p->lock);
	mf_fs_nodes_lock(m->nodes);
	if (r == 0 && h->node->pending == p)
		mf_fuse_forget_write(h->node);
	mf_fs_write_note_put(p);
	mf_fs_nodes_unlock(m->nodes);
	return r;
}
