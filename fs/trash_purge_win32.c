/* SPDX-License-Identifier: Apache-2.0 */
/* trash_purge_win32.c - the trash of Windows: deleting for good, and what is done while nobody waits */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fs/trash_choose.h"
#include "fs/trash_hash.h"
#include "fs/trash_int_win32.h"

/* ---- purge ---- */

int mf_wtrash_delete_entry(struct mf_trash *t, const struct mf_trash_entry *e)
{
	char name[MF_WTRASH_NAME_MAX];
	int r = 0;

	if (*e->file) {
		mf_wtrash_name(name, "files", e->file, "");
		r = mf_wtrash_remove(t, name);
	}
	if (r < 0 && r != -ENOENT)
		return r;
	mf_wtrash_forget(t, e->token, e->file);
	return 0;
}

struct purge {
	const struct mf_trash_purge *p;
	struct mf_trash_candidates all;
};

static int collect(void *ctx, const struct mf_trash_entry *e)
{
	struct purge *p = ctx;

	if (p->p->token && strcmp(p->p->token, e->token) != 0)
		return 0;
	return mf_trash_candidates_add(&p->all, e, *e->file ? e->attr.size : 0);
}

static int carry_out(struct mf_trash *t, const struct purge *p, struct mf_trash_purged *ret,
		     struct mf_err *err)
{
	int r = 0, gone;

	for (size_t i = 0; i < p->all.cnt && r == 0; i++) {
		const struct mf_trash_candidate *c = &p->all.list[i];
		struct mf_wtrash_loaded l;

		if (!c->why || mf_wtrash_load(t, c->token, &l) < 0)
			continue;
		gone = p->p->dry_run ? 0 : mf_wtrash_delete_entry(t, &l.r.e);
		if (gone < 0) {
			r = mf_err_set(err, MF_E_IO, "cannot delete what is kept of %s: %s",
				       l.r.e.path, strerror(-gone));
		} else {
			ret->count++;
			ret->bytes += c->bytes;
			if (p->p->report)
				r = p->p->report(p->p->ctx, &l.r.e);
			if (!p->p->dry_run)
				mf_trash_tell_purged(&t->options, &l.r.e, c->why, c->bytes);
		}
		mf_wtrash_loaded_done(&l);
	}
	return r;
}

int mf_wtrash_purge_locked(struct mf_trash *t, const struct mf_trash_purge *purge,
			   struct mf_trash_purged *ret, struct mf_err *err)
{
	struct purge p = { .p = purge };
	/* What a limit of a session's counts is the session's alone. */
	struct mf_trash_filter filter = { .session = purge->session };
	int r;

	*ret = (struct mf_trash_purged){ .count = 0 };
	/* Half of a delete is found by who opens the trash next. */
	r = purge->dry_run ? 0 : mf_wtrash_writer_ready(t);
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "cannot write to the trash %s: %s",
				  mf_trash_path(t), strerror(-r));
	r = mf_trash_list(t, &filter, collect, &p, err);
	if (r == 0) {
		mf_trash_candidates_choose(&p.all, purge, mf_clock_wall(t->clock));
		r = carry_out(t, &p, ret, err);
	}
	mf_trash_candidates_done(&p.all);
	return r;
}

int mf_trash_purge(struct mf_trash *t, const struct mf_trash_purge *purge,
		   struct mf_trash_purged *ret, struct mf_err *err)
{
	void *lock;
	int r = mf_wtrash_lock(t, !purge->no_wait, &lock);

	*ret = (struct mf_trash_purged){ .count = 0 };
	if (r == -EAGAIN)
		return mf_err_set(err, MF_E_AGAIN, "another process works on the trash %s",
				  mf_trash_path(t));
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "cannot lock the trash %s: %s", mf_trash_path(t),
				  strerror(-r));
	r = mf_wtrash_purge_locked(t, purge, ret, err);
	mf_wsource_close_handle(lock);
	return r;
}

/* ---- hashes ---- */

static int64_t read_handle(void *ctx, void *buf, size_t size, int64_t off)
{
	return mf_wsource_read(ctx, buf, size, off);
}

