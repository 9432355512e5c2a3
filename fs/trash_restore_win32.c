/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_restore_win32.c - putting an entry back
 *
 * What is in its place goes to the trash first, then the payload is renamed there, never over anything; record and trashinfo
 * go last. A kill between leaves a record without payload: repair removes it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "fs/trash_int_win32.h"

#define TYPE_MASK 0170000u
#define TYPE_DIR  0040000u

struct restore {
	struct mf_trash *t;
	const struct mf_trash_target *target;
	struct mf_trash_result *ret;
	struct mf_trash_made *made;
	struct mf_err *err;
	struct mf_wtrash_loaded l;
	struct mf_wsource *tree;	 /* the drive that it goes to */
	char inner[MF_WSOURCE_PATH_MAX]; /* where in it */
	void *parent;
};

/* "C:\a" or "/C:/a" as the tree "C:\" and "/a" in it; @inner: of MF_WSOURCE_PATH_MAX bytes */
static int open_drive(const char *path, char *inner, struct mf_wsource **ret_tree,
		      struct mf_err *err)
{
	char drive[] = "X:\\";
	size_t len;

	if (path[0] == '/')
		path++;
	len = strlen(path);
	if (!((path[0] | 32) >= 'a' && (path[0] | 32) <= 'z') || path[1] != ':' ||
	    (path[2] != '/' && path[2] != '\\') || len >= MF_WSOURCE_PATH_MAX)
		return mf_err_set(err, MF_E_INVAL, "\"%s\" is no absolute path on a drive", path);
	drive[0] = path[0];
	strcpy(inner, path + 2);
	for (char *p = inner; *p; p++)
		if (*p == '\\')
			*p = '/';
	return mf_wsource_open(drive, ret_tree, err);
}

static int fail(struct restore *r, int error)
{
	int code = error == -EEXIST || error == -ENOTEMPTY ? MF_E_EXIST
		   : error == -ENOENT			   ? MF_E_NOENT
		   : error == -EACCES || error == -EPERM   ? MF_E_PERM
		   : error == -ENOSPC			   ? MF_E_FULL
		   : error == -ENOMEM			   ? MF_E_NOMEM
							   : MF_E_IO;

	return mf_err_set(r->err, code, "cannot restore to %s: %s", r->ret->path, strerror(-error));
}

/* A directory to restore into: the name is put behind it. */
static void into_directory(struct restore *r)
{
	const char *leaf = strrchr(r->l.r.e.path, '/');
	size_t len = strlen(r->inner);
	struct mf_winfsp_stat st;
	void *h;

	while (len > 1 && r->inner[len - 1] == '/')
		r->inner[--len] = '\0';
	if (mf_wsource_open_at(r->tree, r->inner, MF_WSOURCE_LOOK, &h, NULL) < 0)
		return;
	if (mf_wsource_stat(h, &st, NULL) == 0 && (st.mode & TYPE_MASK) == TYPE_DIR && leaf &&
	    len + strlen(leaf) < sizeof(r->inner))
		strcpy(r->inner + (len == 1 ? 0 : len), leaf);
	mf_wsource_close_handle(h);
}

static int verify(struct restore *r)
{
	char want[MF_TRASH_HASH_HEX], have[MF_TRASH_HASH_HEX], name[MF_WTRASH_NAME_MAX];
	void *h;
	int error;

	if (r->target->no_verify || !*r->l.r.e.file || !mf_wtrash_load_hash(r->t, r->l.token, want))
		return 0;
	mf_wtrash_name(name, "files", r->l.r.e.file, "");
	error = mf_wsource_open_at(r->t->tree, name, MF_WSOURCE_READ, &h, NULL);
	if (error == 0) {
		error = mf_wtrash_hash(h, have);
		mf_wsource_close_handle(h);
	}
	if (error < 0)
		return mf_err_set(r->err, MF_E_IO, "cannot read what is kept of %s: %s",
				  r->l.r.e.path, strerror(-error));
	if (strcmp(want, have) == 0)
		return 0;
	return mf_err_set(r->err, MF_E_BAD,
			  "what is kept of %s is not what came into the trash: its hash is another",
			  r->l.r.e.path);
}

/* What is there goes to the trash. */
static int make_room(struct restore *r)
{
	const char *session = r->target->session ? r->target->session : "restore";
	char path[MF_WSOURCE_PATH_MAX + 8];
	struct mf_trash_loss loss = { .how = MF_TRASH_MOVE,
				      .op = MF_TRASH_REPLACE,
				      .path = path,
				      .session = session,
				      .process = "moonfence",
				      .no_hash = true };
	struct mf_winfsp_stat st;
	void *h;
	int e = mf_wsource_open_at(r->tree, r->inner, MF_WSOURCE_REMOVE, &h, NULL);

	if (e < 0)
		return e == -ENOENT ? 0 : e;
	e = mf_wsource_stat(h, &st, NULL);
	if (e == 0 && (st.mode & TYPE_MASK) == TYPE_DIR)
		e = -EEXIST; /* a directory is not taken away for a file */
	if (e == 0) {
		snprintf(path, sizeof(path), "/%.2s%s", mf_wsource_path(r->tree), r->inner);
		e = mf_trash_put_handle(r->t, h, &loss, r->ret->replaced);
	}
	mf_wsource_close_handle(h);
	return e;
}

