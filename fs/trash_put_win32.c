/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_put_win32.c - losses: the steps in their order (trash.h), and the way back when one of them fails
 *
 * A record is a file that is on the disk before anything else happens: NTFS' journal keeps names in order, not content.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "fs/trash_int_win32.h"

#define TYPE_MASK 0170000u
#define TYPE_DIR  0040000u
#define TYPE_FILE 0100000u

int mf_wtrash_write(struct mf_trash *t, const char *name, const struct mf_strbuf *b, bool sync)
{
	void *parent, *h;
	int r;

	if (b->failed)
		return -ENAMETOOLONG;
	r = mf_wsource_open_parent(t->tree, name, &parent, NULL);
	if (r < 0)
		return r;
	r = mf_wsource_create(parent, name, false, MF_WSOURCE_NEW, &h);
	mf_wsource_close_handle(parent);
	if (r < 0)
		return r;
	r = mf_wsource_write(h, b->str, b->len, 0);
	if (r >= 0)
		r = (size_t)r == b->len ? 0 : -ENOSPC;
	if (r == 0 && sync)
		r = mf_wsource_flush(h);
	if (r < 0)
		(void)mf_wsource_remove(h);
	mf_wsource_close_handle(h);
	return r;
}

/* Whole or not at all: written under a temporary name. */
static int write_record(struct mf_trash *t, const struct mf_trash_record *rec)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_RECORD_MAX);
	char temp[MF_WTRASH_NAME_MAX], name[MF_WTRASH_NAME_MAX];
	void *h;
	int r;

	mf_trash_record_format(&b, rec);
	mf_wtrash_temp(t, temp, rec->e.token);
	mf_wtrash_name(name, "moonfence", rec->e.token, "");
	r = mf_wtrash_write(t, temp, &b, !t->options.no_sync);
	mf_strbuf_done(&b);
	if (r == 0)
		r = mf_wsource_open_at(t->tree, temp, MF_WSOURCE_REMOVE, &h, NULL);
	if (r < 0)
		return r;
	r = mf_wsource_rename(h, t->own, name, false);
	if (r < 0)
		(void)mf_wsource_remove(h);
	mf_wsource_close_handle(h);
	return r;
}

int mf_wtrash_write_info(struct mf_trash *t, const struct mf_trash_entry *e)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_INFO_MAX);
	char name[MF_WTRASH_NAME_MAX];
	int r;

	mf_trash_info_format(&b, e->path, e->deleted_ns, e->token);
	mf_wtrash_name(name, "info", e->file, MF_TRASH_INFO_SUFFIX);
	r = mf_wtrash_write(t, name, &b, false);
	mf_strbuf_done(&b);
	return r;
}

int mf_wtrash_remove(struct mf_trash *t, const char *name)
{
	void *h;
	int r = mf_wsource_open_at(t->tree, name, MF_WSOURCE_REMOVE, &h, NULL);

	if (r < 0)
		return r;
	r = mf_wsource_remove(h);
	mf_wsource_close_handle(h);
	return r;
}

void mf_wtrash_forget(struct mf_trash *t, const char *token, const char *file)
{
	char name[MF_WTRASH_NAME_MAX];

	if (*file) {
		mf_wtrash_name(name, "info", file, MF_TRASH_INFO_SUFFIX);
		(void)mf_wtrash_remove(t, name);
	}
	mf_wtrash_name(name, "moonfence", token, ".json");
	(void)mf_wtrash_remove(t, name);
	mf_wtrash_name(name, "moonfence", token, "");
	(void)mf_wtrash_remove(t, name);
}

/* ---- putting ---- */

struct put {
	struct mf_trash *t;
	void *handle;
	const struct mf_trash_loss *loss;
	struct mf_trash_record rec;
	char file[MF_TRASH_FILE_MAX + 1];
};

/* What one volume's journal does not keep in order with another's: the last names of record and copy. */
static int sync_names(struct put *p, void *copy)
{
	char name[MF_WTRASH_NAME_MAX];
	void *h;
	int r = mf_wsource_flush(copy);

	if (r < 0)
		return r;
	mf_wtrash_name(name, "moonfence", p->rec.e.token, "");
	r = mf_wsource_open_at(p->t->tree, name, MF_WSOURCE_BOTH, &h, NULL);
	if (r == 0) {
		r = mf_wsource_flush(h);
		mf_wsource_close_handle(h);
	}
	return r;
}