int mf_wtrash_hash(void *handle, char ret[MF_TRASH_HASH_HEX])
{
	return mf_trash_hash(read_handle, handle, ret);
}

static int64_t mtime_ns(const struct mf_winfsp_stat *st)
{
	return st->mtime.sec * 1000000000 + st->mtime.nsec;
}

static void write_hash(struct mf_trash *t, const char *token, const char *hash,
		       const struct mf_winfsp_stat *st)
{
	struct mf_strbuf b = MF_STRBUF_INIT(1024);
	char temp[MF_WTRASH_NAME_MAX], name[MF_WTRASH_NAME_MAX], record[MF_WTRASH_NAME_MAX];
	void *h;

	mf_trash_hash_format(&b, hash, (uint64_t)st->size, mtime_ns(st));
	mf_wtrash_temp(t, temp, token);
	mf_wtrash_name(name, "moonfence", token, ".json");
	mf_wtrash_name(record, "moonfence", token, "");
	if (mf_wtrash_write(t, temp, &b, false) == 0 &&
	    mf_wsource_open_at(t->tree, temp, MF_WSOURCE_REMOVE, &h, NULL) == 0) {
		if (mf_wsource_rename(h, t->own, name, true) < 0)
			(void)mf_wsource_remove(h);
		mf_wsource_close_handle(h);
		/* It was restored or purged meanwhile: no hash without a record. */
		if (mf_wsource_open_at(t->tree, record, MF_WSOURCE_LOOK, &h, NULL) == -ENOENT)
			(void)mf_wtrash_remove(t, name);
		else
			mf_wsource_close_handle(h);
	}
	mf_strbuf_done(&b);
}

static void hash_one(struct mf_trash *t, const char *token)
{
	char hash[MF_TRASH_HASH_HEX], name[MF_WTRASH_NAME_MAX];
	struct mf_winfsp_stat before, after;
	struct mf_wtrash_loaded l;
	void *h = NULL;

	if (mf_wtrash_load(t, token, &l) < 0)
		return;
	mf_wtrash_name(name, "files", l.r.e.file, "");
	/* Whoever still writes to it makes the hash worthless: then there is none. */
	if (*l.r.e.file && mf_wsource_open_at(t->tree, name, MF_WSOURCE_READ, &h, NULL) == 0 &&
	    !mf_wsource_is_link(h) && mf_wsource_stat(h, &before, NULL) == 0 &&
	    (uint64_t)before.size <= t->options.hash_max && mf_wtrash_writer_ready(t) == 0 &&
	    mf_wtrash_hash(h, hash) == 0 && mf_wsource_stat(h, &after, NULL) == 0 &&
	    after.size == before.size && mtime_ns(&after) == mtime_ns(&before))
		write_hash(t, token, hash, &before);
	mf_wsource_close_handle(h);
	mf_wtrash_loaded_done(&l);
}

static int hash_one_missing(void *ctx, const struct mf_trash_entry *e)
{
	struct mf_trash *t = ctx;

	if (!*e->sha256 && *e->file)
		hash_one(t, e->token);
	return mf_trash_worker_stopping(&t->worker);
}

static void hash_missing(struct mf_trash *t)
{
	const struct mf_trash_filter all = { .hashes = true };

	(void)mf_trash_list(t, &all, hash_one_missing, t, NULL);
}

/* ---- while nobody waits ---- */

static void tidy(struct mf_trash *t)
{
	const struct mf_trash_keep *k = &t->options.keep;
	struct mf_trash_purged done;

	if (k->age_s || k->max_bytes || k->max_count)
		(void)mf_trash_purge(t, &(struct mf_trash_purge){ .keep = *k, .no_wait = true },
				     &done, NULL);
}

const struct mf_trash_worker_ops mf_wtrash_worker_ops = { .hash = hash_one,
							  .hash_missing = hash_missing,
							  .tidy = tidy };

void mf_trash_tick(struct mf_trash *t)
{
	mf_trash_worker_tick(&t->worker);
}

void mf_trash_drain(struct mf_trash *t)
{
	mf_trash_worker_drain(&t->worker);
}