/* From another volume: complete under a name of its own, then in its place. */
static int bring_across(struct restore *r, void *payload)
{
	char temp[MF_TRASH_TOKEN_MAX + 16];
	void *h;
	int e;

	if (mf_wsource_is_link(payload))
		return -EXDEV;
	snprintf(temp, sizeof(temp), "/.moonfence-%s", r->l.token);
	e = mf_wsource_copy(payload, r->parent, temp, !r->t->options.no_sync, &h);
	if (e == -EEXIST) {
		/* What an earlier attempt left that was killed: nobody else knows this name. */
		e = mf_wsource_claim(r->parent, temp, false, &h);
		if (e == 0) {
			e = mf_wsource_remove(h);
			mf_wsource_close_handle(h);
		}
		if (e == 0)
			e = mf_wsource_copy(payload, r->parent, temp, !r->t->options.no_sync, &h);
	}
	if (e < 0)
		return e;
	e = mf_wsource_rename(h, r->parent, r->inner, false);
	if (e == 0 && !r->t->options.no_sync)
		e = mf_wsource_flush(h);
	else if (e < 0)
		(void)mf_wsource_remove(h);
	mf_wsource_close_handle(h);
	return e < 0 ? e : mf_wsource_remove(payload);
}

static int bring_back(struct restore *r, void *payload)
{
	int e = mf_wsource_rename(payload, r->parent, r->inner, false);

	return e == -EXDEV ? bring_across(r, payload) : e;
}

/* What was put aside for it, and nothing came in its place. */
static void put_back(struct restore *r)
{
	const struct mf_trash_target there = { .anywhere = true, .no_verify = true };
	struct mf_trash_result result;

	if (*r->ret->replaced &&
	    mf_wtrash_restore_locked(r->t, r->ret->replaced, &there, &result, r->made, NULL) == 0)
		r->ret->replaced[0] = '\0';
}

static int restore_file(struct restore *r)
{
	char name[MF_WTRASH_NAME_MAX];
	struct mf_winfsp_stat st;
	void *payload;
	int e;

	mf_wtrash_name(name, "files", r->l.r.e.file, "");
	e = mf_wsource_open_at(r->t->tree, name, MF_WSOURCE_REMOVE, &payload, NULL);
	if (e < 0)
		return fail(r, e);
	e = mf_wsource_stat(payload, &st, NULL);
	if (e == 0 && !r->target->no_verify && ((st.mode ^ r->l.r.e.attr.mode) & TYPE_MASK)) {
		mf_wsource_close_handle(payload);
		return mf_err_set(
			r->err, MF_E_BAD,
			"what is kept of %s is not what came into the trash: it is another "
			"kind of file",
			r->l.r.e.path);
	}
	if (e == 0)
		e = bring_back(r, payload);
	if (e == -EEXIST && r->target->replace) {
		e = make_room(r);
		if (e == 0)
			e = bring_back(r, payload);
		if (e < 0)
			put_back(r);
	}
	mf_wsource_close_handle(payload);
	return e < 0 ? fail(r, e) : 0;
}

/* Its entry goes when it has its time: mf_wtrash_made_finish(). */
static int restore_dir(struct restore *r)
{
	struct mf_winfsp_stat st;
	void *h;
	int e = mf_wsource_create(r->parent, r->inner, true, MF_WSOURCE_LOOK, &h);

	if (e == -EEXIST && r->target->replace) {
		e = mf_wsource_open_at(r->tree, r->inner, MF_WSOURCE_LOOK, &h, NULL);
		if (e < 0)
			return fail(r, e);
		e = mf_wsource_stat(h, &st, NULL);
		if (e == 0 && (st.mode & TYPE_MASK) != TYPE_DIR)
			e = -EEXIST;
		r->ret->was_there = e == 0;
		mf_wsource_close_handle(h);
	} else if (e == 0) {
		mf_wsource_close_handle(h);
	}
	if (e == 0)
		e = mf_trash_made_add(r->made, r->ret->path, &r->l.r.e.attr, r->l.token);
	return e < 0 ? fail(r, e) : 0;
}

/* A directory was made on the way: if it is in the trash, its own entry tells what it was. */
static int dress_later(void *ctx, const char *inner)
{
	struct restore *r = ctx;
	char path[MF_WSOURCE_PATH_MAX + 8];
	struct mf_wtrash_loaded l;
	int e = 0;

	snprintf(path, sizeof(path), "/%.2s%s", mf_wsource_path(r->tree), inner);
	if (mf_wtrash_look_up(r->t, path, 0, &l, NULL) < 0)
		return 0;
	if (l.r.e.how == MF_TRASH_NOTE_DIR)
		e = mf_trash_made_add(r->made, path + 1, &l.r.e.attr, l.token);
	mf_wtrash_loaded_done(&l);
	return e;
}

