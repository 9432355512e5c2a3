/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_keep_win32.c - what goes to the trash of Windows' mount before it is lost
 *
 * Writing over a file is no operation that policies are asked about: opening was. Where the answer was to keep, what the file was
 * when it was opened is noted by its identity, and the first write that would change a byte of that, by whatever handle it comes
 * (the pages of a mapping come by any), copies it into the trash first. What was only appended to is not copied.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount_int_win32.h"
#include "fs/trash_win32.h"

/* ---- the trash ---- */

static int64_t ns_of(const struct mf_winfsp_timespec *t)
{
	return t->sec * 1000000000 + t->nsec;
}

void mf_mount_made(struct mf_mount_winfsp *m, void *handle)
{
	struct mf_winfsp_stat st;

	if (mf_wsource_stat(handle, &st, NULL) < 0)
		return;
	pthread_mutex_lock(&m->lock);
	(void)mf_id_set_add(&m->made, st.dev, st.ino); /* without memory it counts as found */
	pthread_mutex_unlock(&m->lock);
}

void mf_mount_unmade(struct mf_mount_winfsp *m, const struct mf_winfsp_stat *st)
{
	pthread_mutex_lock(&m->lock);
	mf_id_set_remove(&m->made, st->dev, st->ino);
	pthread_mutex_unlock(&m->lock);
}

static bool is_made(struct mf_mount_winfsp *m, void *handle)
{
	struct mf_winfsp_stat st;
	bool yes;

	if (mf_wsource_stat(handle, &st, NULL) < 0)
		return false;
	pthread_mutex_lock(&m->lock);
	yes = mf_id_set_has(&m->made, st.dev, st.ino);
	pthread_mutex_unlock(&m->lock);
	return yes;
}

int mf_mount_keep(struct mf_mount_act *act, void *handle, const char *place, enum mf_trash_how how,
		  enum mf_trash_op op, bool hash, const struct mf_trash_attr *then)
{
	struct mf_mount_winfsp *m = act->m;
	const struct mf_decision *d = &act->a.verdict.d;
	const char *inner = mf_mount_inside(m, place);
	char path[MF_MOUNT_PATH_MAX + 8];
	struct mf_trash_loss loss = {
		.how = how, .op = op, .path = path, .attr = then, .no_hash = !hash
	};

	if (!m->o.trash || !inner)
		return -EACCES;
	/* "C:\work" and "/a" are "/C:/work/a" there. */
	snprintf(path, sizeof(path), "/%s%s", mf_wsource_path(m->source), inner);
	for (char *p = path; *p; p++)
		if (*p == '\\')
			*p = '/';
	loss.made = is_made(m, handle);
	loss.pid = act->who.pid > 0 ? (uint32_t)act->who.pid : 0;
	loss.session = m->o.session;
	loss.policy = d->policy;
	loss.rule = d->rule;
	return mf_trash_put_handle(m->o.trash, handle, &loss, act->token);
}

/* ---- writing over ---- */

struct mf_mount_content {
	struct mf_mount_content *next; /* of its bucket; these four under the mount's lock */
	unsigned refs;
	uint64_t dev, ino;
	pthread_mutex_t
		lock; /* of what follows; held while it is copied: other writers wait for that */
	bool hash;
	struct mf_fs_caller who;   /* who opened it */
	struct mf_trash_attr then; /* when it was opened */
	char *policy, *rule;	   /* malloc()ed; may be NULL */
	_Atomic bool pending;	   /* to be kept */
};

static struct mf_mount_content **bucket_of(struct mf_mount_winfsp *m, uint64_t ino)
{
	return &m->contents[(ino ^ ino >> 20) % MF_MOUNT_BUCKETS];
}

/* Under the mount's lock. */
static struct mf_mount_content *content_of(struct mf_mount_winfsp *m,
					   const struct mf_winfsp_stat *st)
{
	struct mf_mount_content **bucket = bucket_of(m, st->ino), *c;

	for (c = *bucket; c && (c->dev != st->dev || c->ino != st->ino); c = c->next)
		;
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return NULL;
		c->dev = st->dev;
		c->ino = st->ino;
		pthread_mutex_init(&c->lock, NULL);
		c->next = *bucket;
		*bucket = c;
	}
	c->refs++;
	return c;
}

