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

int mf_trash_made_add(struct mf_trash_made *made, const char *path,
		      const struct mf_trash_attr *attr, const char *token)
{
	struct mf_trash_made_dir *d;

	if (made->cnt == made->room) {
		size_t room = made->room ? 2 * made->room : 16;
		struct mf_trash_made_dir *dirs = realloc(made->dirs, room * sizeof(*dirs));

		if (!dirs)
			return -ENOMEM;
		made->dirs = dirs;
		made->room = room;
	}
	d = &made->dirs[made->cnt];
	d->path = strdup(path);
	if (!d->path)
		return -ENOMEM;
	d->attr = *attr;
	snprintf(d->token, sizeof(d->token), "%s", token);
	made->cnt++;
	return 0;
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

static void finish(struct mf_trash *t, const struct mf_trash_made_dir *d)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	char name[256];
	int fd, dir = mf_trash_go(t, NULL, d->path, name);

	fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		uint32_t mode = d->attr.mode & 07777;

		if (d->attr.ino && (d->attr.uid != geteuid() || d->attr.gid != getegid()) &&
		    fchown(fd, (uid_t)d->attr.uid, (gid_t)d->attr.gid) < 0)
			mode &= 01777;
		(void)!fchmod(fd, (mode_t)mode);
		if (d->attr.ino) {
			times[1].tv_sec = (time_t)(d->attr.mtime_ns / (int64_t)MF_NS_PER_S);
			times[1].tv_nsec = (long)(d->attr.mtime_ns % (int64_t)MF_NS_PER_S);
			(void)futimens(fd, times);
		}
		// Its entry was kept until now: whatever happened before, the mode was known.
		if (*d->token)
			mf_trash_forget(t, d->token, "");
		close(fd);
	}
	if (dir >= 0)
		close(dir);
}

void mf_trash_made_finish(struct mf_trash *t, struct mf_trash_made *made)
{
	// The innermost first: its mode may not close the way to it, its own changes not the times above.
	while (made->cnt > 0) {
		finish(t, &made->dirs[--made->cnt]);
		free(made->dirs[made->cnt].path);
	}
	free(made->dirs);
	memset(made, 0, sizeof(*made));
}