/* As it was when the caller looked: without what was appended since, with the time that it had. */
static int cut_back(struct put *p, void *copy)
{
	const struct mf_trash_attr *then = p->loss->attr;
	struct mf_winfsp_timespec times[2] = { { 0 } };
	struct mf_winfsp_stat st;
	int r;

	if (!then || p->loss->how != MF_TRASH_COPY)
		return 0;
	r = mf_wsource_stat(copy, &st, NULL);
	if (r == 0 && (uint64_t)st.size > then->size)
		r = mf_wsource_truncate(copy, (int64_t)then->size);
	if (r < 0)
		return r;
	times[0] = st.atime;
	times[1] = (struct mf_winfsp_timespec){ then->mtime_ns / 1000000000,
						then->mtime_ns % 1000000000 };
	(void)mf_wsource_set_times(copy, times);
	return p->t->options.no_sync ? 0 : mf_wsource_flush(copy);
}

/* The whole copy under its last name, on the disk. @across: trash and original are known to be on two volumes */
static int put_copy(struct put *p, bool across)
{
	struct mf_trash *t = p->t;
	char temp[MF_WTRASH_NAME_MAX], name[MF_WTRASH_NAME_MAX];
	void *h;
	int r;

	mf_wtrash_temp(t, temp, p->rec.e.token);
	mf_wtrash_name(name, "files", p->file, "");
	r = mf_wsource_copy(p->handle, t->own, temp, !t->options.no_sync, &h);
	if (r < 0)
		return r;
	r = cut_back(p, h);
	/* It is announced to other programs when it is complete; what could not be moved was announced before. */
	if (r == 0 && !across)
		r = mf_wtrash_write_info(t, &p->rec.e);
	if (r == 0)
		r = mf_wsource_rename(h, t->files, name, false);
	if (r == 0 && (across || p->rec.e.attr.dev != t->dev) && !t->options.no_sync)
		r = sync_names(p, h);
	if (r < 0)
		(void)mf_wsource_remove(h);
	mf_wsource_close_handle(h);
	return r;
}

static int put_move(struct put *p)
{
	struct mf_trash *t = p->t;
	char name[MF_WTRASH_NAME_MAX];
	int r = mf_wtrash_write_info(t, &p->rec.e);

	if (r < 0)
		return r;
	mf_wtrash_name(name, "files", p->file, "");
	r = mf_wsource_rename(p->handle, t->files, name, false);
	if (r != -EXDEV)
		return r;
	/* To another volume: all of it is there, on the disk, before anything is removed here. */
	r = mf_wsource_is_link(p->handle) ? -EXDEV : put_copy(p, true);
	if (r < 0)
		return r;
	r = mf_wsource_remove(p->handle);
	if (r < 0) {
		mf_wtrash_name(name, "files", p->file, "");
		(void)mf_wtrash_remove(t, name);
	}
	return r;
}

/* A directory is made anew when it comes back: what it looks like stands in the record. */
static int announce(struct put *p)
{
	struct mf_wsource_look look = { 0 };
	char *text = NULL;
	int r = 0;

	if (p->loss->how == MF_TRASH_NOTE_DIR)
		r = mf_wsource_look(p->handle, &look, &text);
	p->rec.attributes = look.attributes;
	p->rec.access = look.access;
	if (r == 0)
		r = write_record(p->t, &p->rec);
	p->rec.access = NULL;
	free(text);
	return r;
}

static int put_as(struct put *p)
{
	int r = announce(p);

	if (r == 0 && p->loss->how == MF_TRASH_MOVE)
		r = put_move(p);
	else if (r == 0 && p->loss->how == MF_TRASH_COPY)
		r = put_copy(p, false);
	if (r < 0)
		mf_wtrash_forget(p->t, p->rec.e.token, p->file);
	return r;
}

/* The trash has no room: what the options say. */
static int put_full(struct put *p, int r)
{
	const struct mf_trash_loss *loss = p->loss;
	const struct mf_trash_options *o = &p->t->options;
	int error = r;

	if (mf_trash_lets_go(o, loss, p->rec.e.attr.mode))
		r = loss->how == MF_TRASH_MOVE ? mf_wsource_remove(p->handle) : 0;
	mf_trash_tell_full(o, loss, p->rec.e.attr.size, error, r == 0);
	return r;
}

