/* SPDX-License-Identifier: Apache-2.0 */
/* trash_posix.c - see trash.h: opening and closing, the lock, writers, tokens */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "fs/trash_int.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

const char *mf_trash_own_name(const struct mf_trash *t, char buf[MF_TRASH_OWN_NAME_MAX],
			      const char *prefix, const char *token)
{
	snprintf(buf, MF_TRASH_OWN_NAME_MAX, "%s%s-%s", prefix, t->writer, token);
	return buf;
}

void mf_trash_attr_of(const struct stat *st, struct mf_trash_attr *ret)
{
#ifdef __APPLE__
	const struct timespec *mtime = &st->st_mtimespec;
#else
	const struct timespec *mtime = &st->st_mtim;
#endif

	*ret = (struct mf_trash_attr){
		.mode = (uint32_t)st->st_mode,
		.uid = (uint32_t)st->st_uid,
		.gid = (uint32_t)st->st_gid,
		.nlink = (uint64_t)st->st_nlink,
		.size = (uint64_t)st->st_size,
		.mtime_ns = (int64_t)mtime->tv_sec * (int64_t)MF_NS_PER_S + mtime->tv_nsec,
		.dev = (uint64_t)st->st_dev,
		.ino = (uint64_t)st->st_ino,
	};
}

void mf_trash_stat_set_mtime(struct stat *st, int64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / (int64_t)MF_NS_PER_S),
			      .tv_nsec = (long)(ns % (int64_t)MF_NS_PER_S) };

	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += (long)MF_NS_PER_S;
	}
#ifdef __APPLE__
	st->st_mtimespec = t;
#else
	st->st_mtim = t;
#endif
}

int mf_trash_new_token(struct mf_trash *t, char token[MF_TRASH_TOKEN_MAX])
{
	return mf_trash_token_new(t->clock, &t->lock, &t->last_ns, token);
}

int mf_trash_lock_dir(const struct mf_trash *t, bool wait)
{
	// A description of its own: the lock holds between threads of this process as well.
	int r, fd = openat(t->own_fd, MF_TRASH_LOCK,
			   O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	do
		r = flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB));
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* A file of a new name, locked; Return: a descriptor or a negative errno. */
static int make_writer(struct mf_trash *t)
{
	for (int tries = 0; tries < 16; tries++) {
		uint8_t random[10];
		struct stat st;
		int fd, r;

		if (RAND_bytes(random, sizeof(random)) != 1)
			return -EIO;
		mf_trash_writer_format(random, t->writer);
		fd = openat(t->writers_fd, t->writer,
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			return -errno;
		if (fd < 0)
			continue;
		// Somebody who repairs may have taken it for a dead one before it was locked, and removed it.
		r = flock(fd, LOCK_EX | LOCK_NB);
		if ((r == 0 || (errno != EWOULDBLOCK && errno != EINTR)) && fstat(fd, &st) == 0 &&
		    st.st_nlink > 0)
			return fd;
		close(fd);
	}
	return -EIO;
}

int mf_trash_writer_ready(struct mf_trash *t)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (t->writer_fd < 0) {
		r = make_writer(t);
		if (r >= 0)
			t->writer_fd = r;
	}
	pthread_mutex_unlock(&t->lock);
	return r < 0 ? r : 0;
}

enum mf_trash_life mf_trash_writer_life(const struct mf_trash *t, const char *writer, int *ret_fd)
{
	enum mf_trash_life life;
	int fd;

	*ret_fd = -1;
	if (t->writer_fd >= 0 && strcmp(writer, t->writer) == 0)
		return MF_TRASH_ALIVE;
	fd = openat(t->writers_fd, writer, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? MF_TRASH_DEAD : MF_TRASH_UNKNOWN;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*ret_fd = fd;
		return MF_TRASH_DEAD;
	}
	life = errno == EWOULDBLOCK ? MF_TRASH_ALIVE : MF_TRASH_UNKNOWN;
	close(fd);
	return life;
}

/* A directory of the trash, made where it is missing; Return: 0, MF_E_*. */
static int open_part(struct mf_trash *t, int dir, const char *name, bool make, int *ret_fd,
		     uint64_t ret_id[2], struct mf_err *err)
{
	struct stat st;

	if (make && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return mf_err_set(err, MF_E_IO, "Cannot make %s in %s: %s.", name, t->path,
				  strerror(errno));
	*ret_fd = openat(dir, name, DIR_FLAGS);
	if (*ret_fd < 0)
		return mf_err_set(err,
				  errno == ENOENT		       ? MF_E_NOENT
				  : errno == ELOOP || errno == ENOTDIR ? MF_E_PERM
								       : MF_E_IO,
				  "Cannot open %s in %s: %s.", name, t->path,
				  errno == ELOOP || errno == ENOTDIR
					  ? "a link or a file, no directory"
					  : strerror(errno));
	if (fstat(*ret_fd, &st) < 0)
		return mf_err_set(err, MF_E_IO, "Cannot look at %s in %s: %s.", name, t->path,
				  strerror(errno));
	if (st.st_uid != geteuid())
		return mf_err_set(err, MF_E_PERM, "%s in %s belongs to user %ju, not to user %ju.",
				  name, t->path, (uintmax_t)st.st_uid, (uintmax_t)geteuid());
	ret_id[0] = (uint64_t)st.st_dev;
	ret_id[1] = (uint64_t)st.st_ino;
	return 0;
}

/* mkdir -p: what is above the trash is ours alone where it was missing. */
static int make_path(const char *path, struct mf_err *err)
{
	char buf[MF_TRASH_PATH_MAX];

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(buf, 0700) < 0 && errno != EEXIST)
			return mf_err_set(err, MF_E_IO, "Cannot make the directory %s: %s.", buf,
					  strerror(errno));
		*p = '/';
	}
	if (mkdir(buf, 0700) < 0 && errno != EEXIST)
		return mf_err_set(err, MF_E_IO, "Cannot make the directory %s: %s.", buf,
				  strerror(errno));
	return 0;
}

