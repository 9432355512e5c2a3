/* SPDX-License-Identifier: Apache-2.0 */
/* trash_list_win32.c - the trash of Windows: reading records, listing and finding entries */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "fs/trash_choose.h"
#include "fs/trash_hash.h"
#include "fs/trash_int_win32.h"

/* ---- records ---- */

int mf_wtrash_read(struct mf_trash *t, const char *name, size_t max, char **ret_text,
		   size_t *ret_len)
{
	char *text;
	void *h;
	int r = mf_wsource_open_at(t->tree, name, MF_WSOURCE_READ, &h, NULL);

	if (r < 0)
		return r == -ENOENT ? MF_E_NOENT : MF_E_IO;
	text = malloc(max + 1);
	/* One byte more than there may be. */
	r = text ? mf_wsource_read(h, text, max + 1, 0) : -ENOMEM;
	mf_wsource_close_handle(h);
	if (r < 0 || (size_t)r > max) {
		free(text);
		return r == -ENOMEM ? MF_E_NOMEM : r < 0 ? MF_E_IO : MF_E_BAD;
	}
	text[r] = '\0';
	*ret_text = text;
	*ret_len = (size_t)r;
	return 0;
}

int mf_wtrash_load(struct mf_trash *t, const char *token, struct mf_wtrash_loaded *ret)
{
	char name[MF_WTRASH_NAME_MAX];
	size_t len;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!mf_trash_token_ok(token))
		return MF_E_NOENT;
	strcpy(ret->token, token);
	mf_wtrash_name(name, "moonfence", token, "");
	r = mf_wtrash_read(t, name, MF_TRASH_RECORD_MAX, &ret->text, &len);
	if (r == 0)
		r = mf_trash_record_parse(ret->token, ret->text, len, &ret->r);
	if (r < 0) {
		mf_wtrash_loaded_done(ret);
		return r;
	}
	ret->r.e.token = ret->token;
	if (!ret->r.e.deleted_ns)
		ret->r.e.deleted_ns = mf_trash_token_time(ret->token);
	ret->r.e.sha256 = "";
	return 0;
}

void mf_wtrash_loaded_done(struct mf_wtrash_loaded *l)
{
	free(l->text);
	l->text = NULL;
}

bool mf_wtrash_load_hash(struct mf_trash *t, const char *token, char ret[MF_TRASH_HASH_HEX])
{
	char name[MF_WTRASH_NAME_MAX], *text;
	size_t len;
	bool ok;

	ret[0] = '\0';
	mf_wtrash_name(name, "moonfence", token, ".json");
	if (mf_wtrash_read(t, name, MF_TRASH_HASH_FILE_MAX, &text, &len) < 0)
		return false;
	ok = mf_trash_hash_parse(text, len, ret);
	free(text);
	return ok;
}

bool mf_wtrash_is_whole(struct mf_trash *t, const struct mf_trash_entry *e)
{
	char name[MF_WTRASH_NAME_MAX];
	void *h;

	if (!*e->file)
		return e->how == MF_TRASH_NOTE_DIR;
	mf_wtrash_name(name, "files", e->file, "");
	if (mf_wsource_open_at(t->tree, name, MF_WSOURCE_LOOK, &h, NULL) < 0)
		return false;
	mf_wsource_close_handle(h);
	return true;
}

/* ---- names ---- */

struct reading {
	struct mf_trash_names *names;
	bool (*want)(const char *name);
};

static int add_name(void *ctx, const char *name, const struct mf_winfsp_stat *st)
{
	struct reading *reading = ctx;

	(void)st;
	if (!strcmp(name, ".") || !strcmp(name, "..") || (reading->want && !reading->want(name)))
		return 0;
	return mf_trash_names_add(reading->names, name) < 0 ? -ENOMEM : 0;
}

int mf_wtrash_names_read(struct mf_trash *t, const char *folder, bool (*want)(const char *name),
			 struct mf_trash_names *ret)
{
	struct reading reading = { .names = ret, .want = want };
	void *h;
	int r;

	*ret = (struct mf_trash_names){ .cnt = 0 };
	r = mf_wsource_open_at(t->tree, folder, MF_WSOURCE_READ, &h, NULL);
	if (r == 0) {
		r = mf_wsource_list(h, add_name, &reading);
		mf_wsource_close_handle(h);
	}
	if (r == 0)
		mf_trash_names_sort(ret);
	return r;
}

/* ---- listing and finding ---- */

