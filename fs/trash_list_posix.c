/* SPDX-License-Identifier: Apache-2.0 */
/* trash_list_posix.c - listing and finding entries */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_choose.h"
#include "fs/trash_int.h"

struct listing {
	struct mf_trash *t;
	const struct mf_trash_filter *filter;
	struct mf_glob *glob;
	mf_trash_entry_fn fn;
	void *ctx;
	struct mf_trash_names own; /* names in files/ that have records */
};

bool mf_trash_is_whole(const struct mf_trash *t, const struct mf_trash_entry *e)
{
	struct stat st;

	return e->how == MF_TRASH_NOTE_DIR ||
	       fstatat(t->files_fd, e->file, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int list_own(struct listing *l, const char *record)
{
	struct mf_trash_loaded e;
	int r = mf_trash_load(l->t, record, &e);

	// One that is damaged, or has gone meanwhile, hides no other.
	if (r < 0)
		return r == MF_E_NOMEM ? r : 0;
	if (!l->filter->no_foreign && *e.r.e.file)
		r = mf_trash_names_add(&l->own, e.r.e.file);
	if (r == 0 && mf_trash_wants(l->filter, l->glob, &e.r.e, false) &&
	    mf_trash_is_whole(l->t, &e.r.e)) {
		if (l->filter->hashes && mf_trash_load_hash(l->t, e.token, e.sha256))
			e.r.e.sha256 = e.sha256;
		r = l->fn(l->ctx, &e.r.e);
	}
	mf_trash_loaded_done(&e);
	return r;
}

static int list_foreign(struct listing *l)
{
	struct mf_trash_names files;
	int r = mf_trash_names_read(l->t->files_fd, NULL, &files);

	if (r < 0)
		return r;
	mf_trash_names_sort(&l->own);
	for (size_t i = 0; r == 0 && i < files.cnt; i++) {
		struct mf_trash_loaded e;

		if (mf_trash_names_has(&l->own, files.names[i]) ||
		    mf_trash_load_foreign(l->t, files.names[i], &e) < 0)
			continue;
		if (mf_trash_wants(l->filter, l->glob, &e.r.e, false))
			r = l->fn(l->ctx, &e.r.e);
		mf_trash_loaded_done(&e);
	}
	mf_trash_names_done(&files);
	return r;
}

int mf_trash_list(struct mf_trash *t, const struct mf_trash_filter *filter, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	struct listing l = { .t = t, .filter = filter, .fn = fn, .ctx = ctx };
	struct mf_trash_names tokens = { 0 };
	int r = 0;

	if (filter->glob) {
		r = mf_glob_compile(filter->glob, strlen(filter->glob), '/', 0, &l.glob, err);
		if (r < 0)
			return r;
	}
	r = mf_trash_names_read(t->own_fd, mf_trash_record_ok, &tokens);
	if (r < 0)
		mf_err_set(err, r, "Cannot read the records in %s.", t->path);
	for (size_t i = 0; r == 0 && i < tokens.cnt; i++)
		r = list_own(&l, tokens.names[i]);
	if (r == 0 && !filter->no_foreign)
		r = list_foreign(&l);
	mf_trash_names_done(&tokens);
	mf_trash_names_done(&l.own);
	mf_glob_free(l.glob);
	return r;
}

/* The token of the entry whose payload has the name @file; Return: false: it has no record. */
static bool token_of_file(struct mf_trash *t, const char *file, char ret[MF_TRASH_TOKEN_MAX])
{
	struct mf_trash_names tokens;
	bool found = false;

	if (mf_trash_names_read(t->own_fd, mf_trash_record_ok, &tokens) < 0)
		return false;
	for (size_t i = 0; i < tokens.cnt && !found; i++) {
		struct mf_trash_loaded e;

		memcpy(ret, tokens.names[i], MF_TRASH_TOKEN_LEN);
		ret[MF_TRASH_TOKEN_LEN] = '\0';
		if (!mf_trash_file_bears(file, ret) || mf_trash_load(t, tokens.names[i], &e) < 0)
			continue;
		found = strcmp(e.r.e.file, file) == 0;
		mf_trash_loaded_done(&e);
	}
	mf_trash_names_done(&tokens);
	return found;
}

static int find_path(struct mf_trash *t, const char *path, uint64_t at_ns,
		     struct mf_trash_loaded *ret)
{
	struct mf_trash_search s = { .path = path, .at = at_ns != 0 };
	struct mf_trash_filter filter = { .path = path, .since_ns = at_ns };
	int r = mf_trash_list(t, &filter, mf_trash_search_entry, &s, NULL);

	if (r < 0)
		return r;
	if (!s.found)
		return MF_E_NOENT;
	return *s.token ? mf_trash_load(t, s.token, ret) : mf_trash_load_foreign(t, s.file, ret);
}

int mf_trash_look_up(struct mf_trash *t, const char *what, uint64_t at_ns,
		     struct mf_trash_loaded *ret, struct mf_err *err)
{
	char token[MF_TRASH_TOKEN_MAX];
	int r;

	if (mf_trash_token_ok(what))
		r = mf_trash_load(t, what, ret);
	else if (what[0] == '/')
		r = find_path(t, what, at_ns, ret);
	else if (!mf_trash_name_ok(what))
		r = MF_E_NOENT;
	else if (token_of_file(t, what, token))
		r = mf_trash_load(t, token, ret);
	else
		r = mf_trash_load_foreign(t, what, ret);
	if (r == 0 && !mf_trash_is_whole(t, &ret->r.e)) {
		mf_trash_loaded_done(ret);
		r = MF_E_NOENT;
	}
	if (r == MF_E_NOENT)
		return mf_err_set(err, r, "There is no '%s' in the trash %s.", what, t->path);
	if (r == MF_E_BAD)
		return mf_err_set(err, r, "The record of '%s' in the trash %s is not well-formed.",
				  what, t->path);
	return r < 0 ? mf_err_set(err, r, "Cannot read '%s' in the trash %s.", what, t->path) : 0;
}

int mf_trash_find(struct mf_trash *t, const char *what, uint64_t at_ns, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	struct mf_trash_loaded l;
	int r = mf_trash_look_up(t, what, at_ns, &l, err);

	if (r < 0)
		return r;
	if (*l.token && mf_trash_load_hash(t, l.token, l.sha256))
		l.r.e.sha256 = l.sha256;
	r = fn(ctx, &l.r.e);
	mf_trash_loaded_done(&l);
	return r;
}

int mf_trash_open_file(const struct mf_trash *t, const char *file, struct stat *ret)
{
	int fd = openat(t->files_fd, file,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && (fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode))) {
		close(fd);
		return MF_E_UNSUPPORTED;
	}
	return fd >= 0		 ? fd
	       : errno == ENOENT ? MF_E_NOENT
	       : errno == ELOOP	 ? MF_E_UNSUPPORTED
				 : MF_E_IO;
}

int mf_trash_open_payload(struct mf_trash *t, const char *what, struct mf_err *err)
{
	struct mf_trash_loaded l;
	struct stat st;
	int r = mf_trash_look_up(t, what, 0, &l, err);

	if (r < 0)
		return r;
	r = l.r.e.how == MF_TRASH_NOTE_DIR ? MF_E_UNSUPPORTED
					   : mf_trash_open_file(t, l.r.e.file, &st);
	if (r == MF_E_UNSUPPORTED)
		mf_err_set(err, r, "%s was no regular file.", l.r.e.path);
	else if (r < 0)
		mf_err_set(err, r, "Cannot read what is kept of %s.", l.r.e.path);
	mf_trash_loaded_done(&l);
	return r;
}
