/* SPDX-License-Identifier: Apache-2.0 */
/* trash_win32.c - see trash_win32.h: the trash directory of Windows, and how losses get there */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "core/base/err.h"
#include "fs/trash_int_win32.h"

void mf_wtrash_name(char buf[MF_WTRASH_NAME_MAX], const char *folder, const char *name,
		    const char *suffix)
{
	snprintf(buf, MF_WTRASH_NAME_MAX, "/%s/%s%s", folder, name, suffix);
}

void mf_wtrash_tell(const struct mf_trash *t, const struct mf_trash_event *event)
{
	if (t->options.event)
		t->options.event(t->options.event_ctx, event);
}

/* ---- open ---- */

/* Makes the three folders, opens the one that payloads go to. */
static int make_folders(struct mf_trash *t)
{
	static const char *const names[] = { "/info", "/moonfence", "/files" };
	void *root, *h;
	int r = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(names) && r >= 0; i++) {
		r = mf_wsource_open_parent(t->tree, names[i], &root, NULL);
		if (r < 0)
			break;
		r = mf_wsource_create(root, names[i], true, MF_WSOURCE_LOOK, &h);
		mf_wsource_close_handle(root);
		if (r == 0)
			mf_wsource_close_handle(h);
		else if (r == -EEXIST)
			r = 0;
	}
	/* Opened as a parent is: things are made in it. */
	return r < 0 ? r : mf_wsource_open_parent(t->tree, "/files/x", &t->files, NULL);
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

/* Where the trash of a source is, in malloc()ed memory: the user's own folder. */
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
	struct mf_winfsp_stat own, source;
	struct mf_wsource *src;
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
	if (!t->options.source)
		return 0;
	r = mf_wsource_open(plain(t->options.source), &src, err);
	if (r < 0)
		return r;
	r = stat_tree(src, &source);
	mf_wsource_close(src);
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "cannot look at %s: %s", t->options.source,
				  strerror(-r));
	if (source.dev != own.dev)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "the trash %s is not on the volume of %s, and on Windows nothing "
				  "is moved to another volume: "
				  "name a trash directory on the same drive",
				  dir, t->options.source);
	return 0;
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
		r = mf_trash_repair(t, &(struct mf_trash_repaired){ .swept = 0 }, err);
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
	mf_wsource_close_handle(t->files);
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

/* ---- put ---- */

static int new_token(struct mf_trash *t, char token[MF_TRASH_TOKEN_MAX])
{
	uint8_t random[16];
	uint64_t now;

	if (RAND_bytes(random, sizeof(random)) != 1)
		return -EIO;
	pthread_mutex_lock(&t->lock);
	now = mf_clock_wall(t->clock);
	if (now <= t->last_ns)
		now = t->last_ns + 1;
	t->last_ns = now;
	pthread_mutex_unlock(&t->lock);
	mf_trash_token_format(now, random, token);
	return 0;
}

/* A new file with this text, on the disk when it returns where @sync. */
static int write_text(struct mf_trash *t, const char *name, const struct mf_strbuf *b, bool sync)
{
	void *parent, *h;
	int r;

	if (b->failed)
		return -ENAMETOOLONG;
	r = mf_wsource_open_parent(t->tree, name, &parent, NULL);
	if (r < 0)
		return r;
	r = mf_wsource_create(parent, name, false, MF_WSOURCE_BOTH, &h);
	mf_wsource_close_handle(parent);
	if (r < 0)
		return r;
	r = mf_wsource_write(h, b->str, b->len, 0);
	if (r >= 0)
		r = (size_t)r == b->len ? 0 : -ENOSPC;
	if (r == 0 && sync)
		r = mf_wsource_flush(h);
	mf_wsource_close_handle(h);
	return r;
}

static int write_record(struct mf_trash *t, const struct mf_trash_record *rec)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_RECORD_MAX);
	char name[MF_WTRASH_NAME_MAX];
	int r;

	mf_trash_record_format(&b, rec);
	mf_wtrash_name(name, "moonfence", rec->e.token, "");
	r = write_text(t, name, &b, !t->options.no_sync);
	mf_strbuf_done(&b);
	return r;
}

static int write_info(struct mf_trash *t, const struct mf_trash_entry *e)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_INFO_MAX);
	char name[MF_WTRASH_NAME_MAX];
	int r;

	mf_trash_info_format(&b, e->path, e->deleted_ns, e->token);
	mf_wtrash_name(name, "info", e->file, MF_TRASH_INFO_SUFFIX);
	r = write_text(t, name, &b, false);
	mf_strbuf_done(&b);
	return r;
}

static void remove_file(struct mf_trash *t, const char *name)
{
	void *h;

	if (mf_wsource_open_at(t->tree, name, MF_WSOURCE_REMOVE, &h, NULL) < 0)
		return;
	(void)mf_wsource_remove(h);
	mf_wsource_close_handle(h);
}

void mf_wtrash_forget(struct mf_trash *t, const char *token, const char *file)
{
	char name[MF_WTRASH_NAME_MAX];

	if (*file) {
		mf_wtrash_name(name, "info", file, MF_TRASH_INFO_SUFFIX);
		remove_file(t, name);
	}
	mf_wtrash_name(name, "moonfence", token, "");
	remove_file(t, name);
}

static int copy_bytes(void *from, void *to)
{
	const size_t room = 1 << 20;
	char *buf = malloc(room);
	int64_t off = 0;
	int n = buf ? 0 : -ENOMEM;

	while (buf && (n = mf_wsource_read(from, buf, room, off)) > 0) {
		int put = mf_wsource_write(to, buf, (size_t)n, off);

		if (put != n) {
			n = put < 0 ? put : -ENOSPC;
			break;
		}
		off += n;
	}
	free(buf);
	return n;
}