static int carry_out(struct restore *r)
{
	int code, e = mf_wsource_make_dirs(r->tree, r->inner, dress_later, r);

	if (e == 0)
		e = mf_wsource_open_parent(r->tree, r->inner, &r->parent, NULL);
	if (e < 0)
		return fail(r, e);
	code = *r->l.r.e.file ? restore_file(r) : restore_dir(r);
	if (code < 0)
		return code;
	if (*r->l.r.e.file)
		mf_wtrash_forget(r->t, r->l.token, r->l.r.e.file);
	mf_trash_tell_event(&r->t->options,
			    &(struct mf_trash_event){ .type = MF_TRASH_EVENT_RESTORED,
						      .token = r->l.token,
						      .path = r->ret->path,
						      .session = r->l.r.e.session,
						      .text = "",
						      .size = r->l.r.e.attr.size });
	return 0;
}

int mf_wtrash_restore_locked(struct mf_trash *t, const char *what,
			     const struct mf_trash_target *target, struct mf_trash_result *ret,
			     struct mf_trash_made *made, struct mf_err *err)
{
	struct restore *r = calloc(1, sizeof(*r));
	int code;

	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	*r = (struct restore){ .t = t, .target = target, .ret = ret, .made = made, .err = err };
	code = mf_wtrash_look_up(t, what, 0, &r->l, err);
	memset(ret, 0, sizeof(*ret)); /* not before: @what may be the token in it */
	if (code < 0) {
		free(r);
		return code;
	}
	if (mf_wtrash_writer_ready(t) < 0)
		code = mf_err_set(err, MF_E_IO, "cannot write to the trash %s", mf_trash_path(t));
	if (code == 0)
		code = verify(r);
	if (code == 0)
		code = open_drive(target->to ? target->to : r->l.r.e.path, r->inner, &r->tree, err);
	if (code == 0) {
		if (target->to)
			into_directory(r);
		snprintf(ret->path, sizeof(ret->path), "%.2s%s", mf_wsource_path(r->tree),
			 r->inner);
		code = carry_out(r);
	}
	mf_wsource_close_handle(r->parent);
	mf_wsource_close(r->tree);
	mf_wtrash_loaded_done(&r->l);
	free(r);
	return code;
}

/* Attributes and access list as its record has them. */
static int dress(struct mf_trash *t, const char *token, void *h)
{
	struct mf_wtrash_loaded l;
	int e = mf_wtrash_load(t, token, &l);

	if (e <
	    0) /* not there: it was done when the directory was made on the way to something in it */
		return e == MF_E_NOENT ? 0 : -EIO;
	if (l.r.attributes) /* else an older program wrote it, that did not look */
		e = mf_wsource_dress(h, &(struct mf_wsource_look){
						l.r.attributes, *l.r.access ? l.r.access : NULL });
	mf_wtrash_loaded_done(&l);
	return e;
}

static int finish(struct mf_trash *t, const struct mf_trash_made_dir *d)
{
	const int64_t ns_per_s = (int64_t)MF_NS_PER_S;
	struct mf_winfsp_timespec times[2] = { 0 };
	struct mf_wsource *tree = NULL;
	char inner[MF_WSOURCE_PATH_MAX];
	struct mf_winfsp_stat st;
	void *h;
	int e = open_drive(d->path, inner, &tree, NULL) < 0 ? -EIO : 0;

	if (e == 0)
		e = mf_wsource_open_at(tree, inner, MF_WSOURCE_DRESS, &h, NULL);
	if (e == 0) {
		e = dress(t, d->token, h);
		if (e == 0)
			e = mf_wsource_stat(h, &st, NULL);
		times[0] = st.atime;
		times[1] = (struct mf_winfsp_timespec){ d->attr.mtime_ns / ns_per_s,
							d->attr.mtime_ns % ns_per_s };
		if (e == 0)
			e = mf_wsource_set_times(h, times);
		mf_wsource_close_handle(h);
	}
	mf_wsource_close(tree);
	if (e == 0)
		mf_wtrash_forget(t, d->token, "");
	return e;
}

size_t mf_wtrash_made_finish(struct mf_trash *t, struct mf_trash_made *made)
{
	return mf_trash_made_each(made, finish, t);
}

int mf_trash_restore(struct mf_trash *t, const char *what, const struct mf_trash_target *target,
		     struct mf_trash_result *ret, struct mf_err *err)
{
	struct mf_trash_made made = { 0 };
	struct mf_trash_result unwanted;
	void *lock;
	int r = mf_wtrash_lock_for(t, &lock, err);

	if (r < 0)
		return r;
	if (!ret)
		ret = &unwanted;
	r = mf_wtrash_restore_locked(t, what, target, ret, &made, err);
	if (mf_wtrash_made_finish(t, &made) > 0 && r == 0)
		r = mf_err_set(err, MF_E_IO,
			       "%s is there, but not with all that it had (attributes, access "
			       "list, time): its entry stays in the trash",
			       ret->path);
	mf_wsource_close_handle(lock);
	return r;
}
