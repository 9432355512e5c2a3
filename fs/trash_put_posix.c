/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_put_posix.c - losses: the steps in their order (trash.h), and the way back when one of them fails
 *
 * Every step leaves what a kill after it needs: the record is first and goes last.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/file_copy_posix.h"
#include "fs/fs_sys.h"
#include "fs/trash_int.h"

/* One put on its way. */
struct put {
	struct mf_trash *t;
	const struct mf_trash_loss *loss;
	int dir_fd;
	const char *name;
	int fd;	     /* of the object where it is open; -1 */
	char *token; /* the caller's */
	char file[MF_TRASH_FILE_MAX + 1];
	struct mf_trash_record record;
	char record_name[MF_TRASH_NAME_ROOM]; /* in moonfence/ */
	struct mf_trash_flight flight;
};

int mf_trash_write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

bool mf_trash_in_flight(struct mf_trash *t, const char *token)
{
	bool found = false;

	pthread_mutex_lock(&t->lock);
	for (struct mf_trash_flight *f = t->flights; f && !found; f = f->next)
		found = strcmp(f->token, token) == 0;
	pthread_mutex_unlock(&t->lock);
	return found;
}

static void flight_begin(struct put *p)
{
	p->flight.token = p->token;
	pthread_mutex_lock(&p->t->lock);
	p->flight.next = p->t->flights;
	p->t->flights = &p->flight;
	pthread_mutex_unlock(&p->t->lock);
}

static void flight_end(struct put *p)
{
	struct mf_trash_flight **f;

	pthread_mutex_lock(&p->t->lock);
	for (f = &p->t->flights; *f != &p->flight; f = &(*f)->next)
		;
	*f = p->flight.next;
	pthread_mutex_unlock(&p->t->lock);
}

/* Record and trashinfo. On failure there is neither. */
static int announce(struct put *p, enum mf_trash_how how)
{
	const struct mf_trash_loss *loss = p->loss;
	struct mf_trash_entry *e = &p->record.e;
	int r;

	p->file[0] = '\0';
	if (how != MF_TRASH_NOTE_DIR)
		mf_trash_file_of(p->name, p->token, p->file);
	p->record.writer = p->t->writer;
	mf_trash_entry_of_loss(loss, how, p->token, p->file, e);
	r = mf_trash_write_record(p->t, &p->record, p->record_name);
	// A copy is announced to other programs when it is complete.
	if (r == 0 && (how == MF_TRASH_MOVE || how == MF_TRASH_LINK) && !p->t->options.background) {
		r = mf_trash_write_info(p->t, p->file, loss->path, e->deleted_ns, p->token);
		if (r < 0)
			(void)mf_trash_forget(p->t, p->token, "");
	}
	return r;
}

/* What an fsync of a file does not promise: its name. */
static int sync_dirs(const struct mf_trash *t)
{
	if (t->options.no_sync)
		return 0;
	return fsync(t->own_fd) < 0 || fsync(t->info_fd) < 0 || fsync(t->files_fd) < 0 ? -errno : 0;
}

/* From a copy that is complete, under its temporary name, to an entry. */
static int publish_copy(struct put *p, const char *tmp)
{
	struct mf_trash *t = p->t;
	int r = mf_trash_write_info(t, p->file, p->loss->path, p->record.e.deleted_ns, p->token);

	if (r == 0)
		r = mf_fs_sys_rename_new(t->own_fd, tmp, t->files_fd, p->file);
	return r;
}