/* The whole copy under its last name, on the disk. */
static int put_copy(struct mf_trash *t, void *handle, const struct mf_winfsp_stat *st,
		    const char *token, const char *file)
{
	char temp[MF_WTRASH_NAME_MAX], name[MF_WTRASH_NAME_MAX];
	struct mf_winfsp_timespec tv[2] = { st->atime, st->mtime };
	void *parent, *h;
	int r;

	mf_wtrash_name(temp, "moonfence", ".tmp-", token);
	mf_wtrash_name(name, "files", file, "");
	r = mf_wsource_open_parent(t->tree, temp, &parent, NULL);
	if (r < 0)
		return r;
	r = mf_wsource_create(parent, temp, false, MF_WSOURCE_BOTH, &h);
	mf_wsource_close_handle(parent);
	if (r < 0)
		return r;
	r = copy_bytes(handle, h);
	if (r == 0)
		r = mf_wsource_set_times(h, tv);
	if (r == 0 && !t->options.no_sync)
		r = mf_wsource_flush(h);
	mf_wsource_close_handle(h);
	if (r == 0)
		r = mf_wsource_open_at(t->tree, temp, MF_WSOURCE_REMOVE, &h, NULL);
	if (r == 0) {
		r = mf_wsource_rename(h, t->files, name, false);
		mf_wsource_close_handle(h);
	}
	if (r < 0)
		remove_file(t, temp);
	return r;
}

static void fill_attr(const struct mf_winfsp_stat *st, struct mf_trash_attr *ret)
{
	*ret = (struct mf_trash_attr){ .mode = st->mode,
				       .nlink = st->nlink,
				       .size = (uint64_t)st->size,
				       .mtime_ns = st->mtime.sec * 1000000000 + st->mtime.nsec,
				       .dev = st->dev,
				       .ino = st->ino };
}

int mf_trash_put_handle(struct mf_trash *t, void *handle, const struct mf_trash_loss *loss,
			char token[MF_TRASH_TOKEN_MAX])
{
	const char *leaf = strrchr(loss->path, '/');
	char file[MF_TRASH_FILE_MAX + 1] = "", name[MF_WTRASH_NAME_MAX];
	struct mf_trash_record rec = { .writer = MF_WTRASH_WRITER };
	struct mf_winfsp_stat st;
	int r;

	token[0] = '\0';
	if (!leaf || !mf_trash_path_ok(loss->path) || strlen(loss->path) >= MF_TRASH_PATH_MAX ||
	    loss->how == MF_TRASH_LINK)
		return -EINVAL;
	r = mf_wsource_stat(handle, &st, NULL);
	if (r < 0)
		return r;
	if (loss->how == MF_TRASH_COPY && !st.size)
		return 0; /* nothing to keep */
	r = new_token(t, token);
	if (r < 0)
		return r;
	if (loss->how != MF_TRASH_NOTE_DIR)
		mf_trash_file_of(leaf + 1, token, file);
	rec.e = (struct mf_trash_entry){ .token = token,
					 .file = file,
					 .path = loss->path,
					 .how = loss->how,
					 .op = loss->op,
					 .session = loss->session ? loss->session : "",
					 .process = loss->process ? loss->process : "",
					 .policy = loss->policy ? loss->policy : "",
					 .rule = loss->rule ? loss->rule : "",
					 .pid = loss->pid,
					 .deleted_ns = mf_trash_token_time(token),
					 .sha256 = "" };
	fill_attr(&st, &rec.e.attr);
	r = write_record(t, &rec);
	if (r == 0 && *file)
		r = write_info(t, &rec.e);
	if (r == 0 && loss->how == MF_TRASH_MOVE) {
		mf_wtrash_name(name, "files", file, "");
		r = mf_wsource_rename(handle, t->files, name, false);
	} else if (r == 0 && loss->how == MF_TRASH_COPY) {
		r = put_copy(t, handle, &st, token, file);
	}
	if (r < 0) {
		mf_wtrash_forget(t, token, file);
		if (r == -ENOSPC)
			mf_wtrash_tell(t, &(struct mf_trash_event){ .type = MF_TRASH_EVENT_FULL,
								    .token = "",
								    .path = loss->path,
								    .session = rec.e.session,
								    .size = rec.e.attr.size,
								    .error = ENOSPC });
		token[0] = '\0';
		return r;
	}
	mf_wtrash_tell(t, &(struct mf_trash_event){ .type = MF_TRASH_EVENT_PUT,
						    .token = token,
						    .path = loss->path,
						    .session = rec.e.session,
						    .size = rec.e.attr.size });
	return 0;
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
	struct mf_wtrash_loaded l;
	char name[MF_WTRASH_NAME_MAX];

	if (mf_wtrash_load(t, token, &l) < 0)
		return -ENOENT;
	if (*l.r.e.file && l.r.e.how != MF_TRASH_MOVE) {
		mf_wtrash_name(name, "files", l.r.e.file, "");
		remove_file(t, name);
	}
	mf_wtrash_forget(t, token, l.r.e.file);
	mf_wtrash_loaded_done(&l);
	return 0;
}

int mf_trash_settle(struct mf_trash *t, const char *token)
{
	(void)t;
	return mf_trash_token_ok(token) ? 0 : -EINVAL;
}

void mf_trash_drain(struct mf_trash *t)
{
	(void)t; /* no hashes are taken */
}

void mf_trash_tick(struct mf_trash *t)
{
	struct mf_trash_keep *k = &t->options.keep;
	struct mf_trash_purged done;

	if (k->age_s || k->max_bytes || k->max_count)
		(void)mf_trash_purge(t, &(struct mf_trash_purge){ .keep = *k, .no_wait = true },
				     &done, NULL);
}
