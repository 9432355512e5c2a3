/* SPDX-License-Identifier: Apache-2.0 */
/* trash_win32.c - see trash_win32.h: the trash directory of Windows, its lock, and who writes to it */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "core/base/err.h"
#include "core/base/private_dir.h"
#include "fs/trash_int_win32.h"

void mf_wtrash_name(char buf[MF_WTRASH_NAME_MAX], const char *folder, const char *name,
		    const char *suffix)
{
	snprintf(buf, MF_WTRASH_NAME_MAX, "/%s/%s%s", folder, name, suffix);
}

void mf_wtrash_temp(const struct mf_trash *t, char buf[MF_WTRASH_NAME_MAX], const char *token)
{
	snprintf(buf, MF_WTRASH_NAME_MAX, "/moonfence/" MF_WTRASH_TMP "%s-%s", t->writer, token);
}

/* ---- open ---- */

/* Makes the folders, opens those that things are made in. */
static int make_folders(struct mf_trash *t)
{
	static const char *const names[] = { "/info", "/moonfence", "/moonfence/writers",
					     "/files" };
	void *parent, *h;
	int r = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(names) && r >= 0; i++) {
		r = mf_wsource_open_parent(t->tree, names[i], &parent, NULL);
		if (r < 0)
			break;
		r = mf_wsource_create(parent, names[i], true, MF_WSOURCE_LOOK, &h);
		mf_wsource_close_handle(parent);
		if (r == 0)
			mf_wsource_close_handle(h);
		else if (r == -EEXIST)
			r = 0;
	}
	/* Opened as a parent is. */
	if (r == 0)
		r = mf_wsource_open_parent(t->tree, "/files/x", &t->files, NULL);
	return r < 0 ? r : mf_wsource_open_parent(t->tree, "/moonfence/x", &t->own, NULL);
}

static int stat_tree(struct mf_wsource *tree, struct mf_winfsp_stat *ret)
{
	void *h;
	int r = mf_wsource_open_at(tree, "/", MF_WSOURCE_LOOK, &h, NULL);

	if (r == 0) {
		r = mf_wsource_stat(h, ret, NULL);
		mf_wsource_close_handle(h);
	}
	return r;
}

/* "/C:/dir", as paths are written in records, is "C:/dir" for Windows. */
static const char *plain(const char *path)
{
	return path[0] == '/' && path[1] && path[2] == ':' ? path + 1 : path;
}

/* Where the trash is, in malloc()ed memory: in the user's own folder. */
static char *default_place(void)
{
	const char *local = getenv("LOCALAPPDATA");
	static const char tail[] = "\\moonfence\\Trash";
	char *path = local && *local ? malloc(strlen(local) + sizeof(tail)) : NULL;

	if (path) {
		strcpy(path, local);
		strcat(path, tail);
	}
	return path;
}

static int open_tree(struct mf_trash *t, const char *dir, struct mf_err *err)
{
	struct mf_private_dir *d;
	struct mf_winfsp_stat own;
	int r;

	r = mf_private_dir_open(dir, !t->options.no_create, &d, err);
	if (r < 0)
		return r;
	mf_private_dir_close(d);
	r = mf_wsource_open(dir, &t->tree, err);
	if (r < 0)
		return r;
	r = make_folders(t);
	if (r == 0)
		r = stat_tree(t->tree, &own);
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "cannot use %s as a trash: %s", dir, strerror(-r));
	t->dev = own.dev;
	t->ino = own.ino;
	return 0;
}

/* Only where a process has died that wrote to it is there anything to be looked at. */
static int repair_after_dead(struct mf_trash *t, struct mf_err *err)
{
	struct mf_trash_repaired repaired;
	struct mf_trash_names writers;
	bool dead = false;
	int r = mf_wtrash_names_read(t, "/moonfence/writers", mf_trash_writer_ok, &writers);

	for (size_t i = 0; r == 0 && i < writers.cnt && !dead; i++)
		dead = mf_wtrash_writer_dead(t, writers.names[i]);
	mf_trash_names_done(&writers);
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "cannot read the trash %s: %s", mf_trash_path(t),
				  strerror(-r));
	return dead ? mf_trash_repair(t, &repaired, err) : 0;
}

int mf_trash_open(const struct mf_trash_options *options, struct mf_trash **ret_trash,
		  struct mf_err *err)
{
	struct mf_trash *t = calloc(1, sizeof(*t));
	char *own = options->dir ? NULL : default_place();
	const char *dir = options->dir ? plain(options->dir) : own;
	int r;