int mf_trash_list(struct mf_trash *t, const struct mf_trash_filter *filter, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	static const struct mf_trash_filter any;
	const struct mf_trash_filter *f = filter ? filter : &any;
	struct mf_glob *glob = NULL;
	struct mf_trash_names tokens;
	struct mf_wtrash_loaded l;
	int r = 0;

	if (f->glob)
		r = mf_glob_compile(f->glob, strlen(f->glob), '/', MF_GLOB_ICASE, &glob, err);
	if (r < 0)
		return r;
	r = mf_wtrash_names_read(t, "/moonfence", mf_trash_token_ok, &tokens);
	if (r < 0)
		r = mf_err_set(err, r == -ENOMEM ? MF_E_NOMEM : MF_E_IO,
			       "cannot read the trash %s: %s", mf_trash_path(t), strerror(-r));
	for (size_t i = 0; r == 0 && i < tokens.cnt; i++) {
		/* One that is damaged, or has gone meanwhile, hides no other. */
		if (mf_wtrash_load(t, tokens.names[i], &l) < 0)
			continue;
		if (mf_trash_wants(f, glob, &l.r.e, true) && mf_wtrash_is_whole(t, &l.r.e)) {
			if (f->hashes && mf_wtrash_load_hash(t, l.token, l.sha256))
				l.r.e.sha256 = l.sha256;
			r = fn(ctx, &l.r.e);
		}
		mf_wtrash_loaded_done(&l);
	}
	mf_trash_names_done(&tokens);
	mf_glob_free(glob);
	return r;
}

/* Return: false: no record is of this payload. */
static bool token_of_file(struct mf_trash *t, const char *file, char ret[MF_TRASH_TOKEN_MAX])
{
	struct mf_trash_names tokens;
	bool found = false;

	int r = mf_wtrash_names_read(t, "/moonfence", mf_trash_token_ok, &tokens);

	for (size_t i = 0; r == 0 && i < tokens.cnt && !found; i++)
		if (mf_trash_file_bears(file, tokens.names[i])) {
			strcpy(ret, tokens.names[i]);
			found = true;
		}
	mf_trash_names_done(&tokens);
	return found;
}

static int find_path(struct mf_trash *t, const char *path, uint64_t at_ns,
		     struct mf_wtrash_loaded *ret)
{
	struct mf_trash_search s = { .path = path, .at = at_ns != 0, .fold = true };
	struct mf_trash_filter filter = { .path = path, .since_ns = at_ns };
	int r = mf_trash_list(t, &filter, mf_trash_search_entry, &s, NULL);

	if (r < 0)
		return r;
	return s.found ? mf_wtrash_load(t, s.token, ret) : MF_E_NOENT;
}

int mf_wtrash_look_up(struct mf_trash *t, const char *what, uint64_t at_ns,
		      struct mf_wtrash_loaded *ret, struct mf_err *err)
{
	char token[MF_TRASH_TOKEN_MAX];
	int r = MF_E_NOENT;

	if (mf_trash_token_ok(what))
		r = mf_wtrash_load(t, what, ret);
	else if (what[0] == '/')
		r = find_path(t, what, at_ns, ret);
	else if (mf_trash_name_ok(what) && token_of_file(t, what, token))
		r = mf_wtrash_load(t, token, ret);
	if (r == 0 && !mf_wtrash_is_whole(t, &ret->r.e)) {
		mf_wtrash_loaded_done(ret);
		r = MF_E_NOENT;
	}
	if (r == MF_E_NOENT)
		return mf_err_set(err, r, "nothing in the trash is \"%s\"", what);
	if (r == MF_E_BAD)
		return mf_err_set(err, r, "the record of \"%s\" in the trash is not well-formed",
				  what);
	return r < 0 ? mf_err_set(err, r, "cannot read \"%s\" in the trash", what) : 0;
}

int mf_trash_find(struct mf_trash *t, const char *what, uint64_t at_ns, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	struct mf_wtrash_loaded l;
	int r = mf_wtrash_look_up(t, what, at_ns, &l, err);

	if (r < 0)
		return r;
	if (mf_wtrash_load_hash(t, l.token, l.sha256))
		l.r.e.sha256 = l.sha256;
	r = fn(ctx, &l.r.e);
	mf_wtrash_loaded_done(&l);
	return r;
}

int mf_trash_open_payload(struct mf_trash *t, const char *what, struct mf_err *err)
{
	char name[MF_WTRASH_NAME_MAX];
	struct mf_wtrash_loaded l;
	void *h;
	int r = mf_wtrash_look_up(t, what, 0, &l, err), fd;

	if (r < 0)
		return r;
	mf_wtrash_name(name, "files", l.r.e.file, "");
	r = *l.r.e.file ? mf_wsource_open_at(t->tree, name, MF_WSOURCE_READ, &h, NULL) : -EISDIR;
	mf_wtrash_loaded_done(&l);
	if (r < 0)
		return mf_err_set(err, r == -EISDIR ? MF_E_UNSUPPORTED : MF_E_IO,
				  r == -EISDIR ? "%s was no regular file" : "cannot read %s", what);
	fd = _open_osfhandle((intptr_t)h, _O_RDONLY | _O_BINARY);
	if (fd < 0)
		mf_wsource_close_handle(h);
	return fd < 0 ? mf_err_set(err, MF_E_IO, "too many files are open") : fd;
}
