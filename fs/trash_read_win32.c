/* SPDX-License-Identifier: Apache-2.0 */
/* trash_read_win32.c - the trash of Windows: what is in it, and how it comes back or goes for good */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/match/glob.h"
#include "fs/trash_int_win32.h"

/* ---- records ---- */

int mf_wtrash_load(struct mf_trash *t, const char *token, struct mf_wtrash_loaded *ret)
{
	char name[MF_WTRASH_NAME_MAX];
	void *h;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!mf_trash_token_ok(token))
		return MF_E_NOENT;
	strcpy(ret->token, token);
	mf_wtrash_name(name, "moonfence", token, "");
	r = mf_wsource_open_at(t->tree, name, MF_WSOURCE_READ, &h, NULL);
	if (r < 0)
		return r == -ENOENT ? MF_E_NOENT : MF_E_IO;
	ret->text = malloc(MF_TRASH_RECORD_MAX + 1);
	r = ret->text ? mf_wsource_read(h, ret->text, MF_TRASH_RECORD_MAX + 1, 0) : -ENOMEM;
	mf_wsource_close_handle(h);
	if (r >= 0 && r <= MF_TRASH_RECORD_MAX) {
		ret->text[r] = '\0';
		r = mf_trash_record_parse(ret->token, ret->text, (size_t)r, &ret->r);
	} else {
		r = r == -ENOMEM ? MF_E_NOMEM : r < 0 ? MF_E_IO : MF_E_BAD;
	}
	if (r < 0) {
		mf_wtrash_loaded_done(ret);
		return r;
	}
	ret->r.e.token = ret->token;
	if (!ret->r.e.deleted_ns)
		ret->r.e.deleted_ns = mf_trash_token_time(ret->token);
	if (!ret->r.e.sha256)
		ret->r.e.sha256 = "";
	return 0;
}

void mf_wtrash_loaded_done(struct mf_wtrash_loaded *l)
{
	free(l->text);
	l->text = NULL;
}

/* Tokens of all records, sorted: the oldest first. */
struct tokens {
	char (*at)[MF_TRASH_TOKEN_MAX];
	size_t cnt, room;
};