/* Under c->lock. */
static int note(struct mf_mount_content *c, const struct mf_mount_act *act,
		const struct mf_winfsp_stat *st)
{
	const struct mf_decision *d = &act->a.verdict.d;
	char *policy = d->policy ? strdup(d->policy) : NULL;
	char *rule = d->rule ? strdup(d->rule) : NULL;

	if ((d->policy && !policy) || (d->rule && !rule)) {
		free(policy);
		free(rule);
		return -ENOMEM;
	}
	free(c->policy);
	free(c->rule);
	c->policy = policy;
	c->rule = rule;
	c->hash = act->a.verdict.hash;
	c->who = act->who;
	c->then =
		(struct mf_trash_attr){ .size = (uint64_t)st->size, .mtime_ns = ns_of(&st->mtime) };
	atomic_store(&c->pending, true);
	return 0;
}

int mf_mount_expect_write(struct mf_mount_act *act, struct mf_mount_file *f,
			  const struct mf_winfsp_stat *st, bool made)
{
	const struct mf_fs_verdict *v = &act->a.verdict;
	bool keeps = !made && v->keeps; /* a new file has nothing to lose */
	struct mf_mount_winfsp *m = act->m;
	int r = 0;

	if (v->what == MF_FS_ELSEWHERE)
		return 0;
	if (keeps && !m->o.trash)
		return -EACCES;
	pthread_mutex_lock(&m->lock);
	f->content = content_of(m, st);
	pthread_mutex_unlock(&m->lock);
	if (!f->content)
		return -ENOMEM;
	if (!keeps || st->size <= 0)
		return 0;
	pthread_mutex_lock(&f->content->lock);
	r = note(f->content, act, st);
	pthread_mutex_unlock(&f->content->lock);
	return r;
}

/* Under c->lock. */
static int keep_opened(struct mf_mount_winfsp *m, struct mf_mount_file *f,
		       const struct mf_mount_content *c)
{
	struct mf_mount_act *act = mf_mount_act_new(MF_FS_OVERWRITE);
	int r;

	if (!act)
		return -ENOMEM;
	/* What was replaced while it was open is in the trash already, or nowhere: what it could come back as is another's name. */
	r = mf_wsource_place(m->source, f->handle, NULL);
	if (r < 0)
		return mf_mount_act_end(act, r == -ENOENT || r == -EACCES ? 0 : r);
	mf_mount_file_place(m, f, act->real);
	act->who = f->who.pid > 0 ? f->who : c->who;
	act->a.q.path = act->real;
	act->a.q.path_len = strlen(act->real);
	act->a.q.caller = &act->who;
	act->a.size = (int64_t)c->then.size;
	act->begun = true;
	r = mf_policy_fs_overwrite(m->o.policy, &act->a, c->policy, c->rule);
	if (r == 0)
		r = mf_mount_keep(act, f->handle, act->real, MF_TRASH_COPY, MF_TRASH_OVERWRITE,
				  c->hash, &c->then);
	return mf_mount_act_end(act, r);
}

int mf_mount_keep_pending(struct mf_mount_winfsp *m, struct mf_mount_file *f, int64_t off)
{
	struct mf_mount_content *c = f->content;
	int r = 0;

	if (!atomic_load(&c->pending))
		return 0;
	pthread_mutex_lock(&c->lock);
	if (atomic_load(&c->pending) && (off < 0 || (uint64_t)off < c->then.size)) {
		r = keep_opened(m, f, c);
		if (r == 0)
			atomic_store(&c->pending, false);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

void mf_mount_forget_write(struct mf_mount_file *f)
{
	if (f->content)
		atomic_store(&f->content->pending, false);
}

void mf_mount_end_write(struct mf_mount_winfsp *m, struct mf_mount_file *f)
{
	struct mf_mount_content *c = f->content, **at;

	if (!c)
		return;
	f->content = NULL;
	pthread_mutex_lock(&m->lock);
	if (--c->refs > 0) {
		c = NULL;
	} else {
		for (at = bucket_of(m, c->ino); *at != c; at = &(*at)->next)
			;
		*at = c->next;
	}
	pthread_mutex_unlock(&m->lock);
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c->policy);
	free(c->rule);
	free(c);
}
