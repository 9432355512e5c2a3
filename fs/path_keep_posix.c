/* SPDX-License-Identifier: Apache-2.0 */
/* path_keep_posix.c - what goes to the trash before it is lost; see path_fs.h, write_note.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "fs/file_copy_posix.h"
#include "fs/path_fs.h"
#include "fs/write_note.h"

int64_t mf_path_ns(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static struct mf_trash_attr attr_of(const struct stat *st)
{
	struct timespec times[2];

	mf_file_times_of(st, times);
	return (struct mf_trash_attr){ .mode = st->st_mode,
				       .uid = st->st_uid,
				       .gid = st->st_gid,
				       .nlink = st->st_nlink,
				       .size = (uint64_t)st->st_size,
				       .mtime_ns = mf_path_ns(&times[1]),
				       .dev = (uint64_t)st->st_dev,
				       .ino = st->st_ino };
}

/* ---- the session's own ------------------------------------------------------------------------------------------ */

/* Where it stands in the table, if it does: a newer one in the same place takes it, and it counts as found. */
static size_t made_at(uint64_t dev, uint64_t ino)
{
	return (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15) ^ dev) >> 16) % MF_PATH_MADE;
}

void mf_path_made(struct mf_path_op *op)
{
	struct stat st;
	int64_t born;
	size_t i;

	mf_path_changed_dir(op);
	if (op->elsewhere || !op->m->o.trash || mf_path_stat(op, &st) < 0)
		return;
	born = mf_path_source_born_ns(op->dir_fd, op->at);
	i = made_at((uint64_t)st.st_dev, st.st_ino);
	pthread_mutex_lock(&op->m->lock);
	op->m->made[i].dev = (uint64_t)st.st_dev;
	op->m->made[i].ino = st.st_ino;
	op->m->made[i].born_ns = born;
	pthread_mutex_unlock(&op->m->lock);
}

static bool is_made(struct mf_path_op *op, const struct mf_trash_attr *attr)
{
	size_t i = made_at(attr->dev, attr->ino);
	int64_t born;
	bool is;

	pthread_mutex_lock(&op->m->lock);
	is = op->m->made[i].dev == attr->dev && op->m->made[i].ino == attr->ino;
	born = op->m->made[i].born_ns;
	pthread_mutex_unlock(&op->m->lock);
	return is && op->dir_fd >= 0 && born == mf_path_source_born_ns(op->dir_fd, op->at);
}

/* ---- directories that are emptied -------------------------------------------------------------------------------- */

static size_t emptied_at(uint64_t dev, uint64_t ino)
{
	return made_at(dev, ino) % MF_PATH_EMPTIED;
}

/* 0: nothing is known. */
static int64_t emptied_ns(struct mf_path_mount *m, uint64_t dev, uint64_t ino)
{
	size_t i = emptied_at(dev, ino);
	int64_t ns;

	pthread_mutex_lock(&m->lock);
	ns = m->emptied[i].dev == dev && m->emptied[i].ino == ino ? m->emptied[i].mtime_ns : 0;
	pthread_mutex_unlock(&m->lock);
	return ns;
}

static void set_emptied(struct mf_path_mount *m, const struct mf_trash_attr *dir, int64_t ns)
{
	size_t i = emptied_at(dir->dev, dir->ino);

	pthread_mutex_lock(&m->lock);
	m->emptied[i].dev = dir->dev;
	m->emptied[i].ino = dir->ino;
	m->emptied[i].mtime_ns = ns;
	pthread_mutex_unlock(&m->lock);
}

void mf_path_emptying(struct mf_path_op *op)
{
	struct mf_trash_attr attr;
	struct stat st;

	if (op->elsewhere || fstat(op->dir_fd, &st) < 0)
		return;
	attr = attr_of(&st);
	if (!emptied_ns(op->m, attr.dev, attr.ino))
		set_emptied(op->m, &attr, attr.mtime_ns);
}

void mf_path_changed_dir(struct mf_path_op *op)
{
	struct mf_trash_attr attr;
	struct stat st;

	if (op->elsewhere || !op->m->o.trash || fstat(op->dir_fd, &st) < 0)
		return;
	attr = attr_of(&st);
	if (emptied_ns(op->m, attr.dev, attr.ino))
		set_emptied(op->m, &attr, 0);
}

/* ---- the trash ---------------------------------------------------------------------------------------------------- */

/* An open file that may go on writing to an inode; under m->lock */
static struct mf_path_file *writer_of(struct mf_path_mount *m, const struct mf_trash_attr *attr)
{
	struct mf_path_inode *inode = mf_path_inode_find(m, attr->dev, attr->ino);
	struct mf_path_file *f = inode ? inode->files : NULL;

	while (f && !f->writes)
		f = f->next;
	return f;
}

/* The token goes to who may still write to what is in the trash: it is settled when the last of them closes. */
static void settle_later(struct mf_path_mount *m, const struct mf_trash_attr *attr,
			 const char *token)
{
	struct mf_path_file *f;
	bool now;

	pthread_mutex_lock(&m->lock);
	f = writer_of(m, attr);
	now = !f || *f->settle;
	if (!now)
		memcpy(f->settle, token, sizeof(f->settle));
	pthread_mutex_unlock(&m->lock);
	if (now)
		(void)mf_trash_settle(m->o.trash, token);
}