static int open_dirs(struct mf_trash *t, bool make, struct mf_err *err)
{
	int r = make ? make_path(t->path, err) : 0;

	if (r == 0)
		r = open_part(t, AT_FDCWD, t->path, false, &t->root_fd, t->dirs[0], err);
	if (r == 0)
		r = open_part(t, t->root_fd, "files", true, &t->files_fd, t->dirs[1], err);
	if (r == 0)
		r = open_part(t, t->root_fd, "info", true, &t->info_fd, t->dirs[2], err);
	if (r == 0)
		r = open_part(t, t->root_fd, "moonfence", true, &t->own_fd, t->dirs[3], err);
	if (r == 0)
		r = open_part(t, t->own_fd, MF_TRASH_WRITERS, true, &t->writers_fd, t->dirs[4],
			      err);
	return r;
}

/* A writer that died left its file: only then is there anything to look for. */
static int repair_after_dead(struct mf_trash *t, struct mf_err *err)
{
	struct mf_trash_names writers = { 0 };
	struct mf_trash_repaired done;
	bool dead = false;
	int fd, r = mf_trash_names_read(t->writers_fd, mf_trash_writer_ok, &writers);

	if (r < 0)
		return mf_err_set(err, r, "Cannot read %s.", t->path);
	for (size_t i = 0; i < writers.cnt && !dead; i++) {
		dead = mf_trash_writer_life(t, writers.names[i], &fd) != MF_TRASH_ALIVE;
		if (fd >= 0)
			close(fd);
	}
	mf_trash_names_done(&writers);
	// One that cannot be repaired, on a disk without room or without writing, can be read all the same.
	if (dead)
		(void)mf_trash_repair(t, &done, NULL);
	return 0;
}

int mf_trash_open(const struct mf_trash_options *o, struct mf_trash **ret_trash, struct mf_err *err)
{
	struct mf_trash *t = calloc(1, sizeof(*t));
	int r = 0;

	if (!t)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	t->root_fd = t->files_fd = t->info_fd = t->own_fd = t->writers_fd = t->writer_fd = -1;
	t->options = *o;
	t->options.dir = t->options.source = NULL;
	t->clock = o->clock ? o->clock : &mf_clock_system;
	pthread_mutex_init(&t->lock, NULL);
	if (o->dir) {
		size_t len = strlen(o->dir);

		while (len > 1 && o->dir[len - 1] == '/') // "link/" would be followed
			len--;
		t->where = MF_TRASH_NAMED;
		if (o->dir[0] != '/' || len >= sizeof(t->path))
			r = mf_err_set(err, MF_E_INVAL, "The trash %s is not an absolute path.",
				       o->dir);
		else
			memcpy(t->path, o->dir, len);
	} else {
		r = mf_trash_place_find(t, o, err);
	}
	if (r == 0)
		r = open_dirs(t, !o->no_create, err);
	if (r == 0 && mf_trash_store_new(t) < 0)
		r = mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	if (r == 0)
		r = repair_after_dead(t, err);
	if (r == 0 && mf_trash_worker_start(&t->worker, t, &mf_trash_worker_ops, &t->options) < 0)
		r = mf_err_set(err, MF_E_NOMEM, "Cannot start a thread.");
	if (r == 0)
		*ret_trash = t;
	else
		mf_trash_close(t);
	return r;
}

void mf_trash_close(struct mf_trash *t)
{
	int fds[5];

	if (!t)
		return;
	mf_trash_worker_end(&t->worker);
	mf_trash_store_free(t);
	if (t->writer_fd >= 0) {
		// Where a trashinfo could not be written, whoever opens the trash next makes it as for a dead one.
		if (!t->late)
			(void)unlinkat(t->writers_fd, t->writer, 0);
		close(t->writer_fd);
	}
	mf_trash_free_late(t);
	memcpy(fds, (int[]){ t->root_fd, t->files_fd, t->info_fd, t->own_fd, t->writers_fd },
	       sizeof(fds));
	for (size_t i = 0; i < MF_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

const char *mf_trash_path(const struct mf_trash *t)
{
	return t->path;
}

enum mf_trash_place mf_trash_where(const struct mf_trash *t)
{
	return t->where;
}

bool mf_trash_is(const struct mf_trash *t, uint64_t dev, uint64_t ino)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(t->dirs); i++)
		if (t->dirs[i][0] == dev && t->dirs[i][1] == ino)
			return true;
	return false;
}