/* The bytes of what is in its place, or of what is open: this as it was when its caller looked. */
static int copy_object(struct put *p, const char *tmp)
{
	const struct mf_trash_attr *then = p->loss->attr;
	struct mf_trash *t = p->t;
	struct stat st;
	bool cloned;
	int r, fd = p->fd;

	if (fd < 0)
		fd = openat(p->dir_fd, p->name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	if (r == 0 && p->fd >= 0 && then) {
		if ((uint64_t)st.st_size > then->size)
			st.st_size = (off_t)then->size;
		mf_trash_stat_set_mtime(&st, then->mtime_ns);
	}
	if (r == 0)
		r = mf_file_copy(fd, &st, t->own_fd, tmp, t->options.copy_max, !t->options.no_sync,
				 &cloned);
	if (p->fd < 0)
		close(fd);
	return r;
}

static int put_copy(struct put *p)
{
	struct mf_trash *t = p->t;
	char tmp[MF_TRASH_OWN_NAME_MAX];
	int r = announce(p, MF_TRASH_COPY);

	if (r < 0)
		return r;
	mf_trash_own_name(t, tmp, MF_TRASH_TMP, p->token);
	r = copy_object(p, tmp);
	if (r == 0)
		r = publish_copy(p, tmp);
	// The caller's operation is ordered after the rename only by a journal that both are in.
	if (r == 0 && p->record.e.attr.dev != t->dirs[1][0])
		r = sync_dirs(t);
	if (r < 0) {
		(void)unlinkat(t->own_fd, tmp, 0);
		(void)unlinkat(t->files_fd, p->file, 0);
		(void)mf_trash_forget(t, p->token, p->file);
	}
	return r;
}

/*
 * To another file system: all of it is there, on the disk, before anything is removed here. When not all could be removed
 * the entry stays all the same, unless nothing was.
 */
static int move_across(struct put *p, bool *ret_stays)
{
	struct mf_trash *t = p->t;
	char tmp[MF_TRASH_OWN_NAME_MAX];
	uint64_t removed = 0;
	int r;

	mf_trash_own_name(t, tmp, MF_TRASH_TMP, p->token);
	r = mf_trash_copy_tree(t, p->dir_fd, p->name, t->own_fd, tmp);
	if (r == 0)
		r = mf_fs_sys_rename_new(t->own_fd, tmp, t->files_fd, p->file);
	if (r < 0) {
		(void)mf_trash_remove_tree(t->own_fd, tmp);
		return r;
	}
	r = sync_dirs(t);
	if (r == 0)
		r = mf_trash_remove_copied(p->dir_fd, p->name, t->files_fd, p->file, &removed);
	*ret_stays = r == 0 || removed > 0;
	if (!*ret_stays)
		(void)mf_trash_remove_tree(t->files_fd, p->file);
	return r;
}

static int put_move(struct put *p)
{
	struct mf_trash *t = p->t;
	bool stays = false;
	int r = announce(p, MF_TRASH_MOVE);

	if (r < 0)
		return r;
	r = mf_fs_sys_rename_new(p->dir_fd, p->name, t->files_fd, p->file);
	if (r == -ENOTSUP) // nobody else has this name: it bears eighty random bits
		r = renameat(p->dir_fd, p->name, t->files_fd, p->file) == 0 ? 0 : -errno;
	if (r == -EXDEV)
		r = move_across(p, &stays);
	if (r < 0 && !stays)
		(void)mf_trash_forget(t, p->token, p->file);
	else
		mf_trash_inform(t, &p->record.e, p->record_name);
	return r;
}

static int put_link(struct put *p)
{
	struct mf_trash *t = p->t;
	int r = announce(p, MF_TRASH_LINK);

	if (r < 0)
		return r;
	if (linkat(p->dir_fd, p->name, t->files_fd, p->file, 0) == 0) {
		mf_trash_inform(t, &p->record.e, p->record_name);
		return 0;
	}
	r = -errno;
	(void)mf_trash_forget(t, p->token, p->file);
	return r;
}

/* Whether a link failed only because links cannot be made here. */
static bool wants_other_way(int r)
{
	return r == -EXDEV || r == -EPERM || r == -EACCES || r == -EMLINK || r == -EOPNOTSUPP ||
	       r == -ENOSYS;
}

/* What a note cannot hold, where there is any. A directory that we may not read keeps what it has for itself. */
static int put_note(struct put *p)
{
	struct mf_trash *t = p->t;
	char name[MF_TRASH_OWN_NAME_MAX];
	int to, r = announce(p, MF_TRASH_NOTE_DIR), dir;

	if (r < 0)
		return r;
	dir = openat(p->dir_fd, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 && (errno == EACCES || errno == EPERM))
		return 0;
	r = dir < 0 ? -errno : 0;
	if (r == 0 && mf_fs_sys_has_xattrs(dir)) {
		mf_trash_dir_name(p->token, name);
		r = mkdirat(t->own_fd, name, 0700) < 0 ? -errno : 0;
		to = r < 0 ? -1
			   : openat(t->own_fd, name,
				    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (r == 0)
			r = to < 0 ? -errno : mf_fs_sys_xattrs(dir, to);
		if (to >= 0)
			close(to);
	}
	if (dir >= 0)
		close(dir);
	if (r < 0)
		(void)mf_trash_forget(t, p->token, "");
	return r;
}

static int put_as(struct put *p, enum mf_trash_how how)
{
	int r;

	switch (how) {
	case MF_TRASH_MOVE:
		return put_move(p);
	case MF_TRASH_COPY:
		return put_copy(p);
	case MF_TRASH_NOTE_DIR:
		return put_note(p);
	case MF_TRASH_LINK:
		r = put_link(p);
		if (!wants_other_way(r))
			return r;
		// A copy leaves it in its place until the caller's rename; other things than files have nothing to copy.
		if (S_ISREG(p->record.e.attr.mode)) {
			r = put_copy(p);
			if (r != -EACCES && r != -EPERM)
				return r;
		}
		return put_move(p);
	default:
		return -EINVAL;
	}
}

static int look(struct put *p)
{
	struct stat st;

	if (p->loss->attr) {
		p->record.e.attr = *p->loss->attr;
		return 0;
	}
	if ((p->fd >= 0 ? fstat(p->fd, &st)
			: fstatat(p->dir_fd, p->name, &st, AT_SYMLINK_NOFOLLOW)) < 0)
		return -errno;
	mf_trash_attr_of(&st, &p->record.e.attr);
	return 0;
}

/* The trash has no room: what the options say. */
static int put_full(struct put *p, int r)
{
	const struct mf_trash_loss *loss = p->loss;
	const struct mf_trash_options *o = &p->t->options;
	uint32_t mode = p->record.e.attr.mode;
	int error = r;

	if (mf_trash_lets_go(o, loss, mode)) {
		r = 0;
		if (loss->how == MF_TRASH_MOVE && unlinkat(p->dir_fd, p->name, 0) < 0)
			r = -errno;
	}
	mf_trash_tell_full(o, loss, p->record.e.attr.size, error, r == 0);
	return r;
}

static int put(struct put *p)
{
	const struct mf_trash_loss *loss = p->loss;
	const struct mf_trash_attr *a = &p->record.e.attr;
	struct mf_trash *t = p->t;
	char *token = p->token;
	int r, tries = 0;

	token[0] = '\0';
	if (!mf_trash_path_ok(loss->path) || !mf_trash_name_ok(p->name))
		return -EINVAL;
	r = look(p);
	if (r == 0)
		r = mf_trash_writer_ready(t);
	if (r < 0)
		return mf_trash_is_full(r) ? put_full(p, r) : r;
	if (mf_trash_is(t, a->dev, a->ino))
		return -EBUSY;
	if (loss->how == MF_TRASH_COPY && (!S_ISREG(a->mode) || a->size == 0))
		return S_ISREG(a->mode) ? 0 : -EINVAL;
	if (loss->how == MF_TRASH_NOTE_DIR && !S_ISDIR(a->mode))
		return -ENOTDIR;
	if (t->options.keep.max_bytes && S_ISREG(a->mode) && a->size > t->options.keep.max_bytes) {
		r = -ENOSPC;
	} else {
		do {
			r = mf_trash_new_token(t, token);
			if (r < 0)
				break;
			flight_begin(p);
			r = put_as(p, loss->how);
			flight_end(p);
		} while (r == -EEXIST && ++tries < 3);
	}
	if (r < 0)
		token[0] = '\0';
	if (mf_trash_is_full(r))
		return put_full(p, r);
	if (r == 0)
		mf_trash_worker_put(&t->worker, loss, a, token);
	return r;
}

int mf_trash_put(struct mf_trash *t, int dir_fd, const char *name, const struct mf_trash_loss *loss,
		 char token[MF_TRASH_TOKEN_MAX])
{
	struct put p = {
		.t = t, .loss = loss, .dir_fd = dir_fd, .name = name, .fd = -1, .token = token
	};

	return put(&p);
}

int mf_trash_put_open(struct mf_trash *t, int fd, const struct mf_trash_loss *loss,
		      char token[MF_TRASH_TOKEN_MAX])
{
	const char *slash = strrchr(loss->path, '/');
	struct put p = { .t = t, .loss = loss, .dir_fd = -1, .fd = fd, .token = token };

	p.name = slash ? slash + 1 : "";
	return loss->how == MF_TRASH_COPY ? put(&p) : -EINVAL;
}

int mf_trash_cancel(struct mf_trash *t, const char *token)
{
	struct mf_trash_loaded l;
	int r;

	if (!*token) // was not kept
		return 0;
	if (!mf_trash_token_ok(token))
		return -EINVAL;
	r = mf_trash_load(t, token, &l);
	if (r < 0)
		return r == MF_E_NOENT ? -ENOENT : -EIO;
	// A LINK that could not be one has left its place.
	if (l.r.e.how == MF_TRASH_MOVE) {
		mf_trash_loaded_done(&l);
		return mf_trash_restore(t, token, &(struct mf_trash_target){ .no_verify = true },
					NULL, NULL) < 0
			       ? -EIO
			       : 0;
	}
	if (*l.r.e.file && unlinkat(t->files_fd, l.r.e.file, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0)
		(void)mf_trash_forget(t, token, l.r.e.file);
	mf_trash_loaded_done(&l);
	return r;
}
