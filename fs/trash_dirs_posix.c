/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_dirs_posix.c - the directories that a restore goes through: opened one by one, no link followed, made where they
 * are missing
 *
 * A directory that is made is open to its owner until all is in it that comes back; only then it gets the mode and the
 * times that it had.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs_sys.h"
#include "fs/trash_int.h"

#ifdef O_PATH
#define LOOK                                 \
	(O_PATH | O_DIRECTORY | O_NOFOLLOW | \
	 O_CLOEXEC) // a directory that nobody may read can be gone through
#else
#define LOOK (O_SEARCH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#endif

/* What the next component is below: opened, made if @make; Return: a descriptor or a negative errno. */
static int step(int fd, const char *name, bool make, bool *ret_made)
{
	int next;

	*ret_made = false;
	next = openat(fd, name, LOOK);
	if (next < 0 && errno == ENOENT && make) {
		if (mkdirat(fd, name, 0777) == 0)
			*ret_made = true;
		else if (errno != EEXIST)
			return -errno;
		next = openat(fd, name, LOOK);
	}
	return next < 0 ? -errno : next;
}

/* The directory @fd was just made at @path: its own entry tells what it was. */
static int dress(struct mf_trash *t, struct mf_trash_made *made, const char *path, int fd)
{
	struct mf_trash_attr attr;
	struct mf_trash_loaded note;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	attr = (struct mf_trash_attr){ .mode = (uint32_t)st.st_mode };
	if (mf_trash_look_up(t, path, 0, &note, NULL) < 0)
		return mf_trash_made_add(made, path, &attr, "");
	if (note.r.e.how == MF_TRASH_NOTE_DIR)
		r = mf_trash_made_add(made, path, &note.r.e.attr, note.token);
	else
		r = mf_trash_made_add(made, path, &attr, "");
	mf_trash_loaded_done(&note);
	return r;
}

int mf_trash_go(struct mf_trash *t, struct mf_trash_made *made, const char *path, char name[256])
{
	char above[MF_TRASH_PATH_MAX];
	const char *at = path;
	int fd = open("/", LOOK);

	if (fd < 0)
		return -errno;
	for (;;) {
		size_t len = strcspn(at + 1, "/");
		bool is_new;
		int next, r;

		memcpy(name, at + 1, len);
		name[len] = '\0';
		at += 1 + len;
		if (!*at)
			return fd;
		next = step(fd, name, made != NULL, &is_new);
		close(fd);
		if (next < 0)
			return next;
		fd = next;
		if (!is_new)
			continue;
		memcpy(above, path, (size_t)(at - path));
		above[at - path] = '\0';
		r = dress(t, made, above, fd);
		if (r < 0) {
			close(fd);
			return r;
		}
	}
}

/* Extended attributes and access lists, where the directory had some; 0 or a negative errno */
static int bring_attributes(const struct mf_trash *t, const char *token, int to)
{
	char name[MF_TRASH_OWN_NAME_MAX];
	int from = openat(t->own_fd, mf_trash_dir_name(token, name),
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (from < 0)
		return errno == ENOENT ? 0 : -errno;
	r = mf_fs_sys_xattrs(from, to);
	close(from);
	return r;
}

/* What this user may not set is left as it is; 0 or a negative errno */
static int bring_all(const struct mf_trash *t, const struct mf_trash_made_dir *d, int fd)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	uint32_t mode = d->attr.mode & 07777;
	int r = 0;

	if (d->attr.ino && (d->attr.uid != geteuid() || d->attr.gid != getegid()) &&
	    fchown(fd, (uid_t)d->attr.uid, (gid_t)d->attr.gid) < 0) {
		if (errno != EPERM && errno != EINVAL)
			return -errno;
		mode &= 01777;
	}
	if (*d->token)
		r = bring_attributes(t, d->token, fd);
	if (r == 0 && fchmod(fd, (mode_t)mode) < 0 && errno != EPERM)
		r = -errno;
	if (r < 0 || !d->attr.ino)
		return r;
	times[1].tv_sec = (time_t)(d->attr.mtime_ns / (int64_t)MF_NS_PER_S);
	times[1].tv_nsec = (long)(d->attr.mtime_ns % (int64_t)MF_NS_PER_S);
	return futimens(fd, times) == 0 || errno == EPERM ? 0 : -errno;
}

static int finish(struct mf_trash *t, const struct mf_trash_made_dir *d)
{
	char name[256];
	int r = 0, fd, dir = mf_trash_go(t, NULL, d->path, name);

	fd = dir < 0 ? dir : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		r = dir < 0 ? dir : -errno;
	else
		r = bring_all(t, d, fd);
	// Its entry is kept until all that it tells of is in its place.
	if (r == 0 && *d->token)
		r = mf_trash_forget(t, d->token, "");
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	return r;
}

size_t mf_trash_made_finish(struct mf_trash *t, struct mf_trash_made *made)
{
	return mf_trash_made_each(made, finish, t);
}