static int add_token(void *ctx, const char *name, const struct mf_winfsp_stat *st)
{
	struct tokens *k = ctx;

	(void)st;
	if (!mf_trash_token_ok(name))
		return 0;
	if (k->cnt == k->room) {
		size_t room = k->room ? 2 * k->room : 256;
		void *more = realloc(k->at, room * sizeof(*k->at));

		if (!more)
			return -ENOMEM;
		k->at = more;
		k->room = room;
	}
	strcpy(k->at[k->cnt++], name);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int read_tokens(struct mf_trash *t, struct tokens *ret, struct mf_err *err)
{
	void *h;
	int r;

	*ret = (struct tokens){ NULL, 0, 0 };
	r = mf_wsource_open_at(t->tree, "/moonfence", MF_WSOURCE_READ, &h, NULL);
	if (r == 0) {
		r = mf_wsource_list(h, add_token, ret);
		mf_wsource_close_handle(h);
	}
	if (r < 0) {
		free(ret->at);
		ret->at = NULL;
		return mf_err_set(err, r == -ENOMEM ? MF_E_NOMEM : MF_E_IO,
				  "cannot read the trash %s: %s", mf_trash_path(t), strerror(-r));
	}
	if (ret->cnt)
		qsort(ret->at, ret->cnt, sizeof(*ret->at), by_text);
	return 0;
}

static bool has_payload(struct mf_trash *t, const struct mf_trash_entry *e)
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

/* Names of Windows are compared without case. */
static bool same_path(const char *a, const char *b, size_t n)
{
	return _strnicmp(a, b, n) == 0;
}

static bool wants(const struct mf_trash_filter *f, const struct mf_glob *glob,
		  const struct mf_trash_entry *e)
{
	size_t n;

	if (!f)
		return true;
	if (f->session && strcmp(f->session, e->session))
		return false;
	if ((f->since_ns && e->deleted_ns < f->since_ns) ||
	    (f->until_ns && e->deleted_ns >= f->until_ns))
		return false;
	if (f->path) {
		n = strlen(f->path);
		if (!same_path(e->path, f->path, n) || (e->path[n] && e->path[n] != '/'))
			return false;
	}
	return !glob || mf_glob_match(glob, e->path, strlen(e->path)) > 0;
}

int mf_trash_list(struct mf_trash *t, const struct mf_trash_filter *filter, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	struct mf_glob *glob = NULL;
	struct mf_wtrash_loaded l;
	struct tokens tokens;
	int r = 0;

	if (filter && filter->glob)
		r = mf_glob_compile(filter->glob, strlen(filter->glob), '/', MF_GLOB_ICASE, &glob,
				    err);
	if (r == 0)
		r = read_tokens(t, &tokens, err);
	if (r < 0) {
		mf_glob_free(glob);
		return r;
	}
	for (size_t i = 0; i < tokens.cnt && r == 0; i++) {
		if (mf_wtrash_load(t, tokens.at[i], &l) < 0)
			continue;
		if (wants(filter, glob, &l.r.e) && has_payload(t, &l.r.e))
			r = fn(ctx, &l.r.e);
		mf_wtrash_loaded_done(&l);
	}
	free(tokens.at);
	mf_glob_free(glob);
	return r;
}

/* ---- finding ---- */

struct wanted {
	const char *what;
	uint64_t at_ns;
	char token[MF_TRASH_TOKEN_MAX];
};

static int look_for(void *ctx, const struct mf_trash_entry *e)
{
	struct wanted *w = ctx;

	if (!strcmp(e->token, w->what) || !strcmp(e->file, w->what) ||
	    (!_stricmp(e->path, w->what) && (!w->at_ns || e->deleted_ns < w->at_ns)))
		strcpy(w->token, e->token); /* the newest is the last */
	return 0;
}

/* Return: 0 and its token; MF_E_NOENT, MF_E_IO, MF_E_NOMEM */
static int find_token(struct mf_trash *t, const char *what, uint64_t at_ns,
		      char ret[MF_TRASH_TOKEN_MAX], struct mf_err *err)
{
	struct wanted w = { .what = what, .at_ns = at_ns, .token = "" };
	int r;

	if (mf_trash_token_ok(what)) {
		strcpy(ret, what);
		return 0;
	}
	r = mf_trash_list(t, NULL, look_for, &w, err);
	if (r < 0)
		return r;
	if (!*w.token)
		return mf_err_set(err, MF_E_NOENT, "nothing in the trash is \"%s\"", what);
	strcpy(ret, w.token);
	return 0;
}

int mf_trash_find(struct mf_trash *t, const char *what, uint64_t at_ns, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err)
{
	char token[MF_TRASH_TOKEN_MAX];
	struct mf_wtrash_loaded l;
	int r = find_token(t, what, at_ns, token, err);

	if (r < 0)
		return r;
	r = mf_wtrash_load(t, token, &l);
	if (r < 0)
		return mf_err_set(err, r, "nothing in the trash is \"%s\"", what);
	r = fn(ctx, &l.r.e);
	mf_wtrash_loaded_done(&l);
	return r;
}

int mf_trash_open_payload(struct mf_trash *t, const char *what, struct mf_err *err)
{
	char token[MF_TRASH_TOKEN_MAX], name[MF_WTRASH_NAME_MAX];
	struct mf_wtrash_loaded l;
	void *h;
	int r = find_token(t, what, 0, token, err), fd;

	if (r < 0)
		return r;
	r = mf_wtrash_load(t, token, &l);
	if (r < 0)
		return mf_err_set(err, r, "nothing in the trash is \"%s\"", what);
	mf_wtrash_name(name, "files", l.r.e.file, "");
	r = *l.r.e.file ? mf_wsource_open_at(t->tree, name, MF_WSOURCE_READ, &h, NULL) : -EISDIR;
	mf_wtrash_loaded_done(&l);
	if (r < 0)
		return mf_err_set(err, r == -EISDIR ? MF_E_UNSUPPORTED : MF_E_IO,
				  "cannot read %s: %s", what, strerror(-r));
	fd = _open_osfhandle((intptr_t)h, _O_RDONLY | _O_BINARY);
	if (fd < 0)
		mf_wsource_close_handle(h);
	return fd < 0 ? mf_err_set(err, MF_E_IO, "too many files are open") : fd;
}

/* ---- restoring ---- */

/* "C:\a" or "/C:/a" as the tree "C:\" and "/a" in it. */
static int open_target(const char *path, char *inner, size_t size, struct mf_wsource **ret,
		       struct mf_err *err)
{
	char drive[] = "X:\\";

	if (path[0] == '/')
		path++;
	if (!((path[0] | 32) >= 'a' && (path[0] | 32) <= 'z') || path[1] != ':' ||
	    (path[2] != '/' && path[2] != '\\') || strlen(path) >= size)
		return mf_err_set(err, MF_E_INVAL, "\"%s\" is no absolute path on a drive", path);
	drive[0] = path[0];
	strcpy(inner, path + 2);
	for (char *p = inner; *p; p++)
		if (*p == '\\')
			*p = '/';
	return mf_wsource_open(drive, ret, err);
}

static int said(int r, const char *path, struct mf_err *err)
{
	static const struct {
		int error, code;
	} table[] = { { EEXIST, MF_E_EXIST },
		      { ENOENT, MF_E_NOENT },
		      { EACCES, MF_E_PERM },
		      { EPERM, MF_E_PERM },
		      { ENOSPC, MF_E_FULL } };

	for (size_t i = 0; i < MF_ARRAY_SIZE(table); i++)
		if (table[i].error == -r)
			return mf_err_set(err, table[i].code, "cannot restore to %s: %s", path,
					  strerror(-r));
	return mf_err_set(err, MF_E_IO, "cannot restore to %s: %s", path, strerror(-r));
}

/* What is there goes to the trash. */
static int replace(struct mf_trash *t, struct mf_wsource *tree, const char *inner,
		   const char *session, char token[MF_TRASH_TOKEN_MAX])
{
	char path[MF_WSOURCE_PATH_MAX];
	struct mf_winfsp_stat st;
	void *h;
	int r = mf_wsource_open_at(tree, inner, MF_WSOURCE_REMOVE, &h, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = mf_wsource_stat(h, &st, NULL);
	if (r == 0 && (st.mode & 0170000) == 0040000)
		r = -EEXIST; /* a directory is not taken away for a file */
	if (r == 0) {
		snprintf(path, sizeof(path), "/%.2s%s", mf_wsource_path(tree), inner);
		r = mf_trash_put_handle(
			t, h,
			&(struct mf_trash_loss){ .how = MF_TRASH_MOVE,
						 .op = MF_TRASH_REPLACE,
						 .path = path,
						 .session = session ? session : "restore" },
			token);
	}
	mf_wsource_close_handle(h);
	return r;
}

static int restore_to(struct mf_trash *t, const struct mf_trash_entry *e, struct mf_wsource *tree,
		      const char *inner, const struct mf_trash_target *target,
		      struct mf_trash_result *ret)
{
	char name[MF_WTRASH_NAME_MAX];
	void *payload = NULL, *parent = NULL, *dir;
	int r = mf_wsource_make_dirs(tree, inner);

	if (r == 0)
		r = mf_wsource_open_parent(tree, inner, &parent, NULL);
	if (r < 0)
		return r;
	if (!*e->file) {
		r = mf_wsource_create(parent, inner, true, MF_WSOURCE_LOOK, &dir);
		if (r == 0)
			mf_wsource_close_handle(dir);
		ret->was_there = r == -EEXIST;
		mf_wsource_close_handle(parent);
		return ret->was_there ? 0 : r;
	}
	mf_wtrash_name(name, "files", e->file, "");
	r = mf_wsource_open_at(t->tree, name, MF_WSOURCE_REMOVE, &payload, NULL);
	if (r == 0) {
		r = mf_wsource_rename(payload, parent, inner, false);
		if (r == -EEXIST && target->replace) {
			r = replace(t, tree, inner, target->session, ret->replaced);
			if (r == 0)
				r = mf_wsource_rename(payload, parent, inner, false);
		}
	}
	mf_wsource_close_handle(payload);
	mf_wsource_close_handle(parent);
	return r;
}

/* A directory to restore into: the name is put behind it. */
static void into_directory(struct mf_wsource *tree, char *inner, size_t size, const char *path)
{
	const char *leaf = strrchr(path, '/');
	struct mf_winfsp_stat st;
	size_t len = strlen(inner);
	void *h;

	if (mf_wsource_open_at(tree, inner, MF_WSOURCE_LOOK, &h, NULL) < 0)
		return;
	if (mf_wsource_stat(h, &st, NULL) == 0 && (st.mode & 0170000) == 0040000 && leaf &&
	    len + strlen(leaf) < size)
		strcpy(inner + (len == 1 ? 0 : len), leaf);
	mf_wsource_close_handle(h);
}

int mf_trash_restore(struct mf_trash *t, const char *what, const struct mf_trash_target *target,
		     struct mf_trash_result *ret, struct mf_err *err)
{
	char token[MF_TRASH_TOKEN_MAX], inner[MF_WSOURCE_PATH_MAX];
	struct mf_wsource *tree;
	struct mf_wtrash_loaded l;
	int r = find_token(t, what, 0, token, err);

	memset(ret, 0, sizeof(*ret));
	if (r < 0)
		return r;
	r = mf_wtrash_load(t, token, &l);
	if (r < 0)
		return mf_err_set(err, r, "nothing in the trash is \"%s\"", what);
	r = open_target(target->to ? target->to : l.r.e.path, inner, sizeof(inner), &tree, err);
	if (r == 0) {
		if (target->to)
			into_directory(tree, inner, sizeof(inner), l.r.e.path);
		snprintf(ret->path, sizeof(ret->path), "%.2s%s", mf_wsource_path(tree), inner);
		r = restore_to(t, &l.r.e, tree, inner, target, ret);
		if (r < 0)
			r = said(r, ret->path, err);
		mf_wsource_close(tree);
	}
	if (r == 0) {
		mf_wtrash_forget(t, token, l.r.e.file);
		mf_wtrash_tell(t, &(struct mf_trash_event){ .type = MF_TRASH_EVENT_RESTORED,
							    .token = token,
							    .path = ret->path,
							    .session = l.r.e.session,
							    .size = l.r.e.attr.size });
	}
	mf_wtrash_loaded_done(&l);
	return r;
}

/* ---- undoing ---- */

struct undo {
	struct mf_trash *t;
	const struct mf_trash_undo *u;
	struct mf_trash_undone *ret;
	struct lost {
		char *path;
		char token[MF_TRASH_TOKEN_MAX];
		enum mf_trash_op op;
	} * at;
	size_t cnt, room;
};

static int add_lost(void *ctx, const struct mf_trash_entry *e)
{
	struct undo *u = ctx;

	if (u->cnt == u->room) {
		size_t room = u->room ? 2 * u->room : 64;
		void *more = realloc(u->at, room * sizeof(*u->at));

		if (!more)
			return MF_E_NOMEM;
		u->at = more;
		u->room = room;
	}
	u->at[u->cnt].path = strdup(e->path);
	if (!u->at[u->cnt].path)
		return MF_E_NOMEM;
	strcpy(u->at[u->cnt].token, e->token);
	u->at[u->cnt++].op = e->op;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct lost *x = a, *y = b;
	int r = _stricmp(x->path, y->path);

	return r ? r : strcmp(x->token, y->token);
}

static int latest_first(const void *a, const void *b)
{
	return strcmp(((const struct lost *)b)->token, ((const struct lost *)a)->token);
}

static void undo_one(struct undo *u, const struct lost *l)
{
	struct mf_trash_result result;
	struct mf_wtrash_loaded loaded;
	struct mf_err err = { 0 };
	/* What stood there and was overwritten is put over what is there now. */
	struct mf_trash_target target = { .replace = u->u->replace || (l->op != MF_TRASH_DELETE &&
								       l->op != MF_TRASH_RMDIR),
					  .session = "undo" };
	int r = mf_wtrash_load(u->t, l->token, &loaded);

	if (r < 0)
		return;
	if (!u->u->dry_run)
		r = mf_trash_restore(u->t, l->token, &target, &result, &err);
	if (r == 0)
		u->ret->restored++;
	else
		u->ret->failed++;
	if (u->u->report)
		u->u->report(u->u->ctx, &loaded.r.e, r < 0 ? &err : NULL);
	mf_wtrash_loaded_done(&loaded);
}

int mf_trash_undo(struct mf_trash *t, const struct mf_trash_undo *undo, struct mf_trash_undone *ret,
		  struct mf_err *err)
{
	struct undo u = { .t = t, .u = undo, .ret = ret };
	struct mf_trash_filter filter = { .session = undo->session,
					  .since_ns = undo->since_ns,
					  .until_ns = undo->until_ns };
	size_t cnt = 0;
	int r;

	*ret = (struct mf_trash_undone){ 0, 0 };
	r = mf_trash_list(t, &filter, add_lost, &u, err);
	if (r == 0 && u.cnt) {
		qsort(u.at, u.cnt, sizeof(*u.at), by_path);
		/* Of each path the oldest content alone: the others are what came between. */
		for (size_t i = 0; i < u.cnt; i++) {
			struct lost l = u.at[i];

			if (cnt && !_stricmp(u.at[cnt - 1].path, l.path)) {
				/* Deleted last: nothing of it is there now that would have to give way. */
				free(l.path);
				continue;
			}
			u.at[cnt++] = l;
		}
		u.cnt = cnt;
		qsort(u.at, u.cnt, sizeof(*u.at), latest_first);
		for (size_t i = 0; i < u.cnt; i++)
			undo_one(&u, &u.at[i]);
	}
	for (size_t i = 0; i < u.cnt; i++)
		free(u.at[i].path);
	free(u.at);
	return r < 0 ? r : 0;
}

/* ---- for good ---- */

static int delete_entry(struct mf_trash *t, const struct mf_trash_entry *e)
{
	char name[MF_WTRASH_NAME_MAX];
	void *h;
	int r = 0;

	if (*e->file) {
		mf_wtrash_name(name, "files", e->file, "");
		r = mf_wsource_open_at(t->tree, name, MF_WSOURCE_REMOVE, &h, NULL);
		if (r == 0) {
			r = mf_wsource_remove(h);
			mf_wsource_close_handle(h);
		}
		if (r == -ENOENT)
			r = 0;
	}
	if (r == 0)
		mf_wtrash_forget(t, e->token, e->file);
	return r;
}

struct total {
	uint64_t count, bytes;
};

static int add_total(void *ctx, const struct mf_trash_entry *e)
{
	struct total *all = ctx;

	all->count++;
	all->bytes += e->attr.size;
	return 0;
}

struct purging {
	struct mf_trash *t;
	const struct mf_trash_purge *p;
	struct mf_trash_purged *ret;
	struct total left;
	uint64_t now;
};

static bool must_go(const struct purging *g, const struct mf_trash_entry *e)
{
	const struct mf_trash_keep *k = &g->p->keep;
	bool limits = k->age_s || k->max_bytes || k->max_count;

	if (g->p->token)
		return !strcmp(e->token, g->p->token);
	if (g->left.count <= k->keep_last)
		return false;
	if (g->p->all || (g->p->session && !limits && !k->keep_last))
		return true;
	if (!limits)
		return k->keep_last > 0;
	return (k->age_s && g->now > e->deleted_ns &&
		(g->now - e->deleted_ns) / 1000000000 > k->age_s) ||
	       (k->max_bytes && g->left.bytes > k->max_bytes) ||
	       (k->max_count && g->left.count > k->max_count);
}

static int purge_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct purging *g = ctx;

	if (!must_go(g, e))
		return 0;
	if (!g->p->dry_run && delete_entry(g->t, e) < 0)
		return 0; /* somebody reads it: another time */
	g->left.count--;
	g->left.bytes -= e->attr.size;
	g->ret->count++;
	g->ret->bytes += e->attr.size;
	if (!g->p->dry_run)
		mf_wtrash_tell(g->t, &(struct mf_trash_event){ .type = MF_TRASH_EVENT_PURGED,
							       .token = e->token,
							       .path = e->path,
							       .session = e->session,
							       .size = e->attr.size });
	return g->p->report ? g->p->report(g->p->ctx, e) : 0;
}

int mf_trash_purge(struct mf_trash *t, const struct mf_trash_purge *purge,
		   struct mf_trash_purged *ret, struct mf_err *err)
{
	struct purging g = { .t = t, .p = purge, .ret = ret, .now = mf_clock_wall(t->clock) };
	struct mf_trash_filter filter = { .session = purge->session };
	int r;

	*ret = (struct mf_trash_purged){ 0, 0 };
	r = mf_trash_list(t, &filter, add_total, &g.left, err);
	return r < 0 ? r : mf_trash_list(t, &filter, purge_entry, &g, err);
}

int mf_trash_repair(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err)
{
	uint64_t now = mf_clock_wall(t->clock);
	struct mf_wtrash_loaded l;
	struct tokens tokens;
	int r = read_tokens(t, &tokens, err);

	*ret = (struct mf_trash_repaired){ .swept = 0 };
	if (r < 0)
		return r;
	for (size_t i = 0; i < tokens.cnt; i++) {
		uint64_t then = mf_trash_token_time(tokens.at[i]);

		ret->looked_at++;
		if (then > now || now - then < MF_WTRASH_ROLL_BACK_NS ||
		    mf_wtrash_load(t, tokens.at[i], &l) < 0)
			continue;
		if (!has_payload(t, &l.r.e)) {
			mf_wtrash_forget(t, l.token, l.r.e.file);
			ret->rolled_back++;
		}
		mf_wtrash_loaded_done(&l);
	}
	free(tokens.at);
	return 0;
}