static void fill_record(struct put *p, const struct mf_winfsp_stat *st, const char *token)
{
	p->rec.writer = p->t->writer;
	mf_trash_entry_of_loss(p->loss, p->loss->how, token, p->file, &p->rec.e);
	p->rec.e.attr =
		(struct mf_trash_attr){ .mode = st->mode,
					.nlink = st->nlink,
					.size = (uint64_t)st->size,
					.mtime_ns = st->mtime.sec * 1000000000 + st->mtime.nsec,
					.dev = st->dev,
					.ino = st->ino };
	if (p->loss->attr && p->loss->how == MF_TRASH_COPY) {
		if (p->rec.e.attr.size > p->loss->attr->size)
			p->rec.e.attr.size = p->loss->attr->size;
		p->rec.e.attr.mtime_ns = p->loss->attr->mtime_ns;
	}
}

int mf_trash_put_handle(struct mf_trash *t, void *handle, const struct mf_trash_loss *loss,
			char token[MF_TRASH_TOKEN_MAX])
{
	struct put p = { .t = t, .handle = handle, .loss = loss };
	const struct mf_trash_attr *a = &p.rec.e.attr;
	const char *leaf = strrchr(loss->path, '/');
	struct mf_winfsp_stat st;
	int r;

	token[0] = '\0';
	if (!leaf || !mf_trash_path_ok(loss->path) || strlen(loss->path) >= MF_TRASH_PATH_MAX ||
	    loss->how == MF_TRASH_LINK)
		return -EINVAL;
	r = mf_wsource_stat(handle, &st, NULL);
	if (r == 0)
		r = mf_wtrash_writer_ready(t);
	if (r < 0)
		return r;
	if (mf_trash_is(t, st.dev, st.ino))
		return -EBUSY;
	if (loss->how == MF_TRASH_COPY && !st.size)
		return 0; /* nothing to keep */
	r = mf_trash_token_new(t->clock, &t->lock, &t->last_ns, token);
	if (r < 0)
		return r;
	if (loss->how != MF_TRASH_NOTE_DIR)
		mf_trash_file_of(leaf + 1, token, p.file);
	fill_record(&p, &st, token);
	if (t->options.keep.max_bytes && (a->mode & TYPE_MASK) == TYPE_FILE &&
	    a->size > t->options.keep.max_bytes)
		r = -ENOSPC;
	else if (loss->how == MF_TRASH_COPY && t->options.copy_max && a->size > t->options.copy_max)
		r = -EFBIG;
	else
		r = put_as(&p);
	if (r == 0)
		mf_trash_worker_put(&t->worker, loss, a, token);
	else
		token[0] = '\0';
	return mf_trash_is_full(r) ? put_full(&p, r) : r;
}

int mf_trash_put(struct mf_trash *t, int dir_fd, const char *name, const struct mf_trash_loss *loss,
		 char token[MF_TRASH_TOKEN_MAX])
{
	(void)t;
	(void)dir_fd;
	(void)name;
	(void)loss;
	token[0] = '\0';
	return -EINVAL; /* Windows has no descriptors of directories: mf_trash_put_handle() */
}

int mf_trash_cancel(struct mf_trash *t, const char *token)
{
	struct mf_trash_result result;
	struct mf_wtrash_loaded l;
	char name[MF_WTRASH_NAME_MAX];
	int r = 0;

	if (!*token) /* was not kept */
		return 0;
	if (mf_wtrash_load(t, token, &l) < 0)
		return -ENOENT;
	if (l.r.e.how == MF_TRASH_MOVE) { /* it has left its place */
		r = mf_trash_restore(t, token, &(struct mf_trash_target){ .no_verify = true },
				     &result, NULL) < 0
			    ? -EIO
			    : 0;
		mf_wtrash_loaded_done(&l);
		return r;
	}
	if (*l.r.e.file) {
		mf_wtrash_name(name, "files", l.r.e.file, "");
		r = mf_wtrash_remove(t, name);
	}
	if (r == 0 || r == -ENOENT)
		mf_wtrash_forget(t, token, l.r.e.file);
	mf_wtrash_loaded_done(&l);
	return r == -ENOENT ? 0 : r;
}

int mf_trash_settle(struct mf_trash *t, const char *token)
{
	if (!mf_trash_token_ok(token))
		return -EINVAL;
	mf_trash_worker_settle(&t->worker, token);
	return 0;
}