	*ret_trash = NULL;
	if (!t) {
		free(own);
		return mf_err_set(err, MF_E_NOMEM, "cannot open the trash: out of memory");
	}
	t->options = *options;
	t->clock = options->clock ? options->clock : &mf_clock_system;
	t->where = options->dir ? MF_TRASH_NAMED : MF_TRASH_HOME;
	pthread_mutex_init(&t->lock, NULL);
	r = dir ? open_tree(t, dir, err)
		: mf_err_set(err, MF_E_NOENT,
			     "there is no place for a trash: LOCALAPPDATA is not set, and no "
			     "directory is named");
	free(own);
	t->options.dir = t->options.source = NULL;
	if (r == 0)
		r = repair_after_dead(t, err);
	if (r == 0 && mf_trash_worker_start(&t->worker, t, &mf_wtrash_worker_ops, &t->options) < 0)
		r = mf_err_set(err, MF_E_NOMEM, "cannot start a thread");
	if (r < 0) {
		mf_trash_close(t);
		return r;
	}
	*ret_trash = t;
	return 0;
}

void mf_trash_close(struct mf_trash *t)
{
	if (!t)
		return;
	mf_trash_worker_end(&t->worker);
	if (t->writer_handle) {
		(void)mf_wsource_remove(t->writer_handle);
		mf_wsource_close_handle(t->writer_handle);
	}
	mf_wsource_close_handle(t->files);
	mf_wsource_close_handle(t->own);
	mf_wsource_close(t->tree);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

const char *mf_trash_path(const struct mf_trash *t)
{
	return mf_wsource_path(t->tree);
}

enum mf_trash_place mf_trash_where(const struct mf_trash *t)
{
	return t->where;
}

bool mf_trash_is(const struct mf_trash *t, uint64_t dev, uint64_t ino)
{
	return t->dev == dev && t->ino == ino;
}

/* ---- who writes ---- */

int mf_wtrash_lock(struct mf_trash *t, bool wait, void **ret_handle)
{
	static const char name[] = "/moonfence/.lock";
	void *h;
	int r = mf_wsource_open_at(t->tree, name, MF_WSOURCE_BOTH, &h, NULL);

	if (r == -ENOENT) {
		r = mf_wsource_create(t->own, name, false, MF_WSOURCE_BOTH, &h);
		if (r == -EEXIST)
			r = mf_wsource_open_at(t->tree, name, MF_WSOURCE_BOTH, &h, NULL);
	}
	if (r < 0)
		return r;
	/* A handle of its own: the lock holds between threads of this process as well. */
	r = mf_wsource_lock(h, wait);
	if (r < 0)
		mf_wsource_close_handle(h);
	else
		*ret_handle = h;
	return r;
}

int mf_wtrash_lock_for(struct mf_trash *t, void **ret_handle, struct mf_err *err)
{
	int r = mf_wtrash_lock(t, true, ret_handle);

	return r < 0 ? mf_err_set(err, MF_E_IO, "cannot lock the trash %s: %s", mf_trash_path(t),
				  strerror(-r))
		     : 0;
}

static int open_writer(struct mf_trash *t, const char *writer, bool make, void **ret)
{
	char name[MF_WTRASH_NAME_MAX];
	void *parent;
	int r;

	mf_wtrash_name(name, "moonfence/writers", writer, "");
	r = mf_wsource_open_parent(t->tree, name, &parent, NULL);
	if (r == 0) {
		r = mf_wsource_claim(parent, name, make, ret);
		mf_wsource_close_handle(parent);
	}
	return r;
}

int mf_wtrash_writer_ready(struct mf_trash *t)
{
	uint8_t random[10];
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (!t->writer_handle) {
		r = RAND_bytes(random, sizeof(random)) == 1 ? 0 : -EIO;
		if (r == 0) {
			mf_trash_writer_format(random, t->writer);
			r = open_writer(t, t->writer, true, &t->writer_handle);
		}
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

bool mf_wtrash_writer_dead(struct mf_trash *t, const char *writer)
{
	void *h;
	int r;

	/* Our own file is claimed by ourselves. */
	r = open_writer(t, writer, false, &h);
	if (r == 0)
		mf_wsource_close_handle(h);
	return r == 0 || r == -ENOENT;
}