/* What is at the place or, where @fd is not -1, open: to the trash. */
static int lose(struct mf_path_op *op, enum mf_trash_how how, enum mf_trash_op what, bool hash,
		struct mf_trash_attr *attr, int fd)
{
	const struct mf_decision *d = &op->act.verdict.d;
	struct mf_path_mount *m = op->m;
	struct mf_trash_loss loss = { .how = how,
				      .op = what,
				      .attr = attr,
				      .session = m->o.session_id,
				      .policy = d->policy,
				      .rule = d->rule,
				      .no_hash = !hash,
				      .made = is_made(op, attr),
				      .pid = op->who.pid > 0 ? (uint32_t)op->who.pid : 0 };
	char path[MF_PATH_ROOM + 4096];
	int r;

	op->token[0] = '\0';
	if (!m->o.trash)
		return -EACCES;
	snprintf(path, sizeof(path), "%s%s", strcmp(m->source, "/") ? m->source : "", op->inner);
	loss.path = path;
	if (hash && how != MF_TRASH_COPY && S_ISREG(attr->mode)) {
		pthread_mutex_lock(&m->lock);
		loss.busy = writer_of(m, attr) != NULL;
		pthread_mutex_unlock(&m->lock);
	}
	r = fd >= 0 ? mf_trash_put_open(m->o.trash, fd, &loss, op->token)
		    : mf_trash_put(m->o.trash, op->dir_fd, op->at, &loss, op->token);
	if (r < 0)
		return r;
	if (loss.busy && *op->token)
		settle_later(m, attr, op->token);
	op->act.token = op->token;
	op->act.size = (int64_t)attr->size;
	op->act.nlink = (int64_t)attr->nlink;
	return 0;
}

int mf_path_keep(struct mf_path_op *op, enum mf_trash_how how, enum mf_trash_op what, bool hash,
		 const struct stat *st)
{
	struct mf_trash_attr attr = attr_of(st);
	int64_t before = S_ISDIR(st->st_mode) ? emptied_ns(op->m, attr.dev, attr.ino) : 0;

	// A directory that was emptied gets the time that it had with all that was in it.
	if (before)
		attr.mtime_ns = before;
	return lose(op, how, what, hash, &attr, -1);
}

int mf_path_keep_before_cut(struct mf_path_op *op, const struct stat *st, off_t size)
{
	bool hash = op->act.verdict.hash;

	op->token[0] = '\0';
	if (op->elsewhere || size >= st->st_size || !S_ISREG(st->st_mode))
		return 0;
	if (op->act.verdict.what != MF_FS_TRASH && !mf_policy_fs_keeps(op->m->pfs, &op->act, &hash))
		return 0;
	return mf_path_keep(op, MF_TRASH_COPY, MF_TRASH_TRUNCATE, hash, st);
}

void mf_path_unkeep(struct mf_path_op *op)
{
	if (*op->token)
		(void)mf_trash_cancel(op->m->o.trash, op->token);
	op->token[0] = '\0';
	op->act.token = NULL;
}

/* ---- writing over -------------------------------------------------------------------------------------------------- */

void mf_path_forget_write(struct mf_path_inode *inode)
{
	mf_fs_write_note_put(inode->pending);
	inode->pending = NULL;
}

int mf_path_expect_write(struct mf_path_op *op, struct mf_path_file *f, const struct stat *st)
{
	struct mf_trash_attr attr = attr_of(st);
	struct mf_fs_write_note *p;

	if (!op->m->o.trash)
		return -EACCES;
	if (st->st_size == 0)
		return 0;
	p = mf_fs_write_note_new(&op->act.verdict, &op->who, attr.size, attr.mtime_ns);
	if (!p)
		return -ENOMEM;
	pthread_mutex_lock(&op->m->lock);
	mf_path_forget_write(f->inode);
	f->inode->pending = p;
	pthread_mutex_unlock(&op->m->lock);
	return 0;
}

/* Under p->lock. */
static int keep_opened(struct mf_path_file *f, const char *inner, const struct mf_fs_write_note *p)
{
	struct mf_trash_attr attr;
	struct mf_path_op op;
	struct stat st;
	int r = mf_path_name(&op, inner);

	if (r == 0 && fstat(f->fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	if (op.who.pid <= 0)
		op.who = p->who;
	op.begun = true;
	r = mf_policy_fs_overwrite(op.m->pfs, &op.act, p->policy, p->rule);
	attr = attr_of(&st);
	if (attr.size > p->size)
		attr.size = p->size;
	attr.mtime_ns = p->mtime_ns;
	if (r == 0)
		r = lose(&op, MF_TRASH_COPY, MF_TRASH_OVERWRITE, p->hash, &attr, f->fd);
	return mf_path_end(&op, r);
}

int mf_path_before_write(struct mf_path_file *f, uint64_t off)
{
	char name[MF_PATH_ROOM];
	struct mf_path_mount *m;
	struct mf_fs_caller who;
	struct mf_fs_write_note *p;
	const char *inner;
	int r = 0;

	if (!f->inode)
		return 0;
	m = mf_path_here(&who);
	pthread_mutex_lock(&m->lock);
	p = mf_fs_write_note_get(f->inode->pending, off);
	pthread_mutex_unlock(&m->lock);
	if (!p)
		return 0;
	pthread_mutex_lock(&p->lock);
	// Without a name there is nothing that it could come back as.
	inner = mf_path_inner(NULL, f, name);
	if (!p->done && inner)
		r = keep_opened(f, inner, p);
	p->done |= r == 0;
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_lock(&m->lock);
	if (r == 0 && f->inode->pending == p)
		mf_path_forget_write(f->inode);
	mf_fs_write_note_put(p);
	pthread_mutex_unlock(&m->lock);
	return r;
}
